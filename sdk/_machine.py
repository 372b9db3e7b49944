"""The machine: processor, memory, graphics cards; and the folders that segkit uses. No library is imported for it."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from segkit.core.cores import usable

TELLING = (
    *("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16"),
    *("asimd", "asimddp", "i8mm", "bf16", "sve"),
)
"""Instruction sets, as Linux calls them, that decide how fast convolutions and int8 are."""


def processor() -> dict[str, str]:
    """Model, cores, memory and the instruction sets that matter, as far as the system tells."""
    said = dict(_cpuinfo())
    model = said.get("model name") or _sysctl("machdep.cpu.brand_string") or platform.processor() or platform.machine()
    count = len(usable())
    facts = {"processor": model, "cores": f"{count} of {os.cpu_count() or count}"}
    flags = set((said.get("flags") or said.get("Features") or "").split())
    if flags:
        facts["instructions"] = ", ".join(flag for flag in TELLING if flag in flags) or "none that speed segkit up"
    with contextlib.suppress(OSError, ValueError, AttributeError):
        facts["memory"] = f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.1f} GB"
    return facts


def graphics_cards() -> list[str]:
    """NVIDIA cards as the driver lists them; empty without one."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    lines = _said([tool, "-L"]).splitlines()
    return [line.partition(" (UUID")[0] for line in lines if line.startswith("GPU ")]


def folders(cache: Path, tools: Path) -> dict[str, str]:
    """Where segkit keeps and writes, and how much room is left there."""
    places = {"cache": cache, "tools": tools, "temporary": Path(tempfile.gettempdir()), "working": Path.cwd()}
    return {name: f"{place} ({_room(place)})" for name, place in places.items()}


def _room(place: Path) -> str:
    existing = next(folder for folder in (place, *place.parents) if folder.exists())
    try:
        free = f"{shutil.disk_usage(existing).free / 1e9:.1f} GB free"
    except OSError:
        free = "free space unknown"
    writable = "" if os.access(existing, os.W_OK) else ", not writable"
    return f"{free}{writable}" + ("" if existing == place else ", not there yet")


def _cpuinfo() -> Iterator[tuple[str, str]]:
    """The first processor's lines of /proc/cpuinfo."""
    with contextlib.suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if not line.strip():
                return
            label, _, value = line.partition(":")
            yield label.strip(), value.strip()


def _sysctl(name: str) -> str:
    tool = shutil.which("sysctl") if platform.system() == "Darwin" else None
    return _said([tool, "-n", name]).strip() if tool else ""


def _said(command: list[str]) -> str:
    """What a system tool prints; nothing if it fails or takes long."""
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
