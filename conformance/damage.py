"""Damaged copies of an artefact, and a child process that tries to load them: a crash there is a finding, no accident.

Run as `python -m segkit.conformance.damage FORMAT MODULE PATH…` (MODULE: "-" or the module that provides the format).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from segkit.conformance.children import environment, module_of, registry_with
from segkit.core.backend.registry import Registry
from segkit.core.errors import SegkitError

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda whole: b"",
    "cut to a quarter": lambda whole: whole[: len(whole) // 4],
    "cut to a half": lambda whole: whole[: len(whole) // 2],
    "without its last 64 bytes": lambda whole: whole[:-64],
    "random bytes": lambda whole: np.random.default_rng(0).bytes(min(len(whole), 1 << 20)),
    "an HTML page": lambda whole: b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n",
}

SUBTLE: dict[str, Callable[[bytes], bytes]] = {
    "with one bit flipped near its end": lambda whole: _flipped(whole, len(whole) * 9 // 10),
    "with one bit flipped in its middle": lambda whole: _flipped(whole, len(whole) // 2),
}
"""Damage that a format without a checksum cannot see: it may load, but must not end the process."""


def _flipped(whole: bytes, place: int) -> bytes:
    return whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :]


@dataclass(frozen=True)
class Outcome:
    """What became of one damaged artefact: `refused` is right; `loaded`, `traceback` and `crash` are not."""

    damage: str
    kind: str
    text: str


def damaged_copies(
    artefact: Path, folder: Path, damages: Mapping[str, Callable[[bytes], bytes]] = MappingProxyType(DAMAGES)
) -> dict[str, Path]:
    """One copy for each kind of damage; of an artefact that is a folder, the largest file is damaged."""
    copies = {}
    for number, (name, damage) in enumerate(damages.items()):
        copy = folder / str(number) / artefact.name
        copy.parent.mkdir(parents=True)
        if artefact.is_dir():
            shutil.copytree(artefact, copy)
            victim = max((item for item in copy.rglob("*") if item.is_file()), key=lambda item: item.stat().st_size)
        else:
            victim = copy
            shutil.copy2(artefact, copy)
        victim.write_bytes(damage(victim.read_bytes()))
        copies[name] = copy
    return copies


def try_to_load(registry: Registry, format_name: str, copies: dict[str, Path]) -> list[Outcome]:
    """Load every copy, all in one child process; what comes after a crash is tried in a new one."""
    module, waiting, outcomes = module_of(registry, format_name), dict(copies), []
    while waiting:
        command = [sys.executable, "-m", __name__, format_name, module, *map(str, waiting.values())]
        child = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=600,
            env=environment(),
        )
        lines = [json.loads(line) for line in child.stdout.splitlines() if line.startswith('{"kind"')]
        if len(lines) < len(waiting):
            lines.append({"kind": "crash", "text": f"exit code {child.returncode}; {child.stderr[-500:]}"})
        for name, line in zip(list(waiting), lines, strict=False):
            outcomes.append(Outcome(name, line["kind"], line["text"]))
            del waiting[name]
    return outcomes


def main(format_name: str, module: str, *paths: str) -> None:
    """Body of the child: one JSON line for each path."""
    registry = registry_with(format_name, module)
    backend = registry.get(format_name)
    for path in paths:
        try:
            backend.load(Path(path), backend.format.parse_load_options({})).close()
            kind, text = "loaded", "nothing was raised"
        except SegkitError as error:
            kind, text = "refused", str(error)
        except Exception as error:
            kind, text = "traceback", f"{type(error).__name__}: {error}"
        print(json.dumps({"kind": kind, "text": text}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
