"""TensorFlow Lite: one file for phones and small boards, run with LiteRT and XNNPACK."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

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
    hookimpl,
)
from segkit.core.errors import ModelFileError, OptionError


class TfLiteExportOptions(ExportOptions):
    """Options of `segkit export format=tflite`."""

    quantize: Literal["integer", "full_integer", "dynamic_range"] = Field(
        default="integer",
        description="with int8: integer leaves the input, the outputs and the arithmetic behind the last layers in "
        "float32; full_integer leaves nothing, as accelerators want it; dynamic_range rounds the weights of layers "
        "alone, and needs no data",
    )

    def needs_calibration(self) -> bool:
        """Whether ranges are measured: in int8, unless weights alone are rounded."""
        return self.precision is Precision.INT8 and self.quantize != "dynamic_range"

    def head_layout(self) -> HeadLayout:
        """The arrangement of the outputs: where they are quantised, one tensor each, for each has numbers of its own
        size; boxes in units, which are as small as scores.
        """
        return HeadLayout(outputs="split", boxes="unit") if self.needs_calibration() else HeadLayout()

    @model_validator(mode="after")
    def _quantize_needs_int8(self) -> TfLiteExportOptions:
        if "quantize" in self.model_fields_set and self.precision is not Precision.INT8:
            raise OptionError(f"Option quantize={self.quantize} says how int8=True is done: it needs int8=True.")
        return self


_FIXED = Gap(
    GapKind.NOT_IMPLEMENTED,
    "the sizes of a file are fixed, as XNNPACK and accelerators want them; export one for each size. The saved_model "
    "and onnx formats have free sizes",
)

FORMAT = Format(
    name="tflite",
    title="TensorFlow Lite",
    aliases=("litert",),
    artefact="{stem}.tflite",
    suffixes=(".tflite",),
    export_options=TfLiteExportOptions,
    source="saved_model",
    support=Support(
        {
            Feature.EXPORT: FULL,
            Feature.PREDICT: FULL,
            Feature.HALF: FULL,
            Feature.INT8: FULL,
            Feature.DYNAMIC_BATCH: _FIXED,
            Feature.DYNAMIC_SIZE: _FIXED,
            Feature.NMS: Gap(
                GapKind.NOT_IMPLEMENTED,
                "objects are selected after the network, in segkit or by the program that runs the file; the "
                "saved_model and onnx formats have it inside",
            ),
        }
    ),
    requires=(
        Requirement(
            "tensorflow-cpu>=2.18",
            frozenset({Feature.EXPORT}),
            alternatives=("tensorflow", "tensorflow-macos", "tensorflow-intel", "tf-nightly", "tf-nightly-cpu"),
        ),
        Requirement(
            "ai-edge-litert>=1.2",
            frozenset({Feature.PREDICT}),
            alternatives=("tensorflow-cpu", "tensorflow", "tensorflow-macos", "tensorflow-intel", "tf-nightly"),
            rivals=False,
        ),
    ),
    concurrency=Concurrency.SERIAL,
)


class TfLiteBackend(Backend):
    """Converts a SavedModel with TensorFlow's converter, runs with LiteRT."""

    format = FORMAT

    def export(self, job: ExportJob) -> None:
        """Write one file, metadata behind the network."""
        from segkit.plugins.tflite.exporter import export

        export(job)

    def source_options(self, options: ExportOptions) -> dict[str, Any]:
        """A SavedModel in float32, its outputs arranged as the file's."""
        head = options.head_layout()
        return {"imgsz": options.imgsz, "batch": options.batch, "outputs": head.outputs, "boxes": head.boxes}

    def load(self, path: Path, options: LoadOptions) -> Predictor:
        """An interpreter; the file may come from any tool."""
        from segkit.plugins.tflite.file import LiteFile

        file = LiteFile(path)
        file.verify()  # before the runtime sees it, which computes with whatever is there
        metadata = file.metadata()
        from segkit.plugins.tflite.predictor import LitePredictor

        return LitePredictor(file, options, metadata)

    def read_metadata(self, path: Path) -> Metadata | None:
        """What the archive behind the network says, corrected by what the network fixes; needs no runtime."""
        from segkit.plugins.tflite.file import LiteFile

        return LiteFile(path).metadata()

    def inspect(self, path: Path) -> Inspection:
        """Tensors, operators and weights; needs no runtime."""
        from segkit.plugins.tflite.inspection import inspect

        return inspect(path)

    def recognises(self, path: Path) -> Match | None:
        """By content: the mark of a TensorFlow Lite flatbuffer, whatever the name; else by suffix. Formats that are
        compiled from it have the same mark, and know their own files better.
        """
        from segkit.plugins.tflite.file import LiteFile

        try:
            found = not path.is_dir() and bool(LiteFile(path).content)
        except ModelFileError:
            found = False
        return Match(Match.SHARED, "it is a flatbuffer of TensorFlow Lite") if found else super().recognises(path)


@hookimpl
def segkit_backends() -> list[Backend]:
    """The TensorFlow Lite backend."""
    return [TfLiteBackend()]
