"""Runs a compiled file, whoever wrote it; never imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segkit.core import cores
from segkit.core.backend import Anchors, LoadOptions, Metadata, Predictor, Selected
from segkit.core.backend.batching import run_in_chunks
from segkit.core.backend.layouts import SPLIT, Known, arrange
from segkit.core.errors import ModelFileError, OptionError, RuntimeFailure
from segkit.core.images import ImageBatch
from segkit.plugins.edgetpu.file import EdgeFile
from segkit.plugins.edgetpu.outputs import by_number
from segkit.plugins.edgetpu.running import runtime, unsaid

_TYPES = ("int8", "uint8", "float32")


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
        return np.clip(np.rint(array / np.float32(self.step)) + self.zero, limits.min, limits.max).astype(dtype)


class EdgeTpuPredictor(Predictor):
    """An interpreter whose delegates run what the compiler has compiled."""

    def __init__(
        self, file: EdgeFile, options: LoadOptions, metadata: Metadata | None, delegates: Sequence[Any]
    ) -> None:
        """Load the network; `metadata` is what the file says about itself.

        Raises:
            ModelFileError: it is not a segmentation network, or the runtime refuses it.
        """
        self._path, self._known = file.path, Known.of(metadata, channels_last=True)
        inputs = [info for _, info in file.graph.inputs]
        shape = inputs[0].shape if len(inputs) == 1 else ()
        if len(shape) != 4 or shape[3] != 3 or None in shape:
            given = ", ".join("x".join(map(str, info.shape)) for info in inputs) or "nothing"
            raise ModelFileError(file.path, f"its input is {given}, not pictures (batch, height, width, 3)")
        if inputs[0].dtype not in _TYPES:
            raise ModelFileError(file.path, f"its input is {inputs[0].dtype}; {', '.join(_TYPES)} are understood")
        try:
            with unsaid():
                self._runtime = runtime().Interpreter(  # type: ignore[attr-defined]
                    model_path=str(file.path),
                    experimental_delegates=list(delegates),
                    num_threads=options.threads or cores.physical(),
                )
                self._runtime.allocate_tensors()
        except Exception as error:
            raise ModelFileError(file.path, f"the runtime refuses it ({_first_line(error)})") from error
        (self._input,) = self._runtime.get_input_details()
        self._scale = _scale(self._input)
        self._batch, *self._size, _ = (int(side) for side in self._input["shape"])
        self._table = self._numbers_of_pixels()
        details = {detail["index"]: detail for detail in self._runtime.get_output_details()}
        self._outputs = [(number, _scale(details[number])) for number, _ in file.graph.outputs]
        split = bool(metadata and metadata.segkit and metadata.segkit.head.outputs == "split")
        own = [file.graph.tensors[number].info.name for number, _ in self._outputs]
        called = by_number(own) if split else None
        self._names = [called[name] for name in own] if called else own

    def run(self, batch: ImageBatch) -> Anchors | Selected:
        """Compute, a picture at a time where the file takes one.

        Raises:
            OptionError: the file takes pictures of another size only.
            ModelFileError: the outputs are not those of a segmentation network.
            RuntimeFailure: the runtime or the Edge TPU failed.
        """
        if [*batch.size] != self._size:
            height, width = self._size
            raise OptionError.invalid("imgsz", batch.size, f"this file takes {height}x{width} only; export one for it")
        arrays = run_in_chunks(self._given(batch), self._batch, self._compute)
        outputs = dict(zip(self._names, arrays, strict=True))
        if {*outputs} == {*SPLIT}:  # ours end in their channels
            outputs |= {name: np.moveaxis(outputs[name], -1, 1) for name in SPLIT[:-1]}
        return arrange(outputs, batch.size, self._known, self._path)

    def warm_up(self) -> None:
        """One run on black pictures: the network is sent to the Edge TPU."""
        self._compute(np.zeros(self._input["shape"], self._input["dtype"]))

    def close(self) -> None:
        """Free the network and the device."""
        del self._runtime

    def _numbers_of_pixels(self) -> NDArray[Any]:
        """What the file takes for each of the 256 values of a byte: boards are slow at arithmetic, not at this."""
        pixels = np.arange(256, dtype=np.float32) / np.float32(255)
        return self._scale.rounded(pixels, self._input["dtype"]) if self._scale.step else pixels

    def _given(self, batch: ImageBatch) -> NDArray[Any]:
        """(B, H, W, 3) in the file's own numbers."""
        if "f32_nchw" not in batch.views:
            return self._table[batch.u8_nhwc]
        pixels = batch.f32_nchw.transpose(0, 2, 3, 1)
        return self._scale.rounded(pixels, self._input["dtype"]) if self._scale.step else pixels

    def _compute(self, images: NDArray[Any]) -> list[NDArray[np.float32]]:
        try:
            self._runtime.set_tensor(self._input["index"], np.ascontiguousarray(images))
            self._runtime.invoke()
            # get_tensor() copies.
            return [scale.real(self._runtime.get_tensor(number)) for number, scale in self._outputs]
        except Exception as error:
            raise RuntimeFailure("edgetpu", _first_line(error)) from error


def _scale(detail: Any) -> _Scale:
    step, zero = detail["quantization"]
    return _Scale(float(step), int(zero))


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:200]
