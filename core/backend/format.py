"""A format as data: its name, what its artefact is called, what it needs, what it can do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from importlib import metadata
from pathlib import PurePath
from typing import Annotated, Any, TypeVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from segkit.core.backend.capability import FULL, Feature, Support
from segkit.core.backend.declaring import DECLARATION, Name
from segkit.core.backend.faults import blamed, words
from segkit.core.backend.options import (
    ALIASED,
    ExportOptions,
    LoadOptions,
    OptionRow,
    Options,
    accepted_names,
    describe,
    offered_features,
    validate,
)
from segkit.core.backend.tools import FormatCommand, Tool
from segkit.core.errors import MissingDependencyError, PluginError, SegkitError, UnsupportedError

T = TypeVar("T", bound=Options)


class Concurrency(StrEnum):
    """Who may call a predictor. The session enforces it; users never think of it."""

    PARALLEL = "parallel"
    """any thread, at any time"""
    SERIAL = "serial"
    """any thread, one at a time"""
    THREAD_BOUND = "thread-bound"
    """only the thread that loaded it"""


_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)(\[[A-Za-z0-9._, -]+\])?"
    r"\s*(?P<versions>(===|[<>=!~]=|[<>])\s*[\w.*+!-]+(\s*,\s*(===|[<>=!~]=|[<>])\s*[\w.*+!-]+)*)?"
)


@dataclass(frozen=True, config=DECLARATION)
class Requirement:
    """A distribution that a format needs; it is named to the user, never installed.

    `distribution` may carry a version range ("onnx>=1.18"); any of `alternatives` (bare names), in any version,
    satisfies it too.
    `rivals`: they bring the same module and overwrite each other's, so that only one of them may be installed.
    """

    distribution: str
    needed_for: frozenset[Feature] = frozenset({Feature.EXPORT, Feature.PREDICT})
    alternatives: tuple[str, ...] = ()
    rivals: bool = True

    def __post_init__(self) -> None:
        """Refuse what pip would not take."""
        if not _REQUIREMENT.fullmatch(self.distribution):
            raise ValueError(f"'{self.distribution}' is no requirement as pip takes it, e.g. \"onnx>=1.18\"")

    def __str__(self) -> str:
        """As pip takes it."""
        return self.distribution

    @property
    def name(self) -> str:
        """The distribution's bare name."""
        return self._parts()[0]

    def found(self) -> tuple[str, str] | None:
        """Name and version of it, or of the alternative that is installed; looked up without importing it. One that is
        in the range comes first.
        """
        versions = ((name, installed_version(name)) for name in (self.name, *self.alternatives))
        installed = [(name, version) for name, version in versions if version]
        return next((each for each in installed if self._takes(*each)), next(iter(installed), None))

    def met(self) -> bool:
        """Whether it is installed in a version of its range, or an alternative."""
        found = self.found()
        return found is not None and self._takes(*found)

    def _takes(self, name: str, version: str) -> bool:
        bare, versions = self._parts()
        if name != bare or not versions:
            return True
        from packaging.specifiers import SpecifierSet  # not at the top: it takes ten milliseconds

        return SpecifierSet(versions).contains(version, prereleases=True)

    def _parts(self) -> tuple[str, str]:
        parts = _REQUIREMENT.fullmatch(self.distribution)
        assert parts is not None
        return parts["name"], parts["versions"] or ""


Need = Requirement | Tool
"""What a format may need."""


def missing_dependency(needs: Iterable[Need], purpose: str) -> MissingDependencyError:
    """The error that names needs which are not met, with the commands that bring them; `purpose` is what needs them."""
    needs = list(needs)
    installed = {str(need): found[1] for need in needs if (found := need.found())}
    commands = {str(need): need.command for need in needs if isinstance(need, Tool)}
    return MissingDependencyError(map(str, needs), purpose, installed, commands)


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution, or None. Nothing is imported."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


