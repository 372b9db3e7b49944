"""Writes an OpenVINO folder: OpenVINO's own converter on the captured program, then precision, selection, metadata."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segkit.core.backend import ExportJob, Feature, Precision
from segkit.core.backend.described import write_described
from segkit.core.errors import ExportError
from segkit.core.graph import Program, capture
from segkit.plugins.openvino import ENDINGS, OpenVinoExportOptions
from segkit.plugins.openvino.half import to_half
from segkit.plugins.openvino.layout import turn
from segkit.plugins.openvino.runtime import first_line, ops, ov
from segkit.plugins.openvino.sealing import seal
from segkit.plugins.openvino.selection import add_selection


def export(job: ExportJob) -> None:
    """Write `job.target`: a folder with graph, weights and metadata.

    Raises:
        ExportError: the conversion failed, or a weight has no place in half precision.
    """
    options = job.options
    assert isinstance(options, OpenVinoExportOptions)
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
    model = _translate(program)
    if options.precision is Precision.FP16:
        to_half(model)
    elif options.precision is Precision.INT8:
        model = _to_int8(model, job)
    if selection := options.selection():
        model = add_selection(model, selection)
    model = _finished(model, program)
    stem = _stem(job.target)
    model.set_friendly_name(stem)
    seal(model, job.metadata)
    job.target.mkdir()
    ov.save_model(model, job.target / f"{stem}.xml", compress_to_fp16=False)
    write_described(job.target, job.metadata)


def _stem(target: Path) -> str:
    """The model's name, which the folder's begins with."""
    for ending in ENDINGS:
        if target.name.endswith(ending) and target.name != ending:
            return target.name.removesuffix(ending)
    return target.name


def _translate(program: Program) -> ov.Model:
    free = program.free[0] or {}
    shape = ov.PartialShape([-1 if axis in free else side for axis, side in enumerate(program.example.shape)])
    with _quiet():
        try:
            model: ov.Model = ov.convert_model(program.exported, input=shape)
        except Exception as error:  # of its own, of torch, and of the runtime
            raise ExportError("openvino", f"OpenVINO's converter failed: {first_line(error)}") from error
    head, prototypes = (result.input_value(0) for result in model.get_results())
    if not head.get_partial_shape()[1].is_static:
        # Where the size is free the converter loses count of the channels, which never depend on it.
        head = ops.reshape(head, ops.constant([0, _rows(program), -1]), special_zero=True).output(0)
        model = ov.Model([head, prototypes], model.get_parameters())
    return model


def _rows(program: Program) -> int:
    """Rows of output0, as the program knows them."""
    (outputs,) = program.graph[-1].args
    return int(outputs[0].meta["val"].shape[1])  # type: ignore[index, union-attr]


def _to_int8(model: ov.Model, job: ExportJob) -> ov.Model:
    from segkit.plugins.openvino.int8 import to_int8  # NNCF takes a second to import, and only this needs it

    assert job.calibration is not None
    return to_int8(model, job.calibration, job.report)


def _finished(model: ov.Model, program: Program) -> ov.Model:
    """The model with its outputs in the file's order and layout, and everything by its name."""
    head, prototypes = (result.input_value(0) for result in model.get_results())
    finished = ov.Model([head, turn(prototypes)], model.get_parameters())
    finished.inputs[0].get_tensor().set_names({program.input_name})
    finished.get_parameters()[0].set_layout(ov.Layout("NCHW"))
    for output, name in zip(finished.outputs, program.output_names, strict=True):
        output.get_tensor().set_names({name})
    for number, node in enumerate(finished.get_ordered_ops()):
        if node.get_friendly_name().rpartition("_")[2].isdigit() and node.get_friendly_name() == node.get_name():
            # OpenVINO numbers what it makes by what it has made before: two exports would be two different files.
            node.set_friendly_name(f"{node.get_type_name()}_{number}")
    return finished


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings and notices of the converters: their failures are exceptions, and the rest tells a user nothing."""
    loggers = [logging.getLogger(name) for name in ("torch.export", "openvino")]
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
