"""Runs a file of TensorFlow Lite, whoever wrote it, with LiteRT; never imports torch, or TensorFlow beside LiteRT."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segkit.core import cores
from segkit.core.backend import Anchors, LoadOptions, Metadata, Predictor, Selected
from segkit.core.backend.batching import run_in_chunks
from segkit.core.backend.layouts import SPLIT, Known, arrange
from segkit.core.errors import ModelFileError, OptionError, RuntimeFailure
from segkit.core.images import ImageBatch
from segkit.plugins.shared.pictures import Pictures, channels_last, words
from segkit.plugins.tflite.file import LiteFile
from segkit.plugins.tflite.running import interpreter, unsaid

_TYPES = {"float32", "int8", "uint8"}

_COMPILED = "edgetpu-custom-op"
"""What the compiler of the Edge TPU puts in the place of a network."""


class _Scale(NamedTuple):
    """How whole numbers stand for others: (number - zero) · step; a step of 0: they do not."""

    step: float
    zero: int

    def real(self, array: NDArray[Any]) -> NDArray[np.float32]:
        """What numbers of the file stand for."""
        if not self.step:
            return array.astype(np.float32, copy=False)
        return (array.astype(np.float32) - np.float32(self.zero)) * np.float32(self.step)

    def rounded(self, array: NDArray[np.float32], dtype: Any) -> NDArray[Any]:
        """The nearest numbers of the file."""
        limits = np.iinfo(dtype)
        numbers: NDArray[Any] = np.rint(array / np.float32(self.step)) + self.zero
        return numbers.clip(limits.min, limits.max).astype(dtype)


class LitePredictor(Predictor):
    """An interpreter with XNNPACK."""

    def __init__(self, file: LiteFile, options: LoadOptions, metadata: Metadata | None) -> None:
        """Load the network; `metadata` is what the file says about itself.

        Raises:
            ModelFileError: it is not a segmentation network, or LiteRT refuses it.
            OptionError: another device than the CPU.
        """
        if options.device != "cpu":
            raise OptionError.invalid("device", options.device, "files of TensorFlow Lite run on the cpu here")
        outline = file.outline
        self._path = file.path
        self._split = bool(metadata and metadata.segkit and metadata.segkit.head.outputs == "split")
        if _COMPILED in outline.operators:
            raise ModelFileError(
                file.path, "it is compiled for the Edge TPU and runs nowhere else: give the file that it was made from"
            )
        if len(outline.inputs) != 1:
            raise ModelFileError(file.path, f"it takes {len(outline.inputs)} inputs, not pictures alone")
        given = outline.inputs[0].info
        pictures = Pictures.of(given)
        if pictures is None:
            raise ModelFileError(file.path, f"its input is {words(given)}, not pictures (batch, height, width, 3)")
        if given.dtype not in _TYPES:
            raise ModelFileError(file.path, f"its input is {given.dtype}; {', '.join(sorted(_TYPES))} are understood")
        batch, *self._size, self._last = pictures
        self._known = Known.of(metadata, channels_last=self._last)
        try:
            with unsaid():
                self._runtime = interpreter()(
                    model_path=str(file.path), num_threads=options.threads or cores.physical()
                )
                self._runtime.allocate_tensors()
        except Exception as error:
            raise ModelFileError(file.path, f"LiteRT refuses it ({_first_line(error)})") from error
        (self._input,) = self._runtime.get_input_details()
        self._laid_out: tuple[int, ...] = tuple(int(side) for side in self._input["shape"])
        self._batch = batch or self._laid_out[0]  # what leaves it free is laid out for some, mostly for one
        self._scale = _scale(self._input)
        details = {detail["index"]: detail for detail in self._runtime.get_output_details()}
        self._outputs = [(port.info.name, port.tensor, _scale(details[port.tensor])) for port in outline.outputs]

    def run(self, batch: ImageBatch) -> Anchors | Selected:
        """Compute; a file with a fixed batch gets the pictures in portions.

        Raises:
            OptionError: the file takes pictures of another size only.
            ModelFileError: the outputs are not those of a segmentation network.
            RuntimeFailure: LiteRT failed.
        """
        if any(side not in (None, given) for side, given in zip(self._size, batch.size, strict=True)):
            height, width = self._size
            raise OptionError.invalid("imgsz", batch.size, f"this file takes {height}x{width} only; export one for it")
        arrays = run_in_chunks(self._given(batch), self._batch, self._compute)
        outputs = {name: array for (name, *_), array in zip(self._outputs, arrays, strict=True)}
        if self._split:  # ours end in their channels
            outputs |= {name: np.moveaxis(outputs[name], -1, 1) for name in SPLIT[:-1] if name in outputs}
        return arrange(outputs, batch.size, self._known, self._path)

    def warm_up(self) -> None:
        """One run on black pictures."""
        sides = [side or 640 for side in self._size]
        shape = (*sides, 3) if self._last else (3, *sides)
        self._compute(np.zeros((self._batch, *shape), self._input["dtype"]))

    def close(self) -> None:
        """Free the network."""
        del self._runtime

    def _given(self, batch: ImageBatch) -> NDArray[Any]:
        """Network input in the file's own layout and numbers."""
        pixels = channels_last(batch) if self._last else batch.f32_nchw
        return self._scale.rounded(pixels, self._input["dtype"]) if self._scale.step else pixels

    def _compute(self, images: NDArray[Any]) -> list[NDArray[np.float32]]:
        try:
            if images.shape != self._laid_out:  # of a file that leaves its size free
                self._laid_out = ()
                self._runtime.resize_tensor_input(self._input["index"], images.shape)
                self._runtime.allocate_tensors()
                self._laid_out = images.shape
            self._runtime.set_tensor(self._input["index"], np.ascontiguousarray(images))
            self._runtime.invoke()
            # get_tensor() copies.
            return [scale.real(self._runtime.get_tensor(index)) for _, index, scale in self._outputs]
        except Exception as error:
            raise RuntimeFailure("tflite", _first_line(error)) from error


def _scale(detail: Any) -> _Scale:
    step, zero = detail["quantization"]
    return _Scale(float(step), int(zero))


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:200]
