"""TensorFlow Lite: one file for phones and small boards, run with LiteRT and XNNPACK."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

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
    internal,
)
from segkit.core.errors import ModelFileError


class TfLiteExportOptions(ExportOptions):
    """Options of `segkit export format=tflite`."""

    io: Literal["float32", "int8"] = internal(
        default="float32", description="in int8: numbers of the input and the outputs"
    )

    def head_layout(self) -> HeadLayout:
        """The arrangement of the outputs: in int8 one tensor each, for each has numbers of its own size; boxes in
        units, which are as small as scores.
        """
        if self.precision is Precision.INT8:
            return HeadLayout(outputs="split", boxes="unit")
        return HeadLayout()


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
        """By content: the mark of a TensorFlow Lite flatbuffer, whatever the name; else by suffix."""
        from segkit.plugins.tflite.file import LiteFile

        try:
            found = not path.is_dir() and bool(LiteFile(path).content)
        except ModelFileError:
            found = False
        return Match(Match.CONTENT, "it is a flatbuffer of TensorFlow Lite") if found else super().recognises(path)


@hookimpl
def segkit_backends() -> list[Backend]:
    """The TensorFlow Lite backend."""
    return [TfLiteBackend()]
