"""Do all runtimes live in one process, in whichever order they are loaded? A process for every ordered pair of formats.

python scripts/import_orders.py [FORMAT ...]

Libraries of this kind bring their own protobuf, OpenMP and thread pools, and some take each other's symbols: a pair
crashes in one order and works in the other, and a third one that comes first hides it. So every pair is tried alone:
the first is loaded and runs, the second is loaded and runs, both run once more, and all of it must give what each gives
by itself. Prints a matrix; ends with 1 where an order fails.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from pathlib import Path

import numpy as np

from segkit import YOLO
from segkit.conformance.golden import GOLDEN, IMGSZ, held_out
from segkit.core.backend import Anchors, Feature, Requirement
from segkit.core.backend.registry import default_registry
from segkit.core.errors import SegkitError
from segkit.core.images import ImageBatch
from segkit.core.images.reading import read_picture

NEAR = 1e-2
"""What may differ: runtimes share out sums among their threads. Another's numbers are another picture's."""

WAIT = 300
"""Seconds after which a process hangs."""

OUTPUTS = ("boxes", "scores", "coefficients", "prototypes")


def run(folder: Path, order: list[str]) -> None:
    """In a process of its own: load and run these formats one after another, and then all of them once more."""
    registry = default_registry()
    batch = ImageBatch([read_picture(path) for path in sorted(folder.glob("shapes/images/test/*"))], (IMGSZ, IMGSZ))
    loaded = []
    for name in order:
        backend = registry.get(name)
        loaded.append(backend.load(artefact(folder, name), backend.format.parse_load_options({"threads": 1})))
        check(folder, name, loaded[-1].run(batch), alone=len(order) == 1)
    for name, predictor in zip(order, loaded, strict=True):
        check(folder, name, predictor.run(batch))
    for predictor in loaded:
        predictor.close()
    print("done", flush=True)
    os._exit(0)  # how several runtimes are torn down together is not asked


def check(folder: Path, name: str, found: object, *, alone: bool = False) -> None:
    """Hold outputs against those of the format by itself; `alone` writes them."""
    assert isinstance(found, Anchors)
    values = {output: getattr(found, output) for output in OUTPUTS}
    if alone:
        np.savez(folder / f"{name}.alone.npz", **values)
        return
    with np.load(folder / f"{name}.alone.npz") as wanted:
        for output in OUTPUTS:
            error = float(np.abs(values[output] - wanted[output]).max())
            assert error <= NEAR, f"{name} gives other {output} than alone: {error:.3g}"


def artefact(folder: Path, name: str) -> Path:
    """The file of a format; of PyTorch the weights themselves."""
    weights = folder / name / GOLDEN.name
    return next((path for path in weights.parent.iterdir() if path != weights), weights)


def outcome(folder: Path, order: Iterable[str]) -> str:
    """What became of a process: nothing, or what is wrong."""
    command = [sys.executable, "-P", __file__, "--run", str(folder), *order]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=WAIT)
    except subprocess.TimeoutExpired:
        return f"hangs for {WAIT} s"
    if done.returncode == 0 and done.stdout.endswith("done\n"):
        return ""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return f"exit code {done.returncode}: {lines[-1] if lines else 'nothing was said'}"


def installed() -> list[str]:
    """The formats that run in this process here, one of those that do it with the same libraries."""
    by_libraries: dict[frozenset[str], str] = {}
    for entry in default_registry().all():
        fmt = entry.backend.format if entry.backend else None
        if fmt is None or fmt.support.gap(Feature.PREDICT) or fmt.missing(Feature.PREDICT):
            continue
        needs = [need for need in fmt.requires if Feature.PREDICT in need.needed_for]
        if all(isinstance(need, Requirement) for need in needs):  # a tool is a process of its own
            by_libraries.setdefault(frozenset(str(need) for need in needs), fmt.name)
    return sorted(by_libraries.values())


def main() -> int:
    """Export the golden model to each, try every order, print the matrix."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("formats", nargs="*", help="formats (default: all that run here)")
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        run(given.run, given.formats)
    names = given.formats or installed()
    with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(os.cpu_count()) as pool:
        folder = Path(place)
        held_out(folder / "shapes", 2)
        for name in names:
            prepare(folder, name)
        faults = dict(zip(names, pool.map(lambda name: outcome(folder, [name]), names), strict=True))
        if alone := [f"{name} alone: {fault}" for name, fault in faults.items() if fault]:
            print("\n".join(alone))
            return 1
        pairs = list(permutations(names, 2))
        found = dict(zip(pairs, pool.map(lambda pair: outcome(folder, pair), pairs), strict=True))
    show(names, found)
    bad = {pair: fault for pair, fault in found.items() if fault}
    for (first, second), fault in bad.items():
        print(f"{first}, then {second}: {fault}")
    print(f"{len(found) - len(bad)} of {len(found)} orders work")
    return 1 if bad else 0


def prepare(folder: Path, name: str) -> None:
    """The golden model in a format."""
    weights = folder / name / GOLDEN.name
    weights.parent.mkdir()
    shutil.copyfile(GOLDEN, weights)
    if not default_registry().get(name).format.support.gap(Feature.EXPORT):
        YOLO(weights).export(format=name, imgsz=IMGSZ, batch=2)


def show(names: list[str], found: dict[tuple[str, str], str]) -> None:
    """The matrix: rows are loaded first."""
    width = max(map(len, names)) + 1
    print(f"{'first, then':{width + 2}s}" + "".join(f"{name:>{width}s}" for name in names))
    for first in names:
        cells = ("" if first == second else "FAILS" if found[first, second] else "works" for second in names)
        print(f"{first:{width + 2}s}" + "".join(f"{cell:>{width}s}" for cell in cells))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SegkitError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
