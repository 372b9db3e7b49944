"""Writes a Core ML package: coremltools on the captured program, then precision, selection, names, metadata."""

from __future__ import annotations

import shutil
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from segkit.core.backend import ExportJob, Metadata, Precision
from segkit.core.errors import ExportError
from segkit.core.graph import Program, capture
from segkit.plugins.coreml import MOST, CoreMLExportOptions
from segkit.plugins.coreml.half import InHalf, check_range
from segkit.plugins.coreml.rounding import FEWEST, rounded
from segkit.plugins.coreml.selection import add_selection
from segkit.plugins.coreml.toolchain import coremltools, quiet

DATED = "com.github.apple.coremltools.conversion_date"
"""A key of coremltools' own that would make two equal exports differ; the metadata have a date."""

DEBUG = "executorch_debug_handle_mapping.json"
"""A table for debugging that coremltools leaves in the package; nothing reads it."""


def export(job: ExportJob) -> None:
    """Write `job.target`: one package, an ML Program with its weights and metadata.

    Raises:
        ExportError: weights exceed half precision, or coremltools cannot convert the model.
    """
    options = job.options
    assert isinstance(options, CoreMLExportOptions)
    assert job.model is not None
    program = capture(
        job.model,
        head=options.head_layout(),
        imgsz=options.imgsz,
        batch=options.batch,
        dynamic_batch=options.dynamic,
    )
    if options.precision is not Precision.FP32:
        check_range(program.module)
    if options.precision is Precision.INT8:
        program = replace(program, module=rounded(program.module))
    toolkit = coremltools()
    with quiet():
        try:
            model = _convert(toolkit, program, options)
            if options.precision is Precision.INT8:
                job.report("bringing weights to 8 bits")
                model = _in_bytes(toolkit, model)
        except (ValueError, NotImplementedError, RuntimeError, AssertionError, TypeError) as error:
            raise ExportError("coreml", f"coremltools cannot convert it ({_first_line(error)})") from error
        _seal(model, job.metadata, options)
        _save(model, job.target)


def _convert(toolkit: Any, program: Program, options: CoreMLExportOptions) -> Any:
    """The program as coremltools' model; layers in float16 unless float32 is asked for."""
    selection = options.selection()
    names = list(program.output_names)
    first = f"{names[0]}_raw" if selection else names[0]
    common: dict[str, Any] = {
        "minimum_deployment_target": toolkit.target.iOS16,
        "compute_precision": toolkit.precision.FLOAT32
        if options.precision is Precision.FP32
        else toolkit.transform.FP16ComputePrecision(op_selector=InHalf()),
        "skip_model_load": True,
    }
    ends = {
        "inputs": [_input(toolkit, program, options)],
        "outputs": [toolkit.TensorType(name=name, dtype=np.float32) for name in (first, *names[1:])],
    }
    if selection is None:
        return toolkit.convert(program.exported, convert_to="mlprogram", **ends, **common)
    whole = common | {"compute_precision": toolkit.precision.FLOAT32}
    whole["pass_pipeline"] = toolkit.PassPipeline.EMPTY  # all that there is to tidy is tidied at the end
    inner = toolkit.convert(program.exported, convert_to="milinternal", **ends, **whole)
    add_selection(inner, selection, names[0])
    return toolkit.convert(inner, convert_to="mlprogram", **common)


def _input(toolkit: Any, program: Program, options: CoreMLExportOptions) -> Any:
    height, width = options.imgsz
    if options.takes_image:
        layout = toolkit.colorlayout.RGB
        return toolkit.ImageType(name="image", shape=(1, 3, height, width), scale=1 / 255, color_layout=layout)
    batch = toolkit.RangeDim(1, MOST, options.batch) if options.dynamic else options.batch
    return toolkit.TensorType(name=program.input_name, shape=(batch, 3, height, width), dtype=np.float32)


def _in_bytes(toolkit: Any, model: Any) -> Any:
    """Weights of the layers as signed bytes with a scale for each output channel; nothing else, for the anchors are
    constants as well.
    """
    tools = toolkit.optimize.coreml
    each = tools.OpLinearQuantizerConfig(
        mode="linear_symmetric", dtype="int8", granularity="per_channel", weight_threshold=FEWEST
    )
    return tools.linear_quantize_weights(model, tools.OptimizationConfig(op_type_configs={"conv": each}))


def _seal(model: Any, metadata: Metadata, options: CoreMLExportOptions) -> None:
    version = metadata.segkit.toolchain.get("segkit", "") if metadata.segkit else ""
    height, width = options.imgsz
    model.short_description = metadata.description or f"Instance segmentation, {len(metadata.names)} classes"
    model.author = "segkit"
    model.version = version
    model.license = "that of the weights it was made from"
    if options.takes_image:
        model.input_description["image"] = f"RGB, letterboxed to {width}x{height} with grey 114"
    else:
        model.input_description["images"] = "RGB, 0..1, letterboxed with grey 114: (batch, 3, height, width)"
    rows = "x1, y1, x2, y2, score, class" if options.nms else "centre x, centre y, width, height, class scores"
    each = "A row an object, best first" if options.nms else "A column an anchor"
    model.output_description["output0"] = f"{each}: {rows}, mask coefficients; boxes in input pixels"
    model.output_description["output1"] = "Mask prototypes; a mask is coefficients · prototypes, above 0"
    model.user_defined_metadata.pop(DATED, None)
    model.user_defined_metadata.update(metadata.to_text())


def _save(model: Any, target: Path) -> None:
    made = target.with_name(f"{target.name}.converted.mlpackage")  # coremltools insists on the ending
    model.save(str(made))
    (made / DEBUG).unlink(missing_ok=True)
    if target.exists():
        shutil.rmtree(target)
    target.mkdir()
    mode = stat.S_IMODE(target.stat().st_mode)  # of a new folder; coremltools' own are closed to everybody else
    target.rmdir()
    made.rename(target)
    for path in (target, *target.rglob("*")):
        path.chmod(mode if path.is_dir() else mode & ~0o111)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
