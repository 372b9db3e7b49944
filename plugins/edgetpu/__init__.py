"""Edge TPU: the processor of Google's Coral boards and sticks; a TensorFlow Lite file in 8 bits, compiled for it."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from segkit.core.backend import (
    FULL,
    Backend,
    Concurrency,
    ExportJob,
    ExportOptions,
    Feature,
    Format,
    Gap,
    GapKind,
    HeadLayout,
    Inspection,
    LoadOptions,
    Match,
    Metadata,
    Precision,
    Predictor,
    Requirement,
    Support,
    Switches,
    hookimpl,
)
from segkit.core.backend.options import BY_PRECISION, Device
from segkit.core.errors import ModelFileError, OptionError, UnsupportedError
from segkit.plugins.edgetpu.devices import is_tpu, tpu_is_here

COMPILER = "edgetpu_compiler"
"""Google's program, looked for on the PATH. It is for Linux on x86-64, and on no package registry."""

UNCOMPILED = "{stem}_full_integer_quant.tflite"
"""Name of a file that is ready for the compiler."""

WITHOUT_COMPILER = (
    f"with compile=False segkit writes {UNCOMPILED.format(stem='MODEL')}, ready for "
    f"'{COMPILER} {UNCOMPILED.format(stem='MODEL')}' on any machine that has it"
)
"""What to do where the compiler fails."""

NO_COMPILER = Gap(
    GapKind.NEEDS_TOOL,
    f"Google's {COMPILER} (https://coral.ai/docs/edgetpu/compiler, for Linux on x86-64) is not on the PATH",
)

NO_TPU = Gap(
    GapKind.NEEDS_HARDWARE,
    "such a file runs on an Edge TPU only, and this machine has none (neither /dev/apex_* nor a Coral USB "
    "Accelerator); the tflite format has files in 8 bits that run here",
)


def _device(value: str) -> str:
    if is_tpu(value):
        return value
    raise OptionError.invalid("device", value, "such a file runs on Edge TPUs alone: tpu, tpu:1, usb, usb:0, pci, …")


class EdgeTpuExportOptions(ExportOptions):
    """Options of `segkit export format=edgetpu`."""

    precision: Annotated[Precision, Switches(BY_PRECISION)] = Field(
        default=Precision.INT8, description="numbers that the file computes with: the Edge TPU has 8 bits only"
    )
    compile: bool = Field(
        default=True,
        description=f"compile it with Google's {COMPILER}, which must be on the PATH; False: write the file that is "
        "to be compiled",
    )
    timeout: int = Field(default=600, ge=10, le=86400, description="seconds that the compiler may take")

    def head_layout(self) -> HeadLayout:
        """One tensor each, for each has numbers of its own size; boxes and scores as they come out of the last layers:
        the Edge TPU cannot compute the rest.
        """
        return HeadLayout(outputs="split", boxes="distances")

    @property
    def compiles(self) -> bool:
        """Whether the file will be compiled: it is asked for, and the compiler is here."""
        return self.compile and shutil.which(COMPILER) is not None

    @model_validator(mode="after")
    def _fit_the_chip(self) -> EdgeTpuExportOptions:
        if self.precision is Precision.FP32:
            raise OptionError.invalid("precision", self.precision.value, "the Edge TPU computes in 8 bits only: int8")
        if self.batch != 1:
            raise OptionError.invalid("batch", self.batch, "the Edge TPU takes one picture at a time: batch=1")
        return self


class EdgeTpuLoadOptions(LoadOptions):
    """How a file is loaded."""

    device: Annotated[Device, AfterValidator(_device)] = Field(
        default="tpu", description="where to run: tpu (the first), tpu:1 (the second), usb, usb:0, pci, pci:0"
    )


_FIXED = Gap(
    GapKind.UNSUPPORTED_BY_RUNTIME, "the Edge TPU takes one picture of one size; export one file for each size"
)


def _artefact(stem: str, options: ExportOptions) -> str:
    plain = isinstance(options, EdgeTpuExportOptions) and not options.compiles
    return UNCOMPILED.format(stem=stem) if plain else f"{stem}_edgetpu.tflite"


