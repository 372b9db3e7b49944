"""Writes the file: TensorFlow's own converter on a SavedModel that is in NHWC already."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np

from segkit.core.backend import Calibration, ExportJob, Precision
from segkit.core.backend.faults import words
from segkit.core.errors import ExportError
from segkit.plugins.tflite import TfLiteExportOptions
from segkit.plugins.tflite.converter import silent, tf
from segkit.plugins.tflite.file import write_file
from segkit.plugins.tflite.outline import read_calls, without_ranges

_SIGNATURE, _INPUT = "serving_default", "images"

_LAYERS = {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"}
"""Operators with weights."""


def export(job: ExportJob) -> None:
    """Write `job.target` from the SavedModel `job.upstream`.

    Raises:
        ExportError: the converter failed.
    """
    options = job.options
    assert isinstance(options, TfLiteExportOptions)
    assert job.upstream is not None
    with silent():
        converter = tf.lite.TFLiteConverter.from_saved_model(str(job.upstream), signature_keys=[_SIGNATURE])
        if options.precision is not Precision.FP32:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]  # alone it means weights of 8 bits, nothing else
        if options.precision is Precision.FP16:
            converter.target_spec.supported_types = [tf.float16]
        if options.needs_calibration():
            assert job.calibration is not None
            job.report(f"measuring ranges on {len(job.calibration)} pictures")
            _observe(converter, job.calibration, tf.int8 if options.quantize == "full_integer" else tf.float32)
        floating_end = options.needs_calibration() and options.quantize == "integer"
        try:
            content = _mostly_bytes(converter) if floating_end else converter.convert()
        except Exception as error:
            raise ExportError("tflite", f"TensorFlow's converter failed ({words(error)})") from error
    write_file(job.target, content, job.metadata)


def _observe(converter: Any, calibration: Calibration, outside: Any) -> None:
    """Whole numbers in every layer: of 8 bits, with a scale for each channel of weights and one for each tensor;
    `outside`, the type of the input and the outputs.
    """
    converter.representative_dataset = _shown(calibration)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = outside


def _mostly_bytes(converter: Any) -> bytes:
    """A file that computes in 8 bits but for its end, which costs little and loses much: the last layer of each branch,
    whose outputs are logits, and the arithmetic behind them.
    """
    converter._experimental_calibrate_only = True  # what is rounded can only be chosen between its two steps
    observed: bytes = converter.convert()
    quantise = import_module("tensorflow.lite.python.convert").mlir_quantize
    made: bytes = quantise(without_ranges(observed, _last(observed)))
    return made


def _last(content: bytes) -> set[str]:
    """Names of the tensors that no layer comes behind."""
    calls = read_calls(content)
    arithmetic: set[str] = set()  # tensors behind the distribution of a box's sides, whose mean is written as a layer
    for call in calls:
        if call.operator == "SOFTMAX" or arithmetic & {*call.inputs}:
            arithmetic |= {*call.outputs}
    before: set[str] = set()  # tensors that a layer is computed from
    for call in reversed(calls):
        layer = call.operator in _LAYERS and not arithmetic & {*call.outputs}
        if layer or before & {*call.outputs}:
            before |= {*call.inputs}
    return {name for call in calls if not before & {*call.outputs} for name in call.outputs}


def _shown(calibration: Calibration) -> Callable[[], Iterator[dict[str, Any]]]:
    """The pictures as the converter takes them: a function that gives inputs by name."""

    def pictures() -> Iterator[dict[str, Any]]:
        for batch in calibration:
            yield {_INPUT: batch.u8_nhwc / np.float32(255)}

    return pictures
