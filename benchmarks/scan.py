"""Reading the labels and sizes of 128 pictures without a cache, against the peer: python benchmarks/scan.py"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common import DATA, ROOT, THREADS, Side, in_turns, options, peer_absent, row, title

from segkit.core.data.dataset import open_dataset

SET = DATA / "datasets" / "coco128-seg"

COUNTS = (128, 929)
"""Its pictures and objects."""

PEER = """
import os, sys, time
from pathlib import Path
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
import torch
from ultralytics.data.dataset import YOLODataset
root, names = Path(sys.argv[1]), dict(enumerate(sys.argv[3:]))
torch.set_num_threads(int(sys.argv[2]))
data = {"names": names, "nc": len(names), "channels": 3}
for _ in sys.stdin:
    for cache in root.glob("labels/*.cache"):
        cache.unlink()
    start = time.perf_counter()
    pictures = str(root / "images" / "train2017")
    found = YOLODataset(img_path=pictures, data=data, task="segment", imgsz=640, augment=False)
    taken = time.perf_counter() - start
    print(len(found), sum(len(each["cls"]) for each in found.labels), taken * 1e3, file=answers, flush=True)
"""
"""Runs in the peer's environment, through its public interface: builds its data set, times that, says what it found."""


def ours(description: Path) -> Side:
    """Open the data set without a cache."""

    def run() -> None:
        found = open_dataset(description, cache=False)
        rows = sum(len(sample.labels) for sample in found)
        assert (len(found), rows) == COUNTS, (len(found), rows)

    return run


@contextmanager
def peers(python: Path, root: Path, names: list[str]) -> Iterator[Side]:
    """The peer in a process of its own, asked over a pipe."""
    settings = ROOT / "runs" / "benchmarks" / "peer"
    settings.mkdir(parents=True, exist_ok=True)
    quiet = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}
    process = subprocess.Popen(
        [str(python), "-P", "-c", PEER, str(root), str(THREADS), *names],
        env=os.environ | quiet | {"YOLO_CONFIG_DIR": str(settings)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    ask, answers = process.stdin, process.stdout

    def run() -> float:
        print(file=ask, flush=True)
        answer = answers.readline().split()
        if not answer:
            raise SystemExit(f"the peer ended with exit code {process.wait()}")
        assert (int(answer[0]), int(answer[1])) == COUNTS, answer
        return float(answer[2])

    try:
        yield run
    finally:
        process.kill()
        process.communicate()


@contextmanager
def copied() -> Iterator[Path]:
    """The data set in a folder that may be written to: labels copied, pictures linked."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copytree(SET / "labels", root / "labels", copy_function=shutil.copyfile)
        for made in root.glob("labels/**"):
            made.chmod(0o755)
        (root / "images").symlink_to(SET / "images")
        shutil.copyfile(SET / f"{SET.name}.yaml", root / "data.yaml")
        yield root


def main() -> None:
    """Print a row a side."""
    given = options(__doc__)
    with copied() as root:
        sides = {"segkit": ours(root / "data.yaml")}
        if given.peer is None:
            times = in_turns(sides, given.rounds(8), given.runs())
        else:
            names = [*open_dataset(root / "data.yaml", cache=False).names.values()]
            with peers(given.peer, root, names) as peer:
                times = in_turns(sides | {"the peer": peer}, given.rounds(8), given.runs())
    title(f"Labels and sizes of {COUNTS[0]} pictures with {COUNTS[1]} objects, no cache")
    row("segkit", times["segkit"], times.get("the peer"), "<= 0.6 of the peer" if given.peer else "")
    if given.peer is None:
        peer_absent()
    else:
        row("the peer", times["the peer"])


if __name__ == "__main__":
    main()
