"""Training batches: the same whoever makes them, from any place of a run on, and an end to all that goes wrong."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from segkit.core.data.augment import AugmentArguments, TrainingSamples
from segkit.core.data.augment.pictures import Pictures
from segkit.core.data.dataset import Dataset, open_dataset
from segkit.core.data.labels import NOTHING, Labels
from segkit.core.data.loader import TrainBatch, TrainLoader
from segkit.core.data.loading.pool import Pool
from segkit.core.data.order import Neighbours, Order
from segkit.core.data.shapes.files import make_shapes
from segkit.core.errors import OptionError, SourceError, TrainingError

SIZE = (64, 64)
EVERYTHING = AugmentArguments(degrees=20, flipud=0.3, bgr=0.3, mixup=0.3, cutmix=0.3, copy_paste=0.5)
"""Every change at work."""

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and pipes with names are POSIX")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Eleven pictures of 96 pixels."""
    data = make_shapes(tmp_path_factory.mktemp("loader") / "shapes", count=11, val=0, imgsz=96)
    return open_dataset(data, "train", cache=False)


@pytest.fixture
def own(tmp_path: Path) -> Dataset:
    """The same for one test that damages them."""
    return open_dataset(make_shapes(tmp_path / "shapes", count=11, val=0, imgsz=96), "train", cache=False)


def loader(
    dataset: Dataset,
    arguments: AugmentArguments = EVERYTHING,
    *,
    seed: int = 3,
    imgsz: tuple[int, int] = SIZE,
    memory: int = 1 << 20,
    workers: int = 0,
    cache: str = "off",
    **order: Any,
) -> TrainLoader:
    """A loader of batches of four for a run of two epochs."""
    samples = TrainingSamples(dataset, arguments, imgsz=imgsz, seed=seed, epochs=2, memory=memory)
    sizes = [sample.size for sample in dataset]
    return TrainLoader(
        samples, Order(sizes, **{"batch": 4, "imgsz": imgsz, "seed": seed} | order), workers=workers, cache=cache
    )


def digest(batch: TrainBatch) -> tuple[Any, ...]:
    """All that a batch has, bit for bit."""
    tensors = batch.images, batch.owner, batch.classes, batch.boxes, batch.masks
    told = batch.indices, batch.paths, batch.epoch, batch.number, batch.whole, batch.counted, batch.overlapping
    return *((each.dtype, tuple(each.shape), each.numpy().tobytes()) for each in tensors), told


def epochs(dataset: Dataset, arguments: AugmentArguments = EVERYTHING, **given: Any) -> list[tuple[Any, ...]]:
    """The digests of two epochs."""
    with loader(dataset, arguments, **given) as batches:
        return [digest(batch) for epoch in (0, 1) for batch in batches.epoch(epoch)]


@pytest.fixture(scope="module")
def expected(shapes: Dataset) -> list[tuple[Any, ...]]:
    """What this process makes without a cache."""
    return epochs(shapes)


