"""What the outputs of a file mean, whoever exported it.

Tools arrange the outputs of one and the same network in many ways: joined or split, channels first or last,
transposed, in any order, with or without selection. `arrange` lists every way in which the given shapes can be read and
takes the only one; it refuses when there is none, or several that nothing known about the file tells apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import permutations, product
from pathlib import Path
from typing import Any, NamedTuple

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


Shape = tuple[int, ...]


class _Part(NamedTuple):
    """Some channels of an output."""

    output: int
    channels_last: bool = False
    channels: slice = slice(None)

    def of(self, arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """(B, channels, ...): a view."""
        array = arrays[self.output]
        return (np.moveaxis(array, -1, 1) if self.channels_last else array)[:, self.channels]


_Head = tuple[tuple[_Part, ...], bool]
"""Boxes, scores and coefficients, (B, channels, A) each; or the rows (B, N, 6 + nm) of a selection, and True."""


class _Reading(NamedTuple):
    """One way to read outputs."""

    parts: tuple[_Part, ...]
    prototypes: _Part
    nms: bool

    def agrees(self, known: Known) -> bool:
        """Whether this is what is known of the file."""
        transposed = any(part.channels_last for part in self.parts)
        pairs = (
            (known.nms, self.nms),
            (known.channels_last, self.prototypes.channels_last),
            (known.transposed, transposed),
        )
        return all(said in (None, seen) for said, seen in pairs)


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
    lone small box proves nothing, pixels are the default. Values that are clearly not what `known` says are refused.

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
    given = _Outputs(tuple(array.shape for array in arrays), size, known)
    readings = _readings(given, named)
    if len(readings) != 1:
        raise ModelFileError(path, _complaint(given, ambiguous=bool(readings)))
    reading = readings[0]
    return _selected(reading, arrays, size, known) if reading.nms else _anchors(reading, arrays, size, known, path)


class _Outputs(NamedTuple):
    """Shapes of outputs, and what else tells how to read them."""

    shapes: tuple[Shape, ...]
    size: Size
    known: Known

    def readings(self, named: bool) -> Iterator[_Reading]:
        """Every way to read them; with `named` they are the split ones, in the order of `SPLIT`."""
        for index in range(len(self.shapes)):
            if named and index != SPLIT.index("prototypes"):
                continue
            others = [other for other in range(len(self.shapes)) if other != index]
            for count, channels_last in self._prototypes(index):
                heads = [] if named else [head for other in others for head in self._whole(other, index, count)]
                for triple in [tuple(others)] if named else permutations(others, 3):
                    heads.extend(self._split(triple, index, count))
                for parts, nms in heads:
                    yield _Reading(parts, _Part(index, channels_last), nms)

    def _prototypes(self, index: int) -> Iterator[tuple[int, bool]]:
        """Number of channels of prototypes, and whether they come last."""
        shape = self.shapes[index]
        if len(shape) != 4:
            return
        low = (self.size[0] // PROTOTYPE_STRIDE, self.size[1] // PROTOTYPE_STRIDE)
        for count, sides, channels_last in ((shape[1], shape[2:], False), (shape[3], shape[1:3], True)):
            if sides == low and self.known.coefficients in (None, count):
                yield count, channels_last

    def _columns(self, index: int, prototypes: int) -> Iterator[tuple[int, _Part]]:
        """Number of channels of an output that has a column for each anchor, and how it is seen so."""
        shape = self.shapes[index]
        if len(shape) != 3 or shape[0] != self.shapes[prototypes][0]:
            return
        anchors = anchor_count(self.size, self.known.strides)
        for count, columns, channels_last in ((shape[1], shape[2], False), (shape[2], shape[1], True)):
            if columns == anchors:
                yield count, _Part(index, channels_last)

    def _whole(self, index: int, prototypes: int, count: int) -> Iterator[_Head]:
        """Readings of an output that holds all of a head: joined, or selected."""
        shape = self.shapes[index]
        for channels, part in self._columns(index, prototypes):
            classes = channels - 4 - count
            if classes > 0 and self.known.classes in (None, classes):
                slices = (slice(4), slice(4, 4 + classes), slice(4 + classes, None))
                yield tuple(part._replace(channels=each) for each in slices), False
        if len(shape) == 3 and shape[0] == self.shapes[prototypes][0] and shape[2] == 6 + count:
            yield (_Part(index),), True

    def _split(self, triple: tuple[int, ...], prototypes: int, count: int) -> Iterator[_Head]:
        """Readings of three outputs as boxes, scores and coefficients."""
        for combination in product(*(self._columns(index, prototypes) for index in triple)):
            boxes, classes, coefficients = (channels for channels, _ in combination)
            if boxes == 4 and self.known.classes in (None, classes) and coefficients == count:
                yield tuple(part for _, part in combination), False


@lru_cache(maxsize=64)
def _readings(outputs: _Outputs, named: bool) -> list[_Reading]:
    """The way to read them, the same at every run: none, or several where nothing known tells them apart."""
    found = list(outputs.readings(named))
    return [reading for reading in found if reading.agrees(outputs.known)] or found if len(found) > 1 else found


def _anchors(reading: _Reading, arrays: Sequence[NDArray[Any]], size: Size, known: Known, path: str | Path) -> Anchors:
    boxes, scores, coefficients = (_f32(part.of(arrays)) for part in reading.parts)
    if _in_units(boxes, size, known, path):
        boxes = boxes * _sides(size)[:, None]
    return Anchors(boxes, scores, coefficients, _f32(reading.prototypes.of(arrays)))


def _selected(reading: _Reading, arrays: Sequence[NDArray[Any]], size: Size, known: Known) -> Selected:
    pictures = [_f32(rows)[rows[:, 4] > 0] for rows in reading.parts[0].of(arrays)]
    scale = _sides(size) if known.unit_boxes else np.float32(1)
    return Selected(
        xyxy=tuple(rows[:, :4] * scale for rows in pictures),
        confidence=tuple(rows[:, 4] for rows in pictures),
        classes=tuple(np.rint(rows[:, 5]).astype(np.int64) for rows in pictures),
        coefficients=tuple(rows[:, 6:] for rows in pictures),
        prototypes=_f32(reading.prototypes.of(arrays)),
    )


def _in_units(boxes: FloatArray, size: Size, known: Known, path: str | Path) -> bool:
    """Whether boxes (B, 4, A) of all anchors are in units of the input's sides.

    A side reaches at most 15 cells from its anchor, so a centre lies within 7.5 cells of it: the rightmost is beyond
    W - 64 in pixels, and below 1 + 224 / W in units. From 96 pixels on the two cannot be confused.
    """
    reach = float(np.fmax.reduce(boxes[:, 0], axis=None, initial=-np.inf))
    width, said = size[1], known.unit_boxes
    if said is None:
        if reach <= 4:
            return True
        if reach >= width / 4:
            return False
        raise ModelFileError(
            path, f"its boxes reach x = {reach:.3g} in an input {width} wide: neither pixels nor units of its sides"
        )
    # Taken for the other kind they would all be off the picture, or in a corner of it: no objects, and no word why.
    farthest = 1 + 7 * max(known.strides) / width
    if np.isfinite(reach) and (reach > 2 * farthest if said else width >= 96 and 0 < reach <= 4):
        meant, are = ("units of its sides", "pixels") if said else ("pixels", "units of its sides")
        raise ModelFileError(
            path,
            f"its metadata say that boxes are in {meant}, and they reach x = {reach:.3g} in an input {width} wide, as "
            f"{are} do: was head.boxes edited? Export it again",
        )
    return said


def _sides(size: Size) -> FloatArray:
    return np.array([size[1], size[0], size[1], size[0]], np.float32)


def _f32(array: NDArray[Any]) -> FloatArray:
    return array.astype(np.float32, copy=False)


def _classes(outputs: _Outputs) -> int | None:
    """Number of classes that outputs have scores for; None where they are not those of a head."""
    for reading in outputs.readings(named=False):
        if not reading.nms:
            output, channels_last, channels = reading.parts[1]
            count = outputs.shapes[output][2 if channels_last else 1]
            return len(range(*channels.indices(count)))
    return None


def _complaint(outputs: _Outputs, *, ambiguous: bool) -> str:
    """Why the outputs cannot be used: what they are, what is expected."""
    shapes, size, known = outputs
    given = "its outputs " + (", ".join(map(str, shapes)) or "(none)")
    classes, count = known.classes or "nc", known.coefficients or 32
    rows = 4 + count + known.classes if known.classes else f"{4 + count} + nc"
    low = f"{size[0] // PROTOTYPE_STRIDE}, {size[1] // PROTOTYPE_STRIDE}"
    anchors = anchor_count(size, known.strides)
    wanted = f"(B, {rows}, {anchors}) and (B, {count}, {low}) for {classes} classes at {size[0]}x{size[1]}"
    if ambiguous:
        return f"{given} can be read in several ways, and its metadata does not say which; the usual ones are {wanted}"
    if held := _classes(outputs._replace(known=replace(known, classes=None))):
        return f"its metadata name {known.classes} classes, and it has scores for {held}: names needs one for each"
    if all(len(shape) == 2 for shape in shapes):
        return f"{given} are not those of a segmentation model (a classification model?); expected {wanted}"
    if not any(len(shape) == 4 for shape in shapes):
        return f"{given} hold no mask prototypes: not a segmentation model (detection, pose?); expected {wanted}"
    return f"{given} do not belong to a segmentation model; expected {wanted}"
