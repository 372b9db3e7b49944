"""Make the golden model, `conformance/golden.pt`, as it was made before: the same versions give the same bytes.

usage: python scripts/golden_model.py [--check]

With --check nothing is written; the exit status is 1 if what was made is not what lies there. It takes minutes.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import torch

from segkit import YOLO
from segkit._demo_arguments import MODEL, DemoArguments
from segkit.conformance.golden import GOLDEN, IMGSZ, MASK_MAP50, SEED
from segkit.core.data.shapes.files import make_shapes

ARGUMENTS = DemoArguments(epochs=30, imgsz=IMGSZ, seed=SEED, workers=0)
"""As the demo, for longer."""

LARGEST = 1_000_000
"""Bytes that it may have: everybody who installs segkit carries it."""


def train(folder: Path) -> tuple[Path, float]:
    """The checkpoint, and its mask mAP50 on pictures held out."""
    torch.set_num_threads(1)  # how sums are divided among threads shows in their last bits
    data = make_shapes(folder / "shapes", **ARGUMENTS.shapes())
    model = YOLO(MODEL)
    model.train(str(data), project=str(folder), name="train", plots=False, **ARGUMENTS.training())
    best = folder / "train" / "weights" / "best.pt"
    return best, float(YOLO(best).val(data, split="test", plots=False).seg.map50)


def main(words: list[str]) -> int:
    """Train, judge, and write or compare."""
    if words not in ([], ["--check"]):
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory(prefix="golden-") as name:
        made, score = train(Path(name))
        data = made.read_bytes()
        names = ("torch", "numpy", "opencv-python-headless", "pillow")
        versions = ", ".join(f"{each} {version(each)}" for each in names)
        print(f"{len(data)} bytes, mask mAP50 {score:.4f}, sha256 {hashlib.sha256(data).hexdigest()}")
        made_with = f"Python {platform.python_version()}, {versions}, {platform.machine()}"
        print(f"{made_with} with {torch.backends.cpu.get_cpu_capability()}")
        if len(data) > LARGEST or score < MASK_MAP50:
            print(f"NOT golden: at most {LARGEST} bytes and at least {MASK_MAP50} are asked for.")
            return 1
        if words:
            same = GOLDEN.exists() and GOLDEN.read_bytes() == data
            print("The same to the last byte." if same else f"NOT the same as {GOLDEN.name}.")
            return int(not same)
        shutil.copyfile(made, GOLDEN)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
