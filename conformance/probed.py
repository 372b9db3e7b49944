"""A declared gap, called past its refusal, in a process of its own: what is broken upstream may crash or hang there.

Run as `python -m segkit.conformance.probed FORMAT MODULE FEATURE FOLDER` (MODULE: "-" or the module that provides the
format).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from segkit.conformance import reference
from segkit.conformance.bench import Bench, own_size
from segkit.conformance.children import environment, module_of, registry_with
from segkit.conformance.compare import compare
from segkit.conformance.gaps import Undeclared
from segkit.conformance.golden import GOLDEN
from segkit.conformance.subject import generated
from segkit.conformance.tolerance import TOLERANCES
from segkit.core.backend import Anchors, Feature, Precision, Selected
from segkit.core.backend.options import BY_PRECISION
from segkit.core.backend.registry import Registry

PATIENCE = 240.0
"""Seconds after which a probe hangs: less than a test may take, so that the gap is confirmed and not the test ended."""

BEGUN, FOUND = "begun", "found.json"
"""Files in which the child says how far it came: what it prints is not its own alone."""


def works_nevertheless(
    registry: Registry, name: str, feature: Feature, folder: Path, patience: float = PATIENCE
) -> bool:
    """Whether a backend does what its format declares as a gap: whatever it raises, a crash, or no end in time says
    that it does not.

    Raises:
        AssertionError: the child ended before it called the backend.
    """
    told = (name, module_of(registry, name), feature.name, str(folder))
    command = [sys.executable, "-m", __name__, *told]
    log = folder / "log.txt"
    with log.open("wb") as output:  # not a pipe: a process that the toolchain leaves would keep it open
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder, env=environment()
        )
        try:
            child.wait(patience)
        except subprocess.TimeoutExpired:
            return False
        finally:
            child.kill()
            child.wait()
    said = log.read_text(encoding="utf-8", errors="replace")[-500:]
    assert (folder / BEGUN).exists(), f"the probe of '{feature}' ended with {child.returncode} before it began:\n{said}"
    found = folder / FOUND
    return found.exists() and json.loads(found.read_text(encoding="utf-8")) is True


def main(name: str, module: str, feature: str, folder: str) -> None:
    """Body of the child."""
    registry = Undeclared(registry_with(name, module), name)
    (Path(folder) / BEGUN).touch()
    works = _works(registry, name, Feature[feature], Path(folder))
    (Path(folder) / FOUND).write_text(json.dumps(works), encoding="utf-8")


def _works(registry: Registry, name: str, feature: Feature, folder: Path) -> bool:
    _, observed, _ = generated(folder)
    (folder / "made").mkdir()
    bench = Bench(registry, name, GOLDEN, folder / "made", observed)
    size = own_size(GOLDEN)
    try:
        plain = bench.export(imgsz=size, batch=1)
        made = bench.export(imgsz=size, batch=1, **bench.switches(feature))
        with bench.load(plain) as one, bench.load(made, feature) as other:
            first = one.run(reference.pictures(1, size))
            if feature is Feature.NMS:
                return isinstance(other.run(reference.pictures(1, size)), Selected)
            count = 3 if feature is Feature.DYNAMIC_BATCH else 1
            batch = reference.pictures(count, (64, 96) if feature is Feature.DYNAMIC_SIZE else size)
            raw = other.run(batch)
            assert isinstance(raw, Anchors)
            precision = next((each for each, asked in BY_PRECISION.items() if asked is feature), Precision.FP32)
            right = all(item.within(TOLERANCES[precision]) for item in compare(raw, bench.expected(batch)))
            # A precision that changes no bit was not listened to, which is not the same as working.
            ignored = feature in BY_PRECISION.values() and isinstance(first, Anchors) and _equal(first, raw)
            free = feature is not Feature.DYNAMIC_BATCH or made.metadata.dynamic_batch
            return bool(right and not ignored and free)
    except Exception:
        return False


def _equal(one: Anchors, other: Anchors) -> bool:
    """Whether two outputs are the same bit by bit."""
    return bool((one.boxes == other.boxes).all() and (one.scores == other.scores).all())


if __name__ == "__main__":
    main(*sys.argv[1:])
