"""Runs a program of Paddle, whoever wrote it, with Paddle Inference; never imports torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.core import cores
from segkit.core.backend import Anchors, LoadOptions, Metadata, Predictor, Selected
from segkit.core.backend.batching import run_in_chunks
from segkit.core.backend.layouts import Known, arrange
from segkit.core.errors import ModelFileError, OptionError, RuntimeFailure
from segkit.core.images import ImageBatch
from segkit.plugins.paddle.folder import Folder, words
from segkit.plugins.paddle.importing import paddle

_SHAPES = 16
"""Inputs of different shapes for which oneDNN keeps what it has prepared. Without a limit it keeps all."""

_TYPES = {"float32": np.float32, "float16": np.float16}


class PaddlePredictor(Predictor):
    """A predictor of Paddle Inference: oneDNN on CPUs."""

    def __init__(self, folder: Folder, options: LoadOptions, metadata: Metadata | None) -> None:
        """Load the program on `options.device`; `metadata` is what the folder says about itself.

        Raises:
            ModelFileError: it is not a segmentation network, or Paddle refuses it.
            OptionError: this build of Paddle cannot run on that device.
        """
        self._path, self._known = folder.path, Known.of(metadata, channels_last=False)
        inputs = folder.outline.inputs
        if len(inputs) != 1:
            raise ModelFileError(folder.path, f"it takes {len(inputs)} inputs, not pictures alone")
        if len(inputs[0].shape) != 4 or inputs[0].shape[1] not in (3, None):
            raise ModelFileError(
                folder.path, f"its input is {words(inputs[0])}, not pictures (batch, 3, height, width)"
            )
        if inputs[0].dtype not in _TYPES:
            raise ModelFileError(folder.path, f"its input is {inputs[0].dtype}; float32 and float16 are understood")
        self._type = _TYPES[inputs[0].dtype]
        self._batch, _, *self._size = (side if isinstance(side, int) else None for side in inputs[0].shape)
        config = _config(folder, options)
        try:
            self._predictor = paddle().inference.create_predictor(config)
        except Exception as error:  # Paddle raises whatever class fits the code in its C++
            raise ModelFileError(folder.path, f"Paddle refuses it ({_last_line(error)})") from error
        self._input = self._predictor.get_input_handle(self._predictor.get_input_names()[0])
        self._outputs = {name: self._predictor.get_output_handle(name) for name in self._predictor.get_output_names()}

    def run(self, batch: ImageBatch) -> Anchors | Selected:
        """Compute; a file with a fixed batch gets the pictures in portions.

        Raises:
            OptionError: the file takes pictures of another size only.
            ModelFileError: the outputs are not those of a segmentation network.
            RuntimeFailure: Paddle failed.
        """
        if any(side not in (None, given) for side, given in zip(self._size, batch.size, strict=True)):
            height, width = self._size
            raise OptionError.invalid(
                "imgsz", batch.size, f"this file takes {height}x{width} only; export with dynamic=True to free it"
            )
        images: NDArray[Any] = batch.f32_nchw.astype(self._type, copy=False)
        outputs = run_in_chunks(images, self._batch or len(images), self._compute)
        return arrange(dict(zip(self._outputs, outputs, strict=True)), batch.size, self._known, self._path)

    def warm_up(self) -> None:
        """One run on black pictures: kernels are chosen and weights are laid out for them."""
        size = [side or 640 for side in self._size]
        self._compute(np.zeros((self._batch or 1, 3, *size), self._type))

    def close(self) -> None:
        """Free the program and its values."""
        del self._input, self._outputs, self._predictor

    def _compute(self, images: NDArray[Any]) -> list[NDArray[Any]]:
        try:
            self._input.copy_from_cpu(np.ascontiguousarray(images))
            self._predictor.run()
            return [handle.copy_to_cpu() for handle in self._outputs.values()]
        except Exception as error:
            raise RuntimeFailure("paddle", _last_line(error)) from error


def _config(folder: Folder, options: LoadOptions) -> Any:
    config = paddle().inference.Config(str(folder.program), str(folder.parameters))
    config.disable_glog_info()
    device = options.device.strip().lower()
    kind, _, number = device.partition(":")
    on_gpu, has_gpu = kind in ("cuda", "gpu") and (not number or number.isdigit()), paddle().is_compiled_with_cuda()
    if on_gpu and has_gpu:
        config.enable_use_gpu(256, int(number or 0))  # megabytes to begin with; it takes more as it needs them
        return config
    if device != "cpu":
        known = "cpu, cuda, cuda:1" if has_gpu else "cpu"
        hint = "; for cuda install paddlepaddle-gpu instead of paddlepaddle" if on_gpu else ""
        raise OptionError.invalid("device", options.device, f"Paddle offers {known} here{hint}")
    config.disable_gpu()
    config.enable_mkldnn()
    config.set_mkldnn_cache_capacity(_SHAPES)
    # Its own choice is one thread.
    config.set_cpu_math_library_num_threads(options.threads or cores.physical())
    return config


def _last_line(error: Exception) -> str:
    """What went wrong: Paddle's messages begin with the course of the program, and end with a hint and a place."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    told = [line for line in lines if "Error: " in line or line.startswith("(")]
    return (told[-1] if told else lines[0]).partition(" (at ")[0][:200]
