"""The two runtimes that are called TensorRT: their packages, and how the one that is wanted is imported.

Plans of one are unknown to the other. Both have the same Python interface, so one exporter and one predictor serve
both.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from typing import Any

from segkit.core.backend.format import installed_version
from segkit.core.errors import MissingDependencyError, RuntimeFailure


class RuntimeName(StrEnum):
    """What a file says of its runtime, and what users type."""

    STANDARD = "standard"
    RTX = "rtx"


@dataclass(frozen=True)
class Runtime:
    """A runtime as data.

    Attributes:
        name: as in the option `runtime` and in files.
        title: what people call it.
        modules: what it may be imported as, the first that is there.
        requirements: what pip is asked for where it is missing.
        alternatives: other distributions that bring the same module.
    """

    name: RuntimeName
    title: str
    modules: tuple[str, ...]
    requirements: tuple[str, ...]
    alternatives: tuple[str, ...] = ()

    @property
    def distributions(self) -> tuple[str, ...]:
        """Every distribution that brings it, by its bare name."""
        return (*(text.partition(">")[0] for text in self.requirements), *self.alternatives)

    def version(self) -> str | None:
        """Of the installed one, such as "10.13.3.9"; None where none is. Nothing is imported."""
        if not any(find_spec(module) for module in self.modules):
            return None
        return next(filter(None, map(installed_version, reversed(self.distributions))), None)

    def missing(self) -> MissingDependencyError:
        """The error for those who have it not."""
        return MissingDependencyError(self.requirements, f"{self.title} (runtime={self.name})")


STANDARD = Runtime(
    RuntimeName.STANDARD,
    "TensorRT",
    modules=("tensorrt",),
    requirements=("tensorrt>=10.0",),
    alternatives=("tensorrt-cu12", "tensorrt-cu13"),
)
RTX = Runtime(
    RuntimeName.RTX,
    "TensorRT-RTX",
    modules=("tensorrt_rtx", "tensorrt_rtx_bindings"),
    requirements=("tensorrt-rtx-cu13-libs>=1.7", "tensorrt-rtx-cu13-bindings>=1.7"),
    alternatives=("tensorrt-rtx",),
)
BINDINGS = "cuda-bindings>=12.9"
"""What pip is asked for to call the CUDA driver; nothing of CUDA besides the driver is needed for it."""

RTX_TARGETS = ("sm75", "sm80", "sm86", "sm89", "sm120", "sm121")
"""Kinds of GPU that TensorRT-RTX can be told to build for: not Hopper (sm90) and the Blackwell of data centres (sm100).
"""

RUNTIMES = {runtime.name: runtime for runtime in (STANDARD, RTX)}


def require(name: RuntimeName) -> Runtime:
    """The runtime of that name.

    Raises:
        MissingDependencyError: it is not installed.
    """
    runtime = RUNTIMES[name]
    if runtime.version() is None:
        raise runtime.missing()
    return runtime


def preferred(*, with_gpu: bool) -> Runtime:
    """The one to build with where nobody chose: the standard one needs a GPU to build on.

    Raises:
        MissingDependencyError: the one that would do is not installed.
    """
    order = (STANDARD, RTX) if with_gpu else (RTX,)
    found = next((runtime for runtime in order if runtime.version()), None)
    return found or require(order[0].name)


def others(runtime: Runtime) -> Iterable[Runtime]:
    """The installed ones besides it."""
    return [other for other in RUNTIMES.values() if other is not runtime and other.version()]


def imported(runtime: Runtime) -> Any:
    """The module of a runtime that is installed.

    Raises:
        RuntimeFailure: it cannot be imported; its libraries are missing or do not fit.
    """
    name = next(module for module in runtime.modules if find_spec(module))
    try:
        return importlib.import_module(name)
    except Exception as error:
        words = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RuntimeFailure("engine", f"{runtime.title} {runtime.version()} cannot be imported ({words})") from error
