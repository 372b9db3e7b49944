"""How much memory and disk a cache may take. Standard library only."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from pathlib import Path

SHARE = 0.8
"""Of what is free, a cache takes this share at most."""

_MEMORY = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


def free_memory(memory: Path = _MEMORY, group: Path = _GROUP) -> int | None:
    """Bytes that this process may still use, as far as the system tells; None if it does not."""
    known = [each for each in (_available(memory), _left_to_group(group)) if each is not None]
    if known:
        return min(known)
    with contextlib.suppress(AttributeError, ValueError, OSError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2  # what is free of it, nobody says
    return None


def free_disk(folder: Path) -> int:
    """Bytes that are free where a folder is, or would be."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    return shutil.disk_usage(there).free


def _available(memory: Path) -> int | None:
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", _text(memory), re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _left_to_group(group: Path) -> int | None:
    """What the limit of a container leaves: files that it has only read count, and are given up when need be."""
    limit, used = _text(group / "memory.max").strip(), _text(group / "memory.current").strip()
    if not (limit.isdigit() and used.isdigit()):
        return None
    read = re.search(r"^inactive_file (\d+)$", _text(group / "memory.stat"), re.MULTILINE)
    return max(int(limit) - int(used) + (int(read[1]) if read else 0), 0)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
