"""Where a search looks: ranges of numbers, and choices of words, by the name of the argument."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from segkit.core.backend.options import validate
from segkit.core.errors import OptionError, did_you_mean
from segkit.core.training.arguments import OptimizerName, TrainArguments


class Range(NamedTuple):
    """Where a number is looked for: from `low` to `high`, evenly or by powers."""

    low: float
    high: float
    log: bool = False


Choice = tuple[str, ...]
Places = Mapping[str, Range | Choice]
Space = Mapping[str, Range | Sequence[float] | Sequence[str]]
"""As users give it: a Range, (low, high), or a list of words."""

SPACE: Places = {
    "optimizer": ("SGD", "AdamW"),
    "lr0": Range(1e-5, 2e-2, log=True),
    "lrf": Range(0.01, 1.0, log=True),
    "momentum": Range(0.7, 0.98),
    "weight_decay": Range(1e-6, 1e-3, log=True),
    "warmup_epochs": Range(0.0, 5.0),
    "box": Range(1.0, 20.0),
    "cls": Range(0.1, 4.0),
    "dfl": Range(0.4, 6.0),
    "hsv_h": Range(0.0, 0.1),
    "hsv_s": Range(0.0, 0.9),
    "hsv_v": Range(0.0, 0.9),
    "degrees": Range(0.0, 45.0),
    "translate": Range(0.0, 0.5),
    "scale": Range(0.0, 0.9),
    "shear": Range(0.0, 10.0),
    "perspective": Range(0.0, 0.001),
    "flipud": Range(0.0, 1.0),
    "fliplr": Range(0.0, 1.0),
    "mosaic": Range(0.0, 1.0),
    "mixup": Range(0.0, 1.0),
    "cutmix": Range(0.0, 1.0),
    "copy_paste": Range(0.0, 1.0),
}
"""What is searched unless the user says otherwise: how a network learns, and how its samples are changed."""


def places_of(space: Space | None, search: Sequence[str] | None, args: TrainArguments) -> Places:
    """Where to look, checked: every end of a range, and every choice, is a value that training takes.

    An optimizer that the user chose is not searched unless `search` names it.

    Raises:
        OptionError: an argument that is not known, or a place that training does not accept.
    """
    offered = SPACE if space is None else space
    for name in search or ():
        if name not in offered:
            known = f"known are {', '.join(offered)}.{did_you_mean(name, offered)}".rstrip(".")
            raise OptionError.invalid("search", name, known)
    names = list(dict.fromkeys(search)) if search else list(offered)
    if space is None and not search and args.optimizer is not OptimizerName.AUTO:
        names.remove("optimizer")
    if not names:
        raise OptionError("A search needs at least one argument to look for.")
    return {name: _place(name, offered[name]) for name in names}


def reaching(places: Places, args: TrainArguments) -> Places:
    """The same, as far as what the user gave, where that lies outside."""
    return {name: _reaching(place, getattr(args, name)) for name, place in places.items()}


def beginning(places: Places, args: TrainArguments) -> dict[str, Any]:
    """What the user gave of them; brought into a range or choice that the user gave and that does not have it."""
    found: dict[str, Any] = {}
    for name, place in places.items():
        value = getattr(args, name)
        if isinstance(place, Range):
            found[name] = min(max(value, place.low), place.high)
        else:
            found[name] = str(value) if str(value) in place else place[0]
    return found


def is_whole(name: str) -> bool:
    """Whether an argument is a whole number."""
    return TrainArguments.model_fields[name].annotation is int


def _place(name: str, given: Range | Sequence[float] | Sequence[str]) -> Range | Choice:
    known = TrainArguments.public_fields()
    if name not in known:
        raise OptionError.unknown(name, known, "tune")
    if isinstance(given, Range):
        return _range(name, given)
    values: list[Any] = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    if values and all(isinstance(value, str) for value in values):
        for value in values:
            validate(TrainArguments, {name: value}, "tune")
        return tuple(values)
    if (
        len(values) == 2
        and not any(isinstance(value, bool) for value in values)
        and all(isinstance(value, int | float) for value in values)
    ):
        return _range(name, Range(values[0], values[1]))
    raise OptionError.invalid(name, given, "a place to search is (low, high), a Range, or a list of words")


def _range(name: str, place: Range) -> Range:
    if type(TrainArguments.model_fields[name].get_default()) not in (int, float):
        raise OptionError.invalid(name, tuple(place), "it is not a number; give a list of words")
    for end in (place.low, place.high):
        validate(TrainArguments, {name: end}, "tune")  # of a whole number also that it is one
    if place.low >= place.high:
        raise OptionError.invalid(name, tuple(place[:2]), "give the lower end first, and a higher one")
    if place.log and place.low <= 0:
        raise OptionError.invalid(name, tuple(place), "by powers it begins above 0")
    return Range(float(place.low), float(place.high), place.log)


def _reaching(place: Range | Choice, value: Any) -> Range | Choice:
    if isinstance(place, Range):
        if place.log and value <= 0:
            return place
        return place._replace(low=min(place.low, value), high=max(place.high, value))
    return place if str(value) in place else (*place, str(value))
