"""What both predictors know of a package: what it takes and what is given to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.core.backend import Anchors, Metadata, Selected
from segkit.core.backend.batching import run_in_chunks
from segkit.core.backend.layouts import Known, arrange
from segkit.core.errors import ModelFileError, OptionError
from segkit.core.images import ImageBatch
from segkit.plugins.coreml import MOST
from segkit.plugins.coreml.package import Description, words

Array = NDArray[Any]
Compute = Callable[[Array], Sequence[Array]]


class Intake:
    """Pictures in the form that a package wants, and its outputs in segkit's terms."""

    def __init__(self, path: Path, description: Description, metadata: Metadata | None) -> None:
        """From what the package says about itself.

        Raises:
            ModelFileError: it takes something else than pictures.
        """
        self.path, self._known = path, Known.of(metadata, channels_last=False)
        if len(description.inputs) != 1:
            names = ", ".join(feature.name for feature in description.inputs) or "none"
            raise ModelFileError(path, f"it takes {len(description.inputs)} inputs ({names}), not pictures alone")
        self.feature = description.inputs[0]
        shape = self.feature.shape
        if self.feature.kind not in ("image", "array") or len(shape) != 4 or shape[1] != 3:
            raise ModelFileError(
                path,
                f"its input '{self.feature.name}' is {self.feature.kind} {words(shape)}, not pictures "
                "(batch, 3, height, width)",
            )
        self.batch, _, *self.size = shape
        self.is_image = self.feature.kind == "image"

    def run(self, batch: ImageBatch, compute: Compute) -> Anchors | Selected:
        """All of a batch in portions of what the package takes, (n, H, W, 3) bytes for an image, else (n, 3, H, W).

        Raises:
            OptionError: it takes pictures of another size only.
            ModelFileError: the outputs are not those of a segmentation network.
        """
        if any(side is not None and side != given for side, given in zip(self.size, batch.size, strict=True)):
            wanted = words(tuple(self.size))
            raise OptionError.invalid(
                "imgsz", batch.size, f"this package takes {wanted} only; export another one with the size that you need"
            )
        images: Array = batch.u8_nhwc if self.is_image else batch.f32_nchw
        outputs = run_in_chunks(images, self.batch or min(len(batch), MOST), compute)
        return arrange(outputs, batch.size, self._known, self.path)

    def blank(self) -> Array:
        """Black pictures, as `compute` takes them."""
        height, width = (side or 640 for side in self.size)
        batch = self.batch or 1
        if self.is_image:
            return np.zeros((batch, height, width, 3), np.uint8)
        return np.zeros((batch, 3, height, width), np.float32)