class TestBatches:
    @pytest.mark.parametrize("overlap", [True, False])
    def test_they_are_the_samples_one_by_one(self, shapes, overlap):
        arguments = EVERYTHING.model_copy(update={"overlap_mask": overlap})
        order = Order(len(shapes), 4, imgsz=SIZE, seed=3)
        samples = TrainingSamples(shapes, arguments, imgsz=SIZE, seed=3, epochs=2)
        alone = samples.using(Pictures(shapes), Neighbours(order))
        with TrainLoader(samples, order, workers=0) as batches:
            for batch in batches.epoch(1):
                made = [alone.sample(index, 1) for index in batch.indices]
                assert batch.images.dtype == torch.uint8
                assert np.array_equal(batch.images, [each.picture.transpose(2, 0, 1) for each in made])
                assert batch.overlapping is overlap
                masks = [each.masks for each in made]
                assert np.array_equal(batch.masks, np.stack(masks) if overlap else np.concatenate(masks))
                assert batch.classes.tolist() == [label for each in made for label in each.labels.classes]
                assert np.array_equal(batch.boxes, np.concatenate([each.boxes_cxcywh for each in made]))
                assert batch.owner.tolist() == [n for n, each in enumerate(made) for _ in each.labels.classes]
                assert batch.paths == tuple(shapes[index].path for index in batch.indices)
                assert batch.whole == len(batch.indices)

    @pytest.mark.parametrize("workers", [1, 2])
    def test_the_number_of_workers_changes_nothing(self, shapes, expected, workers):
        assert epochs(shapes, workers=workers) == expected

    @pytest.mark.parametrize("workers", [0, 2])
    @pytest.mark.parametrize("cache", ["ram", "disk"])
    def test_a_cache_changes_nothing(self, shapes, expected, cache, workers):
        assert epochs(shapes, workers=workers, cache=cache) == expected

    @pytest.mark.parametrize("workers", [0, 2])
    def test_nor_does_memory_for_the_latest_pictures(self, shapes, expected, workers):
        assert epochs(shapes, workers=workers, memory=0) == expected
        assert epochs(shapes, workers=workers, memory=2 * 64 * 64 * 3) == expected

    @pytest.mark.parametrize(
        "given",
        [{"multi_scale": 0.5}, {"rect": True}, {"imgsz": (64, 96)}, {"batch": 100}, {"batch": 1}],
        ids=str,
    )
    def test_the_same_goes_for_batches_of_every_kind(self, shapes, given):
        arguments = AugmentArguments(mosaic=0.0 if "rect" in given else 1.0, overlap_mask=False)
        assert epochs(shapes, arguments, workers=1, **given) == epochs(shapes, arguments, **given)

    def test_every_epoch_and_every_seed_has_its_own(self, shapes, expected):
        assert len(set(expected)) == len(expected) == 6
        assert not set(epochs(shapes, seed=4)) & set(expected)
        assert epochs(shapes) == expected

    def test_the_last_one_is_short_and_none_is_left_out(self, shapes):
        with loader(shapes) as batches:
            counts = [len(batch.indices) for batch in batches.epoch(0)]
        assert counts == [4, 4, 3]
        assert len(batches) == 3

    def test_one_larger_than_the_set_holds_all_of_it(self, shapes):
        with loader(shapes, batch=64) as batches:
            (batch,) = batches.epoch(0)
        assert sorted(batch.indices) == list(range(11))
        assert batch.images.shape == (11, 3, *SIZE)

    def test_rectangles_are_as_their_order_says(self, shapes, tmp_path):
        wide = replace(shapes, samples=tuple(replace(each, size=(48, 96)) for each in shapes[:6]) + shapes.samples[6:])
        order = Order([sample.size for sample in wide], 4, imgsz=SIZE, rect=True)
        with TrainLoader(TrainingSamples(wide, AugmentArguments(mosaic=0), imgsz=SIZE), order, workers=0) as batches:
            sizes = {tuple(batch.images.shape[2:]) for batch in batches.epoch(0)}
        assert sizes == set(order.sizes())
        assert len(sizes) == 2

    def test_pictures_without_objects_make_batches_too(self, shapes):
        empty = replace(shapes, samples=tuple(replace(sample, labels=NOTHING) for sample in shapes))
        for overlap, masks in ((True, (4, 16, 16)), (False, (0, 16, 16))):
            with loader(empty, AugmentArguments(overlap_mask=overlap), workers=1) as batches:
                batch = next(batches.epoch(0))
            assert batch.owner.shape == batch.classes.shape == (0,)
            assert batch.boxes.shape == (0, 4)
            assert batch.masks.shape == masks
            assert not batch.masks.any()

    @pytest.mark.parametrize("overlap", [True, False])
    def test_pictures_of_very_many_objects_too(self, shapes, overlap):
        corners = np.array([(0, 0), (0.2, 0), (0.2, 0.2), (0, 0.2)], np.float32)
        places = np.random.default_rng(0).uniform(0, 0.8, (300, 2)).astype(np.float32)
        outlines = [(corners + place,) for place in places]
        boxes = np.concatenate([places, places + 0.2], axis=1)
        crowded = Labels.of(np.arange(300) % 5, outlines, boxes)
        dataset = replace(shapes, samples=tuple(replace(sample, labels=crowded) for sample in shapes))
        arguments = AugmentArguments(mosaic=0, overlap_mask=overlap)
        with loader(dataset, arguments, workers=1) as batches:
            batch = next(batches.epoch(0))
            assert batch.masks.dtype == (torch.int32 if overlap else torch.uint8)
            assert len(batch.owner) > 4 * 255
            assert batch.masks.shape[0] == (4 if overlap else len(batch.owner))
        assert epochs(dataset, arguments, workers=1) == epochs(dataset, arguments)

    @pytest.mark.parametrize("workers", [0, 1])
    def test_they_stay_as_they_are_however_long_they_are_kept(self, shapes, expected, workers):
        batches = loader(shapes, workers=workers)
        kept = [batch for epoch in (0, 1) for batch in batches.epoch(epoch)]
        batches.close()
        del batches
        gc.collect()
        assert [digest(batch) for batch in kept] == expected

    @pytest.mark.parametrize(
        ("given", "words"),
        [({"workers": -1}, "workers"), ({"cache": "tape"}, "off, ram, disk"), ({"imgsz": (62, 64)}, "mask_ratio")],
    )
    def test_what_cannot_work_is_refused(self, shapes, given, words):
        with pytest.raises(OptionError, match=words):
            loader(shapes, **given)

    def test_a_worker_loads_no_torch(self):
        code = "import sys, segkit.core.data.loading.worker; print('torch' in sys.modules)"
        assert subprocess.check_output([sys.executable, "-P", "-c", code], text=True).strip() == "False"


