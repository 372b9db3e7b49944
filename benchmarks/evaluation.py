"""From detections and ground truth in memory to the 12 + 12 numbers of COCO, against pycocotools: evaluation.py

The detections are real ones, stored with the reference numbers: some 180 a picture, with masks. Both sides begin with
what they usually hold at that point: pycocotools with its records and index, segkit with pictures to add. segkit also
gives curves, confusion matrices and the plain rules' figures within its time. The numbers are checked to be equal.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from common import DATA, Options, in_turns, options, row, title
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from segkit.core.metrics import Evaluator, Found, Truth

REFERENCE = Path(os.environ.get("SEGKIT_TEST_REFERENCE") or DATA.parent / "reference")
SETS = ("coco128-seg", "coco-val100-seg")

Record = dict[str, Any]


def read(kind: str, name: str) -> Any:
    """A reference file."""
    with gzip.open(REFERENCE / f"{kind}_{name}.json.gz") as file:
        return json.load(file)


def by_picture(records: list[Record]) -> dict[int, list[Record]]:
    """Records of each picture."""
    found: dict[int, list[Record]] = defaultdict(list)
    for record in records:
        found[record["image_id"]].append(record)
    return found


def corners(records: list[Record]) -> list[list[float]]:
    """x1, y1, x2, y2 of each."""
    return [[x, y, x + w, y + h] for x, y, w, h in (record["bbox"] for record in records)]


def run_lengths(known: COCO, annotation: Record) -> Any:
    """An annotation's mask."""
    mask = known.annToRLE(annotation)
    counts = mask["counts"]
    return {"size": list(mask["size"]), "counts": counts.decode() if isinstance(counts, bytes) else counts}


def pictures(known: COCO, results: list[Record]) -> list[tuple[Found, Truth]]:
    """The same records as segkit takes them."""
    index = {label: place for place, label in enumerate(known.getCatIds())}
    found, labelled = by_picture(results), by_picture(known.dataset["annotations"])
    pairs = []
    for image in sorted(known.getImgIds()):
        mine, theirs = found[image], labelled[image]
        shapes = [run_lengths(known, record) for record in theirs]
        classes = [[index[record["category_id"]] for record in records] for records in (mine, theirs)]
        crowd, areas = ([record[key] for record in theirs] for key in ("iscrowd", "area"))
        scores, masks = ([record[key] for record in mine] for key in ("score", "segmentation"))
        pairs.append(
            (Found(corners(mine), scores, classes[0], masks), Truth(corners(theirs), classes[1], crowd, areas, shapes))
        )
    return pairs


def usual(known: COCO, boxes: COCO, masks: COCO) -> Any:
    """The 12 + 12 numbers of pycocotools."""
    with contextlib.redirect_stdout(io.StringIO()):
        judges = [COCOeval(known, boxes, "bbox"), COCOeval(known, masks, "segm")]
        for judge in judges:
            judge.evaluate()
            judge.accumulate()
            judge.summarize()
    return np.array([judge.stats for judge in judges])


def ours(names: list[str], pairs: list[tuple[Found, Truth]]) -> Any:
    """The same of segkit."""
    evaluator = Evaluator(names)
    for found, truth in pairs:
        evaluator.add(found, truth)
    metrics = evaluator.result()
    return np.array([average.stats for average in metrics.averages])


def contest(name: str, given: Options) -> None:
    """Print the table of one set."""
    known, results = COCO(), read("detections", name)
    known.dataset = read("groundtruth", name)
    with contextlib.redirect_stdout(io.StringIO()):
        known.createIndex()
        boxes, masks = (
            known.loadRes([{key: value for key, value in record.items() if key != other} for record in results])
            for other in ("segmentation", "bbox")
        )
    pairs = pictures(known, results)
    names = [category["name"] for category in known.dataset["categories"]]
    assert np.abs(usual(known, boxes, masks) - ours(names, pairs)).max() < 1e-9
    sides = {"pycocotools": lambda: usual(known, boxes, masks), "segkit": lambda: ours(names, pairs)}
    times = in_turns(sides, given.rounds(5), given.runs(1))
    title(f"{name}: {len(results)} detections in {len(pairs)} pictures to the 12 + 12 numbers")
    row("pycocotools", times["pycocotools"])
    row("segkit, against pycocotools", times["segkit"], times["pycocotools"], "<= 0.333")


def main() -> None:
    """Print a table for each set."""
    given = options(__doc__)
    for name in SETS:
        contest(name, given)


if __name__ == "__main__":
    main()
