"""Runs a plan on a GPU, whoever built it; never imports torch.

Pictures go from where they were letterboxed to the GPU, and outputs into arrays that are the caller's, with no array of
ours in between (that memory is pageable, so the driver stages it). All of a run is queued on one stream and waited for
once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.core.backend import Anchors, Metadata, Predictor, Selected
from segkit.core.backend.batching import run_in_chunks
from segkit.core.backend.layouts import Known, arrange
from segkit.core.errors import ModelFileError, OptionError, RuntimeFailure
from segkit.core.images import ImageBatch
from segkit.plugins.engine.cuda import Buffers, Gpu
from segkit.plugins.engine.log import log_of
from segkit.plugins.engine.profiles import Profile, Shape, choose, portion, words


class EnginePredictor(Predictor):
    """An execution context with its stream and its buffers; one run at a time."""

    def __init__(
        self, path: Path, plan: bytes, metadata: Metadata | None, trt: Any, gpu: Gpu, dla: int | None = None
    ) -> None:
        """Load `plan`, which came from `path`, with the runtime module `trt`. The GPU is closed with the predictor.

        Raises:
            ModelFileError: the runtime refuses the plan, or it is not a segmentation network.
            RuntimeFailure: the GPU fails.
        """
        self._path, self._known, self._gpu = path, Known.of(metadata, channels_last=False), gpu
        self._log = log_of(trt)
        self._buffers = Buffers(gpu)
        with gpu.current():
            self._runtime = trt.Runtime(self._log)
            if dla is not None:
                self._runtime.DLA_core = dla
            self._engine = self._runtime.deserialize_cuda_engine(plan)
            if self._engine is None:
                raise ModelFileError(path, f"the runtime refuses it ({self._log.last()})")
            self._read_signature(trt)
            self._context = self._engine.create_execution_context()
            if self._context is None:
                raise RuntimeFailure("engine", f"there is no room to run it ({self._log.last()})")
        self._active = 0

    def _read_signature(self, trt: Any) -> None:
        engine = self._engine
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        if len(inputs) != 1:
            raise ModelFileError(self._path, f"it takes {len(inputs)} inputs, not pictures alone")
        self._input = inputs[0]
        self._types = {name: np.dtype(trt.nptype(engine.get_tensor_dtype(name))) for name in names}
        self._outputs = [name for name in names if name != self._input]
        shape = tuple(engine.get_tensor_shape(self._input))
        if len(shape) != 4 or shape[1] != 3:
            raise ModelFileError(self._path, f"its input is {shape}, not pictures (batch, 3, height, width)")
        if self._types[self._input] not in (np.float32, np.float16):
            raise ModelFileError(
                self._path, f"its input is {self._types[self._input]}; float32 and float16 are understood"
            )
        self._profiles = [Profile.fixed(shape)]
        if -1 in shape:
            found = (engine.get_tensor_profile_shape(self._input, at) for at in range(engine.num_optimization_profiles))
            self._profiles = [Profile(*(tuple(each) for each in profile)) for profile in found]

    def run(self, batch: ImageBatch) -> Anchors | Selected:
        """Compute, in portions where the plan takes fewer pictures at a time.

        Raises:
            OptionError: the plan takes pictures of other sizes only.
            ModelFileError: the outputs are not those of a segmentation network.
            RuntimeFailure: the runtime or the GPU failed.
        """
        size = portion(self._profiles, len(batch), batch.size)
        if size is None or any(side % stride for side in batch.size for stride in self._known.strides):
            raise OptionError.invalid(
                "imgsz",
                batch.size,
                f"this engine takes {words(self._profiles)} only, in multiples of {max(self._known.strides)}; export "
                "with dynamic=True to free it, and with max_imgsz to take larger ones",
            )
        images: NDArray[Any] = batch.f32_nchw.astype(self._types[self._input], copy=False)
        with self._gpu.current():
            outputs = run_in_chunks(images, size, self._compute)
        return arrange(dict(zip(self._outputs, outputs, strict=True)), batch.size, self._known, self._path)

    def warm_up(self) -> None:
        """One run on black pictures: memory is taken, and what the runtime puts off until then is done."""
        with self._gpu.current():
            self._compute(np.zeros(self._profiles[0].best, self._types[self._input]))

    def close(self) -> None:
        """Free the plan and its memory, what was made last first."""
        with self._gpu.current():
            self._buffers.close()
            del self._context, self._engine, self._runtime
        self._gpu.close()

    def _compute(self, images: NDArray[Any]) -> list[NDArray[Any]]:
        """(b, 3, H, W) → outputs, in the order of their names."""
        context, gpu = self._context, self._gpu
        self._go_through(images.shape)
        outputs = []
        addresses = {self._input: self._buffers.of(self._input, images.nbytes)}
        for name in self._outputs:
            shape = tuple(context.get_tensor_shape(name))
            if min(shape, default=0) < 0:
                raise ModelFileError(self._path, f"the size of its output '{name}' depends on the picture")
            outputs.append(np.empty(shape, self._types[name]))
            addresses[name] = self._buffers.of(name, outputs[-1].nbytes)
        for name, address in addresses.items():
            context.set_tensor_address(name, address)
        gpu.upload(addresses[self._input], images)
        if not context.execute_async_v3(gpu.stream):
            raise RuntimeFailure("engine", self._log.last())
        for name, output in zip(self._outputs, outputs, strict=True):
            gpu.download(output, addresses[name])
        gpu.wait()
        return outputs

    def _go_through(self, shape: Shape) -> None:
        """Choose the profile for an input of this shape, and tell the runtime of both."""
        profile = choose(self._profiles, shape)
        assert profile is not None  # `portion` has seen to it
        if profile != self._active:
            if not self._context.set_optimization_profile_async(profile, self._gpu.stream):
                raise RuntimeFailure("engine", self._log.last())
            self._gpu.wait()
            self._active = profile
        if not self._context.set_input_shape(self._input, shape):
            raise RuntimeFailure("engine", self._log.last())
