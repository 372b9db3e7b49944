"""Runs a package where there is no Core ML: the program that is in it, evaluated with numpy. Exact, and not fast."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.core.backend import Anchors, LoadOptions, Predictor, Selected
from segkit.core.errors import ModelFileError
from segkit.core.images import ImageBatch
from segkit.plugins.coreml.devices import check_evaluated
from segkit.plugins.coreml.evaluator import Evaluator
from segkit.plugins.coreml.package import KINDS, ML_PROGRAM, read_description
from segkit.plugins.coreml.program import read_program
from segkit.plugins.coreml.source import Intake


class EvaluatingPredictor(Predictor):
    """A program and its evaluator. Any thread may call it at any time; every output is an array of its own."""

    def __init__(self, path: Path, options: LoadOptions) -> None:
        """Load `path`, weights included: afterwards the package is not needed any more.

        Raises:
            ModelFileError: the package is damaged, of another kind, or not a segmentation network.
            OptionError: there is no such device.
            UnsupportedError: the device is one of Core ML's, or the evaluator does not know an operation.
        """
        check_evaluated(options.device)
        description = read_description(path)
        if description.kind != ML_PROGRAM:
            kind = KINDS.get(description.kind, "model of another kind")
            raise ModelFileError(path, f"it is a {kind}, not an ML Program: outside of macOS nothing runs it")
        self._intake = Intake(path, description, description.metadata(path))
        program = read_program(path, description)
        try:
            self._evaluator = Evaluator(program, options.threads)
        except (ValueError, IndexError, TypeError, KeyError) as error:
            raise ModelFileError(path, f"it is damaged: a constant cannot be made ({error})") from None
        if [name for name, _ in program.inputs] != [self._intake.feature.name]:
            raise ModelFileError(path, "it is damaged: its program takes another input than its description says")

    def run(self, batch: ImageBatch) -> Anchors | Selected:
        """Compute; a package with a fixed batch gets the pictures in portions.

        Raises:
            OptionError: the package takes pictures of another size only.
            ModelFileError: the outputs are not those of a segmentation network.
            RuntimeFailure: an operation failed; it is named.
        """
        return self._intake.run(batch, self._compute)

    def close(self) -> None:
        """Free the weights and end the threads."""
        self._evaluator.close()
        del self._evaluator

    def _compute(self, images: NDArray[Any]) -> list[NDArray[Any]]:
        if self._intake.is_image:  # Core ML hands a picture's bytes to the program as numbers from 0 to 255
            images = images.transpose(0, 3, 1, 2).astype(np.float32)
            if self._intake.feature.dtype == "BGR":
                images = images[:, ::-1]
        outputs = self._evaluator.run({self._intake.feature.name: images})
        return [value.astype(np.float32, copy=False) for value in outputs.values()]