class TestPlacesOfARun:
    @pytest.mark.parametrize("workers", [0, 2])
    def test_a_run_that_is_taken_up_sees_what_it_would_have_seen(self, shapes, expected, workers):
        for epoch, start in ((1, 0), (0, 2), (1, 1), (0, 3)):
            with loader(shapes, workers=workers) as batches:
                rest = [digest(batch) for batch in batches.epoch(epoch, start)]
            assert rest == expected[3 * epoch + start : 3 * (epoch + 1)]

    @pytest.mark.parametrize("workers", [0, 1])
    def test_an_epoch_can_be_given_up_for_any_other(self, shapes, expected, workers):
        with loader(shapes, workers=workers) as batches:
            first = batches.epoch(0)
            next(first)
            second = batches.epoch(1)
            assert digest(next(second)) == expected[3]
            with pytest.raises(ValueError, match="given up"):
                next(first)
            assert [digest(batch) for batch in batches.epoch(0)] == expected[:3]
            assert [digest(batch) for batch in batches.epoch(0)] == expected[:3]
            assert [digest(batch) for batch in batches.epoch(1, 1)] == expected[4:]

    def test_an_epoch_beyond_the_run_has_batches_too(self, shapes):
        with loader(shapes) as batches:
            assert [batch.epoch for epoch in (1, 2, 9) for batch in batches.epoch(epoch)] == [1] * 3 + [2] * 3 + [9] * 3

    def test_a_closed_one_says_so(self, shapes):
        batches = loader(shapes)
        rest = batches.epoch(0)
        batches.close()
        batches.close()
        with pytest.raises(ValueError, match="closed"):
            batches.epoch(0)
        with pytest.raises(ValueError, match="closed"):
            next(rest)


class TestSeveralProcesses:
    @pytest.mark.parametrize("world", [2, 3])
    def test_together_they_make_the_samples_of_one(self, shapes, world):
        whole = loader(shapes)
        shares = [loader(shapes, rank=rank, world=world) for rank in range(world)]
        for batch, *parts in zip(whole.epoch(1), *(share.epoch(1) for share in shares), strict=True):
            made = {index: image for part in parts for index, image in zip(part.indices, part.images, strict=True)}
            assert sorted(index for part in parts for index in part.indices) == sorted(batch.indices)
            assert {part.whole for part in parts} == {batch.whole}
            assert all(torch.equal(made[i], image) for i, image in zip(batch.indices, batch.images, strict=True))

    def test_who_has_nothing_gets_a_sample_that_does_not_count(self, shapes):
        with loader(shapes, rank=3, world=4) as batches:  # the last batch has three samples
            parts = list(batches.epoch(0))
        assert [part.counted for part in parts] == [True, True, False]
        assert [len(part.indices) for part in parts] == [1, 1, 1]


def blocked(path: Path) -> None:
    """Put something in the place of a picture that nobody can read to its end."""
    path.unlink()
    os.mkfifo(path)


@contextmanager
def being_read(path: Path) -> Iterator[None]:
    """Once somebody reads what `blocked` has made: it waits for more until the end."""
    writer = -1

    def is_open() -> bool:
        nonlocal writer
        with suppress(OSError):  # as long as nobody reads it
            writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK) if path.is_fifo() else -1
        return writer >= 0

    until(is_open)
    try:
        yield
    finally:
        os.close(writer)


