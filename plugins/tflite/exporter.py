"""Writes the file: TensorFlow's own converter on a SavedModel that is in NHWC already."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from segkit.core.backend import Calibration, ExportJob, Precision
from segkit.core.backend.faults import words
from segkit.core.errors import ExportError
from segkit.plugins.tflite import TfLiteExportOptions
from segkit.plugins.tflite.converter import silent, tf
from segkit.plugins.tflite.file import write_file

_SIGNATURE, _INPUT = "serving_default", "images"


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
        if options.precision is Precision.FP16:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tf.float16]
        elif options.precision is Precision.INT8:
            assert job.calibration is not None
            job.report(f"measuring ranges on {len(job.calibration)} pictures")
            _quantise(converter, job.calibration, bytes_only=options.io == "int8")
        try:
            content: bytes = converter.convert()
        except Exception as error:
            raise ExportError("tflite", f"TensorFlow's converter failed ({words(error)})") from error
    write_file(job.target, content, job.metadata)


def _quantise(converter: Any, calibration: Calibration, *, bytes_only: bool) -> None:
    """Whole numbers in every layer: of 8 bits, with a scale for each channel of weights and one for each tensor."""
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = _shown(calibration)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if bytes_only:
        converter.inference_input_type = converter.inference_output_type = tf.int8


def _shown(calibration: Calibration) -> Callable[[], Iterator[dict[str, Any]]]:
    """The pictures as the converter takes them: a function that gives inputs by name."""

    def pictures() -> Iterator[dict[str, Any]]:
        for batch in calibration:
            yield {_INPUT: batch.u8_nhwc / np.float32(255)}

    return pictures
