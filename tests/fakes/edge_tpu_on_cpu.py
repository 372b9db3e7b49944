"""Edge TPU files that are not compiled, run by LiteRT on the CPU: neither the compiler nor the device is here, and what
both start from, a network in whole numbers, computes the same. All the rest is that of the real format: options,
conversion, carrier, predictor.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydantic import Field

from segkit.core.backend import Backend, LoadOptions, Predictor, hookimpl
from segkit.plugins.edgetpu import EdgeTpuBackend, EdgeTpuExportOptions, declared


class Options(EdgeTpuExportOptions):
    compile: bool = Field(default=False, description="nothing is compiled here")


class OnCpu(EdgeTpuBackend):
    """The format without its two ends."""

    format = replace(
        declared(with_tpu=True),
        name="edge_tpu_on_cpu",
        aliases=(),
        artefact="{stem}_uncompiled.tflite",
        suffixes=("_uncompiled.tflite",),
        export_options=Options,
    )

    def load(self, path: Path, options: LoadOptions) -> Predictor:
        from segkit.plugins.edgetpu.file import EdgeFile
        from segkit.plugins.edgetpu.predictor import EdgeTpuPredictor

        file = EdgeFile(path)
        file.verify()
        return EdgeTpuPredictor(file, options, file.metadata(), delegates=())


@hookimpl
def segkit_backends() -> list[Backend]:
    return [OnCpu()]
