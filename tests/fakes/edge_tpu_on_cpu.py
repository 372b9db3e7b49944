"""Edge TPU files that are not compiled, run by LiteRT on the CPU: neither the compiler nor the device is here, and what
both start from, a network in whole numbers, computes the same. All the rest is that of the real format: options,
conversion, carrier, predictor.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from segkit.core.backend import Backend, ExportJob, LoadOptions, Match, Predictor, hookimpl
from segkit.core.errors import ModelFileError
from segkit.plugins.edgetpu import EdgeTpuBackend, declared


class OnCpu(EdgeTpuBackend):
    """The format without its two ends."""

    format = replace(
        declared(with_compiler=True, with_tpu=True),
        name="edge_tpu_on_cpu",
        aliases=(),
        artefact="{stem}_uncompiled.tflite",
        suffixes=("_uncompiled.tflite",),
    )

    def export(self, job: ExportJob) -> None:
        from segkit.plugins.edgetpu.compiler import Compiled
        from segkit.plugins.edgetpu.exporter import export
        from segkit.plugins.edgetpu.log import Mapped

        export(job, lambda content, timeout: Compiled(content, Mapped("none")))

    def load(self, path: Path, options: LoadOptions) -> Predictor:
        from segkit.plugins.edgetpu.file import EdgeFile
        from segkit.plugins.edgetpu.predictor import EdgeTpuPredictor

        file = EdgeFile(path)
        file.verify()
        return EdgeTpuPredictor(file, options, file.metadata(), delegates=())

    def recognises(self, path: Path) -> Match | None:
        from segkit.plugins.edgetpu.file import EdgeFile

        try:
            ours = not path.is_dir() and EdgeFile(path).mapped is not None
        except ModelFileError:
            ours = False
        return Match(Match.CONTENT, "segkit has made it for the Edge TPU") if ours else Backend.recognises(self, path)


@hookimpl
def segkit_backends() -> list[Backend]:
    return [OnCpu()]
