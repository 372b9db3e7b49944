"""Stages of the suite, and how a test says what it found: between what is checked and what is reported."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

MARK = "segkit_stage"
"""Mark of a test of the suite; its argument is the stage."""

FIGURE, PICTURE = "segkit.figure", "segkit.picture"
"""Names of the properties of a test under which reports find what it noted."""


class Stage(StrEnum):
    """What is checked, in the order in which it is: a fault in one is likely to show in the later ones."""

    DECLARE = "declare"
    EXPORT = "export"
    METADATA = "metadata"
    RAW = "raw"
    PREPROCESS = "preprocess"
    INSTANCES = "instances"
    DATASET = "dataset"
    CONTRACT = "contract"
    SPEED = "speed"


def at(stage: Stage) -> pytest.MarkDecorator:
    """Mark a test, or a class of them, as one of a stage."""
    import pytest  # here: reports name stages without it

    return getattr(pytest.mark, MARK)(stage)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Figure:
    """A number that a test measured.

    Attributes:
        name: what it is, e.g. "boxes, largest error".
        value: how much.
        unit: px, ms, MB, dB, or "" for a share or a count.
        bound: what it is held against, as a text, e.g. "<= 0.005 px"; "" where it is only reported.
        within: whether it keeps the bound.
    """

    name: str
    value: float
    unit: str = ""
    bound: str = ""
    within: bool = True


class Notes:
    """What one test has to tell beside passing or failing; the fixture `notes` of the suite."""

    def __init__(self, properties: list[tuple[str, object]]) -> None:
        """Notes go to the properties of a test, where every reporter of pytest finds them."""
        self._properties = properties

    def figure(self, name: str, value: float, unit: str = "", bound: str = "", *, within: bool = True) -> None:
        """Note a number."""
        self._properties.append((FIGURE, json.dumps(asdict(Figure(name, float(value), unit, bound, within)))))

    def picture(self, title: str, path: Path) -> None:
        """Note a picture that shows the worst that was seen; the report takes it in."""
        self._properties.append((PICTURE, json.dumps({"title": title, "path": str(path)})))


def figures_of(properties: list[tuple[str, Any]]) -> list[Figure]:
    """The numbers that a test noted."""
    return [Figure(**json.loads(value)) for name, value in properties if name == FIGURE]
