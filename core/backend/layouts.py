"""What the outputs of a file mean, whoever exported it.

Tools arrange the outputs of one and the same network in many ways: joined or split, channels first or last,
transposed, in any order, with or without selection. `arrange` lists every way in which the given shapes can be read and
takes the only one; it refuses when there is none, or several that nothing known about the file tells apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.core.backend.base import Anchors, FloatArray, Selected
from segkit.core.backend.metadata import Metadata
from segkit.core.errors import ModelFileError
from segkit.core.images import Size

STRIDES = (8, 16, 32)
"""Of the levels of anchors, where a file does not say."""

PROTOTYPE_STRIDE = 4

SPLIT = ("boxes", "scores", "coefficients", "prototypes")
"""Names of split outputs, as segkit exports them; outputs of these names need no reading."""


@dataclass(frozen=True)
class Known:
    """What is known of a file besides the shapes of its outputs; None: nothing.

    Attributes:
        classes: number of classes.
        coefficients: number of mask coefficients.
        nms: selection happens inside the graph.
        unit_boxes: boxes are in units of the input's sides (0..1) instead of pixels.
        channels_last: prototypes end in their channels.
        transposed: anchors come before channels.
        strides: of the levels of anchors.
    """

    classes: int | None = None
    coefficients: int | None = None
    nms: bool | None = None
    unit_boxes: bool | None = None
    channels_last: bool | None = None
    transposed: bool | None = None
    strides: tuple[int, ...] = STRIDES

    @classmethod
    def of(cls, metadata: Metadata | None, *, channels_last: bool | None = None) -> Known:
        """From a file's metadata; `channels_last` as the predictor sees it in the file's input."""
        if metadata is None:
            return cls(channels_last=channels_last)
        classes, seal = len(metadata.names) or None, metadata.segkit
        if seal is None:
            nms = metadata.args.get("nms")
            return cls(classes, nms=None if nms is None else bool(nms), channels_last=channels_last)
        unit = seal.head.boxes == "unit"
        return cls(classes, seal.coefficients, seal.head.nms, unit, channels_last, False, seal.strides)


@dataclass(frozen=True)
class _Reading:
    """One way to read the outputs; views, nothing is computed yet."""

    parts: tuple[NDArray[Any], ...]
    """boxes, scores, coefficients (each (B, channels, A)), or the rows (B, N, 6 + nm) of a selection"""
    prototypes: NDArray[Any]
    nms: bool
    channels_last: bool
    transposed: bool

    def agrees(self, known: Known) -> bool:
        return all(
            getattr(known, name) in (None, getattr(self, name)) for name in ("nms", "channels_last", "transposed")
        )


def anchor_count(size: Size, strides: tuple[int, ...] = STRIDES) -> int:
    """Anchors of an input of `size`: one for each cell of each level."""
    return sum((size[0] // stride) * (size[1] // stride) for stride in strides)


def arrange(
    outputs: Mapping[str, NDArray[Any]] | Sequence[NDArray[Any]], size: Size, known: Known, path: str | Path
) -> Anchors | Selected:
    """Outputs of one run in segkit's terms: views where dtype and units allow, in the order and layout of the contract.

    Accepted, in any order and with unrelated extra outputs beside them:

    - joined (B, 4 + nc + nm, A), or transposed (B, A, 4 + nc + nm), and prototypes;
    - boxes, scores and coefficients as (B, channels, A) or (B, A, channels), and prototypes;
    - selected (B, N, 6 + nm): x1, y1, x2, y2, confidence, class, coefficients; rows of confidence 0 are padding;
    - prototypes as (B, nm, H/4, W/4) or (B, H/4, W/4, nm).

    Boxes in pixels and boxes in units are told apart by `known`, or else by the values: anchors cover the whole input,
    so the largest coordinate is about the input's side in one case and about 1 in the other. In a selection, where a
    lone small box proves nothing, pixels are the default.

    Args:
        outputs: arrays by name or in the file's order; names matter only where they are those of `SPLIT`.
        size: (height, width) of the input of this run.
        known: facts about the file.
        path: the file, for errors.

    Raises:
        ModelFileError: the outputs are those of another kind of model, or can be read in several ways.
    """
    named = isinstance(outputs, Mapping) and all(name in outputs for name in SPLIT)
    if isinstance(outputs, Mapping):
        arrays = [outputs[name] for name in SPLIT] if named else list(outputs.values())
    else:
        arrays = list(outputs)
    readings = list(_readings(arrays, size, known, named))
    if len(readings) > 1:
        readings = [reading for reading in readings if reading.agrees(known)] or readings
    if len(readings) != 1:
        raise ModelFileError(path, _complaint(arrays, size, known, ambiguous=bool(readings)))
    return _selected(readings[0], size, known) if readings[0].nms else _anchors(readings[0], size, known, path)


def _readings(arrays: list[NDArray[Any]], size: Size, known: Known, named: bool) -> Iterator[_Reading]:
    """Every way to read the outputs; with `named` they are the split ones, in the order of `SPLIT`."""
    for index, array in enumerate(arrays):
        if named and index != SPLIT.index("prototypes"):
            continue
        others = arrays[:index] + arrays[index + 1 :]
        for prototypes, channels_last in _prototypes(array, size, known):
            heads = [] if named else [head for other in others for head in _whole(other, prototypes, size, known)]
            for triple in [tuple(others)] if named else permutations(others, 3):
                heads.extend(_split(triple, prototypes, size, known))
            for parts, transposed, nms in heads:
                yield _Reading(parts, prototypes, nms, channels_last, transposed)


_Head = tuple[tuple[NDArray[Any], ...], bool, bool]
"""Parts, transposed, nms: see `_Reading`."""


def _prototypes(array: NDArray[Any], size: Size, known: Known) -> Iterator[tuple[NDArray[Any], bool]]:
    """`array` as (B, nm, H/4, W/4), and whether its channels come last."""
    if array.ndim != 4:
        return
    for view, channels_last in ((array, False), (array.transpose(0, 3, 1, 2), True)):
        fits = view.shape[2:] == (size[0] // PROTOTYPE_STRIDE, size[1] // PROTOTYPE_STRIDE)
        if fits and known.coefficients in (None, view.shape[1]):
            yield view, channels_last


def _columns(array: NDArray[Any], batch: int, size: Size, known: Known) -> Iterator[tuple[NDArray[Any], bool]]:
    """`array` as (B, channels, A), and whether it is transposed for that."""
    if array.ndim == 3 and array.shape[0] == batch:
        for view, transposed in ((array, False), (array.transpose(0, 2, 1), True)):
            if view.shape[2] == anchor_count(size, known.strides):
                yield view, transposed


def _whole(array: NDArray[Any], prototypes: NDArray[Any], size: Size, known: Known) -> Iterator[_Head]:
    """Readings of an array that holds all of a head: joined, or selected."""
    batch, count = prototypes.shape[:2]
    for view, transposed in _columns(array, batch, size, known):
        classes = view.shape[1] - 4 - count
        if classes > 0 and known.classes in (None, classes):
            yield (view[:, :4], view[:, 4:-count], view[:, -count:]), transposed, False
    if array.ndim == 3 and array.shape[0] == batch and array.shape[2] == 6 + count:
        yield (array,), False, True


def _split(triple: tuple[NDArray[Any], ...], prototypes: NDArray[Any], size: Size, known: Known) -> Iterator[_Head]:
    """Readings of three arrays as boxes, scores and coefficients."""
    batch, count = prototypes.shape[:2]
    for combination in product(*(_columns(array, batch, size, known) for array in triple)):
        parts = tuple(view for view, _ in combination)
        boxes, classes, coefficients = (part.shape[1] for part in parts)
        if boxes == 4 and known.classes in (None, classes) and coefficients == count:
            yield parts, any(transposed for _, transposed in combination), False


def _anchors(reading: _Reading, size: Size, known: Known, path: str | Path) -> Anchors:
    boxes, scores, coefficients = (_f32(part) for part in reading.parts)
    unit = known.unit_boxes
    if _in_units(boxes, size, path) if unit is None else unit:
        boxes = boxes * _sides(size)[:, None]
    return Anchors(boxes, scores, coefficients, _f32(reading.prototypes))


def _selected(reading: _Reading, size: Size, known: Known) -> Selected:
    pictures = [_f32(rows)[rows[:, 4] > 0] for rows in reading.parts[0]]
    scale = _sides(size) if known.unit_boxes else np.float32(1)
    return Selected(
        xyxy=tuple(rows[:, :4] * scale for rows in pictures),
        confidence=tuple(rows[:, 4] for rows in pictures),
        classes=tuple(np.rint(rows[:, 5]).astype(np.int64) for rows in pictures),
        coefficients=tuple(rows[:, 6:] for rows in pictures),
        prototypes=_f32(reading.prototypes),
    )


def _in_units(boxes: FloatArray, size: Size, path: str | Path) -> bool:
    """Whether boxes (B, 4, A) of all anchors are in units of the input's sides.

    A side reaches at most 15 cells from its anchor, so a centre lies within 7.5 cells of it: the rightmost is beyond
    W - 64 in pixels, and below 1 + 224 / W in units. From 96 pixels on the two cannot be confused.
    """
    reach = float(np.fmax.reduce(boxes[:, 0], axis=None))
    if reach <= 4:
        return True
    if reach >= size[1] / 4:
        return False
    raise ModelFileError(
        path, f"its boxes reach x = {reach:.3g} in an input {size[1]} wide: neither pixels nor units of its sides"
    )


def _sides(size: Size) -> FloatArray:
    return np.array([size[1], size[0], size[1], size[0]], np.float32)


def _f32(array: NDArray[Any]) -> FloatArray:
    return array.astype(np.float32, copy=False)


def _complaint(arrays: list[NDArray[Any]], size: Size, known: Known, *, ambiguous: bool) -> str:
    """Why the outputs cannot be used: what they are, what is expected."""
    given = "its outputs " + (", ".join(str(tuple(array.shape)) for array in arrays) or "(none)")
    classes, count = known.classes or "nc", known.coefficients or 32
    rows = 4 + count + known.classes if known.classes else f"{4 + count} + nc"
    low = f"{size[0] // PROTOTYPE_STRIDE}, {size[1] // PROTOTYPE_STRIDE}"
    anchors = anchor_count(size, known.strides)
    wanted = f"(B, {rows}, {anchors}) and (B, {count}, {low}) for {classes} classes at {size[0]}x{size[1]}"
    if ambiguous:
        return f"{given} can be read in several ways, and its metadata does not say which; the usual ones are {wanted}"
    if all(array.ndim == 2 for array in arrays):
        return f"{given} are not those of a segmentation model (a classification model?); expected {wanted}"
    if not any(array.ndim == 4 for array in arrays):
        return f"{given} hold no mask prototypes: not a segmentation model (detection, pose?); expected {wanted}"
    return f"{given} do not belong to a segmentation model; expected {wanted}"
