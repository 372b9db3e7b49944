"""`segkit data check`: what a data set holds, and everything that is wrong with it by file and line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from segkit.cli.argv import Kind, Positional
from segkit.cli.command import Argument, Command, Option, Values, from_rows
from segkit.cli.facts import show_facts
from segkit.cli.output import Output

if TYPE_CHECKING:
    from segkit._data_check import CheckReport
    from segkit.core.data.checking.check import Check
    from segkit.core.data.checking.histograms import SplitFacts

DETAILS = (
    "Every label is read and every picture decoded. What cannot be used is counted and left out, as training and "
    "validation do. A sheet of samples and histograms go to runs/data/check; save=False or --no-save leaves them out."
    "\n\nA data set is a data.yaml, a COCO file of instances (.json), a folder with one of them, or a name that segkit "
    "data list shows."
)

EPILOG = """[bold]Examples[/bold]
  segkit data check data.yaml
  segkit data check coco128-seg.yaml --no-save
  segkit data check data.yaml --json --strict"""

STRICT = Option("strict", Kind.FLAG, "exit with code 1 if there is an error: something left out, or in two splits")
ALL = Option("all", Kind.FLAG, "show every class and every problem, not the first ones (--json has all)")

SHOWN, CLASSES, BAR = 5, 20, 24
"""Problems of each kind and classes that are shown without --all, and the length of the longest bar."""


_NUMBERS = 32
"""Columns of a table of classes beside the names and the bars."""


def command(words: Sequence[str]) -> Command:
    """The command; its options are those of the sdk's check."""
    from segkit._data_arguments import check_options

    data = Argument(Positional("data"), "data.yaml, COCO file (.json), folder, or the name of a data set")
    return Command("check", "data check", run, (data,), (*from_rows(check_options()), STRICT, ALL), DETAILS, EPILOG)


def run(values: Values, output: Output) -> int:
    """Check and render; 1 with `strict` if there is an error, 2 if no picture has an object that can be used."""
    from segkit._data_check import check_data

    strict, everything = values.pop("strict", False), values.pop("all", False)
    report = check_data(values.pop("data"), **values)
    if output.json:
        output.document(report.to_plain())
    else:
        _show(report, output, everything)
    if not report.check.usable:
        return 2
    return int(bool(strict and report.check.errors))


def _show(report: CheckReport, output: Output, everything: bool) -> None:
    found = report.check
    shown: list[SplitFacts] = []
    for facts in found.splits:
        title = f"{facts.split}: {_count(facts.pictures, 'picture')}"
        if same := next((each for each in shown if replace(each, split=facts.split) == facts), None):
            output.block(title, [f"the same numbers as {same.split}"])
            continue
        shown.append(facts)
        show_facts(output, title, _facts(facts))
        _show_classes(facts, output, everything)
    _show_problems(found, output, everything)
    places = [str(path) for path in (report.sheet, report.histograms) if path]
    output.block(_summary(found), [f"pictures of it: {', '.join(places)}"] if places else [], paste=True)
    if not places:
        output.line(_summary(found))


def _facts(facts: SplitFacts) -> Iterator[tuple[str, str]]:
    present = sum(bool(each.objects) for each in facts.classes)
    named = "" if present == len(facts.classes) else f", of {len(facts.classes)} that have a name"
    yield "objects", f"{facts.objects} of {_count(present, 'class', 'classes')}{named}"
    if facts.background:
        yield "background", f"{_count(facts.background, 'picture')} without objects"
    if facts.crowds:
        yield "crowds", str(facts.crowds)
    if facts.boxes:
        yield "boxes", f"{_count(facts.boxes, 'object')} without an outline"
    if facts.dropped:
        yield "dropped", _count(facts.dropped, "row")
    low, middle, high = (f"{width}x{height}" for height, width in (facts.smallest, facts.median, facts.largest))
    yield "picture size", low if low == high else f"{low} to {high}, median {middle}"
    yield "longer side", ", ".join(f"{bar}: {count}" for bar, count in facts.picture_sizes.items() if count)
    yield "object size", ", ".join(f"{bar}: {count}" for bar, count in facts.object_sizes.items())
    yield "object share", ", ".join(f"{bar}: {count}" for bar, count in facts.object_shares.items())


def _show_classes(facts: SplitFacts, output: Output, everything: bool) -> None:
    present = sorted((each for each in facts.classes if each.objects), key=lambda each: (-each.objects, each.index))
    shown = present if everything else present[:CLASSES]
    table = output.table("#", "class", "objects", "pictures", "", right=("#", "objects", "pictures"))
    longest = max(min(BAR, output.console.width - max((len(each.name) for each in shown), default=0) - _NUMBERS), 4)
    for each in shown:
        bar = "█" * max(round(longest * each.objects / shown[0].objects), 1)
        table.add_row(str(each.index), each.name, str(each.objects), str(each.pictures), bar)
    if shown:
        output.line()
        output.show(table)
    if more := len(present) - len(shown):
        output.line(f"  and {_count(more, 'class', 'classes')} more (--all shows them)")
    empty = [each.name for each in facts.classes if not each.objects]
    if empty:
        output.line(f"  without objects: {_listed(empty, everything)}")


def _show_problems(found: Check, output: Output, everything: bool) -> None:
    from segkit.core.data.checking.check import Level, by_kind, level_of

    for kind, group in by_kind(found.problems):
        shown = group if everything else group[:SHOWN]
        lines = [str(problem).replace(f": {kind}: ", ": ", 1) for problem in shown]
        if more := len(group) - len(shown):
            lines.append(f"and {more} more (--all shows them)")
        worst = min(map(level_of, group), key=list(Level).index)
        output.block(f"{kind}: {len(group)} ({worst})", lines, paste=True)


def _summary(found: Check) -> str:
    counts = [_count(count, str(level)) for level, count in found.levels.items() if count]
    if not found.usable:
        counts.append("no picture has an object that can be used")
    return f"{found.source}: {', '.join(counts) or 'nothing wrong'}"


def _listed(names: Sequence[str], everything: bool) -> str:
    shown = list(names if everything else names[:CLASSES])
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(shown) < len(names) else "")


def _count(count: int, one: str, several: str = "") -> str:
    return f"{count} {one if count == 1 else several or one + 's'}"
