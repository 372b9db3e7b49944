"""Runs a TorchScript file, whoever wrote it, with torch's own interpreter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segkit.core.backend import Anchors, LoadOptions, Metadata, Predictor, Selected
from segkit.core.backend.batching import run_in_chunks
from segkit.core.backend.layouts import Known, arrange
from segkit.core.errors import ModelFileError, OptionError, RuntimeFailure
from segkit.core.images import ImageBatch
from segkit.core.model.devices import exact, resolve
from segkit.plugins.torchscript.quiet import no_deprecations


class TorchScriptPredictor(Predictor):
    """A traced network. Any thread may call it at any time; every output is an array of its own."""

    def __init__(self, path: Path, options: LoadOptions, metadata: Metadata) -> None:
        """Load `path` on `options.device`; `metadata` is what the file says about itself.

        Raises:
            ModelFileError: torch cannot read it.
            OptionError: there is no such device here.
        """
        self._path, self._metadata, self._known = path, metadata, Known.of(metadata, channels_last=False)
        self._device = resolve(options.device)
        if options.threads:
            torch.set_num_threads(options.threads)  # torch knows one number for the whole process
        try:
            with no_deprecations():
                self._module = torch.jit.load(str(path), map_location=self._device).eval()
        except (RuntimeError, ValueError, OSError) as error:
            raise ModelFileError(path, f"torch refuses it ({_last_line(error)})") from error
        self._type = _input_type(self._module, metadata)
        if self._device.type == "cpu" and self._type is torch.float32:
            self._module.float()  # our half files: the same weights, but torch computes half on a CPU 30 times slower

    def run(self, batch: ImageBatch) -> Anchors | Selected:
        """Compute; a file with a fixed batch gets the pictures in portions.

        Raises:
            OptionError: the file takes pictures of another size only.
            ModelFileError: the outputs are not those of a segmentation network.
            RuntimeFailure: torch failed.
        """
        own = self._metadata
        if not own.dynamic_size and batch.size != own.imgsz:
            height, width = own.imgsz
            raise OptionError.invalid(
                "imgsz", batch.size, f"this file takes {height}x{width} only; export with dynamic=True to free it"
            )
        chunk = len(batch) if own.dynamic_batch else own.batch
        outputs = run_in_chunks(batch.f32_nchw, chunk, self._compute)
        return arrange(outputs, batch.size, self._known, self._path)

    def warm_up(self) -> None:
        """One run on black pictures: kernels are chosen and memory is laid out."""
        own = self._metadata
        self._compute(np.zeros((own.batch, 3, *own.imgsz), np.float32))

    def close(self) -> None:
        """Free the weights."""
        del self._module

    def _compute(self, pictures: NDArray[np.float32]) -> list[NDArray[Any]]:
        if not pictures.flags.writeable:  # torch warns about arrays that it could write to and must not
            pictures = pictures.copy()
        try:
            # Without the optimizer, which watches the first runs and compiles at the second: it takes a second and
            # saves nothing here.
            plain = torch.jit.optimized_execution(False)  # type: ignore[attr-defined]
            with torch.inference_mode(), plain, exact(self._device, self._type):
                images = torch.from_numpy(pictures).to(self._device, self._type, memory_format=torch.channels_last)
                return [output.cpu().numpy() for output in _tensors(self._module(images))]
        except (RuntimeError, MemoryError) as error:
            raise RuntimeFailure("torchscript", self._advice(_last_line(error))) from error

    def _advice(self, problem: str) -> str:
        if self._metadata.segkit or "imgsz" in self._metadata.model_fields_set:
            return problem
        return f"{problem}; the file does not say which imgsz and batch it was made for: give them"


def _input_type(module: torch.jit.ScriptModule, metadata: Metadata) -> torch.dtype:
    """Our files take float32 whatever they compute in; others take what their weights are."""
    if metadata.segkit:
        return torch.float32
    weights = [tensor.dtype for tensor in module.parameters() if tensor.is_floating_point()]
    if weights:
        return weights[0]
    return torch.float16 if metadata.args.get("half") is True else torch.float32


def _tensors(outputs: Any) -> Iterator[torch.Tensor]:
    """The tensors among nested outputs, in order."""
    if isinstance(outputs, torch.Tensor):
        yield outputs
    elif isinstance(outputs, dict):
        yield from _tensors(list(outputs.values()))
    elif isinstance(outputs, list | tuple):
        for output in outputs:
            yield from _tensors(output)


def _last_line(error: BaseException) -> str:
    """What went wrong: the end of a message that begins with the whole course of the program."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    told = [line for line in lines if line.startswith("RuntimeError: ")]
    return (told[-1] if told else lines[0]).removeprefix("RuntimeError: ")[:200]
