"""TensorFlow GraphDef: a SavedModel's network as one frozen graph in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from segkit.core.backend import (
    FULL,
    Backend,
    ExportJob,
    ExportOptions,
    Feature,
    Format,
    Gap,
    GapKind,
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
)
from segkit.core.errors import ModelFileError


class PbExportOptions(SelectingExportOptions):
    """Options of `segkit export format=pb`: those of a SavedModel, which it is made from."""

    dynamic: Annotated[bool, Switches({True: (Feature.DYNAMIC_BATCH, Feature.DYNAMIC_SIZE)})] = Field(
        default=False, description="leave the batch and the input size free; imgsz and batch are then only the defaults"
    )


FORMAT = Format(
    name="pb",
    title="TensorFlow GraphDef",
    aliases=("graphdef",),
    artefact="{stem}.pb",
    suffixes=(".pb",),
    export_options=PbExportOptions,
    source="saved_model",
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
        Requirement(
            "tensorflow-cpu>=2.18",
            frozenset({Feature.EXPORT, Feature.PREDICT}),
            alternatives=("tensorflow", "tensorflow-macos", "tensorflow-intel", "tf-nightly", "tf-nightly-cpu"),
        ),
    ),
    own_threads=True,
)


class PbBackend(Backend):
    """Freezes a SavedModel, runs in a session of TensorFlow."""

    format = FORMAT

    def export(self, job: ExportJob) -> None:
        """Write one file, metadata in it."""
        from segkit.plugins.pb.exporter import export

        export(job)

    def source_options(self, options: ExportOptions) -> dict[str, Any]:
        """The SavedModel has all the same options."""
        return options.model_dump(exclude_unset=True) | {"imgsz": options.imgsz, "batch": options.batch}

    def load(self, path: Path, options: LoadOptions) -> Predictor:
        """A session of TensorFlow; the file may come from any tool."""
        from segkit.plugins.pb.file import GraphFile

        file = GraphFile(path)
        file.verify()  # before TensorFlow sees it, which computes with whatever is there
        metadata = file.metadata()
        from segkit.plugins.pb.predictor import FrozenPredictor

        return FrozenPredictor(file, options, metadata)

    def read_metadata(self, path: Path) -> Metadata | None:
        """What the file says in a node of its own, or a `{name}.yaml` beside it; needs no runtime."""
        from segkit.plugins.pb.file import GraphFile

        return GraphFile(path).metadata()

    def inspect(self, path: Path) -> Inspection:
        """Tensors, operators and weights; needs no runtime."""
        from segkit.plugins.pb.inspection import inspect

        return inspect(path)

    def recognises(self, path: Path) -> Match | None:
        """By content: a message of nodes, one of them a placeholder, whatever its name; else by suffix."""
        from segkit.plugins.pb.file import GraphFile

        try:
            found = not path.is_dir() and GraphFile(path).outline.inputs
        except ModelFileError:
            found = ()
        return Match(Match.CONTENT, "it holds a graph of TensorFlow") if found else super().recognises(path)


@hookimpl
def segkit_backends() -> list[Backend]:
    """The GraphDef backend."""
    return [PbBackend()]
