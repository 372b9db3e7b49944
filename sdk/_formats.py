"""What is installed and what each format can do, as data."""

from __future__ import annotations

from dataclasses import dataclass, field

from segkit._export import calibrates
from segkit.core.backend import format as declared
from segkit.core.backend.capability import Feature, Gap
from segkit.core.backend.format import FLAGS, Format, Requirement, missing_dependency
from segkit.core.backend.options import ExportOptions, OptionRow
from segkit.core.backend.registry import Entry, default_registry

CALIBRATION = (
    OptionRow("data", "str", "", "pictures to calibrate int8 with: a folder, a pattern, a list, a data set's .yaml"),
    OptionRow("fraction", "float", "", "share of them to use, above 0 and up to 1 (default: 256 pictures at most)"),
)
"""Options that `YOLO.export` adds for formats whose int8 wants to see pictures."""


@dataclass(frozen=True)
class Need:
    """What a format needs: its name, as pip takes it, for which features, what is installed, and whether that will do.

    `command` brings it where pip does not; `requirement` is then the name.
    """

    name: str
    requirement: str
    needed_for: tuple[str, ...]
    installed: tuple[str, str] | None
    """Name and version; the name may be that of an alternative."""
    met: bool
    command: str | None = None


@dataclass(frozen=True)
class FormatInfo:
    """One format.

    Attributes:
        name, title, aliases, artefact: what it is called and what its artefact is called, with "{stem}".
        distribution: the distribution that provides it.
        error: why the plugin cannot be used, or None; nothing else is known then.
        support: feature → None where it is full, or (kind, reason) of the gap.
        install: feature ("export", "predict") → line that installs what is missing; empty when all is installed.
        commands: (name, summary) of its own commands, which are run as `segkit FORMAT NAME`.
        source: the format its export starts from, None for the model itself.
        options: every export option; none where it cannot be exported to.
        load_options: the same for running it.
        declined: flags known from other formats that it answers with the reason of a gap.
        needs: what it requires.
    """

    name: str
    title: str
    distribution: str
    error: str | None = None
    aliases: tuple[str, ...] = ()
    artefact: str = ""
    support: dict[str, tuple[str, str] | None] = field(default_factory=dict)
    install: dict[str, str] = field(default_factory=dict)
    commands: tuple[tuple[str, str], ...] = ()
    source: str | None = None
    options: tuple[OptionRow, ...] = ()
    load_options: tuple[OptionRow, ...] = ()
    declined: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()


def formats() -> list[FormatInfo]:
    """Every format of every installed plugin, broken ones included, by name. Imports no runtime."""
    return [_info(entry) for entry in default_registry().all()]


def format_info(name: str) -> FormatInfo:
    """One format, by name or alias.

    Raises:
        UnknownFormatError, PluginError: there is no such format, or its plugin is broken.
    """
    entry = default_registry().find(name)
    if entry.error:
        raise entry.error
    return _info(entry)


def _info(entry: Entry) -> FormatInfo:
    plugin = entry.plugin
    if entry.backend is None:
        return FormatInfo(plugin.name, plugin.name, plugin.distribution, str(entry.error))
    fmt = entry.backend.format
    return FormatInfo(
        fmt.name,
        fmt.title,
        plugin.distribution,
        aliases=fmt.aliases,
        artefact=fmt.artefact_name("{stem}", (fmt.export_options or ExportOptions)()),
        support={
            feature.value: (level.kind.value, level.reason) if isinstance(level, Gap) else None
            for feature, level in fmt.support.items()
        },
        install=_install(fmt),
        commands=tuple((command.name, command.summary) for command in fmt.commands),
        source=fmt.source,
        options=_export_options(fmt),
        load_options=tuple(fmt.describe(fmt.load_options)),
        declined=tuple(flag for flag, feature in FLAGS.items() if fmt.support.gap(feature)),
        needs=tuple(map(_need, fmt.requires)),
    )


def _need(need: declared.Need) -> Need:
    command = None if isinstance(need, Requirement) else need.command
    return Need(need.name, str(need), tuple(sorted(need.needed_for)), need.found(), need.met(), command)


def _install(fmt: Format) -> dict[str, str]:
    registry = default_registry()
    lacking = {feature: registry.missing(fmt, feature) for feature in (Feature.EXPORT, Feature.PREDICT)}
    return {
        feature.value: missing_dependency(missing, fmt.title).install
        for feature, missing in lacking.items()
        if missing and fmt.support.gap(feature) is None
    }


def _export_options(fmt: Format) -> tuple[OptionRow, ...]:
    if fmt.export_options is None:
        return ()
    return (*fmt.describe(fmt.export_options), *(CALIBRATION if calibrates(fmt) else ()))
