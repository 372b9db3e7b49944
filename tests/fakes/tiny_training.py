"""A network and a data set so small that a whole training takes seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from segkit.core.data.shapes.files import make_shapes

TINY = """\
nc: 5
backbone:
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
head:
  - [[2, 3, 4], 1, Segment, [nc, 32, 16]]
"""

OPTIONS: dict[str, Any] = {
    "epochs": 3, "imgsz": 64, "batch": 4, "nbs": 8, "workers": 0, "device": "cpu", "plots": False, "close_mosaic": 1,
    "loggers": "csv",
}  # fmt: skip
"""Three batches to an epoch, a step every other batch once it has warmed up."""


def lay_down(folder: Path, train: int = 11, val: int = 4) -> tuple[Path, Path]:
    """An architecture and the description of a data set, written to `folder`."""
    model, data = folder / "tiny.yaml", folder / "shapes"
    model.write_text(TINY, encoding="utf-8")
    return model, make_shapes(data, count=train, val=val, imgsz=96)


def in_a_process(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run some Python in a process of its own."""
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # how sums are divided shows in their last bits
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=os.environ | threads, capture_output=True, text=True, timeout=600
    )
