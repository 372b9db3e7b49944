"""Runs a graph model, whoever wrote it, with WebAssembly in a process of Node; never imports torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segkit.core.backend import Anchors, LoadOptions, Metadata, Predictor, Selected
from segkit.core.backend.batching import run_in_chunks
from segkit.core.backend.layouts import Known, arrange
from segkit.core.errors import ModelFileError, OptionError
from segkit.core.images import ImageBatch
from segkit.plugins.shared.pictures import Pictures, channels_last, words
from segkit.plugins.tfjs.folder import Folder
from segkit.plugins.tfjs.process import NodeProcess


class TfJsPredictor(Predictor):
    """A graph model in a process of its own."""

    def __init__(self, folder: Folder, options: LoadOptions, metadata: Metadata | None) -> None:
        """Load the model; `metadata` is what the folder says about itself.

        Raises:
            ModelFileError: it is not a segmentation network, or TensorFlow.js refuses it.
            OptionError: `options.device` is not the CPU.
            RuntimeFailure: Node does not run.
        """
        if options.device != "cpu":
            raise OptionError.invalid("device", options.device, "WebAssembly runs on the CPU only")
        inputs = folder.outline.inputs
        if len(inputs) != 1:
            raise ModelFileError(folder.path, f"it takes {len(inputs)} inputs, not pictures alone")
        pictures = Pictures.of(inputs[0])
        if pictures is None:
            raise ModelFileError(
                folder.path, f"its input is {words(inputs[0])}, not pictures (batch, height, width, 3)"
            )
        if inputs[0].dtype != "float32":
            raise ModelFileError(folder.path, f"its input is {inputs[0].dtype}; float32 is understood")
        self._path = folder.path
        self._batch, *self._size, self._last = pictures
        self._known = Known.of(metadata, channels_last=self._last)
        self._process = NodeProcess(folder.path, folder.program, options.threads or 1)

    def run(self, batch: ImageBatch) -> Anchors | Selected:
        """Compute; a file with a fixed batch gets the pictures in portions.

        Raises:
            OptionError: the file takes pictures of another size only.
            ModelFileError: the outputs are not those of a segmentation network.
            RuntimeFailure: TensorFlow.js failed.
        """
        if any(side not in (None, given) for side, given in zip(self._size, batch.size, strict=True)):
            height, width = self._size
            raise OptionError.invalid(
                "imgsz", batch.size, f"this file takes {height}x{width} only; export with dynamic=True to free it"
            )
        images = channels_last(batch) if self._last else batch.f32_nchw
        names: list[str] = []

        def compute(pixels: NDArray[np.float32]) -> list[NDArray[np.float32]]:
            found = self._process.run(np.ascontiguousarray(pixels, np.float32))
            names[:] = found
            return list(found.values())

        arrays = run_in_chunks(images, self._batch or len(images), compute)
        return arrange(dict(zip(names, arrays, strict=True)), batch.size, self._known, self._path)

    def warm_up(self) -> None:
        """One run on black pictures: weights are laid out, and V8 compiles what it runs."""
        size = [side or 640 for side in self._size]
        shape = (*size, 3) if self._last else (3, *size)
        self._process.run(np.zeros((self._batch or 1, *shape), np.float32))

    def close(self) -> None:
        """End the process."""
        self._process.close()
