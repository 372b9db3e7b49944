"""Which formats are to be tested, and what they are made of."""

from __future__ import annotations

from collections.abc import Sequence

from segkit.conformance.report import Candidate
from segkit.core.backend.capability import Feature
from segkit.core.backend.format import Format
from segkit.core.backend.registry import Entry, Registry

RUNS = (Feature.EXPORT, Feature.PREDICT)
"""What a format must be able to do here to be tested, as far as it does it at all."""


def candidates_of(registry: Registry, names: Sequence[str] | None = None) -> list[Candidate]:
    """The formats of these names or aliases, each once, in the order given; all of them without names.

    Raises:
        UnknownFormatError: no plugin has that name.
        MissingDependencyError: a format that was named needs something that is not installed.
        PluginError: several plugins claim a name.
    """
    entries = [registry.find(name) for name in names] if names else registry.all()
    found = {entry.plugin.name: _candidate(entry) for entry in entries}
    for entry in entries if names else []:
        if entry.backend:
            for feature in _used(entry.backend.format):
                entry.backend.format.require(feature)
    return list(found.values())


def _candidate(entry: Entry) -> Candidate:
    if entry.backend is None:
        return Candidate(entry.plugin.name, entry.plugin.name, entry.plugin.distribution, fault=str(entry.error))
    fmt = entry.backend.format
    missing = dict.fromkeys(need for feature in _used(fmt) for need in fmt.missing(feature))
    runtime = dict(filter(None, (need.found() for need in fmt.requires)))
    return Candidate(fmt.name, fmt.title, entry.plugin.distribution, runtime, tuple(missing))


def _used(fmt: Format) -> list[Feature]:
    return [feature for feature in RUNS if not fmt.support.gap(feature)]
