"""Runs a compiled file, whoever wrote it; never imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.core import cores
from segkit.core.backend import Anchors, LoadOptions, Metadata, Predictor, Selected
from segkit.core.backend.batching import run_in_chunks
from segkit.core.backend.layouts import Known, arrange
from segkit.core.errors import ModelFileError, OptionError, RuntimeFailure
from segkit.core.images import ImageBatch
from segkit.plugins.edgetpu.cutting import DISTANCES, LOGITS
from segkit.plugins.edgetpu.decoding import Scale, boxes, scores
from segkit.plugins.edgetpu.file import EdgeFile
from segkit.plugins.edgetpu.running import runtime
from segkit.plugins.shared.quiet import unsaid

_TYPES = ("int8", "uint8", "float32")

_CUT = {DISTANCES, LOGITS, "coefficients", "prototypes"}


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
                self._runtime = runtime().Interpreter(
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
        tensors = {number: file.graph.tensors[number].info.name for number, _ in file.graph.outputs}
        names = {number: file.outputs.get(name, name) for number, name in tensors.items()}
        self._outputs = {names[number]: (number, _scale(details[number])) for number in names}
        self._cut = {*self._outputs} == _CUT

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
        given = dict(zip(self._outputs, arrays, strict=True))
        scales = {name: scale for name, (_, scale) in self._outputs.items()}
        if not self._cut:
            outputs = {name: scales[name].real(array) for name, array in given.items()}
            return arrange(outputs, batch.size, self._known, self._path)
        coefficients, prototypes = (scales[name].real(given[name]) for name in ("coefficients", "prototypes"))
        return Anchors(
            boxes(given[DISTANCES], scales[DISTANCES], batch.size, self._known.strides),
            np.moveaxis(scores(given[LOGITS], scales[LOGITS]), -1, 1),
            np.moveaxis(coefficients, -1, 1),
            np.moveaxis(prototypes, -1, 1),
        )

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

    def _compute(self, images: NDArray[Any]) -> list[NDArray[Any]]:
        try:
            self._runtime.set_tensor(self._input["index"], np.ascontiguousarray(images))
            self._runtime.invoke()
            # get_tensor() copies.
            return [self._runtime.get_tensor(number) for number, _ in self._outputs.values()]
        except Exception as error:
            raise RuntimeFailure("edgetpu", _first_line(error)) from error


def _scale(detail: Any) -> Scale:
    step, zero = detail["quantization"]
    return Scale(float(step), int(zero))


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:200]
