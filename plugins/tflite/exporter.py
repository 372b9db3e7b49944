"""Writes the file: TensorFlow's own converter on a SavedModel that is in NHWC already."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.core.backend import Calibration, ExportJob, Precision
from segkit.core.backend.faults import words
from segkit.core.errors import ExportError
from segkit.plugins.shared.tensorflow import silent, tf
from segkit.plugins.tflite import TfLiteExportOptions
from segkit.plugins.tflite.file import write_file
from segkit.plugins.tflite.observing import outputs, proposed_ranges
from segkit.plugins.tflite.outline import with_ranges

_SIGNATURE, _INPUT = "serving_default", "images"

_TINY = float(np.finfo(np.float32).tiny)

_TRIED = 16
"""Pictures on which proposals are compared."""


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
            _observe(converter, job.calibration)
        try:
            content: bytes = converter.convert()
        except Exception as error:
            raise ExportError("tflite", f"TensorFlow's converter failed ({words(error)})") from error
        if options.needs_calibration():
            assert job.calibration is not None
            content = _in_bytes(content, job.calibration, options.quantize == "integer", job.report)
    write_file(job.target, content, job.metadata)


def _observe(converter: Any, calibration: Calibration) -> None:
    """Keep the first of the two steps of a conversion to 8 bits: float32, with the range of every tensor."""
    converter.representative_dataset = _shown(calibration)
    converter._experimental_calibrate_only = True  # which ranges serve best can only be said between the steps


def _in_bytes(observed: bytes, calibration: Calibration, floating_end: bool, report: Callable[[str], None]) -> bytes:
    """The second step: whole numbers in every layer, of 8 bits, with a scale for each channel of weights and one for
    each tensor. With `floating_end`, all but the end is in them, which costs little and loses much: the last layer of
    each branch, whose outputs are logits, and the arithmetic behind them. Without it, so are input and outputs.
    """
    quantise = import_module("tensorflow.lite.python.convert").mlir_quantize
    wanted = outputs(observed, calibration, _TRIED)
    best, least = b"", inf
    for ranges in proposed_ranges(observed, calibration, floating_end, report):
        tried: bytes = quantise(with_ranges(observed, ranges), fully_quantize=not floating_end)
        error = _error(wanted, outputs(tried, calibration, _TRIED))
        if error < least:
            best, least = with_ranges(observed, ranges), error
    outside = tf.float32 if floating_end else tf.int8
    made: bytes = quantise(best, fully_quantize=not floating_end, input_data_type=outside, output_data_type=outside)
    return made


def _error(wanted: Sequence[NDArray[np.float32]], found: Sequence[NDArray[np.float32]]) -> float:
    """Of all outputs together, each weighed by its own size: the logarithm of noise over signal, summed."""
    return sum(
        float(np.log((_power(this - that) + _TINY) / (_power(this) + _TINY)))
        for this, that in zip(wanted, found, strict=True)
    )


def _power(numbers: NDArray[np.float32]) -> float:
    return float(np.square(numbers).mean(dtype=np.float64))


def _shown(calibration: Calibration) -> Callable[[], Iterator[dict[str, Any]]]:
    """The pictures as the converter takes them: a function that gives inputs by name."""

    def pictures() -> Iterator[dict[str, Any]]:
        for batch in calibration:
            yield {_INPUT: batch.u8_nhwc / np.float32(255)}

    return pictures
