"""Everything about a labelled data set that a person should know before training on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from segkit.core.data.checking import contact_sheet, faults
from segkit.core.data.checking.decoding import look_at
from segkit.core.data.checking.histograms import SplitFacts, facts_of
from segkit.core.data.dataset import Dataset, find, scan_dataset
from segkit.core.data.description import read_description
from segkit.core.data.labels import Labels
from segkit.core.data.problems import Kind, Problem
from segkit.core.data.reading.coco import is_coco
from segkit.core.data.reading.crossings import self_intersections
from segkit.core.errors import SourceError
from segkit.core.images.batch import Picture


class Level(StrEnum):
    """How bad a problem is: something is lost or a score would lie; something is odd; something to know."""

    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"


_ERRORS = {Kind.CORRUPT_PICTURE, Kind.MISSING_PICTURE, Kind.UNREADABLE_LABEL, Kind.SPLIT_OVERLAP}


def level_of(problem: Problem) -> Level:
    """What is left out is an error, and so is what makes scores wrong."""
    if problem.dropped or problem.kind in _ERRORS:
        return Level.ERROR
    return Level.NOTICE if problem.kind == Kind.MISSING_LABEL else Level.WARNING


@dataclass(frozen=True, eq=False)
class Check:
    """What a check found.

    Attributes:
        source: the description or the COCO file.
        names: class names by index.
        splits: what is in each split.
        problems: everything that is wrong, by kind, file and line.
        cells: text, picture and labels of some samples that show every class, for a contact sheet.
    """

    source: Path
    names: Mapping[int, str]
    splits: tuple[SplitFacts, ...]
    problems: tuple[Problem, ...]
    cells: tuple[tuple[str, Picture, Labels], ...]

    @property
    def levels(self) -> Mapping[Level, int]:
        """How many problems there are of each level."""
        counts = Counter(map(level_of, self.problems))
        return {level: counts[level] for level in Level}

    @property
    def errors(self) -> int:
        """How many problems are errors."""
        return self.levels[Level.ERROR]

    @property
    def usable(self) -> bool:
        """Whether anything could be learned from it: some picture has an object."""
        return any(facts.objects for facts in self.splits)

    def to_plain(self) -> dict[str, Any]:
        """Everything but the pictures, as values that JSON has."""
        return {
            "source": str(self.source),
            "names": {str(index): name for index, name in self.names.items()},
            "splits": {facts.split: _plain(facts) for facts in self.splits},
            "levels": {str(level): count for level, count in self.levels.items()},
            "counts": {str(kind): count for kind, count in Counter(problem.kind for problem in self.problems).items()},
            "problems": [_row(problem) for problem in self.problems],
        }


def check(data: str | Path) -> Check:
    """Read every label and decode every picture of a data set, once each.

    Args:
        data: as for `segkit.core.data.dataset.open_dataset`.

    Raises:
        SourceError: nothing there, or none of its splits has a picture.
    """
    source = find(data)
    datasets, problems = _splits(source)
    samples = {split: dataset.samples for split, dataset in datasets.items()}
    everything = [sample for found in samples.values() for sample in found]
    chosen = contact_sheet.choose(everything)
    split_of = faults.first_split(samples)
    looks = look_at(
        (sample.path for sample in everything),
        keep={sample.path for sample in chosen},
        side=contact_sheet.SIDE,
    )
    problems += [problem for dataset in datasets.values() for problem in dataset.problems]
    problems += faults.corrupt(looks)
    problems += faults.duplicates(samples, looks)
    problems += faults.look_alikes(samples, looks)
    problems += faults.overlaps(source, samples, looks)
    problems += faults.without_picture(everything)
    problems += self_intersections({sample.path: sample for sample in everything}.values(), problems)
    whole = {split: [each for each in found if not looks[each.path].problem] for split, found in samples.items()}
    names = next(iter(datasets.values())).names
    return Check(
        source,
        names,
        tuple(facts_of(split, found, names) for split, found in whole.items()),
        tuple(sorted(dict.fromkeys(problems), key=_place)),
        tuple(
            (contact_sheet.caption(split_of[sample.path], sample.path), small, sample.labels)
            for sample in chosen
            if (small := looks[sample.path].small) is not None
        ),
    )


def _splits(source: Path) -> tuple[dict[str, Dataset], list[Problem]]:
    """Every split that can be read; what is wrong with the others is a problem, unless there is no other."""
    if is_coco(source):
        return {source.stem: scan_dataset(source, source.stem, cache=False)}, []
    found: dict[str, Dataset] = {}
    problems: list[Problem] = []
    errors: list[SourceError] = []
    for split in read_description(source).splits:
        try:
            found[split] = scan_dataset(source, split, cache=False)
        except SourceError as error:
            errors.append(error)
            problems.append(Problem(Kind.MISSING_PICTURE, source, _about(error, split)))
    if not found:
        raise errors[0]
    return found, problems


def _about(error: SourceError, split: str) -> str:
    return error.problem if f"'{split}'" in error.problem else f"its split '{split}': {error.problem}"


_ORDER = {kind: number for number, kind in enumerate(Kind)}


def _place(problem: Problem) -> tuple[int, str, int, str]:
    return _ORDER[problem.kind], str(problem.path), problem.line or 0, problem.words


def by_kind(problems: tuple[Problem, ...]) -> Iterator[tuple[Kind, list[Problem]]]:
    """Problems of each kind that there is, the errors first."""
    groups = {kind: [problem for problem in problems if problem.kind == kind] for kind in Kind}
    ranks = list(Level)
    met = [(kind, group) for kind, group in groups.items() if group]
    yield from sorted(met, key=lambda pair: min(ranks.index(level_of(problem)) for problem in pair[1]))


def _plain(facts: SplitFacts) -> dict[str, Any]:
    return {
        "pictures": facts.pictures,
        "background": facts.background,
        "objects": facts.objects,
        "crowds": facts.crowds,
        "boxes": facts.boxes,
        "dropped_rows": facts.dropped,
        "classes": [
            {"index": each.index, "name": each.name, "objects": each.objects, "pictures": each.pictures}
            for each in facts.classes
        ],
        "picture_sizes": dict(facts.picture_sizes),
        "object_sizes": dict(facts.object_sizes),
        "object_shares": dict(facts.object_shares),
        "smallest": list(facts.smallest),
        "median": list(facts.median),
        "largest": list(facts.largest),
    }


def _row(problem: Problem) -> dict[str, Any]:
    return {
        "kind": str(problem.kind),
        "level": str(level_of(problem)),
        "path": str(problem.path),
        "line": problem.line,
        "words": problem.words,
        "dropped": problem.dropped,
    }
