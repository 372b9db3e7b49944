"""ncnn: a small runtime for phones and boards, on ARM and x86 processors and on Vulkan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from segkit.core.backend import (
    FULL,
    Backend,
    Device,
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
    Precision,
    Predictor,
    Requirement,
    Support,
    Switches,
    hookimpl,
)


class NcnnExportOptions(ExportOptions):
    """Options of `segkit export format=ncnn`."""

    dynamic: Annotated[bool, Switches({True: (Feature.DYNAMIC_BATCH, Feature.DYNAMIC_SIZE)})] = Field(
        default=False, description="leave the batch and the input size free; imgsz and batch are then only the defaults"
    )


class NcnnLoadOptions(LoadOptions):
    """Options of running an ncnn model."""

    device: Device = Field(
        default="cpu", description="where to run: cpu, or on a GPU of any maker with Vulkan: vulkan, vulkan:1"
    )


_EXPORT = frozenset({Feature.EXPORT})
_RUN = frozenset({Feature.PREDICT})


def _artefact(stem: str, options: ExportOptions) -> str:
    """As others name it; the one in int8 apart, so that it takes the place of no other."""
    return f"{stem}_int8_ncnn_model" if options.precision is Precision.INT8 else f"{stem}_ncnn_model"


FORMAT = Format(
    name="ncnn",
    title="ncnn",
    artefact=_artefact,
    suffixes=("_ncnn_model", ".ncnn.param", ".ncnn.bin"),
    contents=("*.param", "*.bin", "*_ncnn.py", "metadata.yaml"),  # the .py is a sample that other tools leave there
    export_options=NcnnExportOptions,
    load_options=NcnnLoadOptions,
    support=Support(
        {
            Feature.EXPORT: FULL,
            Feature.PREDICT: FULL,
            Feature.HALF: FULL,
            Feature.INT8: Gap(
                GapKind.NOT_IMPLEMENTED,
                "its quantiser (ncnn2table, ncnn2int8) is in no Python package; half=True halves the file",
            ),
            Feature.DYNAMIC_BATCH: FULL,
            Feature.DYNAMIC_SIZE: FULL,
            Feature.NMS: Gap(
                GapKind.UNSUPPORTED_BY_RUNTIME,
                "ncnn has no layer that selects boxes and keeps their mask coefficients; segkit selects outside",
            ),
        }
    ),
    requires=(
        Requirement("torch>=2.9", _EXPORT),
        Requirement("pnnx>=20241223", _EXPORT),
        Requirement("ncnn>=1.0.20241226", _RUN),
    ),
    own_threads=True,
)


class NcnnBackend(Backend):
    """Exports with pnnx, runs with ncnn."""

    format = FORMAT

    def export(self, job: ExportJob) -> None:
        """Write a folder: the graph as text, the weights, the metadata."""
        from segkit.plugins.ncnn.exporter import export

        export(job)

    def load(self, path: Path, options: LoadOptions) -> Predictor:
        """A net of ncnn; `path` is the folder or the .param in it, and may come from any tool."""
        from segkit.plugins.ncnn.folder import Files

        # All that can be seen without the runtime is checked first: ncnn trusts what it reads, and dies of some of it.
        files = Files.of(path)
        graph = files.graph()
        files.verify(graph)
        metadata = files.metadata()
        from segkit.plugins.ncnn.predictor import NcnnPredictor

        return NcnnPredictor(files, graph, metadata, options)

    def read_metadata(self, path: Path) -> Metadata | None:
        """What `metadata.yaml` beside the graph says; needs no runtime."""
        from segkit.plugins.ncnn.folder import Files

        return Files.of(path).metadata()

    def inspect(self, path: Path) -> Inspection:
        """Inputs, outputs, layers and weights; needs no runtime."""
        from segkit.plugins.ncnn.inspection import inspect

        return inspect(path)

    def recognises(self, path: Path) -> Match | None:
        """By content: a graph in ncnn's text form, or a folder with one in it."""
        from segkit.plugins.ncnn.folder import is_ncnn

        if is_ncnn(path):
            return Match(Match.CONTENT, "it holds an ncnn graph")
        part = Match(Match.SUFFIX, "it holds the weights of ncnn's") if any(path.glob("*.ncnn.bin")) else None
        return super().recognises(path) or part


@hookimpl
def segkit_backends() -> list[Backend]:
    """The ncnn backend."""
    return [NcnnBackend()]
