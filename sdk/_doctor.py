"""How an installation is: what is there, what works, what contradicts what. `segkit doctor`."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import metadata

from segkit._environment import environment, unknown
from segkit._formats import FormatInfo, formats
from segkit._machine import folders, graphics_cards, processor
from segkit.core.backend.format import Requirement, installed_version
from segkit.core.backend.registry import default_registry
from segkit.core.backend.tools import tools_folder
from segkit.core.hub import cache_folder

CORE = ("numpy", "opencv-python-headless", "pillow", "pydantic", "typer", "rich")
"""Distributions that segkit always needs and that are worth a line."""

EXTRAS = (
    *("faster-coco-eval", "matplotlib", "mss", "pandas", "polars", "supervision"),
    *("mlflow", "optuna", "tensorboard", "wandb"),
)
"""Distributions that single commands use where they are there: val, plots, the screen, tables; tune, loggers."""

OPENCV = (
    *("opencv-python", "opencv-python-headless"),
    *("opencv-contrib-python", "opencv-contrib-python-headless"),
)
"""Distributions that all bring the module cv2, and overwrite each other's."""

QUIET = {"ORT_DISABLE_TELEMETRY": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "WANDB_ERROR_REPORTING": "false"}
"""No library reports its use to its maker because it was examined; the user's own settings stand."""

SECONDS = 120
"""After which a library that is still being imported counts as broken."""


@dataclass(frozen=True)
class Library:
    """A distribution that is installed; `problem` says why it cannot be imported, `facts` what else it tells."""

    name: str
    version: str
    problem: str | None = None
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ability:
    """What a format can do here: "yes", or why not, for export and predict."""

    name: str
    title: str
    export: str
    predict: str


@dataclass(frozen=True)
class Checkup:
    """The whole finding.

    Attributes:
        versions: segkit, Python and the system.
        machine: processor, cores, instruction sets, memory, graphics cards.
        libraries: what is installed of all that segkit and its formats can use.
        absent: what is not.
        abilities: what every format can do.
        folders, environment: where segkit writes, and what steers it.
        broken: what is installed and does not work.
        conflicts: what will or may go wrong.
        notes: what is good to know.
    """

    versions: dict[str, str]
    machine: dict[str, str]
    libraries: list[Library]
    absent: list[str]
    abilities: list[Ability]
    folders: dict[str, str]
    environment: dict[str, str]
    broken: list[str]
    conflicts: list[str]
    notes: list[str]


def checkup() -> Checkup:
    """Look at everything. Libraries are imported in processes of their own."""
    infos = formats()
    names = dict.fromkeys([_installed(CORE[1], OPENCV), *CORE, *_found(infos), *EXTRAS])
    present = [name for name in names if installed_version(name)]
    with ThreadPoolExecutor(2) as pool:
        libraries = [*pool.map(examine, present), *_tools(infos)]
    cards = graphics_cards()
    machine = processor() | ({"graphics": ", ".join(cards)} if cards else {})
    broken = [f"{library.name} {library.version}: {library.problem}" for library in libraries if library.problem]
    broken += [f"the plugin of {info.name} ({info.distribution}): {info.error}" for info in infos if info.error]
    return Checkup(
        versions(),
        machine,
        libraries,
        sorted(_absent(infos)),
        [_ability(info, libraries) for info in infos if not info.error],
        folders(cache_folder(), tools_folder()),
        environment(),
        broken,
        list(_conflicts(libraries, cards)),
        list(_notes(libraries, cards)),
    )


