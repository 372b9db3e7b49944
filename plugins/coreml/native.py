"""Runs a package with Core ML, on macOS. Never imports torch.

This module cannot be run on the machines that test segkit. What it hands to Core ML and what it makes of the answers is
`source.Intake`, which is tested with the evaluator; what is left is kept short.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.core.backend import Anchors, LoadOptions, Predictor, Selected
from segkit.core.errors import ModelFileError, RuntimeFailure
from segkit.core.images import ImageBatch
from segkit.plugins.coreml.devices import units
from segkit.plugins.coreml.package import read_description
from segkit.plugins.coreml.source import Intake
from segkit.plugins.coreml.toolchain import coremltools, quiet


class CoreMLPredictor(Predictor):
    """A model compiled by Core ML. One caller at a time."""

    def __init__(self, path: Path, options: LoadOptions) -> None:
        """Compile `path` for `options.device`: cpu, gpu (or mps), ane (the Neural Engine), all.

        Raises:
            ModelFileError: the package is damaged, of another kind, or Core ML refuses it.
            OptionError: there is no such device.
        """
        unit = units(options.device)
        description = read_description(path)
        self._intake = Intake(path, description, description.metadata(path))
        self._outputs = [feature.name for feature in description.outputs]
        toolkit = coremltools(torch=False)
        try:
            with quiet():
                self._model = toolkit.models.MLModel(str(path), compute_units=toolkit.ComputeUnit[unit])
        except Exception as error:  # the errors of Core ML have no class of their own
            raise ModelFileError(path, f"Core ML refuses it ({_first_line(error)})") from error

    def run(self, batch: ImageBatch) -> Anchors | Selected:
        """Compute; a package with a fixed batch gets the pictures in portions.

        Raises:
            OptionError: the package takes pictures of another size only.
            ModelFileError: the outputs are not those of a segmentation network.
            RuntimeFailure: Core ML failed.
        """
        return self._intake.run(batch, self._compute)

    def warm_up(self) -> None:
        """One run on black pictures: Core ML makes its plans at the first one."""
        self._compute(self._intake.blank())

    def close(self) -> None:
        """Free the model."""
        del self._model

    def _compute(self, images: NDArray[Any]) -> list[NDArray[Any]]:
        given = as_given(self._intake, images)
        try:
            found = self._model.predict({self._intake.feature.name: given})
        except Exception as error:
            raise RuntimeFailure("coreml", _first_line(error)) from error
        # Arrays may be views on memory of Core ML, and what run() returns must outlive the next run().
        return [np.array(found[name], np.float32) for name in self._outputs]


def as_given(intake: Intake, images: NDArray[Any]) -> Any:
    """What `MLModel.predict` takes: a picture of Pillow for an image input, else the array."""
    if not intake.is_image:
        return images
    from PIL import Image

    # Core ML turns a picture into the order of colours that the model wants.
    return Image.fromarray(np.ascontiguousarray(images[0]))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
