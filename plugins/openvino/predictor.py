"""Runs an OpenVINO file, whoever wrote it; never imports torch."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.core.backend import Anchors, LoadOptions, Metadata, Precision, Predictor, Selected
from segkit.core.backend.batching import run_in_chunks
from segkit.core.backend.layouts import Known, arrange
from segkit.core.errors import ModelFileError, OptionError, RuntimeFailure
from segkit.core.images import ImageBatch
from segkit.plugins.openvino import Hint, OpenVinoLoadOptions
from segkit.plugins.openvino.devices import CPU, device
from segkit.plugins.openvino.folder import Folder
from segkit.plugins.openvino.runtime import core_of_this_process, first_line, ov

_NUMBERS: dict[str, np.dtype[Any]] = {"f32": np.dtype(np.float32), "f16": np.dtype(np.float16)}


class OpenVinoPredictor(Predictor):
    """A compiled network. Any thread may call it at any time; every output is an array of its own."""

    def __init__(self, folder: Folder, options: LoadOptions, metadata: Metadata) -> None:
        """Compile the network for `options.device`; `metadata` is what the folder says about itself.

        Raises:
            ModelFileError: OpenVINO cannot read it, or it is not a network that takes pictures alone.
            OptionError: there is no such device here.
            RuntimeFailure: the device cannot run it.
        """
        assert isinstance(options, OpenVinoLoadOptions)
        self._path, self._known = folder.path, Known.of(metadata, channels_last=False)
        core = core_of_this_process()
        place = device(core, options.device)
        model = _read(core, folder)
        self._kind, self._batch, self._size = _input(model, folder)
        self._compiled = _compile(core, model, place, options, metadata.precision)
        self._outputs = [_name(output, number) for number, output in enumerate(self._compiled.outputs)]
        # A request holds the input and the outputs of one run. Whoever runs takes one that is free.
        self._requests: deque[Any] = deque()
        self._side_by_side: ThreadPoolExecutor | None = None
        if options.hint is Hint.THROUGHPUT:
            lanes = int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
            self._side_by_side = ThreadPoolExecutor(lanes, thread_name_prefix="segkit-openvino")

    def run(self, batch: ImageBatch) -> Anchors | Selected:
        """Compute; a file with a fixed batch gets the pictures in portions.

        Raises:
            OptionError: the file takes pictures of another size only.
            ModelFileError: the outputs are not those of a segmentation network.
            RuntimeFailure: OpenVINO failed.
        """
        if any(side is not None and side != given for side, given in zip(self._size, batch.size, strict=True)):
            wanted = "x".join(str(side or "any") for side in self._size)
            raise OptionError.invalid(
                "imgsz", batch.size, f"this OpenVINO file takes {wanted} only; export with dynamic=True to free it"
            )
        images: NDArray[Any] = batch.f32_nchw.astype(self._kind, copy=False)
        outputs = self._all(images)
        return arrange(dict(zip(self._outputs, outputs, strict=True)), batch.size, self._known, self._path)

    def warm_up(self) -> None:
        """One run on black pictures: kernels are made and memory is laid out at the first run."""
        self._compute(np.zeros((self._batch or 1, 3, *(side or 640 for side in self._size)), self._kind))

    def close(self) -> None:
        """Free the network."""
        if self._side_by_side:
            self._side_by_side.shutdown()
        self._requests.clear()
        del self._compiled

    def _all(self, images: NDArray[Any]) -> list[NDArray[Any]]:
        if self._side_by_side is None:
            return run_in_chunks(images, self._batch or len(images), self._compute)
        chunk = self._batch or 1
        portions = [images[start : start + chunk] for start in range(0, len(images), chunk)]
        done = list(self._side_by_side.map(lambda part: run_in_chunks(part, chunk, self._compute), portions))
        return done[0] if len(done) == 1 else [np.concatenate(outputs) for outputs in zip(*done, strict=True)]

    def _compute(self, images: NDArray[Any]) -> list[NDArray[Any]]:
        with self._request() as request:
            try:
                request.infer([np.ascontiguousarray(images)], share_inputs=True)
            except RuntimeError as error:
                raise RuntimeFailure("openvino", first_line(error)) from error
            # Copies: the request's own arrays are written to by its next run.
            return [np.array(tensor.data) for tensor in request.output_tensors]

    @contextmanager
    def _request(self) -> Iterator[Any]:
        try:
            request = self._requests.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        yield request
        self._requests.append(request)  # one that has failed is not used again


def _read(core: ov.Core, folder: Folder) -> ov.Model:
    try:
        return core.read_model(str(folder.graph_file), str(folder.weights_file))
    except RuntimeError as error:
        raise ModelFileError(folder.path, f"OpenVINO refuses it ({first_line(error)})") from error


def _input(model: ov.Model, folder: Folder) -> tuple[np.dtype[Any], int | None, tuple[int | None, int | None]]:
    """Type, batch and (height, width) of the input; None where free."""
    if len(model.inputs) != 1:
        raise ModelFileError(folder.path, f"it takes {len(model.inputs)} inputs, not pictures alone")
    taken = model.inputs[0]
    kind, shape = taken.get_element_type().to_string(), taken.get_partial_shape()
    sides = [side.get_length() if side.is_static else None for side in shape] if shape.rank.is_static else []
    if len(sides) != 4 or sides[1] not in (3, None):
        words = "x".join(str(side or "any") for side in sides)
        raise ModelFileError(folder.path, f"its input is {words}, not pictures (batch, 3, height, width)")
    if kind not in _NUMBERS:
        raise ModelFileError(folder.path, f"its input is {kind}; f32 and f16 are understood")
    return _NUMBERS[kind], sides[0], (sides[2], sides[3])


def _compile(
    core: ov.Core, model: ov.Model, place: str, options: OpenVinoLoadOptions, precision: Precision
) -> ov.CompiledModel:
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": options.hint.upper(),
        # Left to itself OpenVINO computes in bfloat16 or float16 wherever a device is quicker at it. A CPU that is
        # asked for float16 and has none takes bfloat16, which keeps 8 bits where the file has 11.
        "INFERENCE_PRECISION_HINT": "f16" if precision is Precision.FP16 and not place.startswith(CPU) else "f32",
    }
    if place == CPU:
        # A core of its own for every thread is quickest where nothing else runs; elsewhere threads pile up on it.
        settings["ENABLE_CPU_PINNING"] = False
        if options.threads:
            settings["INFERENCE_NUM_THREADS"] = options.threads
    try:
        return core.compile_model(model, place, settings)
    except RuntimeError as error:
        raise RuntimeFailure("openvino", f"{place} cannot run it: {first_line(error)}") from error


def _name(output: Any, number: int) -> str:
    """The first of its names in the order of the alphabet: OpenVINO keeps them in none."""
    return min(output.get_names(), default=f"output {number}")
