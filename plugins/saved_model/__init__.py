"""TensorFlow SavedModel: a folder with the network as one function of TensorFlow, in NHWC."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from segkit.core.backend import (
    FULL,
    Backend,
    ExportJob,
    Feature,
    Format,
    Gap,
    GapKind,
    HeadLayout,
    Inspection,
    LoadOptions,
    Match,
    Metadata,
    Predictor,
    Requirement,
    SelectingExportOptions,
    Support,
    Switches,
    hookimpl,
    internal,
)
from segkit.core.errors import ModelFileError, OptionError


class SavedModelExportOptions(SelectingExportOptions):
    """Options of `segkit export format=saved_model`."""

    dynamic: Annotated[bool, Switches({True: (Feature.DYNAMIC_BATCH, Feature.DYNAMIC_SIZE)})] = Field(
        default=False, description="leave the batch and the input size free; imgsz and batch are then only the defaults"
    )
    keras: bool = Field(default=False, description="save a model of Keras beside, model.keras; imgsz must be fixed")
    outputs: Literal["joined", "split"] = internal(
        default="joined", description="one tensor of boxes, scores and coefficients, or one each"
    )
    boxes: Literal["pixels", "unit"] = internal(default="pixels", description="or units of the input's sides")

    def head_layout(self) -> HeadLayout:
        """The arrangement of the outputs."""
        return HeadLayout(outputs=self.outputs, boxes=self.boxes, nms=self.nms)

    @model_validator(mode="after")
    def _keras_is_plain(self) -> SavedModelExportOptions:
        if self.keras and (self.dynamic or self.nms):
            other = "dynamic" if self.dynamic else "nms"
            raise OptionError(f"Options keras=True and {other}=True exclude each other: export twice.")
        return self


_EXPORT = frozenset({Feature.EXPORT})

FORMAT = Format(
    name="saved_model",
    title="TensorFlow SavedModel",
    aliases=("savedmodel",),
    artefact="{stem}_saved_model",
    suffixes=("_saved_model",),
    contents=(
        *("saved_model.pb", "fingerprint.pb", "keras_metadata.pb", "model.keras", "metadata.yaml"),
        *("variables", "variables/*", "assets", "assets/*", "assets.extra", "assets.extra/*"),
    ),
    export_options=SavedModelExportOptions,
    support=Support(
        {
            Feature.EXPORT: FULL,
            Feature.PREDICT: FULL,
            Feature.HALF: FULL,
            Feature.INT8: Gap(
                GapKind.UNSUPPORTED_BY_RUNTIME,
                "TensorFlow has no int8 kernels of its own for a graph like this, and would compute in float32 with "
                "rounded weights; half=True halves the file, and the onnx and openvino formats have int8",
            ),
            Feature.DYNAMIC_BATCH: FULL,
            Feature.DYNAMIC_SIZE: FULL,
            Feature.NMS: FULL,
        }
    ),
    requires=(
        Requirement("torch>=2.9", _EXPORT),
        Requirement(
            "tensorflow-cpu>=2.18",
            frozenset({Feature.EXPORT, Feature.PREDICT}),
            alternatives=("tensorflow", "tensorflow-macos", "tensorflow-intel", "tf-nightly", "tf-nightly-cpu"),
        ),
    ),
    own_threads=True,
)


class SavedModelBackend(Backend):
    """Exports by building the network anew in TensorFlow's operators, runs in a session of TensorFlow."""

    format = FORMAT

    def export(self, job: ExportJob) -> None:
        """Write the folder: SavedModel and metadata."""
        from segkit.plugins.saved_model.exporter import export

        export(job)

    def load(self, path: Path, options: LoadOptions) -> Predictor:
        """A session of TensorFlow; the folder may come from any tool."""
        from segkit.plugins.saved_model.folder import Folder

        folder = Folder.find(path)
        folder.verify()  # before TensorFlow sees it, which computes with whatever is there
        metadata = folder.metadata()
        from segkit.plugins.saved_model.predictor import SavedModelPredictor

        return SavedModelPredictor(folder, options, metadata)

    def read_metadata(self, path: Path) -> Metadata | None:
        """What `metadata.yaml` says, corrected by what the signature fixes; needs no runtime."""
        from segkit.plugins.saved_model.folder import Folder

        return Folder.find(path).metadata()

    def inspect(self, path: Path) -> Inspection:
        """Signature, operators and weights; needs no runtime."""
        from segkit.plugins.saved_model.inspection import inspect

        return inspect(path)

    def recognises(self, path: Path) -> Match | None:
        """By content: a `saved_model.pb` that is one, whatever the folder's name; else by suffix."""
        from segkit.plugins.saved_model.folder import Folder

        try:
            Folder.find(path)
        except ModelFileError:
            return super().recognises(path)
        return Match(Match.CONTENT, "it holds a SavedModel")


@hookimpl
def segkit_backends() -> list[Backend]:
    """The SavedModel backend."""
    return [SavedModelBackend()]