def until(happened: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something that is about to happen."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.02)


def workers(count: int) -> list[psutil.Process]:
    """The worker processes of this one, once there are so many."""
    found: list[psutil.Process] = []

    def are_there() -> bool:
        found[:] = [
            each for each in psutil.Process().children() if any("loading.worker" in word for word in words(each))
        ]
        return len(found) == count

    until(are_there)
    return found


def words(process: psutil.Process) -> list[str]:
    """Its command line; none of one that has ended."""
    with suppress(psutil.Error):
        return process.cmdline()
    return []


def is_gone(pid: int) -> bool:
    """Whether a process has ended, if perhaps nobody has asked for its exit code yet."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


class TestFaults:
    @pytest.mark.parametrize("count", [0, 2])
    @pytest.mark.parametrize("what", ["gone", "cut", "no picture"])
    def test_a_picture_that_cannot_be_read_any_more_is_named(self, own, count, what):
        path, whole = own[7].path, own[7].path.read_bytes()
        path.unlink()
        if what != "gone":
            path.write_bytes(whole[: len(whole) // 2] if what == "cut" else b"words")
        with loader(own, workers=count) as batches:
            with pytest.raises(SourceError) as caught:
                list(batches.epoch(0))
            assert path.name in str(caught.value)
            assert str(caught.value.source) == str(path)
            path.write_bytes(whole)
            assert [digest(batch) for batch in batches.epoch(0)] == epochs(own)[:3]

    @posix
    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV], ids=["killed", "crashed"])
    def test_a_worker_that_dies_names_the_picture_that_it_read(self, own, number):
        path = own[7].path
        blocked(path)
        with loader(own, workers=1) as batches:
            rest = batches.epoch(0)
            with being_read(path):
                workers(1)[0].send_signal(number)
                with pytest.raises(TrainingError) as caught:
                    list(rest)
        assert f"was ended by {signal.Signals(number).name} while it read '{path}'" in str(caught.value)
        assert ("without memory" in str(caught.value)) == (number == signal.SIGKILL)

    @posix
    def test_after_a_worker_has_died_another_one_makes_the_same(self, shapes, expected):
        with loader(shapes, workers=1) as batches:  # of two that died, one may be told of in the next epoch
            rest = batches.epoch(0)
            next(rest)
            for worker in workers(1):
                worker.kill()
            with pytest.raises(TrainingError, match="SIGKILL"):
                [*rest, *batches.epoch(1)]
            assert [digest(batch) for batch in batches.epoch(1)] == expected[3:]

    @posix
    def test_a_worker_that_is_ended_from_within_says_how(self, own, monkeypatch, tmp_path):
        (tmp_path / "cv2.py").write_text("import os\nos._exit(7)\n")
        with loader(own, workers=1) as batches:
            monkeypatch.setenv("PYTHONPATH", str(tmp_path))
            with pytest.raises(TrainingError, match="ended with exit code 7"):
                list(batches.epoch(0))

    def test_a_fault_of_ours_in_a_worker_is_an_error_with_its_trace(self, shapes):
        samples = TrainingSamples(shapes, AugmentArguments(), imgsz=SIZE)
        with TrainLoader(samples, Order(len(shapes), 4, imgsz=SIZE), workers=1) as batches:
            samples.arguments.__dict__["mask_ratio"] = 0  # as no user can
            with pytest.raises(TrainingError, match=r"could not make a sample of '.*png': ZeroDivisionError") as caught:
                list(batches.epoch(0))
        assert "Traceback" in str(caught.value.__cause__)


@posix
class TestEnds:
    def test_nothing_is_left_of_a_loader_that_is_closed(self, shapes):
        files = psutil.Process().num_fds()
        with loader(shapes, workers=2, cache="ram") as batches:
            next(batches.epoch(0))
            pids = [worker.pid for worker in workers(2)]
        assert len(pids) == 2
        assert not any(psutil.pid_exists(pid) for pid in pids)
        del batches
        gc.collect()
        assert psutil.Process().num_fds() <= files

    @pytest.mark.parametrize("ring", [False, True])
    def test_nor_of_one_that_nobody_has_any_more(self, shapes, ring):
        batches = loader(shapes, workers=1)
        rest = batches.epoch(0)
        next(rest)
        (worker,) = workers(1)
        if ring:
            batches.itself = batches  # type: ignore[attr-defined]
        del batches, rest
        gc.collect()
        assert not psutil.pid_exists(worker.pid)

    def test_a_blocked_worker_does_not_keep_a_loader_from_closing(self, own):
        for sample in own:
            blocked(sample.path)
        with loader(own, workers=2) as batches:
            batches.epoch(0)
            pids = [worker.pid for worker in workers(2)]
        assert not any(psutil.pid_exists(pid) for pid in pids)

    @pytest.mark.parametrize("end", ["at its end", "at an error", "killed", "terminated"])
    def test_workers_end_with_their_process_however_it_ends(self, shapes, end):
        with script(shapes, {"at its end": "", "at an error": "raise SystemExit(3)"}.get(end, WAITS)) as (
            process,
            pids,
        ):
            if sys.platform == "linux" and end == "killed":  # memory with a name would outlive them
                assert not any("/dev/shm" in Path(f"/proc/{pid}/maps").read_text() for pid in (process.pid, *pids))
            if end == "killed":
                process.kill()
            elif end == "terminated":
                process.terminate()
            process.wait(30)
            until(lambda: all(map(is_gone, pids)))

    def test_even_those_that_wait_for_a_picture(self, own):
        with script(own, WAITS_FOR_A_PICTURE) as (process, _), being_read(own[7].path):
            pids = [child.pid for child in psutil.Process(process.pid).children()]
            process.kill()
            until(lambda: all(map(is_gone, pids)))
        assert len(pids) == 3

    def test_ctrl_c_reaches_the_user_once(self, shapes):
        with script(shapes, WAITS) as (process, pids):
            os.killpg(process.pid, signal.SIGINT)
            said = process.communicate(timeout=30)[1]
            until(lambda: all(map(is_gone, pids)))
        assert said.count("Traceback") == said.count("KeyboardInterrupt") == 1

    def test_a_worker_that_starts_while_the_loader_is_closed_is_not_waited_for(self):
        begun, ended, answer = threading.Event(), threading.Event(), threading.Event()

        class Starting:
            """Who closes the pool comes too early to end it, and it answers nothing of its own accord."""

            pending = 0

            def give(self, share, slot):
                begun.set()
                ended.wait(30)
                self.pending += 1

            def take(self):
                answer.wait()
                raise ValueError

            def end(self):
                ended.set()

        pool = Pool([Starting()], lambda made, slot, release: made)
        pool.begin(Order(4, 4).epoch(0))
        begun.wait(30)
        closing = threading.Thread(target=pool.close)
        closing.start()
        closing.join(20)
        closed = not closing.is_alive()
        answer.set()
        closing.join(20)
        assert closed

    def test_it_may_be_closed_by_a_thread_of_its_own(self):
        """The garbage collector runs in any thread."""

        class Closing:
            pending, ended = 0, False

            def give(self, share, slot):
                pass

            def take(self):
                pool.close()
                raise ValueError

            def end(self):
                self.ended = True

        hand = Closing()
        pool = Pool([hand], lambda made, slot, release: made)
        pool.begin(Order(4, 2).epoch(0))
        until(lambda: hand.ended)
        pool.close()


WAITS = "import time; time.sleep(60)"

WAITS_FOR_A_PICTURE = f"""
dataset[7].path.unlink()
os.mkfifo(dataset[7].path)
other = TrainLoader(TrainingSamples(dataset, imgsz=(64, 64)), Order(11, 4, imgsz=(64, 64)), workers=1)
other.epoch(0)
{WAITS}
"""

SCRIPT = """
import os, sys, psutil
from segkit.core.data.augment import TrainingSamples
from segkit.core.data.dataset import open_dataset
from segkit.core.data.loader import TrainLoader
from segkit.core.data.order import Order
dataset = open_dataset(sys.argv[1], "train", cache=False)
batches = TrainLoader(TrainingSamples(dataset, imgsz=(64, 64)), Order(11, 4, imgsz=(64, 64)), workers=2, cache="ram")
rest = batches.epoch(0)
next(rest)
next(rest)
print(*(child.pid for child in psutil.Process().children()), flush=True)
"""
"""Without a main guard, as scripts and notebooks are."""


@contextmanager
def script(dataset: Dataset, rest: str) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A process of its own in the middle of an epoch, and its workers; it goes on with some more code."""
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT + rest, str(dataset.source)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            pids = [int(word) for word in process.stdout.readline().split()]
            assert len(pids) == 2
            yield process, pids
        finally:
            process.kill()
