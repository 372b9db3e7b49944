"""Which formats are to be tested, and what they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from segkit.conformance.report import Candidate
from segkit.conformance.stage import Stage
from segkit.core.backend.capability import Feature
from segkit.core.backend.format import Format, Requirement
from segkit.core.backend.registry import Entry, Registry
from segkit.core.errors import InputError, MissingDependencyError

RUNS = (Feature.EXPORT, Feature.PREDICT)
"""What a format must be able to do here to be tested, as far as it does it at all."""

TORCH = "torch"
"""The reference. A format may do without; comparing it cannot."""


def candidates_of(
    registry: Registry, names: Sequence[str] | None = None, stages: Sequence[str] | None = None
) -> list[Candidate]:
    """The formats of these names or aliases, each once, in the order given; all of them without names.

    Args:
        registry: where they are looked up.
        names: those that are to be tested.
        stages: in which stages, None for all: what these need beside the format is missing, too.

    Raises:
        UnknownFormatError: no plugin has that name.
        InputError: the plugin of a format that was named is broken.
        MissingDependencyError: a format that was named, or a stage, needs something that is not installed.
        PluginError: several plugins claim a name.
    """
    entries = [registry.find(name) for name in names] if names else registry.all()
    beside = () if find_spec(TORCH) or not compares(stages) else (TORCH,)
    found = {entry.plugin.name: _candidate(entry, beside) for entry in entries}
    for candidate in found.values() if names else []:
        if candidate.fault:  # of all formats it is one that fails; alone it is nothing that can be tested
            raise InputError(candidate.fault)
        if candidate.missing:
            raise MissingDependencyError(candidate.missing, f"Testing {candidate.name}")
    return list(found.values())


def compares(stages: Sequence[str] | None) -> bool:
    """Whether one of these stages makes exports and holds them against the reference: all but the first do."""
    return stages is None or any(stage != Stage.DECLARE for stage in stages)


def _candidate(entry: Entry, beside: Sequence[str]) -> Candidate:
    if entry.backend is None:
        return Candidate(entry.plugin.name, entry.plugin.name, entry.plugin.distribution, fault=str(entry.error))
    fmt = entry.backend.format
    missing = dict.fromkeys(need for feature in _used(fmt) for need in fmt.missing(feature))
    if TORCH not in {Requirement(need).name for need in missing}:  # the format's own line may name a version
        missing |= dict.fromkeys(beside)
    runtime = dict(filter(None, (need.found() for need in fmt.requires)))
    return Candidate(fmt.name, fmt.title, entry.plugin.distribution, runtime, tuple(missing))


def _used(fmt: Format) -> list[Feature]:
    return [feature for feature in RUNS if not fmt.support.gap(feature)]
