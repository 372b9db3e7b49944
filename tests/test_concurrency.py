"""One model, many threads: each gets its own results, whatever the format allows its predictor."""

from __future__ import annotations

import asyncio
import copy
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from segkit import YOLO
from segkit.core.backend.pipeline import ModelCard, export, plan
from segkit.core.backend.registry import Registry, default_registry

FAKES = Path(__file__).parent / "fakes"
THREADS = 8


def at_the_same_time(work: Callable, count: int = THREADS) -> list:
    """`work(0)` … `work(count - 1)`, each on a thread of its own, all let go at one moment."""
    gate = threading.Barrier(count)

    def one(number):
        gate.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def looks(result) -> tuple:
    """All that tells one result from another."""
    masks = None if result.masks is None else (result.masks.shape, np.packbits(result.masks.data).tobytes())
    return result.path, result.orig_shape, np.asarray(result.boxes.data).tobytes(), masks


@pytest.fixture
def loads(monkeypatch):
    """How often each format's predictor was loaded."""
    counts: dict[str, int] = {}

    def watch(backend_class):
        load = backend_class.load

        def counted(self, path, options):
            counts[self.format.name] = counts.get(self.format.name, 0) + 1
            time.sleep(0.05)  # a race has time to happen
            return load(self, path, options)

        monkeypatch.setattr(backend_class, "load", counted)

    watch.counts = counts
    return watch


# -- formats that notice when their rules are broken ----------------------------------------------------------------


