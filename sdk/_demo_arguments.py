"""Arguments of the demo: what it accepts, and what it tells the others to do."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import Field

from segkit.core.backend.options import Device, OptionRow, Options, describe
from segkit.core.inference.arguments import Folder
from segkit.core.validation.benchmark_arguments import FormatNames

MODEL = "yolov8t-seg.yaml"
"""The architecture that is trained: a tiny one, so that minutes are enough without a graphics card."""

DATA, BEST = "shapes/data.yaml", "runs/segment/train/weights/best.pt"
"""Where somebody who does the same by hand has the data set and the weights."""

BOUND = 0.8
"""Mask mAP50 that must be reached on pictures which the training never saw."""

RECIPE: Mapping[str, Any] = MappingProxyType(
    {
        # Few pictures and little time: every batch is a step (nbs), of an optimizer that needs no long warm-up.
        "batch": 8,
        "nbs": 8,
        "optimizer": "AdamW",
        "lr0": 0.006,
        "cos_lr": True,
        "warmup_epochs": 1,
        # Generated pictures are full of objects as they are, and no two are alike.
        "mosaic": 0,
        "scale": 0.3,
        "cache": "ram",
    }
)
"""How the small model is trained, in words of `segkit train`."""


class DemoArguments(Options):
    """What the demo accepts."""

    pictures: int = Field(1024, ge=8, le=100_000, description="pictures to train with")
    held_out: int = Field(128, ge=8, le=100_000, description="pictures to test with, which the training never sees")
    epochs: int = Field(16, ge=1, description="how often the pictures are seen in training")
    imgsz: int = Field(
        160, ge=64, le=1280, multiple_of=32, description="input size of the network; pictures are twice as large"
    )
    seed: int = Field(0, ge=0, lt=1 << 63, description="another number gives other pictures and another model")
    format: FormatNames = Field(
        None, description="formats to export to, e.g. onnx,torchscript (default: all that are installed)"
    )
    device: Device = Field("cpu", description="cpu, cuda, cuda:1, mps, …")
    workers: int | None = Field(
        None, ge=0, le=256, description="processes that make samples (default: by the processor)"
    )
    bound: float = Field(
        BOUND, ge=0, le=1, description="mask mAP50 to be reached on the pictures held out; else the exit code is 1"
    )
    project: Folder = Field(None, description="folder for results (default: runs)")
    name: str | None = Field(None, description="sub-folder for this run (default: demo, demo2, …)")

    def shapes(self) -> dict[str, Any]:
        """For `segkit data shapes`: what is learned from, what chooses the best epoch, and what is held out."""
        counts = {"count": self.pictures, "val": self.held_out // 2, "test": self.held_out}
        return counts | {"seed": self.seed, "imgsz": 2 * self.imgsz}

    def training(self) -> dict[str, Any]:
        """For `segkit train`."""
        own = {"epochs": self.epochs, "imgsz": self.imgsz, "seed": self.seed, "device": self.device}
        return own | ({} if self.workers is None else {"workers": self.workers}) | dict(RECIPE)

    def benchmark(self) -> dict[str, Any]:
        """For `segkit benchmark`."""
        own: dict[str, Any] = {"split": "test", "keep": True, "device": self.device}
        return own | ({"format": self.format} if self.format else {})

    def commands(self) -> dict[str, str]:
        """Step → the command for it, in an empty folder."""
        return {
            "shapes": command("data", "shapes", "shapes/", **self.shapes()),
            "train": command("train", model=MODEL, data=DATA, **self.training()),
            "val": command("val", model=BEST, data=DATA, split="test"),
            "benchmark": command("benchmark", model=BEST, data=DATA, **self.benchmark()),
        }


def command(*words: str, **options: Any) -> str:
    """A command line of segkit."""
    joined = {name: ",".join(value) if isinstance(value, list) else value for name, value in options.items()}
    return shlex.join(["segkit", *words, *(f"{name}={value}" for name, value in joined.items())])


def demo_options() -> list[OptionRow]:
    """Name, type, default and help of everything that the demo accepts."""
    return describe(DemoArguments)
