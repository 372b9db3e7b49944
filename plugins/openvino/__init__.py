"""OpenVINO: Intel's runtime for CPUs, GPUs and NPUs; a folder with a graph, its weights and what is known of them."""

from __future__ import annotations

from enum import StrEnum
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
    Inspection,
    LoadOptions,
    Match,
    Metadata,
    Precision,
    Predictor,
    Requirement,
    SelectingExportOptions,
    Support,
    Switches,
    hookimpl,
)

ENDINGS = ("_int8_openvino_model", "_openvino_model")
"""Of the folder's name, in int8 and else."""


class OpenVinoExportOptions(SelectingExportOptions):
    """Options of `segkit export format=openvino`."""

    dynamic: Annotated[bool, Switches({True: (Feature.DYNAMIC_BATCH, Feature.DYNAMIC_SIZE)})] = Field(
        default=False, description="leave the batch and the input size free; imgsz and batch are then only the defaults"
    )


class Hint(StrEnum):
    """What the runtime lays itself out for."""

    LATENCY = "latency"
    THROUGHPUT = "throughput"


class OpenVinoLoadOptions(LoadOptions):
    """Options of running an OpenVINO file."""

    device: Device = Field(default="cpu", description="where to run: cpu, gpu, gpu:1, npu, or auto")
    hint: Hint = Field(
        default=Hint.LATENCY, description="what to be quick at: one picture, or many that are computed side by side"
    )


def _artefact(stem: str, options: ExportOptions) -> str:
    return stem + ENDINGS[0 if options.precision is Precision.INT8 else 1]


_EXPORT = frozenset({Feature.EXPORT})
_BOTH = frozenset({Feature.EXPORT, Feature.PREDICT})

FORMAT = Format(
    name="openvino",
    title="OpenVINO",
    artefact=_artefact,
    suffixes=("_openvino_model", ".xml"),
    contents=("*.xml", "*.bin", "metadata.yaml"),
    export_options=OpenVinoExportOptions,
    load_options=OpenVinoLoadOptions,
    support=Support(
        {
            Feature.EXPORT: FULL,
            Feature.PREDICT: FULL,
            Feature.HALF: FULL,
            Feature.INT8: FULL,
            Feature.DYNAMIC_BATCH: FULL,
            Feature.DYNAMIC_SIZE: FULL,
            Feature.NMS: FULL,
        }
    ),
    requires=(
        Requirement("torch>=2.9", _EXPORT),
        Requirement("openvino>=2025.1", _BOTH),
        Requirement("nncf>=2.19", frozenset({Feature.INT8})),
    ),
    own_threads=True,
)


class OpenVinoBackend(Backend):
    """Exports with OpenVINO's own converter, quantises with NNCF, runs with OpenVINO."""

    format = FORMAT

    def export(self, job: ExportJob) -> None:
        """Write a folder: graph, weights, metadata."""
        if job.options.precision is Precision.INT8:
            self.format.require(Feature.INT8)
        from segkit.plugins.openvino.exporter import export

        export(job)

    def load(self, path: Path, options: LoadOptions) -> Predictor:
        """The network, compiled for `options.device`; the folder may come from any tool."""
        from segkit.plugins.openvino.folder import open_folder

        # Before OpenVINO sees it, which checks no sums and says little about what is wrong.
        folder = open_folder(path)
        folder.verify()
        metadata = folder.metadata()
        from segkit.plugins.openvino.predictor import OpenVinoPredictor

        return OpenVinoPredictor(folder, options, metadata)

    def read_metadata(self, path: Path) -> Metadata:
        """What `metadata.yaml` says, corrected by what the graph fixes; needs no runtime."""
        from segkit.plugins.openvino.folder import open_folder

        return open_folder(path).metadata()

    def inspect(self, path: Path) -> Inspection:
        """Inputs, outputs, operators and weights; needs no runtime."""
        from segkit.plugins.openvino.inspection import inspect

        return inspect(path)

    def recognises(self, path: Path) -> Match | None:
        """By content: an OpenVINO graph, or a folder with one in it, whatever its name; else by suffix."""
        from segkit.plugins.openvino.folder import held_graph, holds_graph

        if holds_graph(path):
            return Match(Match.CONTENT, "it holds an OpenVINO graph")
        part = Match(Match.SUFFIX, "it is the rest of an OpenVINO folder") if held_graph(path) else None
        return super().recognises(path) or part


@hookimpl
def segkit_backends() -> list[Backend]:
    """The OpenVINO backend."""
    return [OpenVinoBackend()]