@pytest.fixture
def fake(monkeypatch, tmp_path, loads):
    """A model of a fake format that sees one square, larger and surer the brighter the picture."""
    monkeypatch.syspath_prepend(str(FAKES))
    import fake_formats

    def telling(predictor_class):
        class Telling(predictor_class):
            def run(self, batch):
                raw = super().run(batch)
                bright = batch.f32_nchw[:, 0, batch.size[0] // 2, batch.size[1] // 2]
                raw.boxes[:, 2:, 0] = 8 + 40 * bright[:, None]
                raw.scores[:, 0, 0] = 0.3 + 0.6 * bright
                return raw

        return Telling

    for name in ("SquarePredictor", "SerialPredictor", "BoundPredictor"):
        monkeypatch.setattr(fake_formats, name, telling(getattr(fake_formats, name)))
    registry = Registry()
    for name in ("blob", "serial", "bound"):
        registry.register(name, "fake_formats")
        loads(getattr(fake_formats, name.capitalize()))
    monkeypatch.setattr("segkit._yolo.default_registry", lambda: registry)
    weights = tmp_path / "best.weights"
    weights.touch()

    def make(name: str) -> YOLO:
        links = plan(registry, name, {"imgsz": 64}, ModelCard(names={0: "cat"}, coefficients=4), None)
        path = tmp_path / links[-1].backend.format.artefact_name("best", links[-1].options)
        export(registry, links, weights, path, isolate=False)
        return YOLO(path)

    return make


def picture(level: int) -> np.ndarray:
    return np.full((48 + level % 5, 64, 3), level, np.uint8)


@pytest.mark.parametrize("name", ["blob", "serial", "bound"])
def test_each_thread_gets_its_own_results_with_its_own_options(fake, loads, name):
    model = fake(name)
    options = [{"retina_masks": bool(n % 2), "conf": 0.25 + 0.05 * n, "batch": 1 + n % 3} for n in range(THREADS)]
    levels = [[(n * 29 + 7 * k) % 256 for k in range(7)] for n in range(THREADS)]

    def work(number):
        sources = [picture(level) for level in levels[number]]
        return [looks(result) for result in model.predict(sources, **options[number])]

    together = at_the_same_time(work)
    assert loads.counts == {name: 1}, "one session serves all, also when all come first"
    assert together == [work(number) for number in range(THREADS)]
    assert len({repr(each) for each in together}) == THREADS, "the pictures must differ for the test to tell"


@pytest.mark.parametrize("name", ["blob", "serial", "bound"])
def test_streams_of_one_model_may_be_read_in_turns(fake, name):
    model = fake(name)
    dark, bright = ([picture(level + 3 * k) for k in range(6)] for level in (10, 200))
    streams = [model.predict(source, stream=True) for source in (dark, bright)]
    pairs = [tuple(map(looks, pair)) for pair in zip(*streams, strict=True)]
    alone = [[looks(result) for result in model.predict(source)] for source in (dark, bright)]
    assert pairs == list(zip(*alone, strict=True))


@pytest.mark.parametrize("name", ["blob", "serial", "bound"])
def test_an_event_loop_awaits_predictions_in_threads(fake, name):
    model = fake(name)

    async def all_at_once():
        calls = (asyncio.to_thread(model.predict, picture(level)) for level in range(0, 256, 16))
        return [looks(result) for (result,) in await asyncio.gather(*calls)]

    assert asyncio.run(all_at_once()) == [looks(model.predict(picture(level))[0]) for level in range(0, 256, 16)]


def test_a_thread_that_closes_its_stream_disturbs_nobody(fake):
    model = fake("bound")
    expected = [looks(result) for result in model.predict([picture(100)] * 6)]

    def work(number):
        for _ in range(5):
            if number % 2:
                stream = model.predict([picture(100)] * 6, stream=True)
                next(stream)
                stream.close()
            else:
                assert [looks(result) for result in model.predict([picture(100)] * 6)] == expected
        return True

    assert all(at_the_same_time(work))


def test_an_error_in_one_thread_stays_there(fake, tmp_path):
    model = fake("serial")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    expected = looks(model.predict(picture(90))[0])

    def work(number):
        if number % 2:
            try:
                model.predict(broken)
            except Exception as error:
                return "broken.png" in str(error)
        return looks(model.predict(picture(90))[0]) == expected

    assert all(at_the_same_time(work))


# -- the real ones ---------------------------------------------------------------------------------------------------


@pytest.fixture
def onnx_file(data) -> Path:
    return data / "foreign" / "yolov8n-seg.onnx"


def close_to(one, other) -> bool:
    """The same objects; kernels may differ in the last bits when other threads hold the cores."""
    if (one.path, one.orig_shape, len(one)) != (other.path, other.orig_shape, len(other)):
        return False
    if not len(one):
        return one.masks is None and other.masks is None
    same_boxes = np.allclose(one.boxes.data, other.boxes.data, atol=0.05)
    return same_boxes and one.masks.shape == other.masks.shape and (one.masks.data != other.masks.data).mean() < 1e-4


@pytest.mark.parametrize("name", ["pytorch", "onnx"])
def test_real_formats_give_each_thread_its_own(name, n_seg_pt, onnx_file, data, loads):
    loads(type(default_registry().get(name)))
    model = YOLO(onnx_file if name == "onnx" else n_seg_pt)
    files = sorted((data / "datasets" / "coco128-seg" / "images" / "train2017").glob("*.jpg"))[:16]
    sizes = (640,) if name == "onnx" else (320, 256, (192, 320))
    calls = [
        {"imgsz": sizes[n % len(sizes)], "conf": 0.15 + 0.1 * (n % 4), "retina_masks": n % 2 == 1, "threads": 1}
        for n in range(THREADS)
    ]

    def work(number):
        return model.predict([str(file) for file in files[2 * number : 2 * number + 2]], **calls[number])

    together = at_the_same_time(work)
    assert loads.counts == {name: 1}
    alone = [work(number) for number in range(THREADS)]
    assert sum(len(result) for results in alone for result in results) > THREADS
    for number, (mine, wanted) in enumerate(zip(together, alone, strict=True)):
        assert all(map(close_to, mine, wanted)), f"thread {number} got other results than it would get alone"


def test_switching_load_options_meanwhile_opens_one_session_for_each(onnx_file, loads, bus):
    loads(type(default_registry().get("onnx")))
    model = YOLO(onnx_file)
    (expected,) = model.predict(bus, threads=1)

    def work(number):
        for turn in range(3):
            (result,) = model.predict(bus, threads=1 + (number + turn) % 2)
            assert close_to(result, expected)
        return True

    assert all(at_the_same_time(work))
    assert loads.counts == {"onnx": 2}


def test_a_network_in_memory_is_written_and_loaded_once(loads):
    loads(type(default_registry().get("pytorch")))
    model = YOLO("yolov8n-seg.yaml")
    results = at_the_same_time(lambda number: model.predict(picture(number), imgsz=64)[0])
    assert loads.counts == {"pytorch": 1}
    assert [result.orig_shape for result in results] == [picture(number).shape[:2] for number in range(THREADS)]


def test_a_copy_of_a_model_that_was_used_opens_its_own_session(fake, loads):
    model = fake("blob")
    expected = looks(model.predict(picture(50))[0])
    twin = copy.deepcopy(model)
    assert looks(twin.predict(picture(50))[0]) == expected
    assert loads.counts == {"blob": 2}


# -- threads of the runtimes -----------------------------------------------------------------------------------------

LOADS = """
import os, sys
from segkit import YOLO
before = dict(os.environ)
{use}
assert "torch" in sys.modules
assert dict(os.environ) == before, "the environment is the user's"
"""


PREDICT = "import numpy; YOLO(sys.argv[1]).predict(numpy.zeros((64, 64, 3), numpy.uint8), imgsz=64)"


@pytest.mark.parametrize(
    ("use", "chosen"),
    [
        (PREDICT, {}),
        (PREDICT, {"GOMP_SPINCOUNT": "7"}),
        (PREDICT, {"OMP_WAIT_POLICY": "ACTIVE"}),
        ("YOLO('yolov8n-seg.yaml')", {}),
        ("YOLO(sys.argv[1]).info()", {}),
    ],
    ids=["predict", "spins chosen", "policy chosen", "new network", "info"],
)
def test_idle_threads_of_torch_soon_leave_the_cores_to_others_unless_the_user_decided(n_seg_pt, use, chosen):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GOMP_", "OMP_"))}
    done = subprocess.run(
        [sys.executable, "-P", "-c", LOADS.format(use=use), str(n_seg_pt)],
        env=environment | {"OMP_DISPLAY_ENV": "VERBOSE"} | chosen,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    if "GOMP_SPINCOUNT" not in done.stderr:
        pytest.skip("this build of torch has another OpenMP than GNU's")
    (spins,) = re.findall(r"GOMP_SPINCOUNT = '(\w+)'", done.stderr)
    assert (spins == "1000") is (not chosen), spins
