"""What a benchmark measures: the files that were given, and one export a format and precision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit._benchmark_report import BenchmarkRow, State
from segkit._export import calibrates
from segkit.core.backend.capability import Feature, GapKind
from segkit.core.backend.faults import words
from segkit.core.backend.options import Precision
from segkit.core.backend.registry import Entry, default_registry
from segkit.core.errors import ExportError, MissingDependencyError, PluginError, SegkitError, UnsupportedError
from segkit.core.validation.benchmark_arguments import BenchmarkArguments

if TYPE_CHECKING:
    from segkit import YOLO

Report = Callable[[str], None]


@dataclass
class Subject:
    """One file on its way through the measurements: its figures so far, or why there are no more.

    Attributes:
        format, precision: what it is.
        wanted: it was asked for by name: then nothing excuses its absence.
        model: the file, once it is there.
        loading: options of loading that make it what it is.
        figures: those of `BenchmarkRow` that are known.
        reason: why it ended early.
        given: the name of a file that the user gave.
    """

    format: str
    precision: Precision
    wanted: bool
    model: YOLO | None = None
    loading: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    state: State = State.OK
    reason: str = ""
    given: str = ""

    @property
    def name(self) -> str:
        """As in the table: a format, with the precision where it is not the usual one."""
        return self.given or (self.format if self.precision is Precision.FP32 else f"{self.format} {self.precision}")

    def row(self) -> BenchmarkRow:
        """What is known."""
        known = {"state": self.state, "reason": self.reason, **self.figures}
        return BenchmarkRow(self.name, self.format, self.precision.value, **known)

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Do something with the file: what goes wrong ends its measurements, and nobody else's."""
        try:
            yield
        except Exception as error:  # a toolchain or runtime may raise anything; the next file is not to suffer
            absent = isinstance(error, UnsupportedError | MissingDependencyError) and not self.wanted
            self.state = State.UNAVAILABLE if absent else State.FAILED
            told = str(error) if isinstance(error, SegkitError) else words(error)
            own = isinstance(error, UnsupportedError | MissingDependencyError | ExportError | PluginError)
            self.reason = " ".join((told if own else f"{what} failed: {told}").split())


def given(models: Sequence[YOLO], args: BenchmarkArguments) -> list[Subject]:
    """The files that the user named, the reference first."""
    subjects = []
    names = Counter(model.path.name for model in models)
    for model in models:
        backend, path = model._artefact()
        weights = backend.format.holds_weights
        precision = Precision.FP32 if weights else model._metadata().precision  # whatever weights are stored in
        name = model.path.name if names[model.path.name] == 1 else str(model.path)
        figures = {"file": model.path.name, "size": size_of(path)}
        subjects.append(Subject(backend.format.name, precision, True, model, figures=figures, given=name))
        if weights and args.half and args.device not in (None, "cpu"):  # no CPU computes in half precision at ease
            half = {"precision": Precision.FP16.value}
            called = f"{name} {Precision.FP16}"
            subjects.append(
                Subject(backend.format.name, Precision.FP16, True, model, half, dict(figures), given=called)
            )
    return subjects


def planned(reference: YOLO, args: BenchmarkArguments) -> list[Subject]:
    """An export a format and precision, format by format; nothing is exported yet. None if there are no weights.

    Raises:
        UnknownFormatError, PluginError: a format that was named is not there, or broken.
        OptionError: exports were asked for, and the model is not weights.
    """
    if not args.export:
        return []
    if reference._network is None and not reference._backend.format.holds_weights:
        if args.format or args.half or args.int8 or args.keep:
            reference._require_weights("Export")
        return []
    registry = default_registry()
    named = {registry.get(name).format.name for name in args.format or ()}
    entries = [entry for entry in registry.all() if entry.plugin.name in named or (not named and _is_apt(entry))]
    return [subject for entry in entries for subject in _exports(entry, args.precisions, bool(named))]


def _is_apt(entry: Entry) -> bool:
    """Whether a format is one to export to, here or elsewhere; a broken plugin may be."""
    if entry.backend is None:
        return True
    gap = entry.backend.format.support.gap(Feature.EXPORT)
    return gap is None or gap.kind is not GapKind.NOT_APPLICABLE


def _exports(entry: Entry, precisions: Sequence[Precision], wanted: bool) -> list[Subject]:
    """A subject a precision; a single one, with the reason, where the format is of no use here."""
    first = Subject(entry.plugin.name, precisions[0], wanted)
    with first.step("plugin"):
        _require(entry)
    return [first] + [Subject(entry.plugin.name, each, wanted) for each in precisions[1:] if not first.reason]


def _require(entry: Entry) -> None:
    if entry.backend is None:
        raise entry.error or PluginError(str(entry.plugin), "it is broken")
    for feature in (Feature.EXPORT, Feature.PREDICT):
        entry.backend.format.require(feature)


def export(
    reference: YOLO, subject: Subject, folder: Path, options: dict[str, Any], calibration: Sequence[str]
) -> None:
    """Export into `folder`; the figures gain file, size and seconds."""
    from segkit import YOLO

    asked = options | {"precision": subject.precision.value}
    if subject.precision is Precision.INT8 and calibrates(default_registry().get(subject.format).format):
        asked["data"] = list(calibration)
    if subject.precision is Precision.FP32:
        del asked["precision"]  # a format may have no choice
    made = reference.export_to(subject.format, output=f"{folder}/", **asked, report=lambda text: None)
    subject.figures |= {"file": made.path.name, "size": made.size, "export_s": made.seconds}
    subject.model = YOLO(made.path)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return sum(item.stat().st_size for item in [path, *path.rglob("*")] if item.is_file())
