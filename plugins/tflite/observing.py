"""Ranges of a network's tensors: its numbers are counted on calibration pictures, and the range chosen for each tensor
is the one that leaves the least error. The whole range that was seen, which is what the converter takes, wastes most of
the 256 steps on a few extremes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from math import gcd
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segkit.core.backend import Calibration
from segkit.core.backend.ranges import Histogram, Seen, best_range
from segkit.core.cores import physical
from segkit.core.errors import ExportError
from segkit.core.images import ImageBatch
from segkit.plugins.tflite.outline import Call, Range, read_calls
from segkit.plugins.tflite.running import interpreter, unsaid

_LAYERS = {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"}
"""Operators with weights."""

_SHARING = {"CONCATENATION", "MAX_POOL_2D", "RESHAPE", "RESIZE_NEAREST_NEIGHBOR", "SLICE", "SPLIT", "STRIDED_SLICE"}
"""Operators that pass numbers on: what they take and what they give has one range, or all would be rounded anew."""

_FIXED = {"LOGISTIC", "SOFTMAX"}
"""Operators whose outputs have the range of their definition."""

_NORMS = (2.0, 2.5, 3.0, 4.0, 5.0)
"""In which errors are added up."""

_PICTURES = 64
"""Counted at most; more change nothing."""

_SAMPLES = 1 << 16
"""Numbers of a tensor that are counted of a picture; neighbours are alike."""


class _Product(NamedTuple):
    """Where a tensor's numbers come from: those of `counted`, through SiLU or not, in front of SiLU or not."""

    counted: str
    behind: bool
    before: bool


def proposed_ranges(
    observed: bytes, calibration: Calibration, floating_end: bool, report: Callable[[str], None]
) -> Iterator[dict[str, Range | None]]:
    """Ranges of tensors, by their names, where others than those that were seen serve better: several proposals, each
    best in another norm. Which is best for the network as a whole cannot be told from its tensors: what counts are
    errors that do not cancel, above all in the first layers, and those are a matter of luck.

    Args:
        observed: a file in float32 with the ranges that its tensors were seen to have.
        calibration: pictures of the input's size.
        floating_end: leave what no layer comes behind without a range: it then stays in float32. Else it keeps the
            whole range that was seen: its extremes are the objects.
        report: called with a few words every now and then.

    Raises:
        ExportError: a number is not finite: the weights are damaged.
    """
    calls = read_calls(observed)
    last = _last(calls)
    sources = _sources(calls)
    groups = [group for group in _groups(calls, last) if any(name in sources for name in group)]
    wanted = {sources[name].counted for group in groups for name in group if name in sources}
    counts = _count(observed, wanted, calibration, report)
    seen = [[_seen(sources[name], counts) for name in group if name in sources] for group in groups]
    for norm in _NORMS:
        ranges: dict[str, Range | None] = {}
        for group, members in zip(groups, seen, strict=True):
            ranges |= dict.fromkeys(group, best_range(members, norm))
        yield ranges | (dict.fromkeys(last) if floating_end else {})


def _last(calls: list[Call]) -> set[str]:
    """Names of the tensors that no layer comes behind."""
    arithmetic: set[str] = set()  # tensors behind the distribution of a box's sides, whose mean is written as a layer
    for call in calls:
        if call.operator == "SOFTMAX" or arithmetic & {*call.inputs}:
            arithmetic |= {*call.outputs}
    before: set[str] = set()  # tensors that a layer is computed from
    for call in reversed(calls):
        layer = call.operator in _LAYERS and not arithmetic & {*call.outputs}
        if layer or before & {*call.outputs}:
            before |= {*call.inputs}
    return {name for call in calls if not before & {*call.outputs} for name in call.outputs}


def _sources(calls: list[Call]) -> dict[str, _Product]:
    """Of each tensor that is computed, and not passed on or fixed. SiLU is written as x · sigmoid(x)."""
    gates = {call.outputs[0]: call.inputs[0] for call in calls if call.operator == "LOGISTIC"}
    found = {}
    for call in calls:
        if call.operator in _SHARING | _FIXED:
            continue
        gated = [name for name in call.inputs if call.operator == "MUL" and gates.get(name) in call.inputs]
        for name in call.outputs:
            before = name in gates.values()
            found[name] = _Product(gates[gated[0]], True, before) if gated else _Product(name, False, before)
    return found


