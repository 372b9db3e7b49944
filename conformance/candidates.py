"""Which formats are to be tested, and what they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from segkit.conformance.report import RUNS, Candidate
from segkit.conformance.stage import Stage
from segkit.conformance.store import Store, has_torch
from segkit.core.backend.capability import Feature
from segkit.core.backend.format import Format, Need, Requirement, missing_dependency
from segkit.core.backend.registry import Entry, Registry
from segkit.core.errors import InputError

TORCH = "torch"
"""The reference. A format may do without; comparing it cannot."""


def candidates_of(
    registry: Registry,
    names: Sequence[str] | None = None,
    stages: Sequence[str] | None = None,
    store: Path | None = None,
) -> list[Candidate]:
    """The formats of these names or aliases, each once, in the order given; all of them without names.

    Args:
        registry: where they are looked up.
        names: those that are to be tested.
        stages: in which stages, None for all: what these need beside the format is missing, too.
        store: keeps exports and the reference: with it, it is enough without torch that a format runs, and those of
            which nothing is kept are left out.

    Raises:
        UnknownFormatError: no plugin has that name.
        InputError: the plugin of a format that was named is broken.
        MissingDependencyError: a format that was named, or a stage, needs something that is not installed.
        PluginError: several plugins claim a name.
        OptionError: the store cannot be used.
    """
    entries = [registry.find(name) for name in names] if names else registry.all()
    read = store is not None and not has_torch()
    if store and read:
        if not names:
            entries = [entry for entry in entries if Store.is_there(store, entry.plugin.name)] or entries
        for entry in entries:
            Store(store, entry.plugin.name)  # it says what is wrong
    beside = () if has_torch() or read or not compares(stages) else (Requirement(TORCH),)
    runs = (Feature.PREDICT,) if read else RUNS
    found = {}
    for entry in entries:
        missing = _missing(registry, entry, beside, runs)
        if names and entry.backend is None:  # of all formats it is one that fails; alone it is nothing to be tested
            raise InputError(str(entry.error))
        if names and missing:
            raise missing_dependency(missing, f"Testing {entry.plugin.name}")
        found[entry.plugin.name] = _candidate(entry, missing)
    return list(found.values())


def compares(stages: Sequence[str] | None) -> bool:
    """Whether one of these stages makes exports and holds them against the reference: all but the first do."""
    return stages is None or any(stage != Stage.DECLARE for stage in stages)


def _candidate(entry: Entry, missing: Sequence[Need]) -> Candidate:
    if entry.backend is None:
        return Candidate(entry.plugin.name, entry.plugin.name, entry.plugin.distribution, fault=str(entry.error))
    fmt = entry.backend.format
    runtime = dict(filter(None, (need.found() for need in fmt.requires)))
    return Candidate(fmt.name, fmt.title, entry.plugin.distribution, runtime, tuple(map(str, missing)))


def _missing(registry: Registry, entry: Entry, beside: Sequence[Need], runs: Sequence[Feature]) -> list[Need]:
    """What is not there of all that testing a format needs."""
    if entry.backend is None:
        return []
    fmt = entry.backend.format
    missing = dict.fromkeys(need for feature in _used(fmt, runs) for need in registry.missing(fmt, feature))
    if TORCH not in {need.name for need in missing}:  # the format's own line may name a version
        missing |= dict.fromkeys(beside)
    return list(missing)


def _used(fmt: Format, runs: Sequence[Feature]) -> list[Feature]:
    return [feature for feature in runs if not fmt.support.gap(feature)]
