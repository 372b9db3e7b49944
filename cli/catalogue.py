"""Options of commands and formats, read off their models; the one module here that looks behind the sdk."""

from __future__ import annotations

from dataclasses import dataclass

from segkit.core.backend.capability import FULL, Feature
from segkit.core.backend.format import FLAGS, Format, Requirement, installed_version
from segkit.core.backend.options import ALIASED, Options, accepted_names, describe
from segkit.core.backend.registry import default_registry
from segkit.core.errors import UnsupportedError


@dataclass(frozen=True)
class OptionRow:
    """An option as tables and help show it: `type` and `default` in words, default empty where there is none."""

    name: str
    type: str
    default: str
    help: str


def exportable() -> list[str]:
    """Names of the formats that can be exported to."""
    backends = [entry.backend for entry in default_registry().all()]
    return [backend.format.name for backend in backends if backend and backend.format.export_options]


def find(name: str) -> Format:
    """A format by name or alias.

    Raises:
        UnknownFormatError, PluginError: there is none, or its plugin is broken.
    """
    return default_registry().get(name).format


def export_options(fmt: Format) -> list[OptionRow]:
    """Options of an export to `fmt`, those that its int8 adds included.

    Raises:
        UnsupportedError: it cannot be exported to.
    """
    if fmt.export_options is None:
        gap = fmt.support.gap(Feature.EXPORT)
        kind, reason = (gap.kind.value, gap.reason) if gap else ("not-applicable", "it has no exporter")
        raise UnsupportedError(fmt.name, Feature.EXPORT, kind, reason)
    listed = rows(fmt.export_options, fmt)
    if fmt.support[Feature.INT8] is FULL:
        listed += [
            OptionRow("data", "str", "", "pictures to calibrate int8 with: a folder, or the YAML file of a data set"),
            OptionRow("fraction", "float", "1.0", "share of these pictures to use, above 0 and up to 1"),
        ]
    return listed


def declined_flags(fmt: Format) -> list[str]:
    """Flags known from other formats that this one does not offer but answers with the reason of a declared gap."""
    return [name for name, feature in FLAGS.items() if fmt.support.gap(feature)]


def predict_options() -> list[OptionRow]:
    """Options of predict."""
    from segkit.core.inference.arguments import PredictArguments

    return rows(PredictArguments)


def rows(model: type[Options], fmt: Format | None = None) -> list[OptionRow]:
    """Public options of a model, and the flags short for one of its values, less the declared gaps of `fmt`."""
    listed = [OptionRow(*row) for row in describe(model)]
    accepted = set(accepted_names(model)) - set(model.model_fields)
    return listed + [
        OptionRow(name, "bool", "False", f"short for precision={precision}")
        for name, precision in (("half", "fp16"), ("int8", "int8"))
        if name in accepted and not (fmt and fmt.support.gap(ALIASED[name]))
    ]


def version_of(need: Requirement) -> str | None:
    """'onnxruntime 1.31.1' for the installed one of a requirement's alternatives, None if there is none."""
    found = ((name, installed_version(name)) for name in (need.name, *need.alternatives))
    return next((f"{name} {version}" for name, version in found if version), None)
