"""Runs an ONNX file, whoever wrote it, with onnxruntime; never imports torch."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from segkit.core.backend import Anchors, LoadOptions, Metadata, Predictor, Selected
from segkit.core.backend.batching import run_in_chunks
from segkit.core.backend.layouts import Known, arrange
from segkit.core.errors import ModelFileError, OptionError, RuntimeFailure
from segkit.core.images import ImageBatch
from segkit.plugins.onnx.providers import CPU, provider

_SILENT = 4  # "fatal": whatever matters is raised as well, and the rest would spill over the user's screen
_NUMERIC = re.compile(r"tensor\((float|float16|double|u?int\d+)\)")
_NUMBERS: dict[str, np.dtype[Any]] = {"tensor(float)": np.dtype(np.float32), "tensor(float16)": np.dtype(np.float16)}


class OnnxPredictor(Predictor):
    """A session of onnxruntime. Thread-safe, as the session is; outputs are arrays of their own."""

    def __init__(self, path: Path, options: LoadOptions, metadata: Metadata | None) -> None:
        """Load `path` on `options.device`; `metadata` is what the file says about itself.

        Raises:
            ModelFileError: the file is damaged, of another kind, or not a segmentation network.
            OptionError: this build of onnxruntime cannot run on that device.
            RuntimeFailure: the device refuses to start.
        """
        self._path, self._known = path, Known.of(metadata, channels_last=False)
        self._session = _open(path, options)
        # Extra outputs that are no numbers (sequences, texts) are not asked for.
        self._outputs = [output.name for output in self._session.get_outputs() if _NUMERIC.fullmatch(output.type)]
        if len(inputs := self._session.get_inputs()) != 1:
            raise ModelFileError(path, f"it takes {len(inputs)} inputs, not pictures alone")
        self._input = inputs[0]
        if len(self._input.shape) != 4 or self._input.shape[1] != 3:
            raise ModelFileError(
                path, f"its input is {_words(self._input.shape)}, not pictures (batch, 3, height, width)"
            )
        if self._input.type not in _NUMBERS:
            raise ModelFileError(path, f"its input is {self._input.type}; float and float16 are understood")
        self._batch, _, *self._size = self._input.shape

    def run(self, batch: ImageBatch) -> Anchors | Selected:
        """Compute; a file with a fixed batch gets the pictures in portions.

        Raises:
            OptionError: the file takes pictures of another size only.
            ModelFileError: the outputs are not those of a segmentation network.
            RuntimeFailure: onnxruntime failed.
        """
        if any(isinstance(side, int) and side != given for side, given in zip(self._size, batch.size, strict=True)):
            raise OptionError.invalid(
                "imgsz",
                batch.size,
                f"this ONNX file takes {_words(self._size)} only; export with dynamic=True to free it",
            )
        images: NDArray[Any] = batch.f32_nchw.astype(_NUMBERS[self._input.type], copy=False)
        if isinstance(self._batch, int):
            outputs = run_in_chunks(images, self._batch, self._compute)
        else:
            outputs = self._compute(images)
        return arrange(dict(zip(self._outputs, outputs, strict=True)), batch.size, self._known, self._path)

    def warm_up(self) -> None:
        """One run on black pictures: the runtime plans its memory at the first run."""
        batch = self._batch if isinstance(self._batch, int) else 1
        size = [side if isinstance(side, int) else 640 for side in self._size]
        self._compute(np.zeros((batch, 3, *size), _NUMBERS[self._input.type]))

    def close(self) -> None:
        """Free the session."""
        del self._session

    def _compute(self, images: NDArray[Any]) -> list[NDArray[Any]]:
        try:
            outputs: list[NDArray[Any]] = self._session.run(self._outputs, {self._input.name: images})
        except Exception as error:  # onnxruntime has a dozen classes of exceptions without a common base
            raise RuntimeFailure("onnx", _first_line(error)) from error
        return outputs


def may_overflow(facts: Path = Path("/proc/cpuinfo"), machine: str = platform.machine()) -> bool:
    """Whether onnxruntime's usual kernel for int8 may overflow: on x86 without VNNI. With VNNI the other one is no more
    exact, and takes nearly twice as long. Systems that do not say what the processor has get the exact one.
    """
    if machine.lower() not in ("x86_64", "amd64", "i386", "i686"):
        return False
    try:
        with facts.open(encoding="utf-8", errors="replace") as lines:
            flags = next((line for line in lines if line.startswith("flags")), "")
    except OSError:
        return True
    return not {"avx512_vnni", "avx_vnni"} & {*flags.split()}


def _open(path: Path, options: LoadOptions) -> Any:
    settings = ort.SessionOptions()
    settings.log_severity_level = _SILENT
    settings.intra_op_num_threads = options.threads or 0
    # Threads spin while a run lasts, which is fastest, and sleep when it ends: the work between two runs has the cores.
    settings.add_session_config_entry("session.force_spinning_stop", "1")
    if settings.intra_op_num_threads > (os.cpu_count() or 1):  # those that spin would keep the others from working
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if may_overflow():
        settings.add_session_config_entry("session.x64quantprecision", "1")
    ort.disable_telemetry_events()  # where the environment variable is not looked at (Windows)
    name, arguments = provider(options.device)
    rest = [] if name == CPU else [CPU]  # for the few operators that a device lacks
    try:
        session = ort.InferenceSession(str(path), settings, providers=[(name, arguments), *rest], enable_fallback=0)
    except Exception as error:
        raise ModelFileError(path, f"onnxruntime refuses it ({_first_line(error)})") from error
    if name not in session.get_providers():  # onnxruntime goes on with the CPU, and only logs why
        raise RuntimeFailure("onnx", f"{name} did not start: its drivers or libraries are missing or do not fit")
    return session


def _words(shape: Any) -> str:
    return "x".join(str(side or "any") for side in shape)


def _first_line(error: Exception) -> str:
    """Its first line, without the runtime's own numbering of errors."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", first)[:200]
