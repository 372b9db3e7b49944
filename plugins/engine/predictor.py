"""Runs a plan on a GPU, whoever built it; never imports torch.

Every tensor has memory on the GPU and page-locked memory here, both kept from run to run. Pictures are copied into the
latter (and rounded on the way where the plan takes float16); the copy to the GPU, the network, and the copies back are
queued on one stream and waited for once; then each output is copied once, into an array that is the caller's.
"""

from __future__ import annotations

from contextlib import ExitStack
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.core.backend import Anchors, Metadata, Predictor, Selected
from segkit.core.backend.batching import run_in_chunks
from segkit.core.backend.layouts import Known, arrange
from segkit.core.errors import ModelFileError, OptionError, RuntimeFailure
from segkit.core.images import ImageBatch
from segkit.plugins.engine.cuda import Buffer, Buffers, Gpu
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
        # These three stand nowhere else, not even in a local name: a traceback would keep them beyond the context.
        self._context: Any = None
        self._engine: Any = None
        self._runtime: Any = None
        with ExitStack() as undo:
            undo.callback(self._let_go)
            with gpu.current():
                self._load(plan, trt, dla)
            undo.pop_all()
        self._active = 0

    def _load(self, plan: bytes, trt: Any, dla: int | None) -> None:
        self._runtime = trt.Runtime(self._log)
        if dla is not None:
            self._runtime.DLA_core = dla
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise ModelFileError(self._path, f"the runtime refuses it ({self._log.last()})")
        self._read_signature(trt)
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise RuntimeFailure("engine", f"there is no room to run it ({self._log.last()})")

    def _read_signature(self, trt: Any) -> None:
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        inputs = [name for name in names if self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        if len(inputs) != 1:
            raise ModelFileError(self._path, f"it takes {len(inputs)} inputs, not pictures alone")
        self._input = inputs[0]
        self._types = {name: np.dtype(trt.nptype(self._engine.get_tensor_dtype(name))) for name in names}
        self._outputs = [name for name in names if name != self._input]
        shape = tuple(self._engine.get_tensor_shape(self._input))
        if len(shape) != 4 or shape[1] != 3:
            raise ModelFileError(self._path, f"its input is {shape}, not pictures (batch, 3, height, width)")
        if self._types[self._input] not in (np.float32, np.float16):
            raise ModelFileError(
                self._path, f"its input is {self._types[self._input]}; float32 and float16 are understood"
            )
        self._profiles = [Profile.fixed(shape)]
        if -1 in shape:
            every = range(self._engine.num_optimization_profiles)
            found = [self._engine.get_tensor_profile_shape(self._input, index) for index in every]
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
        with self._gpu.current():
            outputs = run_in_chunks(batch.f32_nchw, size, self._compute)
        return arrange(dict(zip(self._outputs, outputs, strict=True)), batch.size, self._known, self._path)

    def warm_up(self) -> None:
        """One run on black pictures: memory is taken, and what the runtime puts off until then is done."""
        with self._gpu.current():
            self._compute(np.zeros(self._profiles[0].best, np.float32))

    def close(self) -> None:
        """Free the plan and its memory, what was made last first, the GPU's context last of all."""
        try:
            self._let_go()
        finally:
            self._gpu.close()

    def _let_go(self) -> None:
        """All that lives in the GPU's context."""
        with self._gpu.current(), ExitStack() as last_first:
            last_first.callback(self._forget)
            last_first.callback(self._buffers.close)
            self._gpu.wait()  # a run that failed half-way may have left copies on their way

    def _forget(self) -> None:
        self._context = None
        self._engine = None
        self._runtime = None

    def _compute(self, images: NDArray[np.float32]) -> list[NDArray[Any]]:
        """(b, 3, H, W) → outputs, in the order of their names."""
        self._go_through(images.shape)
        shapes: dict[str, Shape] = {self._input: images.shape}
        for name in self._outputs:
            shapes[name] = tuple(self._context.get_tensor_shape(name))
            if min(shapes[name], default=0) < 0:
                raise ModelFileError(self._path, f"the size of its output '{name}' depends on the picture")
        buffers: dict[str, Buffer] = {}
        arrays: dict[str, NDArray[Any]] = {}
        for name, shape in shapes.items():
            buffers[name] = self._buffers.of(name, prod(shape) * self._types[name].itemsize)
            arrays[name] = buffers[name].array(shape, self._types[name])
            self._context.set_tensor_address(name, buffers[name].device)
        np.copyto(arrays[self._input], images)
        self._gpu.upload(buffers[self._input], arrays[self._input].nbytes)
        if not self._context.execute_async_v3(self._gpu.stream):
            raise RuntimeFailure("engine", self._log.last())
        for name in self._outputs:
            self._gpu.download(buffers[name], arrays[name].nbytes)
        self._gpu.wait()
        return [arrays[name].copy() for name in self._outputs]

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
