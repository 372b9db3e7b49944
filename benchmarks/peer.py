"""Runs in the peer's environment, through its public interface alone: python peer.py MODEL THREADS

A question is a line of JSON on standard input: `source` (a file), `array` (decode it first and give the array), `masks`
("xy" for polygons, "data" for pixels, else neither), `memory` (watch it), and options of its `predict`. The answer is a
line of JSON: milliseconds a picture as it reports them, `total` of the call and the masks, `masks` of the
latter, `nms`, `count` of objects, and where `memory` was asked for, the peak above what was held before, in megabytes.

A question with `val` (a data.yaml, beside whose labels it writes) is one of its validation instead, with options of its
`val`; `total` is that of the call, and `map_box` and `map_mask` are its scores.

An environment without torchvision's operators has a stand-in for NMS. Then it is timed apart, and the callers of this
script leave it out of `total` and `postprocess`. Where the operators are there, `nms` is 0 and nothing is left out.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # whatever else is printed is no answer

import torchvision.ops  # noqa: E402

spent = [0.0]
_nms = torchvision.ops.nms


def nms(*arguments: Any, **options: Any) -> Any:
    """The one that is there, timed."""
    start = time.perf_counter()
    found = _nms(*arguments, **options)
    spent[0] += (time.perf_counter() - start) * 1e3
    return found


import torch  # noqa: E402

GENUINE = hasattr(torch.ops.torchvision, "nms")
if not GENUINE:
    torchvision.ops.nms = nms

import cv2  # noqa: E402
from ultralytics import YOLO  # noqa: E402

sys.path.append(str(Path(__file__).parent))  # last: no module of this folder stands in for one of that environment
from memory import Memory  # noqa: E402


def answer(model: Any, question: dict[str, Any]) -> dict[str, float]:
    """Predict as asked, and say how long it took."""
    source, masks, memory = question.pop("source"), question.pop("masks", None), question.pop("memory", False)
    given = cv2.imread(source) if question.pop("array", False) else source
    spent[0] = looking = 0.0
    with Memory() if memory else nullcontext() as watched:
        start = time.perf_counter()
        for result in model.predict(given, imgsz=640, device="cpu", verbose=False, stream=True, **question):
            given_at = time.perf_counter()
            if result.masks is not None and masks:
                getattr(result.masks, masks)
            looking += time.perf_counter() - given_at
        total = time.perf_counter() - start
    return {
        **result.speed,
        "total": total * 1e3,
        "masks": looking * 1e3,
        "nms": spent[0],
        "count": len(result.boxes),
        "memory": watched.peak if watched else 0.0,
    }


def validate(model: Any, question: dict[str, Any]) -> dict[str, float]:
    """Validate as asked, and say how long it took."""
    data, spent[0] = question.pop("val"), 0.0
    start = time.perf_counter()
    metrics = model.val(data=data, imgsz=640, device="cpu", verbose=False, plots=False, **question)
    total = time.perf_counter() - start
    scores = {"map_box": float(metrics.box.map), "map_mask": float(metrics.seg.map)}
    return {**metrics.speed, "total": total * 1e3, "nms": spent[0], **scores}


def main() -> None:
    """Answer until there are no more questions."""
    torch.set_num_threads(int(sys.argv[2]))
    model = YOLO(sys.argv[1], task="segment")
    for line in sys.stdin:
        question = json.loads(line)
        said = validate(model, question) if "val" in question else answer(model, question)
        print(json.dumps(said), file=answers, flush=True)


if __name__ == "__main__":
    main()
