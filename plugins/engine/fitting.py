"""Whether a plan can run here: told from what is known of both sides, before a runtime sees it.

A plan is machine code for one runtime, one version of it, one kind of GPU and one platform. Runtimes refuse some of
what does not fit, crash over some, and say little about either.
"""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from pathlib import Path

from segkit.core.errors import ModelFileError
from segkit.core.notices import notice
from segkit.plugins.engine.container import Built, EngineFile, title
from segkit.plugins.engine.runtimes import RTX_TARGETS, RUNTIMES, Runtime, RuntimeName, others


@dataclass(frozen=True)
class Device:
    """A GPU as its driver describes it; `capability` is (major, minor)."""

    index: int
    name: str
    capability: tuple[int, int]

    @property
    def kind(self) -> str:
        """By the compute capability: sm89."""
        return "sm{}{}".format(*self.capability)

    def __str__(self) -> str:
        """As errors name it."""
        return f"{self.name} ({self.kind})"


def here() -> str:
    """System and processor, as linux-x86_64."""
    return f"{platform.system().lower()}-{platform.machine().lower().replace('amd64', 'x86_64')}"


def numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version: (10, 13, 3, 9) of 10.13.3.9.post1."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found[0].split("."))[:4] if found else ()


def runtime_for(file: EngineFile) -> Runtime:
    """The runtime of a file, of the version that built it.

    Raises:
        ModelFileError: another version is installed, or only the other runtime.
        MissingDependencyError: none is.
    """
    runtime = RUNTIMES[file.plan.runtime]
    built = version_of(file)
    installed = runtime.version()
    if installed is None:
        for other in others(runtime):
            raise ModelFileError(
                file.path,
                f"it was built by {title(runtime.name, built or '(unknown version)')} and {other.title} "
                f"{other.version()} is installed here, another runtime that knows no plans of it. "
                f"{runtime.missing().install}, or export it with runtime={other.name}",
            )
        raise runtime.missing()
    # A plan names four numbers, and a package may leave out the last: JetPack's calls itself 10.3.0.
    if built and any(one != other for one, other in zip(numbers(built), numbers(installed), strict=False)):
        raise ModelFileError(
            file.path,
            f"it was built by {title(runtime.name, built)} and {runtime.title} {installed} is installed here: a plan "
            f"runs with the version that built it. Install that one, or export it again",
        )
    return runtime


def version_of(file: EngineFile) -> str | None:
    """The version that built a plan, as it says itself, or as its metadata say."""
    if file.plan.version:
        return ".".join(map(str, file.plan.version))
    return file.built.version if file.built else None


def check_platform(path: Path, built: Built | None) -> None:
    """A plan holds code for a processor's and a system's own ways, too.

    Raises:
        ModelFileError: it is for another platform.
    """
    if built and built.platform != here():
        raise ModelFileError(
            path, f"it was built on {built.platform} and this is {here()}: plans do not travel. Export it again here"
        )


def check_device(path: Path, built: Built | None, device: Device) -> None:
    """Whether the plan is for this GPU; of a file of another tool nothing is known, and the runtime decides.

    Another model of the same kind runs it, and is told of.

    Raises:
        ModelFileError: it is for others.
    """
    if built is None or not built.targets:
        return
    if any(_holds(target, device) for target in built.targets):
        if built.gpu and built.gpu != device.name:
            notice(
                f"{path.name} was built on {built.gpu} and this is {device.name}, another GPU of the same kind "
                f"({device.kind}): it may be slower here than a file that is exported here"
            )
        return
    listed = ", ".join(built.targets)
    made_for = f"{built.gpu} ({listed})" if built.gpu else f"GPUs of the kinds {listed}"
    again = "Export it again on this GPU"
    if built.runtime is RuntimeName.RTX:
        again += (
            f", or anywhere with runtime=rtx target={device.kind}"
            if device.kind in RTX_TARGETS
            else f" with runtime=standard: TensorRT-RTX builds for {', '.join(RTX_TARGETS)} only"
        )
    raise ModelFileError(path, f"it was built for {made_for} and this is {device}. {again}")


def check_core(file: EngineFile, core: int | None) -> None:
    """Whether the plan is for a DLA where one is asked for (`core`), and for the GPU where none is. Any core runs what
    was built for one.

    Raises:
        ModelFileError: it is for the other.
    """
    if core is not None and file.plan.runtime is RuntimeName.RTX:
        raise ModelFileError(file.path, "it is for TensorRT-RTX, which knows no DLA: run it with device=0")
    if file.built is None:
        return
    if core is None and file.built.dla is not None:
        raise ModelFileError(file.path, f"it was built for a DLA: run it with device=dla:{file.built.dla}")
    if core is not None and file.built.dla is None:
        raise ModelFileError(
            file.path,
            f"it was built for a GPU: run it with device=0, or export it again with device=dla:{core}",
        )


def _holds(target: str, device: Device) -> bool:
    """A target sm89 is for that kind alone, sm80+ for it and all newer ones."""
    found = re.fullmatch(r"sm(\d+)(\d)(\+?)", target)
    if not found:
        return False
    wanted = int(found[1]), int(found[2])
    return device.capability >= wanted if found[3] else device.capability == wanted
