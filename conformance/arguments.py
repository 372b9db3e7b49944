"""What a run of the suite can be told: names, values, defaults and help, for the command line and for pytest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from segkit.conformance.report import FailOn
from segkit.conformance.stage import Stage
from segkit.core.backend.options import OptionRow, Options, Precision, describe
from segkit.core.errors import OptionError, nearest
from segkit.core.validation.benchmark_arguments import FormatNames, names_of

PRECISIONS = tuple(precision.value for precision in Precision)
STAGES = tuple(stage.value for stage in Stage)


def stages_of(value: Any) -> list[str] | None:
    """Names of stages.

    Raises:
        OptionError: there is no such stage.
    """
    return _known("stage", names_of(value), STAGES)


def precisions_of(value: Any) -> list[str] | None:
    """Names of precisions.

    Raises:
        OptionError: there is no such precision.
    """
    return _known("precision", names_of(value), PRECISIONS)


def _known(option: str, given: Iterable[str] | None, known: Sequence[str]) -> list[str] | None:
    if given is None:
        return None
    found = [name.lower() for name in given]
    for name in found:
        if name not in known:
            guess = nearest(name, known)
            raise OptionError.invalid(
                option, name, f"choose from {', '.join(known)}" + (f"; the nearest is '{guess}'" if guess else "")
            )
    return list(dict.fromkeys(found))


class ConformanceArguments(Options):
    """What `segkit conformance` accepts."""

    format: FormatNames = Field(
        None, description="formats to test, e.g. onnx,torchscript (default: all that are installed)"
    )
    model: str | None = Field(None, description="your weights, tested beside the suite's own golden model")
    data: str | None = Field(
        None, description="labelled pictures for your model: a data.yaml, COCO, a name; their split val is used"
    )
    precision: Annotated[FormatNames, AfterValidator(precisions_of)] = Field(
        None, description=f"of tests of a precision only these: {', '.join(PRECISIONS)} (default: all)"
    )
    stage: Annotated[FormatNames, AfterValidator(stages_of)] = Field(
        None, description=f"only these stages: {', '.join(STAGES)} (default: all)"
    )
    quick: bool = Field(False, description="leave out what takes long and says little more: the larger scales")
    store: str | None = Field(
        None,
        description="folder for exports and PyTorch's outputs; where torch is not installed, they are taken from there",
    )
    report: str | None = Field(
        None, description="folder for report.json, junit.xml, report.md and index.html (default: no files)"
    )
    fail_on: FailOn | None = Field(
        None, description="declared gaps fail, too: all (gap), or those broken upstream (broken); default: none"
    )
    timeout: float = Field(
        600, gt=0, le=86400, description="seconds that one test may take before its process is ended, and it has failed"
    )


def conformance_options() -> list[OptionRow]:
    """Name, type, default and help of everything that a run accepts."""
    return describe(ConformanceArguments)
