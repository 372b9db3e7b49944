"""The packages of Node that run a graph model here: where they are, whether they are there, how they get there.

Which ones, to the last byte, is said by `node/package-lock.json`: npm compares what it fetches with the sums in it.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from segkit.core.backend import tools_folder
from segkit.core.errors import SegkitError
from segkit.core.files import new_folder
from segkit.core.http import is_offline

PROGRAMS = Path(__file__).with_name("node")
"""What comes with segkit: the program that Node runs, and the list of packages that it needs."""

LISTS = ("package.json", "package-lock.json")

_OLDEST = 18
_LEADING = "@tensorflow/tfjs-core"


def folder() -> Path:
    """Where they belong; another version of the list has another folder."""
    return tools_folder() / f"tfjs-{_digest()}"


def version() -> str | None:
    """Version of TensorFlow.js that is ready to run, None where Node or the packages are missing."""
    if node() is None:
        return None
    try:
        wanted = json.loads((PROGRAMS / "package.json").read_bytes())["dependencies"]
        found = {name: _version_of(name) for name in wanted}
    except (OSError, ValueError, KeyError):
        return None
    return found[_LEADING] if found == wanted else None


def _version_of(package: str) -> str:
    return str(json.loads((folder() / "node_modules" / package / "package.json").read_bytes())["version"])


def node() -> str | None:
    """Where Node is, if it is installed."""
    return shutil.which("node")


def setup(report: Callable[[str], None]) -> dict[str, str]:
    """Install them with npm, unless they are there. What was done, in words.

    Raises:
        SegkitError: Node is missing or too old, or npm failed.
        OutputError: the folder cannot be written.
    """
    place, found = folder(), _node_version()
    if version() is None:
        if is_offline():
            raise SegkitError(f"SEGKIT_OFFLINE forbids the network: copy '{place}' from a machine where this has run.")
        npm = shutil.which("npm")
        if npm is None:
            raise SegkitError("npm, which comes with Node.js, is not found. Install Node.js: https://nodejs.org")
        report("npm fetches the packages of TensorFlow.js")
        with new_folder(place, exist_ok=True) as made:
            _install(npm, made)
    return {"TensorFlow.js": version() or "", "Node.js": found, "folder": str(place)}


def _install(npm: str, made: Path) -> None:
    for name in LISTS:
        shutil.copyfile(PROGRAMS / name, made / name)
    with tempfile.TemporaryDirectory(prefix="segkit-npm-") as cached:
        # Exactly what is listed, none of its scripts run, nobody told; and nothing is left elsewhere.
        quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")
        command = [npm, "ci", *quiet, f"--cache={cached}"]
        done = subprocess.run(
            command, cwd=made, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
        )
    if done.returncode:
        raise SegkitError(f"npm has not installed the packages of TensorFlow.js: {_last_line(done.stderr)}")


def _node_version() -> str:
    """Version of Node.

    Raises:
        SegkitError: there is none, or one that is too old.
    """
    program = node()
    if program is None:
        raise SegkitError(f"Node.js is not found. Install version {_OLDEST} or newer: https://nodejs.org")
    told = subprocess.run([program, "--version"], capture_output=True, text=True, errors="replace", check=False).stdout
    number = re.match(r"v(\d+)\.[\d.]+", told)
    if number is None or int(number[1]) < _OLDEST:
        raise SegkitError(f"Node.js is {told.strip() or 'of no known version'}, and {_OLDEST} or newer is needed")
    return number[0].removeprefix("v")


def _last_line(said: str) -> str:
    """What npm complains of, without the place of its log."""
    lines = [line.removeprefix("npm error ").strip() for line in said.splitlines() if "log of this run" not in line]
    return next((line for line in reversed(lines) if line and not line.startswith("npm ")), "it says nothing")[:300]


@cache
def _digest() -> str:
    return hashlib.sha256((PROGRAMS / LISTS[1]).read_bytes()).hexdigest()[:12]