def versions() -> dict[str, str]:
    """segkit, Python, and the system."""
    return {
        "segkit": metadata.version("segkit"),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


def examine(distribution: str) -> Library:
    """Import a distribution's module in a process of its own, and take down what it tells."""
    version = installed_version(distribution) or "unknown"
    # -P: a file in the working folder that is called like a library is not that library.
    command = [sys.executable, "-P", "-m", "segkit._probe", _module(distribution)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
            env=QUIET | os.environ,
        )
    except subprocess.TimeoutExpired:
        return Library(distribution, version, f"importing it takes longer than {SECONDS} s")
    if done.returncode:
        return Library(distribution, version, _last_words(done))
    try:
        return Library(distribution, version, facts=json.loads(done.stdout)["facts"])
    except (ValueError, KeyError):
        return Library(distribution, version, "it gives no answer")


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"importing it ends the process with signal {-done.returncode}"
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return lines[-1][:300] if lines else f"importing it ends the process with code {done.returncode}"


def _module(distribution: str) -> str:
    """The module that a distribution is imported as."""
    names = (metadata.distribution(distribution).read_text("top_level.txt") or "").split()
    if not names:
        files = metadata.files(distribution) or []
        names = sorted({file.parts[0] for file in files if file.stem == "__init__" and len(file.parts) == 2})
    public = [name for name in names if not name.startswith("_")]
    plain = distribution.lower().replace("-", "_")
    return plain if plain in public or not public else public[0]


def _tools(infos: Iterable[FormatInfo]) -> list[Library]:
    """What is there of what pip does not bring."""
    found = (need.installed for info in infos for need in info.needs if need.command is not None)
    return [Library(*tool) for tool in dict.fromkeys(filter(None, found))]


def _found(infos: Iterable[FormatInfo]) -> Iterator[str]:
    """Names of the distributions that formats need, or of the alternatives that are installed instead."""
    needs = (need for info in infos for need in info.needs if need.command is None)
    return (need.installed[0] if need.installed else need.name for need in needs)


def _absent(infos: Iterable[FormatInfo]) -> set[str]:
    """Names of what formats need and extras use that is not installed."""
    needed = {need.name for info in infos for need in info.needs if not need.installed}
    return needed | {name for name in EXTRAS if not installed_version(name)}


def _installed(usual: str, alternatives: Iterable[str]) -> str:
    return next((name for name in alternatives if installed_version(name)), usual)


def _ability(info: FormatInfo, libraries: Iterable[Library]) -> Ability:
    broken = {library.name for library in libraries if library.problem}
    answers = {}
    for feature in ("export", "predict"):
        used = [need.installed[0] for need in info.needs if need.installed and feature in need.needed_for]
        if gap := info.support[feature]:
            answers[feature] = f"no: {gap[1]}"
        elif line := info.install.get(feature):
            answers[feature] = f"no: {line}"
        elif hurt := [name for name in used if name in broken]:
            answers[feature] = f"no: {', '.join(hurt)} does not work"
        else:
            answers[feature] = "yes"
    return Ability(info.name, info.title, **answers)


def _conflicts(libraries: list[Library], cards: list[str]) -> Iterator[str]:
    twice = [name for name in OPENCV if installed_version(name)]
    if len(twice) > 1:
        yield f"{' and '.join(twice)} overwrite each other's files: pip uninstall {' '.join(twice)}, then install one"
    requirements = [
        need
        for entry in default_registry().all()
        if entry.backend
        for need in entry.backend.format.requires
        if isinstance(need, Requirement)
    ]
    rivals = {
        tuple(name for name in (need.name, *need.alternatives) if installed_version(name))
        for need in requirements
        if need.rivals
    }
    for names in sorted(group for group in rivals if len(group) > 1):
        yield f"{' and '.join(names)} are the same module: pip uninstall {' '.join(names)}, then install one"
    known = {library.name: library for library in libraries}
    for need in sorted({need.distribution for need in requirements}):
        name, _, least = need.partition(">=")
        if least and name in known and _numbers(known[name].version) < _numbers(least):
            yield f'{name} {known[name].version} is older than segkit supports: pip install "{need}"'
    for library in libraries:
        if cards and library.facts.get("build") == "CPU only":
            yield (
                f"{library.name} {library.version} is a build without CUDA, and this machine has {cards[0]}: "
                "see pytorch.org for the right one"
            )
    yield from unknown()


def _notes(libraries: list[Library], cards: list[str]) -> Iterator[str]:
    for library in libraries:
        if library.facts.get("windows") == "no":
            yield f"{library.name} opens no windows: show=True uses a notebook or the system's viewer"
        if library.facts.get("video") == "no codecs":
            yield f"{library.name} reads no videos: install opencv-python-headless from PyPI"
        providers = library.facts.get("providers")
        if cards and providers is not None and "CUDA" not in providers:
            yield f"{library.name} runs on the CPU alone here ({providers}); a build for CUDA is a package of its own"


def _numbers(version: str) -> tuple[int, ...]:
    """2.13.0+cpu as (2, 13, 0)."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()
