"""An export in a process that is killed half-way: what is left must be nothing.

Run as `python -m segkit.conformance.killed FORMAT MODULE MODEL TARGET OPTIONS` (MODULE: "-" or the module that provides
the format; OPTIONS: JSON): a user's export, which says on its standard output when it begins a step.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from segkit.conformance import reference
from segkit.conformance.children import environment, module_of, registry_with
from segkit.conformance.reference import network_of
from segkit.core.backend.calibration import PictureCalibration
from segkit.core.backend.pipeline import ModelCard, export, plan
from segkit.core.backend.registry import Registry

PATIENCE = 20.0
"""Seconds that the rest of the processes may take to notice, and to tidy up."""


def kill_half_way(registry: Registry, name: str, model: Path, target: Path, size: tuple[int, int]) -> list[str]:
    """Begin an export, kill it as soon as its toolchain is at work; what is left beside nothing.

    Returns:
        Names of files, those of temporary ones included. A target that is complete already is none of them.
    """
    temporary, work = target.parent.parent / "tmp", target.parent.parent / "cwd"
    for folder in (target.parent, temporary, work):
        folder.mkdir(parents=True, exist_ok=True)
    child = subprocess.Popen(
        [
            sys.executable,
            "-m",
            __name__,
            name,
            module_of(registry, name),
            str(model),
            str(target),
            json.dumps({"imgsz": size}),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=work,
        env=environment() | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary)),
    )
    assert child.stdout is not None
    with child.stdout:
        begun = child.stdout.readline()
        child.kill()
        child.wait()
    assert begun, f"the export ended with {child.returncode} before its first step"
    end = time.monotonic() + PATIENCE
    while any(temporary.iterdir()) and time.monotonic() < end:
        time.sleep(0.05)
    left = [*temporary.iterdir(), *work.iterdir(), *(item for item in target.parent.iterdir() if item != target)]
    return sorted(item.name for item in left)


def main(name: str, module: str, model: str, target: str, options: str) -> None:
    """Body of the child."""
    registry = registry_with(name, module)
    network = network_of(Path(model))
    head = network.config.head
    card = ModelCard(network.names, coefficients=head.masks, strides=tuple(network.config.strides))
    given = json.loads(options)
    parsed = registry.get(name).format.parse_export_options(given)
    shown = None
    if parsed.needs_calibration():
        shown = PictureCalibration(reference.pictures(8, parsed.imgsz).u8_nhwc, parsed.batch)
    links = plan(registry, name, given, card, shown)
    export(registry, links, Path(model), Path(target), calibration=shown, report=lambda text: print(text, flush=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
