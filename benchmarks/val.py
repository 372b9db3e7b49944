"""Validation on coco128-seg with one ONNX file at 640, labels read afresh each time, against the peer's: val.py

Twice: as a call without plots in a process that has loaded everything, and as users type it, a whole process with every
default, plots too. Both sides open the data set, read, letterbox, compute, select, make masks, score. The peer keeps a
cache beside the labels, so both work on a copy, and the caches of both are taken away before every run. The peer takes
batches of one picture, as the file does, and else does as it likes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from common import DATA, QUIET, Options, Peer, Side, in_turns, options, peer_absent, peer_of, row, title

from segkit import YOLO

NAME = "coco128-seg"
BOUND = "<= 0.70"


def copied(folder: Path) -> Path:
    """The data set's description in a copy that may be written to."""
    shutil.copytree(DATA / "datasets" / NAME, folder / NAME, copy_function=shutil.copyfile)
    for path in (folder / NAME, *(folder / NAME).rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    data = folder / NAME / f"{NAME}.yaml"
    # The peer takes a relative path to start at the working folder.
    lines = data.read_text().splitlines()
    data.write_text("\n".join(f"path: {data.parent}" if line.startswith("path:") else line for line in lines))
    return data


def without_caches(data: Path) -> None:
    """Take away what either kept of the labels beside them."""
    for pattern in ("*.cache", "*.segkit.npz"):
        for path in data.parent.rglob(pattern):
            path.unlink()


def as_commands(given: Options, data: Path) -> dict[str, Side]:
    """`segkit val` and the peer's command, each a process."""
    model = given.model.resolve()
    commands: dict[str, list[str | Path]] = {
        "segkit": [Path(sys.executable).with_name("segkit"), "val", f"model={model}", f"data={data}"]
    }
    if given.peer is not None:
        arguments = [f"model={model}", f"data={data}", "imgsz=640", "batch=1", "device=cpu"]
        commands["peer"] = [given.peer.absolute().with_name("yolo"), "segment", "val", *arguments]

    def run(name: str) -> None:
        without_caches(data)
        folder = data.parent / name
        folder.mkdir(exist_ok=True)
        environment = os.environ | QUIET | {"YOLO_CONFIG_DIR": str(folder)}
        subprocess.run(commands[name], cwd=folder, env=environment, capture_output=True, check=True)

    return {name: lambda name=name: run(name) for name in commands}


def as_calls(given: Options, data: Path, peer: Peer | None, scores: dict[str, tuple[float, float]]) -> dict[str, Side]:
    """`YOLO.val` of both, in processes that are warm."""
    model = YOLO(given.model)

    def ours() -> None:
        without_caches(data)
        metrics = model.val(data=data, plots=False, verbose=False)
        scores["segkit"] = metrics.box.map_trapezoid, metrics.seg.map_trapezoid

    def theirs() -> float:
        assert peer is not None
        without_caches(data)
        said = peer.ask(val=data, batch=1, project=data.parent, name="peer", exist_ok=True)
        scores["peer"] = said["map_box"], said["map_mask"]
        return said["total"] - said["nms"]

    return {"segkit": ours} if peer is None else {"segkit": ours, "peer": theirs}


def main() -> None:
    """Print a row a side."""
    given: Options = options(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        data = copied(Path(folder))
        scores: dict[str, tuple[float, float]] = {}
        with peer_of(given) as peer:
            said(f"val on {NAME}, static ONNX at 640, as a call", as_calls(given, data, peer, scores), given)
        said(f"val on {NAME}, the same file, as a command", as_commands(given, data), given)
        for side, (box, mask) in scores.items():
            print(f"{side}: AP by the trapezoid rule: box {box:.4f}, mask {mask:.4f}")


def said(what: str, sides: dict[str, Side], given: Options) -> None:
    """Time and print."""
    times = in_turns(sides, given.rounds(5), 1)
    title(what)
    row("segkit", times["segkit"], times.get("peer"), BOUND)
    if "peer" in times:
        row("peer", times["peer"])
    else:
        peer_absent()


if __name__ == "__main__":
    main()
