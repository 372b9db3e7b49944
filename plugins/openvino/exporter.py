"""Writes an OpenVINO folder: OpenVINO's own converter on the captured program, then precision, selection, metadata."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segkit.core.backend import ExportJob, Feature
from segkit.core.errors import ExportError
from segkit.core.graph import Program, capture
from segkit.plugins.openvino import ENDINGS, OpenVinoExportOptions
from segkit.plugins.openvino.folder import write_metadata
from segkit.plugins.openvino.runtime import first_line, ov


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
    job.target.mkdir()
    graph = job.target / f"{_stem(job.target)}.xml"
    ov.save_model(model, graph, compress_to_fp16=False)
    write_metadata(job.target, job.metadata)


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
    model.inputs[0].get_tensor().set_names({program.input_name})
    for output, name in zip(model.outputs, program.output_names, strict=True):
        output.get_tensor().set_names({name})
    return model


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
