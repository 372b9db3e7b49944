"""ONNX: the exchange format that most runtimes read; run here with onnxruntime."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field

from segkit.core.backend import (
    FULL,
    Backend,
    ExportJob,
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
    internal,
)
from segkit.core.errors import ModelFileError


class OnnxExportOptions(SelectingExportOptions):
    """Options of `segkit export format=onnx`."""

    dynamic: Annotated[bool, Switches({True: (Feature.DYNAMIC_BATCH, Feature.DYNAMIC_SIZE)})] = Field(
        default=False, description="leave the batch and the input size free; imgsz and batch are then only the defaults"
    )
    simplify: bool = Field(default=True, description="fold constants and merge nodes with onnxslim")
    opset: int = Field(default=18, ge=17, le=24, description="ONNX operator set; a higher one needs a newer runtime")
    symmetric: bool = internal(
        default=False, description="in int8: no zero points, biases in float, and only what layers take is rounded"
    )


_EXPORT = frozenset({Feature.EXPORT})
_RUN = frozenset({Feature.PREDICT, Feature.INT8})

FORMAT = Format(
    name="onnx",
    title="ONNX",
    artefact="{stem}.onnx",
    suffixes=(".onnx",),
    export_options=OnnxExportOptions,
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
        Requirement("onnx>=1.18", _EXPORT),
        Requirement("onnxscript>=0.5", _EXPORT),
        Requirement("onnxslim>=0.1.60", _EXPORT),
        Requirement(
            "onnxruntime>=1.20",
            _RUN,
            alternatives=("onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino"),
        ),
    ),
    own_threads=True,
)


class OnnxBackend(Backend):
    """Exports with torch's own exporter, runs with onnxruntime."""

    format = FORMAT

    def export(self, job: ExportJob) -> None:
        """Write one self-contained .onnx file."""
        if job.options.precision is Precision.INT8:
            self.format.require(Feature.INT8)  # ranges are measured by running the network
        _decline_telemetry()
        from segkit.plugins.onnx.exporter import export

        export(job)

    def load(self, path: Path, options: LoadOptions) -> Predictor:
        """A session of onnxruntime; the file may come from any tool."""
        _decline_telemetry()
        from segkit.plugins.onnx.predictor import OnnxPredictor

        # The metadata is read first: it tells what a fake or cut file is, the runtime only that it cannot parse it.
        return OnnxPredictor(path, options, self.read_metadata(path))

    def read_metadata(self, path: Path) -> Metadata | None:
        """What the file says, corrected by what its graph fixes; needs no runtime."""
        from segkit.plugins.onnx.header import read_header

        return read_header(path).metadata(path)

    def inspect(self, path: Path) -> Inspection:
        """Inputs, outputs, operator set and writer; needs no runtime."""
        from segkit.plugins.onnx.inspection import inspect

        return inspect(path)

    def recognises(self, path: Path) -> Match | None:
        """By content: a protobuf message with an ONNX graph in it, whatever its name."""
        from segkit.plugins.onnx.header import read_header

        try:
            read_header(path)
        except ModelFileError:
            return None
        return Match(Match.CONTENT, "it holds an ONNX graph")


def _decline_telemetry() -> None:
    """Without this, set before its import, onnxruntime reports its use to its maker. A user's own setting stands."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


@hookimpl
def segkit_backends() -> list[Backend]:
    """The ONNX backend."""
    return [OnnxBackend()]