def declared(*, with_tpu: bool) -> Format:
    """The format, on a machine with an Edge TPU or without."""
    return Format(
        name="edgetpu",
        title="Edge TPU",
        aliases=("coral",),
        artefact=_artefact,
        suffixes=("_edgetpu.tflite",),
        export_options=EdgeTpuExportOptions,
        load_options=EdgeTpuLoadOptions,
        source="tflite",
        support=Support(
            {
                Feature.EXPORT: FULL,
                Feature.PREDICT: FULL if with_tpu else NO_TPU,
                Feature.HALF: Gap(GapKind.UNSUPPORTED_BY_RUNTIME, "the Edge TPU computes in 8 bits only"),
                Feature.INT8: FULL,
                Feature.DYNAMIC_BATCH: _FIXED,
                Feature.DYNAMIC_SIZE: _FIXED,
                Feature.NMS: Gap(
                    GapKind.UNSUPPORTED_BY_RUNTIME,
                    "the Edge TPU has no operator that selects; objects are selected after the network, in segkit or "
                    "by the program that runs the file",
                ),
            }
        ),
        requires=(
            Requirement(
                "ai-edge-litert>=1.2",
                frozenset({Feature.PREDICT}),
                alternatives=("tflite-runtime", "tensorflow-cpu", "tensorflow"),
                rivals=False,
            ),
        ),
        concurrency=Concurrency.SERIAL,
    )


class EdgeTpuBackend(Backend):
    """Compiles a TensorFlow Lite file with Google's compiler, runs with LiteRT and the Edge TPU's delegate."""

    format = declared(with_tpu=tpu_is_here())

    def check_export(self, options: ExportOptions, kept: Path | None = None) -> None:
        """Say what is left to do where the compiler is not."""
        if isinstance(options, EdgeTpuExportOptions) and options.compile and not options.compiles:
            reason = NO_COMPILER.reason
            if kept is not None:
                reason += f"; the file for it is kept at '{kept}': run '{COMPILER} {kept.name}' where the compiler is"
            raise UnsupportedError(self.format.name, "export", NO_COMPILER.kind, reason)

    def export(self, job: ExportJob) -> None:
        """Write one file, compiled or to be compiled, metadata behind it."""
        from segkit.plugins.edgetpu.exporter import export

        export(job)

    def source_options(self, options: ExportOptions) -> dict[str, Any]:
        """A TensorFlow Lite file that is integers from end to end."""
        return {"imgsz": options.imgsz, "precision": Precision.INT8, "quantize": "full_integer"}

    def load(self, path: Path, options: LoadOptions) -> Predictor:
        """An interpreter with the delegate; the file may come from any tool."""
        from segkit.plugins.edgetpu.loading import load

        return load(self.format, path, options)

    def read_metadata(self, path: Path) -> Metadata | None:
        """What the archive behind the network says, or that of the file beside it which it was compiled from; needs no
        runtime.
        """
        from segkit.plugins.edgetpu.file import EdgeFile

        return EdgeFile(path).metadata()

    def inspect(self, path: Path) -> Inspection:
        """Tensors, and what the compiler said; needs no runtime."""
        from segkit.plugins.edgetpu.inspection import inspect

        return inspect(path)

    def recognises(self, path: Path) -> Match | None:
        """By content: a TensorFlow Lite file with the compiler's operator, or one that was made for the compiler,
        whatever the name; else by suffix.
        """
        from segkit.plugins.edgetpu.file import EdgeFile

        if not path.is_dir():
            with suppress(ModelFileError):
                if EdgeFile(path).compiled:
                    return Match(Match.CONTENT, "it is compiled for the Edge TPU")
                if EdgeFile(path).outputs:
                    return Match(Match.CONTENT, "it is to be compiled for the Edge TPU")
        return super().recognises(path)


@hookimpl
def segkit_backends() -> list[Backend]:
    """The Edge TPU backend."""
    return [EdgeTpuBackend()]
