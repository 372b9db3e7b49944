"""The lines that a training shows: which columns a terminal has room for, and what stands in them. Text alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from segkit.core.notices import size_of

if TYPE_CHECKING:
    from segkit.core.training.record import EpochRecord

GAP = 2
"""Blanks between two columns."""

LOSSES = ("box", "seg", "cls", "dfl")
SCORES = {
    "Box mAP50": "metrics/mAP50(B)",
    "Box mAP50-95": "metrics/mAP50-95(B)",
    "Mask mAP50": "metrics/mAP50(M)",
    "Mask mAP50-95": "metrics/mAP50-95(M)",
}
BEST = "best"


class Column(NamedTuple):
    """A column of the table.

    Attributes:
        title: above it.
        width: in characters.
        rank: where there is no room for all, those with the highest are left out.
    """

    title: str
    width: int
    rank: int


class Part(NamedTuple):
    """A piece of the line of an epoch that is under way; `rank` as of a column."""

    text: str
    rank: int


Ranked = TypeVar("Ranked", Column, Part)


def columns(epochs: int, width: int, *, scored: bool = True) -> tuple[Column, ...]:
    """Those that fit into `width` characters; without scores where none are made."""
    all_of_them = (
        Column("Epoch", max(2 * len(str(epochs)) + 1, 5), 0),
        Column("Memory", 8, 7),
        *(Column(name, 7, rank) for name, rank in zip(LOSSES, (3, 4, 5, 6), strict=True)),
        *(Column(title, len(title), rank) for title, rank in zip(SCORES, (10, 2, 11, 1), strict=True) if scored),
        Column("Images/s", 8, 9),
        Column("Time", 8, 8),
        Column(BEST, len(BEST), 0),
    )
    return tuple(_fitting(all_of_them, lambda kept: width_of(kept) <= width))


def width_of(chosen: Sequence[Column]) -> int:
    """Characters that a line of these columns takes."""
    return sum(column.width for column in chosen) + GAP * (len(chosen) - 1)


def line(chosen: Iterable[Column], cells: Mapping[str, str]) -> str:
    """A line: a cell for each column that has one, by its title, flush right."""
    return (" " * GAP).join(f"{cells.get(column.title, ''):>{column.width}}" for column in chosen)


def header(chosen: Iterable[Column]) -> str:
    """The line of titles; the mark of the best epoch needs none."""
    return line(chosen, {column.title: column.title for column in chosen if column.title != BEST}).rstrip()


def progress_cells(epoch: int, epochs: int, losses: Mapping[str, float], memory: int) -> dict[str, str]:
    """What is known while an epoch is under way, by the titles of columns; `epoch` from 1."""
    return {
        "Epoch": f"{epoch}/{epochs}",
        "Memory": size_of(memory) if memory else "",
        **{name: number(losses[f"{name}_loss"]) for name in LOSSES if f"{name}_loss" in losses},
    }


def record_cells(record: EpochRecord, seconds: float) -> dict[str, str]:
    """What is known of an epoch that took so many seconds, by the titles of columns."""
    return {
        **progress_cells(record.epoch, record.epochs, record.losses, record.memory),
        **{title: f"{record.metrics[key]:.3f}" for title, key in SCORES.items() if key in record.metrics},
        "Images/s": number(record.images_per_second) if record.images_per_second else "",
        "Time": clock(seconds),
        BEST: BEST if record.best else "",
    }


def sentence(record: EpochRecord, seconds: float) -> str:
    """The same in one line for a log, every figure with its name."""
    cells = record_cells(record, seconds)
    losses = ", ".join(f"{name} {cells[name]}" for name in LOSSES if name in cells)
    scores = [
        f"{kind.lower()} " + ", ".join(f"{title.partition(' ')[2]} {cells[title]}" for title in titles)
        for kind in ("Box", "Mask")
        if (titles := [title for title in SCORES if title.startswith(kind) and title in cells])
    ]
    rest = [f"{cells['Images/s']} images/s" if cells["Images/s"] else "", cells["Memory"], cells["Time"], cells[BEST]]
    pieces = [losses, *scores, ", ".join(piece for piece in rest if piece)]
    return f"epoch {cells['Epoch']}: " + "; ".join(piece for piece in pieces if piece)


def beside(parts: Sequence[Part], room: int, bar: int) -> tuple[list[str], int]:
    """The parts for which there is room beside a bar of at least `bar` characters, and the room for the bar."""
    kept = _fitting(parts, lambda some: bar + sum(GAP + len(part.text) for part in some) <= room)
    return [part.text for part in kept], max(room - sum(GAP + len(part.text) for part in kept), 0)


def number(value: float) -> str:
    """A number in at most seven characters: as many digits as tell something."""
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    digits = 3 if size < 10 else 2 if size < 100 else 1 if size < 1000 else 0
    return f"{value:.{digits}f}" if size < 99999 else f"{value:.1e}"


def clock(seconds: float) -> str:
    """A length of time: 0:42, 12:34, 1:23:45, 3d 04:05."""
    whole = max(round(seconds), 0)
    minutes, left = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 100:
        return f"{hours // 24}d {hours % 24:02}:{minutes:02}"
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def _fitting(ranked: Sequence[Ranked], fits: Callable[[Sequence[Ranked]], bool]) -> list[Ranked]:
    """All, without those of the highest rank as long as it is too much; of rank 0 all stay."""
    kept = list(ranked)
    while not fits(kept) and (last := max((each.rank for each in kept), default=0)):
        kept = [each for each in kept if each.rank != last]
    return kept
