"""Loader and step of a training, images a second, against the peer: training.py [--device 0]

Yolov8n-seg from its checkpoint, every default of augmentation, loss and average; on the CPU 160 px in batches of 16, on
a GPU 640 px in batches of 64 with mixed precision. Both sides have the same pictures, kept in memory, and as many
workers. A run is a process; its first epoch is not counted, validation neither. The pictures are those of coco128-seg,
several times over, so that an epoch is long. Memory is that of the process and its workers, shared pages counted once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import psutil
from common import DATA, QUIET, Side, Times, in_turns, parser_of, peer_absent

BOUNDS = {"cpu": 1.15, "cuda": 1.3}
ON_CPU: dict[str, Any] = {"imgsz": 160, "batch": 16, "workers": 2, "device": "cpu", "epochs": 4, "copies": 2}
ON_GPU: dict[str, Any] = {"imgsz": 640, "batch": 64, "workers": 14, "amp": True, "epochs": 4, "copies": 16}
ALIKE: dict[str, Any] = {
    "cache": "ram", "val": False, "plots": False, "save": False, "exist_ok": True, "close_mosaic": 0,
    "optimizer": "SGD", "lr0": 0.001, "warmup_epochs": 0.0, "verbose": False,
}  # fmt: skip


def repeated(folder: Path, copies: int) -> Path:
    """coco128-seg with each picture under several names, in a folder that may be written to; its description."""
    source = DATA / "datasets" / "coco128-seg"
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
        for path in sorted((source / kind / "train2017").iterdir()):
            for number in range(copies):
                (folder / kind / f"{path.stem}-{number}{path.suffix}").symlink_to(path.resolve())
    lines = (source / "coco128-seg.yaml").read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith(("path:", "train:", "val:", "test:"))]
    data = folder / "data.yaml"
    data.write_text("\n".join([f"path: {folder}", "train: images", "val: images", *kept]), encoding="utf-8")
    return data


class Memory(threading.Thread):
    """The most memory, in mebibytes, that a process and its children have held, looked at several times a second."""

    def __init__(self, pid: int) -> None:
        """Begin."""
        super().__init__(daemon=True)
        self._parent, self._over, self.peak = psutil.Process(pid), threading.Event(), 0.0
        self.start()

    def run(self) -> None:
        """Look until told otherwise."""
        while not self._over.wait(0.2):
            held = 0
            try:
                for process in (self._parent, *self._parent.children(recursive=True)):
                    held += process.memory_full_info().pss
            except psutil.Error:  # it ended meanwhile
                continue
            self.peak = max(self.peak, held / 2**20)

    def stop(self) -> float:
        """End; gives the peak."""
        self._over.set()
        self.join()
        return self.peak


def trained(python: Path, package: str, weights: Path, options: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train in a process of its own; what it says, with `memory`."""
    script = Path(__file__).with_name("training_run.py")
    asked = json.dumps(options | {"project": str(folder / package)})
    process = subprocess.Popen(
        [str(python), "-P", str(script), package, str(weights), asked],
        env=os.environ | QUIET | {"YOLO_CONFIG_DIR": str(folder)},
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    memory = Memory(process.pid)
    out, err = process.communicate()
    peak = memory.stop()
    if process.returncode:
        raise SystemExit(f"{package} ended with exit code {process.returncode}:\n{err[-2000:]}")
    said: dict[str, Any] = json.loads(out.splitlines()[-1])
    return said | {"memory": peak}


def main() -> None:
    """Print a row a side."""
    parser = parser_of(__doc__)
    parser.add_argument("--device", default="cpu", help="cpu, or the number of a GPU")
    parser.add_argument("--workers", type=int, help="of either side")
    given = parser.parse_args()
    kind = "cpu" if given.device == "cpu" else "cuda"
    options = ALIKE | (ON_CPU if kind == "cpu" else ON_GPU | {"device": given.device})
    if given.workers is not None:
        options["workers"] = given.workers
    if given.quick:
        options |= {"epochs": 2, "copies": 1, "fraction": 0.25}
    copies = options.pop("copies")
    pythons = {"segkit": Path(sys.executable)} | ({"ultralytics": given.peer.absolute()} if given.peer else {})
    most: dict[str, list[tuple[float, float]]] = {package: [] for package in pythons}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        data = repeated(folder / "data", copies)

        def run(package: str) -> float:
            said = trained(pythons[package], package, given.weights.resolve(), options | {"data": str(data)}, folder)
            most[package].append((said["memory"], said["card"]))
            pictures, seconds = (sum(column) for column in zip(*said["epochs"][1:], strict=True))
            return seconds * 1e3 / pictures

        sides: dict[str, Side] = {package: lambda package=package: run(package) for package in pythons}
        times = in_turns(sides, 1 if given.quick else 3, 1)
    print(f"\nloader and step, {options['imgsz']} px, batch {options['batch']}, {options['workers']} workers, {kind}")
    for package, taken in times.items():
        memory, card = (max(column) for column in zip(*most[package], strict=True))
        line = f"{package:14s} {1e3 / taken.median:8.1f} images/s (best {1e3 / taken.best:.1f}), {memory:6.0f} MiB"
        print(line + (f", on the GPU {card:.0f} MiB" if card else ""))
    if "ultralytics" in times:
        print(_ratio(times["ultralytics"], times["segkit"], BOUNDS[kind]))
    else:
        peer_absent()


def _ratio(theirs: Times, ours: Times, bound: float) -> str:
    medians, fastest = theirs.over(ours)
    return f"images a second over the peer's: median {medians:.2f}, fastest {fastest:.2f}   >= {bound:.2f}"


if __name__ == "__main__":
    main()
