"""Pictures of 12 and 100 megapixels in tiles: what is found, and the memory it takes, measured in fresh processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from segkit import YOLO

FAKES = Path(__file__).parent / "fakes"
MB = 2**20

MEASURE = """
import gc, json, sys, tracemalloc
from pathlib import Path
import cv2
import numpy as np

def memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024

def measured(predict, regions=None):
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = memory("VmRSS")
    tracemalloc.start()
    result = predict()
    traced, resident = tracemalloc.get_traced_memory()[1], memory("VmHWM") - before
    tracemalloc.stop()
    boxes = result.boxes.data.tolist()
    held = result.masks.instances.nbytes
    print(json.dumps({"traced": traced, "resident": resident, "held": held, "boxes": boxes, "regions": regions}))
"""

REAL = """
from segkit import YOLO
model, picture = YOLO(sys.argv[1]), np.load(sys.argv[2])
model.predict(np.ascontiguousarray(picture[:640, :640]))
measured(lambda: model.predict(picture, tile=640)[0])
"""

FAKE = """
sys.path.insert(0, sys.argv[1])
from fake_shapes import Shapes
from segkit.core.backend import LoadOptions
from segkit.core.images.sources import open_sources
from segkit.core.inference.arguments import PredictArguments
from segkit.core.inference.session import Session

picture = np.zeros((10000, 10000, 3), np.uint8)
for index in range(100):  # a square in each of 10 x 10 cells; borders of tiles cut some, and one is larger than a tile
    y, x = divmod(index, 10)
    side = 2500 if index == 77 else 300
    picture[y * 1000 + 40:, x * 1000 + 40:][:side, :side] = 0
    picture[y * 1000 + 40:, x * 1000 + 40:][:side, :side, index % 3] = 255
session = Session(Shapes(size=256), Path("x.shapes"), LoadOptions())
args = PredictArguments(tile=1024, batch=4, max_det=1000)
regions = sum(cv2.connectedComponents(picture[..., colour])[0] - 1 for colour in range(3))
measured(lambda: list(session.predict(open_sources(picture), args, print))[0], regions)
"""

on_linux = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the peak of resident memory is read from /proc"
)


def measure(script: str, *arguments: object) -> dict:
    command = [sys.executable, "-W", "error", "-c", MEASURE + script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@on_linux
def test_twelve_megapixels_hold_what_their_parts_hold_within_bounded_memory(data, tmp_path):
    """A mosaic of pictures at their own size: tiles cut most of them, and objects, somewhere else."""
    files = sorted((data / "datasets" / "coco128-seg" / "images" / "train2017").glob("*.jpg"))
    mosaic, places = np.full((3000, 4000, 3), 114, np.uint8), []
    for index in range(30):
        picture = cv2.imread(str(files[index]))
        top, left = index // 6 * 600, index % 6 * 660
        height, width = min(picture.shape[0], 600), min(picture.shape[1], 660)
        mosaic[top : top + height, left : left + width] = picture[:height, :width]
        places.append((top, left, height, width))
    np.save(tmp_path / "mosaic.npy", mosaic)
    model = YOLO(data / "foreign" / "yolov8n-seg.onnx")
    measured = measure(REAL, model.path, tmp_path / "mosaic.npy")
    assert measured["traced"] < mosaic.nbytes, "less than one more copy of the picture"
    assert measured["resident"] < 120 * MB
    assert measured["held"] < 4 * MB

    found = np.array(measured["boxes"])
    single, sure, seen = Counter(), 0, 0
    for top, left, height, width in places:
        (result,) = model.predict(mosaic[top : top + height, left : left + width])
        single.update(result.boxes.cls.int().tolist())
        for row in result.boxes.data[result.boxes.conf > 0.5] if len(result) else []:
            box = row[:4].numpy() + np.float32([left, top, left, top])
            same = found[found[:, 5] == float(row[5])]
            sides = np.minimum(same[:, 2:4], box[2:]) - np.maximum(same[:, :2], box[:2])
            shared = np.prod(np.maximum(sides, 0), axis=1)
            union = np.prod(same[:, 2:4] - same[:, :2], axis=1) + np.prod(box[2:] - box[:2]) - shared
            sure, seen = sure + 1, seen + bool((shared / union > 0.5).any())
    assert seen >= 0.9 * sure
    assert abs(len(found) - sum(single.values())) <= 0.15 * sum(single.values())


@on_linux
def test_a_hundred_megapixels_need_little_more_than_the_picture():
    measured = measure(FAKE, FAKES)
    assert measured["traced"] < 40 * MB
    assert measured["resident"] < 80 * MB
    assert measured["held"] < 2 * MB
    boxes = np.array(measured["boxes"])
    assert len(boxes) == measured["regions"]
    large = boxes[(boxes[:, 2] - boxes[:, 0]) > 1024]
    assert len(large) == 1, "the one that no tile can hold"
    np.testing.assert_allclose(large[0, :4], [7040, 7040, 9540, 9540], atol=60)
