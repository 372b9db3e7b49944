"""Writes an ONNX file: torch's own exporter on the captured program, then onnxslim, precision, selection, names,
metadata.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
import onnxslim
import torch
from onnx import ModelProto, ValueInfoProto

from segkit.core.backend import ExportJob, Feature, Metadata, Precision
from segkit.core.errors import ExportError
from segkit.core.graph import Program, capture
from segkit.plugins.onnx import OnnxExportOptions
from segkit.plugins.onnx.axes import soften_last
from segkit.plugins.onnx.half import to_half
from segkit.plugins.onnx.selection import add_selection

_INPUT_AXES = ("batch", "channels", "height", "width")
_OUTPUT_AXES = {3: ("batch", "rows", "anchors"), 4: ("batch", "channels", "mask_height", "mask_width")}


def export(job: ExportJob) -> None:
    """Write `job.target`: one file, weights and metadata inside.

    Raises:
        ExportError: the operator set asked for cannot express the model, or the result breaks the specification.
    """
    options = job.options
    assert isinstance(options, OnnxExportOptions)
    assert job.model is not None
    asked = options.features()
    program = capture(
        job.model,
        head=options.head_layout(),
        imgsz=options.imgsz,
        batch=options.batch,
        dynamic_batch=Feature.DYNAMIC_BATCH in asked,
        dynamic_size=Feature.DYNAMIC_SIZE in asked,
    )
    with _quiet():
        model = _translate(program, options.opset)
        soften_last(model)
        if options.simplify:
            model = onnxslim.slim(model)
    if options.precision is Precision.FP16:
        to_half(model)
    elif options.precision is Precision.INT8:
        _to_int8(model, job, symmetric=options.symmetric)
    if selection := options.selection():
        add_selection(model, selection)
    _tidy(model)
    _seal(model, job.metadata)
    _check(model)
    job.target.write_bytes(model.SerializeToString())


def _translate(program: Program, opset: int) -> ModelProto:
    translated = torch.onnx.export(
        program.exported,
        dynamo=True,
        external_data=False,
        verbose=False,
        opset_version=opset,
        input_names=[program.input_name],
        output_names=list(program.output_names),
    )
    assert translated is not None
    model: ModelProto = translated.model_proto
    made = {entry.domain: entry.version for entry in model.opset_import}.get("")
    if made != opset:  # torch keeps its own choice where it cannot convert, and only logs that
        raise ExportError("onnx", f"this model cannot be expressed in opset {opset}; torch offers {made}")
    return model


def _to_int8(model: ModelProto, job: ExportJob, *, symmetric: bool) -> None:
    from segkit.plugins.onnx.int8 import to_int8  # runs the network: the other exports need no runtime

    assert job.calibration is not None
    to_int8(model, job.calibration, job.report, symmetric=symmetric)


def _tidy(model: ModelProto) -> None:
    """Name the free axes; drop what no reader needs: torch notes source lines, paths included, at every node."""
    graph = model.graph
    for entry in graph.input:
        _name_axes(entry, _INPUT_AXES)
    for entry in graph.output:
        _name_axes(entry, _OUTPUT_AXES[len(entry.type.tensor_type.shape.dim)])
    del graph.value_info[:]
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    # The lowest version that holds the operator set: torch writes a newer one, which older runtimes refuse.
    model.ir_version = onnx.helper.find_min_ir_version_for(model.opset_import)


def _name_axes(entry: ValueInfoProto, names: tuple[str, ...]) -> None:
    for dimension, name in zip(entry.type.tensor_type.shape.dim, names, strict=True):
        if dimension.WhichOneof("value") != "dim_value":
            dimension.dim_param = name


def _seal(model: ModelProto, metadata: Metadata) -> None:
    model.producer_name = "segkit"
    model.producer_version = metadata.segkit.toolchain.get("segkit", "") if metadata.segkit else ""
    onnx.helper.set_model_props(model, metadata.to_text())


def _check(model: ModelProto) -> None:
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError("onnx", f"the result breaks the ONNX specification: {str(error).splitlines()[0]}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings and notices of the converters: their failures are exceptions, and the rest tells a user nothing."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
