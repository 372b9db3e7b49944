"""Runs a SavedModel, whoever wrote it, in a session of TensorFlow; never imports torch.

A session, not the function that `tf.saved_model.load` gives: it has threads of its own, gives its memory back when it
is closed, and costs less a call.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.core import cores
from segkit.core.backend import Anchors, LoadOptions, Metadata, Predictor, Selected
from segkit.core.backend.batching import run_in_chunks
from segkit.core.backend.layouts import SPLIT, Known, arrange
from segkit.core.errors import ModelFileError, OptionError, RuntimeFailure
from segkit.core.images import ImageBatch
from segkit.plugins.saved_model.folder import Folder
from segkit.plugins.saved_model.outline import SERVE
from segkit.plugins.shared.pictures import Pictures, channels_last, words
from segkit.plugins.shared.tensorflow import release, session_settings, silent, tf

_TYPES = {"float32": np.float32, "float16": np.float16}


class SavedModelPredictor(Predictor):
    """A session with the graph of a SavedModel."""

    def __init__(self, folder: Folder, options: LoadOptions, metadata: Metadata | None) -> None:
        """Load the graph on `options.device`; `metadata` is what the folder says about itself.

        Raises:
            ModelFileError: it is not a segmentation network, or TensorFlow refuses it.
            OptionError: this build of TensorFlow cannot run on that device.
        """
        outline = folder.outline
        self._path = folder.path
        self._split = bool(metadata and metadata.segkit and metadata.segkit.head.outputs == "split")
        if len(outline.inputs) != 1:
            raise ModelFileError(folder.path, f"it takes {len(outline.inputs)} inputs, not pictures alone")
        given = outline.inputs[0].info
        pictures = Pictures.of(given)
        if pictures is None:
            raise ModelFileError(folder.path, f"its input is {words(given)}, not pictures (batch, height, width, 3)")
        if given.dtype not in _TYPES:
            raise ModelFileError(folder.path, f"its input is {given.dtype}; float32 and float16 are understood")
        self._type = _TYPES[given.dtype]
        self._batch, *self._size, self._last = pictures
        self._known = Known.of(metadata, channels_last=self._last)
        self._names = [port.info.name for port in outline.outputs]
        settings = session_settings(options.device, options.threads or cores.physical())
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=settings)
        try:
            with silent(), self._session.graph.as_default():
                tf.compat.v1.saved_model.load(self._session, [SERVE], str(folder.root))
            self._call = self._session.make_callable(
                [port.tensor for port in outline.outputs], [outline.inputs[0].tensor]
            )
        except Exception as error:  # TensorFlow raises whatever class fits the code in its C++
            release(self._session)
            raise ModelFileError(folder.path, f"TensorFlow refuses it ({_first_line(error)})") from error

    def run(self, batch: ImageBatch) -> Anchors | Selected:
        """Compute; a file with a fixed batch gets the pictures in portions.

        Raises:
            OptionError: the file takes pictures of another size only.
            ModelFileError: the outputs are not those of a segmentation network.
            RuntimeFailure: TensorFlow failed.
        """
        if any(side not in (None, given) for side, given in zip(self._size, batch.size, strict=True)):
            height, width = self._size
            raise OptionError.invalid(
                "imgsz", batch.size, f"this file takes {height}x{width} only; export with dynamic=True to free it"
            )
        pixels = channels_last(batch) if self._last else batch.f32_nchw
        images = pixels.astype(self._type, copy=False)
        arrays = run_in_chunks(images, self._batch or len(images), self._compute)
        outputs = dict(zip(self._names, arrays, strict=True))
        if self._split:  # ours end in their channels
            outputs |= {name: np.moveaxis(outputs[name], -1, 1) for name in SPLIT[:-1] if name in outputs}
        return arrange(outputs, batch.size, self._known, self._path)

    def warm_up(self) -> None:
        """One run on black pictures: constants are folded and weights are laid out."""
        size = [side or 640 for side in self._size]
        shape = (*size, 3) if self._last else (3, *size)
        self._compute(np.zeros((self._batch or 1, *shape), self._type))

    def close(self) -> None:
        """Free the graph and its values."""
        session = self._session
        del self._call, self._session
        release(session)

    def _compute(self, images: NDArray[Any]) -> list[NDArray[Any]]:
        try:
            found: list[NDArray[Any]] = self._call(np.ascontiguousarray(images))
        except Exception as error:
            raise RuntimeFailure("saved_model", _first_line(error)) from error
        return found


def _first_line(error: Exception) -> str:
    """What went wrong: TensorFlow's messages go on with where in a graph."""
    lines = [line.strip() for line in str(getattr(error, "message", None) or error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:200]