@dataclass(frozen=True, config=DECLARATION)
class Format:
    """Data only. The heavy code lives in the backend's exporter and predictor.

    Attributes:
        name: what users type, e.g. "onnx".
        title: what people call it, e.g. "ONNX".
        artefact: file or folder name with "{stem}", e.g. "{stem}.onnx", or a function of (stem, options).
        support: every Feature, full or a gap with a reason.
        export_options: None for a format that is not exported to.
        source: name of the format whose artefact the exporter starts from; None: from the captured model.
        holds_weights: the file is the trainable model itself, so an export can start from it.
        own_threads: `LoadOptions.threads` are threads of one predictor, not of the whole process, so that several
            predictors may share them out.
        requires: distributions, and what else it needs.
        commands: commands of its own, such as one that fetches what it needs.
        suffixes: endings by which a file of this format is usually known, longest wins; content beats suffix.
        contents: for an artefact that is a folder, patterns of all that may be in it ("*.xml", "metadata.yaml"; in
            folders "data", "data/*"). An export replaces an older artefact whole, and refuses to where it holds
            anything else. Nothing stated, nothing is known, and whatever is in an older artefact goes with it.
    """

    name: Name
    title: str
    artefact: str | Callable[[str, ExportOptions], str]
    support: Support
    export_options: type[ExportOptions] | None = None
    load_options: type[LoadOptions] = LoadOptions
    source: str | None = None
    aliases: tuple[Name, ...] = ()
    suffixes: tuple[Annotated[str, Field(min_length=2)], ...] = ()
    contents: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    requires: tuple[Need, ...] = ()
    commands: tuple[FormatCommand, ...] = ()
    concurrency: Concurrency = Concurrency.PARALLEL
    holds_weights: bool = False
    own_threads: bool = False

    def artefact_name(self, stem: str, options: ExportOptions) -> str:
        """Name of the artefact made from `stem` with these options, e.g. "best_int8_openvino_model"."""
        return self.artefact(stem, options) if callable(self.artefact) else self.artefact.format(stem=stem)

    def missing(self, feature: Feature) -> list[Need]:
        """What `feature` needs and is not there, or not in its range of versions."""
        return [need for need in self.requires if feature in need.needed_for and not need.met()]

    def require(self, feature: Feature) -> None:
        """Refuse early when the feature is a gap or a package is missing.

        Raises:
            UnsupportedError: the feature is a declared gap.
            MissingDependencyError: a package is not installed.
        """
        if gap := self.support.gap(feature):
            raise UnsupportedError(self.name, feature, gap.kind, gap.reason)
        if missing := self.missing(feature):
            action = {Feature.EXPORT: "Export to", Feature.PREDICT: "Running a model in"}.get(feature, "Using")
            raise missing_dependency(missing, f"{action} {self.name}")

    def parse_export_options(self, given: Mapping[str, Any]) -> ExportOptions:
        """Validated export options.

        Raises:
            OptionError: unknown name, wrong value.
            UnsupportedError: export itself, or something asked for, is a declared gap.
        """
        if self.export_options is None or (gap := self.support.gap(Feature.EXPORT)):
            gap = self.support.gap(Feature.EXPORT)
            kind, reason = (gap.kind, gap.reason) if gap else ("not-applicable", "it has no exporter")
            raise UnsupportedError(self.name, Feature.EXPORT, kind, reason)
        return self._parse(self.export_options, given, f"export to {self.name}")

    def parse_source_options(self, given: Mapping[str, Any]) -> ExportOptions:
        """Validated export options as a format that starts from this one's artefact gives them: internal ones too.

        Raises:
            ValidationError, UnsupportedError, …: they are refused.
        """
        if self.export_options is None:
            return self.parse_export_options(given)
        return self._without_gaps(self.export_options.model_validate(given))

    def parse_load_options(self, given: Mapping[str, Any]) -> LoadOptions:
        """Validated load options; raises as `parse_export_options`."""
        return self._parse(self.load_options, given, f"running {self.name}")

    def _parse(self, model: type[T], given: Mapping[str, Any], where: str) -> T:
        accepted = accepted_names(model)
        # An option this format lacks because of a declared gap is answered with the gap's reason; "off" asks for
        # nothing.
        lacking = {name: FLAGS[name] for name in given if name in FLAGS and name not in accepted}
        for name, feature in lacking.items():
            gap = self.support.gap(feature)
            if gap and not is_off(given[name]):
                raise UnsupportedError(self.name, feature, gap.kind, gap.reason)
        kept = {name: value for name, value in given.items() if not (name in lacking and is_off(value))}
        try:
            return self._without_gaps(validate(model, kept, where))
        except SegkitError:
            raise
        except Exception as error:  # a validator that stumbles instead of refusing
            raise PluginError(self.name, f"checking its options failed ({words(error)})") from error

    def _without_gaps(self, options: T) -> T:
        for feature in sorted(options.features()):
            if gap := self.support.gap(feature):
                raise UnsupportedError(self.name, feature, gap.kind, gap.reason)
        return options

    def describe(self, model: type[Options]) -> list[OptionRow]:
        """Options of one of this format's models in words, without flags and choices that ask for a declared gap."""
        flags = {name for name, feature in ALIASED.items() if self.support.gap(feature)}
        choices = {
            str(value)
            for _, switch in model.switches()
            for value, features in switch.values.items()
            if any(map(self.support.gap, features))
        }
        return [
            row._replace(type="|".join(choice for choice in row.type.split("|") if choice not in choices))
            for row in describe(model)
            if row.name not in flags
        ]

    def check(self, plugin: str) -> None:
        """Find contradictions in a declaration; called at registration.

        Raises:
            PluginError: an undescribed option, a full feature without an option that switches it on, …
        """
        model = self.export_options
        if (model is None) == (self.support[Feature.EXPORT] is FULL):
            raise PluginError(plugin, f"format '{self.name}': export support and export_options contradict each other")
        self._check_options(plugin, self.load_options, LoadOptions)
        if model is None:
            return
        self._check_options(plugin, model, ExportOptions)
        offered = offered_features(model)
        for feature in (Feature.HALF, Feature.INT8, Feature.DYNAMIC_BATCH, Feature.DYNAMIC_SIZE, Feature.NMS):
            if self.support[feature] is FULL and feature not in offered:
                raise PluginError(
                    plugin, f"format '{self.name}' declares {feature} as full but no export option switches it on"
                )
        with blamed(plugin, f"format '{self.name}': its artefact has no name"):
            name = self.artefact_name("stem", model())
        if PurePath(name).name != name:
            raise PluginError(plugin, f"format '{self.name}': '{name}' is not the name of one file or folder")

    def _check_options(self, plugin: str, model: type[Options], base: type[Options]) -> None:
        """Every option has a description and a default, and those of the base still mean what they mean."""
        for name, field in model.model_fields.items():
            if not field.description:
                raise PluginError(plugin, f"format '{self.name}': option '{name}' has no description")
        with blamed(plugin, f"format '{self.name}': its options have no usable defaults"):
            defaults = model()
        inherited = {name: getattr(defaults, name) for name in base.model_fields}
        with blamed(plugin, f"format '{self.name}': an inherited option has another type"):
            base.model_validate(inherited, strict=True)


FLAGS: dict[str, Feature] = {**ALIASED, "dynamic": Feature.DYNAMIC_BATCH, "nms": Feature.NMS}
"""Flags that users know from other formats: where one is missing because of a gap, the gap's reason is the answer."""


def is_off(value: object) -> bool:
    """Whether a flag's value asks for nothing."""
    return value is None or str(value).lower() in ("false", "0", "no", "off", "none")
