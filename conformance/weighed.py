"""What one artefact needs, in a process of its own: seconds to load it, and megabytes.

Run as `python -m segkit.conformance.weighed FORMAT MODULE PATH HEIGHT WIDTH OPTIONS` (MODULE: "-" or the module that
provides the format; OPTIONS: JSON, of loading).
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segkit.conformance import reference
from segkit.conformance.children import answer, answer_in, environment, module_of, registry_with
from segkit.core.backend.registry import Registry
from segkit.core.images import Size

STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Weight:
    """Of one artefact.

    Attributes:
        load: seconds from nothing, the import of the runtime included, to a predictor.
        first: seconds of the first run.
        peak: megabytes that the process needed more than before; 0 where the system does not say.
    """

    load: float
    first: float
    peak: float


def weigh(registry: Registry, name: str, path: Path, size: Size, options: Mapping[str, Any]) -> Weight:
    """Load the artefact and run it once, in a child process.

    Raises:
        AssertionError: it ended before its time, or gave no answer.
    """
    told = (name, module_of(registry, name), str(path), *map(str, size), json.dumps(dict(options)))
    child = subprocess.run(
        [sys.executable, "-m", __name__, *told],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert child.returncode == 0, f"loading it in a process of its own ends with {child.returncode}:\n{child.stderr}"
    return Weight(**answer_in(child.stdout))


def main(name: str, module: str, path: str, height: str, width: str, options: str) -> None:
    """Body of the child."""
    registry = registry_with(name, module)
    backend = registry.get(name)
    batch = reference.pictures(1, (int(height), int(width)))
    batch.make(("f32_nchw",))
    before, start = _peak(), time.perf_counter()
    with backend.load(Path(path), backend.format.parse_load_options(json.loads(options))) as predictor:
        loaded = time.perf_counter()
        predictor.run(batch)
        ran = time.perf_counter()
    answer(asdict(Weight(loaded - start, ran - loaded, _peak() - before)))


def _peak() -> float:
    """Megabytes that this process has held at most."""
    lines = STATUS.read_text().splitlines() if STATUS.exists() else []
    return next((int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM:")), 0.0)


if __name__ == "__main__":
    main(*sys.argv[1:])