def _groups(calls: list[Call], last: set[str]) -> list[set[str]]:
    """Tensors that share a range; those that are `last`, or whose range is fixed, are in none."""
    fixed = {name for call in calls if call.operator in _FIXED for name in call.outputs}
    group_of: dict[str, set[str]] = {}
    for call in calls:
        outputs = set(call.outputs)
        if call.operator in _SHARING and not (outputs & last or {*call.inputs} & fixed):
            outputs = outputs.union(*(group_of.get(name, set()) for name in call.inputs))
        for name in outputs:
            group_of[name] = outputs
    return [group - last - fixed for group in {id(group): group for group in group_of.values()}.values()]


def _seen(source: _Product, counts: dict[str, Histogram]) -> Seen:
    histogram = counts[source.counted].coarser(4)
    if source.behind:
        return Seen.behind_silu(histogram)
    return Seen.before_silu(histogram) if source.before else Seen.plain(histogram)


def outputs(content: bytes, calibration: Calibration, most: int) -> list[NDArray[np.float32]]:
    """What a file gives for some of the pictures, as real numbers: for each of its outputs an array, (N, …)."""
    runtime = _laid_out(content)
    (pixels,), places = runtime.get_input_details(), sorted(runtime.get_output_details(), key=itemgetter("name"))
    found: list[list[NDArray[np.float32]]] = [[] for _ in places]
    for batch in _some(calibration, most):
        runtime.set_tensor(pixels["index"], _as_stored(_pixels(batch), pixels))
        runtime.invoke()
        for arrays, place in zip(found, places, strict=True):
            arrays.append(_as_meant(runtime.get_tensor(place["index"]), place))
    return [np.concatenate(arrays) for arrays in found]


def _pixels(batch: ImageBatch) -> NDArray[np.float32]:
    return np.divide(batch.u8_nhwc, 255, dtype=np.float32)


def _as_stored(numbers: NDArray[np.float32], place: dict[str, Any]) -> NDArray[Any]:
    scale, zero = place["quantization"]
    if not scale:
        return numbers
    limits = np.iinfo(place["dtype"])
    stored: NDArray[Any] = np.clip(np.rint(numbers / np.float32(scale)) + zero, limits.min, limits.max)
    return stored.astype(place["dtype"])


def _as_meant(numbers: NDArray[Any], place: dict[str, Any]) -> NDArray[np.float32]:
    scale, zero = place["quantization"]
    return (numbers.astype(np.float32) - zero) * np.float32(scale) if scale else numbers


def _laid_out(content: bytes, **options: Any) -> Any:
    with unsaid(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it takes memory to keep all tensors
        runtime: Any = interpreter()(model_content=content, num_threads=physical(), **options)
        runtime.allocate_tensors()
    return runtime


def _some(calibration: Calibration, most: int) -> Iterator[ImageBatch]:
    """Batches from all over the pictures."""
    step = -(-len(calibration) // most)
    return (batch for number, batch in enumerate(calibration) if number % step == 0)


def step_through(numbers: int, channels: int) -> int:
    """How far apart the numbers of a tensor are that are counted; channels come last, and all of them are met alike."""
    step = max(1, numbers // _SAMPLES)
    while gcd(step, channels) > 1:
        step += 1
    return step


def _count(
    observed: bytes, names: Iterable[str], calibration: Calibration, report: Callable[[str], None]
) -> dict[str, Histogram]:
    found = {name: Histogram() for name in names}
    runtime = _laid_out(observed, experimental_preserve_all_tensors=True)
    (pixels,) = (item["index"] for item in runtime.get_input_details())
    places = {item["name"]: item["index"] for item in runtime.get_tensor_details() if item["name"] in found}
    done = 0
    for batch in _some(calibration, _PICTURES):
        if done % 16 == 0:
            report(f"choosing ranges: picture {done + 1} of {min(len(calibration), _PICTURES)}")
        done += len(batch.u8_nhwc)
        runtime.set_tensor(pixels, _pixels(batch))
        runtime.invoke()
        for name, place in places.items():
            numbers = runtime.get_tensor(place)
            try:
                found[name].add(numbers.ravel()[:: step_through(numbers.size, numbers.shape[-1])])
            except ValueError as error:
                raise ExportError("tflite", f"'{name}' is {error} on a calibration picture") from None
    return found
