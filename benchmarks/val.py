"""Validation on coco128-seg with one ONNX file at 640, labels read afresh each time, against the peer's: val.py

Both are given the whole call: open the data set, read, letterbox, compute, select, make masks, score. The peer keeps a
cache beside the labels, so both work on a copy, and the caches of both are taken away before every run. The peer takes
batches of one picture, as the file does, and else does as it likes.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from common import DATA, Options, in_turns, options, peer_absent, peer_of, row, title

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


def main() -> None:
    """Print a row a side."""
    given: Options = options(__doc__)
    with tempfile.TemporaryDirectory() as folder, peer_of(given) as peer:
        data = copied(Path(folder))
        model = YOLO(given.model)
        scores: dict[str, tuple[float, float]] = {}

        def ours() -> None:
            without_caches(data)
            metrics = model.val(data=data, plots=False)
            scores["segkit"] = metrics.box.map_trapezoid, metrics.seg.map_trapezoid

        def theirs() -> float:
            assert peer is not None
            without_caches(data)
            said = peer.ask(val=data, batch=1, project=folder, name="peer", exist_ok=True)
            scores["peer"] = said["map_box"], said["map_mask"]
            return said["total"] - said["nms"]

        sides = {"segkit": ours} if peer is None else {"segkit": ours, "peer": theirs}
        times = in_turns(sides, given.rounds(3), 1)
        title(f"val on {NAME}, static ONNX at 640, without the peer's NMS")
        row("segkit", times["segkit"], times.get("peer"), BOUND)
        if peer is None:
            peer_absent()
        else:
            row("peer", times["peer"])
        for side, (box, mask) in scores.items():
            print(f"{side}: AP by the trapezoid rule: box {box:.4f}, mask {mask:.4f}")


if __name__ == "__main__":
    main()
