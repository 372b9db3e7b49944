"""Imports one library in a process of its own and says what it found: `python -m segkit._probe MODULE`.

A library that is broken may raise, hang, or take the process down; none of that must reach the one who asks.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any


def _torch(torch: Any) -> Iterator[tuple[str, str]]:
    built = torch.version.cuda or getattr(torch.version, "hip", None)
    yield "build", f"CUDA {built}" if torch.version.cuda else f"ROCm {built}" if built else "CPU only"
    if torch.cuda.is_available():
        names = (torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
        yield "devices", ", ".join(f"cuda:{index} {name}" for index, name in enumerate(names))
    elif torch.backends.mps.is_available():
        yield "devices", "mps"
    yield "CPU code", str(torch.backends.cpu.get_cpu_capability())
    yield "threads", str(torch.get_num_threads())


def _onnxruntime(runtime: Any) -> Iterator[tuple[str, str]]:
    yield "providers", ", ".join(runtime.get_available_providers())


def _cv2(cv2: Any) -> Iterator[tuple[str, str]]:
    said: dict[str, str] = {}
    for line in cv2.getBuildInformation().splitlines():
        label, _, value = line.strip().partition(":")
        said.setdefault(label, value.strip())
    video = [name for name in ("FFMPEG", "GStreamer") if said.get(name, "").startswith("YES")]
    yield "video", ", ".join(video) or "no codecs"
    yield "windows", "no" if said.get("GUI", "NONE") == "NONE" else said["GUI"]


def _pillow(_: Any) -> Iterator[tuple[str, str]]:
    features = importlib.import_module("PIL.features")
    has = [name for name in ("webp", "avif", "raqm", "libjpeg_turbo") if features.check(name)]
    yield "features", ", ".join(has) or "none of webp, avif, raqm, libjpeg_turbo"


TELLS: dict[str, Callable[[Any], Iterator[tuple[str, str]]]] = {
    "PIL": _pillow,
    "cv2": _cv2,
    "onnxruntime": _onnxruntime,
    "torch": _torch,
}
"""Libraries that have more to tell than that they can be imported."""


REPORTERS = ("openvino_telemetry",)
"""Packages by which libraries report to their maker that they are imported. Where one is missing they do without."""


def main() -> None:
    """Import the module that the command line names, and print its version and facts as one JSON line."""
    for name in REPORTERS:
        sys.modules[name] = None  # type: ignore[assignment] # the import system's word for "there is none"
    # What a library prints while it is imported must not get into the answer.
    with contextlib.redirect_stdout(sys.stderr):
        module = importlib.import_module(sys.argv[1])
        facts = dict(TELLS[sys.argv[1]](module)) if sys.argv[1] in TELLS else {}
    print(json.dumps({"version": getattr(module, "__version__", None), "facts": facts}))


if __name__ == "__main__":
    main()
