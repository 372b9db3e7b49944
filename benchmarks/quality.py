"""How good models become in ten epochs, against the peer: quality.py [--seeds 0,1,2,3,4,5] [--device 0]

Rooms-mini-seg from yolov8n-seg.pt at 320, batch 16, every other argument left at its default on either side. The
weights of both sides are scored by one evaluator, ours. The bound is the peer's mean less its standard deviation over
the seeds; a single seed says little: the scores of either side spread by a twentieth.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import DATA, parser_of, peer_absent
from training import trained

from segkit import YOLO

SET = DATA / "datasets" / "rooms-mini-seg"
OPTIONS: dict[str, Any] = {
    "epochs": 10, "imgsz": 320, "batch": 16, "workers": 0, "plots": False, "exist_ok": True, "verbose": False,
}  # fmt: skip
SCORES = ("mask mAP50", "mask mAP50-95", "box mAP50", "box mAP50-95")


def writable(folder: Path) -> Path:
    """The data set in a folder that may be written to; its description."""
    for path in SET.rglob("*"):
        if path.is_file():
            target = folder / path.relative_to(SET)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    data = next(folder.glob("*.yaml"))
    lines = [line for line in data.read_text(encoding="utf-8").splitlines() if not line.startswith("path:")]
    data.write_text("\n".join([f"path: {folder}", *lines]) + "\n", encoding="utf-8")
    return data


def scored(weights: Path, data: Path) -> tuple[float, ...]:
    """The four scores of a checkpoint."""
    found = YOLO(weights).val(data=data, imgsz=320, plots=False, verbose=False)
    return found.seg.map50, found.seg.map, found.box.map50, found.box.map


def main() -> None:
    """Print a row a run, and the means."""
    parser = parser_of(__doc__)
    parser.add_argument("--seeds", default="0,1,2,3,4,5")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    options = OPTIONS | {"device": given.device} | ({"epochs": 1, "fraction": 0.25} if given.quick else {})
    pythons = {"segkit": Path(sys.executable)} | ({"ultralytics": given.peer.absolute()} if given.peer else {})
    found: dict[str, list[tuple[float, ...]]] = {package: [] for package in pythons}
    print(f"{'':24s}" + "".join(f"{name:>15s}" for name in SCORES))
    with tempfile.TemporaryDirectory() as place:
        data = writable(Path(place) / "rooms")
        for seed in given.seeds.split(",")[: 1 if given.quick else None]:
            for package, python in pythons.items():
                asked = options | {"data": str(data), "seed": int(seed), "name": f"seed{seed}"}
                said = trained(python, package, given.weights.resolve(), asked, Path(place))
                found[package].append(scored(Path(said["folder"]) / "weights" / "best.pt", data))
                print(_row(f"{package}, seed {seed}", found[package][-1]), flush=True)
    for package, rows in found.items():
        print(_row(f"{package}, mean", [statistics.mean(column) for column in zip(*rows, strict=True)]))
    if "ultralytics" in found and len(found["ultralytics"]) > 1:
        columns = list(zip(*found["ultralytics"], strict=True))
        print(_row("bound: mean - 1 sigma", [statistics.mean(each) - statistics.stdev(each) for each in columns]))
    elif "ultralytics" not in found:
        peer_absent()


def _row(name: str, scores: Any) -> str:
    return f"{name:24s}" + "".join(f"{each:15.4f}" for each in scores)


if __name__ == "__main__":
    main()
