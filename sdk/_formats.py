"""What is installed and what each format can do, as data."""

from __future__ import annotations

from dataclasses import dataclass

from segkit.core.backend.capability import Feature, Gap
from segkit.core.backend.options import ExportOptions, describe
from segkit.core.backend.registry import Entry, default_registry
from segkit.core.errors import MissingDependencyError


@dataclass(frozen=True)
class FormatInfo:
    """One format.

    Attributes:
        name, title, aliases, artefact: what it is called and what its artefact is called, with "{stem}".
        distribution: the distribution that provides it.
        error: why the plugin cannot be used, or None.
        support: feature → None where it is full, or (kind, reason) of the gap.
        install: feature ("export", "predict") → pip line for what is missing; empty when all is installed.
        source: the format its export starts from, None for the model itself.
        options: (name, type, default, help) of every export option.
        load_options: the same for running it.
    """

    name: str
    title: str
    aliases: tuple[str, ...]
    artefact: str
    distribution: str
    error: str | None
    support: dict[str, tuple[str, str] | None]
    install: dict[str, str]
    source: str | None
    options: list[tuple[str, str, str, str]]
    load_options: list[tuple[str, str, str, str]]


def formats() -> list[FormatInfo]:
    """Every format of every installed plugin, broken ones included, by name. Imports no runtime."""
    return [_info(entry) for entry in default_registry().all()]


def format_info(name: str) -> FormatInfo:
    """One format, by name or alias.

    Raises:
        UnknownFormatError, PluginError: there is no such format, or its plugin is broken.
    """
    backend = default_registry().get(name)
    return next(info for info in formats() if info.name == backend.format.name)


def _info(entry: Entry) -> FormatInfo:
    plugin = entry.plugin
    if entry.backend is None:
        return FormatInfo(plugin.name, plugin.name, (), "", plugin.distribution, str(entry.error), {}, {}, None, [], [])
    fmt = entry.backend.format
    install = {}
    for feature in (Feature.EXPORT, Feature.PREDICT):
        missing = fmt.missing(feature)
        if missing and fmt.support.gap(feature) is None:
            install[feature.value] = MissingDependencyError(missing, fmt.title).install
    model = fmt.export_options
    return FormatInfo(
        name=fmt.name,
        title=fmt.title,
        aliases=fmt.aliases,
        artefact=fmt.artefact_name("{stem}", (model or ExportOptions)()),
        distribution=plugin.distribution,
        error=None,
        support={
            feature.value: (level.kind.value, level.reason) if isinstance(level, Gap) else None
            for feature, level in fmt.support.items()
        },
        install=install,
        source=fmt.source,
        options=describe(model) if model else [],
        load_options=describe(fmt.load_options),
    )
