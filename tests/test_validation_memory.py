"""Validation of many pictures keeps what scoring needs of each, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

FAKES = Path(__file__).parent / "fakes"
PICTURES = 5000
KEPT, PEAK = 20_000, 60_000
"""Bytes that a picture may cost until all were seen, and while they are scored in the end, at the most detections."""

CODE = """
import sys
sys.path.insert(0, sys.argv[1])
import resource
import fake_formats
import numpy as np
from segkit import YOLO
from segkit.core.backend import Anchors
from segkit.core.backend.registry import default_registry
from segkit.core.metrics import Evaluator

COUNT = 150  # objects in each picture, each found as both classes: 300, the most that are kept


def run(self, batch):
    generator = np.random.default_rng(0)
    count = len(batch)
    centres = generator.uniform(8, 56, (count, 2, COUNT))
    sides = generator.uniform(8, 24, (count, 2, COUNT))
    scores = generator.uniform(0.01, 0.9, (count, self.classes, COUNT))
    ones = np.ones((count, 4, COUNT)), np.ones((count, 4, batch.size[0] // 4, batch.size[1] // 4))
    return Anchors(*(each.astype(np.float32) for each in (np.concatenate([centres, sides], axis=1), scores, *ones)))


fake_formats.SquarePredictor.run = run
default_registry().register("blob", "fake_formats")
model = YOLO("m_blob_model")
model.val(data="few.yaml", plots=False)


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def scored(self):
    points.append(peak())
    return result(self)


result, Evaluator.result = Evaluator.result, scored
points = [peak()]
metrics = model.val(data="many.yaml", plots=False)
found = metrics.confusion_matrix.matrix[:2].sum()
print(metrics.pictures, int(found), *((point - points[0]) // metrics.pictures for point in (points[1], peak())))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_thousands_of_pictures_cost_a_few_kilobytes_each(tmp_path: Path) -> None:
    (tmp_path / "m_blob_model").mkdir()
    facts = {"imgsz": [64, 64], "names": {"0": "square", "1": "ring"}}
    (tmp_path / "m_blob_model/meta.json").write_text(json.dumps(facts))
    for folder, count in (("few", 100), ("many", PICTURES)):
        (tmp_path / folder / "images").mkdir(parents=True)
        (tmp_path / folder / "labels").mkdir()
        for number in range(count):
            picture = np.full((48, 64, 3), number % 251, np.uint8)
            cv2.imwrite(str(tmp_path / f"{folder}/images/{number}.png"), picture)
            (tmp_path / f"{folder}/labels/{number}.txt").write_text("0 .25 .25 .75 .25 .75 .75 .25 .75\n")
        described = f"path: {folder}\nval: images\nnames: [square, ring]\n"
        (tmp_path / f"{folder}.yaml").write_text(described)
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(FAKES)], cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    pictures, found, kept, most = map(int, done.stdout.split())
    assert pictures == PICTURES
    assert found > 20 * PICTURES  # confident ones alone: there was something to keep
    print(f"{kept} bytes a picture are kept, {most} at the peak")
    assert kept <= KEPT
    assert most <= PEAK
