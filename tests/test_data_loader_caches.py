"""Pictures kept in memory or on disk: exactly those of the files, whole or not at all, and only where there is room."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from segkit.core.data.augment import AugmentArguments, TrainingSamples
from segkit.core.data.augment.labelled import Listed
from segkit.core.data.augment.pictures import Pictures
from segkit.core.data.dataset import Dataset, open_dataset
from segkit.core.data.loader import TrainLoader
from segkit.core.data.loading import caching
from segkit.core.data.loading.caching import open_cache
from segkit.core.data.loading.fitting import free_disk, free_memory
from segkit.core.data.loading.keeping import Kept
from segkit.core.data.loading.on_disk import place_of
from segkit.core.data.loading.packed import Packed
from segkit.core.data.loading.recent import recent_stores
from segkit.core.data.loading.shared import Block
from segkit.core.data.order import Order
from segkit.core.data.shapes.files import make_shapes
from segkit.core.errors import SourceError

SIDE = 64


@pytest.fixture
def shapes(tmp_path: Path) -> Dataset:
    """Nine pictures of 96 pixels."""
    return open_dataset(make_shapes(tmp_path / "shapes", count=9, val=0, imgsz=96), "train", cache=False)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("SEGKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pictures"


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    """What the user has been told."""
    with caplog.at_level("INFO", logger="segkit"):
        yield lambda: caplog.text


def opened(kind: str, dataset: Dataset, side: int = SIDE, processes: int = 1) -> Kept | None:
    """The cache of a data set."""
    return open_cache(kind, Listed(dataset), side, processes)


def is_right(kept: Kept | None, dataset: Dataset, side: int = SIDE) -> bool:
    """Whether it holds the very pixels of the files."""
    assert kept is not None
    pictures = Pictures(dataset)
    return all(np.array_equal(kept.get(index), pictures.picture(index, side)) for index in range(len(dataset)))


def write(picture: np.ndarray, path: Path) -> None:
    """Put other pixels in the place of a picture."""
    path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())


def file_of(dataset: Dataset, side: int = SIDE) -> Path:
    """Where its pictures are kept on disk."""
    return place_of(Listed(dataset), side)


def images(dataset: Dataset, cache: str) -> list[bytes]:
    """The pictures of an epoch."""
    samples = TrainingSamples(dataset, AugmentArguments(), imgsz=(SIDE, SIDE))
    with TrainLoader(samples, Order(len(dataset), 4, imgsz=(SIDE, SIDE)), workers=0, cache=cache) as batches:
        return [batch.images.numpy().tobytes() for batch in batches.epoch(0)]


@pytest.mark.usefixtures("place")
class TestBoth:
    @pytest.mark.parametrize("kind", ["ram", "disk"])
    @pytest.mark.parametrize("side", [64, 96, 200])
    def test_they_hold_the_pixels_of_the_files(self, shapes, kind, side):
        kept = opened(kind, shapes, side)
        assert is_right(kept, shapes, side)
        with pytest.raises(ValueError, match="read-only"):
            kept.get(0)[:] = 0

    def test_off_is_none(self, shapes):
        assert opened("off", shapes) is None

    @pytest.mark.parametrize("kind", ["ram", "disk"])
    def test_a_picture_of_another_size_than_it_had_comes_from_its_file(self, shapes, kind, tmp_path):
        larger = open_dataset(make_shapes(tmp_path / "larger", count=1, val=0, imgsz=128), "train", cache=False)
        wide = Pictures(larger).picture(0, 128)[:64]
        write(wide, shapes[3].path)
        kept = opened(kind, shapes)
        assert kept.get(3) is None
        assert kept.get(4) is not None
        assert images(shapes, kind) == images(shapes, "off")

    @pytest.mark.parametrize("kind", ["ram", "disk"])
    def test_a_picture_that_cannot_be_read_any_more_is_named(self, shapes, kind, place):
        shapes[5].path.write_bytes(b"words")
        with pytest.raises(SourceError, match=r"000005\.png"):
            opened(kind, shapes)
        assert not any(path.suffix != ".lock" for path in place.rglob("*.*"))


class TestMemory:
    def test_what_does_not_fit_is_left_to_the_files(self, shapes, monkeypatch, said):
        total = 9 * SIDE * SIDE * 3
        monkeypatch.setattr(caching, "free_memory", lambda: int(total / 0.8) + 1)
        assert opened("ram", shapes) is not None
        assert opened("ram", shapes, processes=2) is None
        assert "cache=ram needs 110.6 kB in each of 2 processes, 138.2 kB are free of memory" in said()
        assert "pictures come from their files; cache=disk may" in said()
        without = images(shapes, "off")
        monkeypatch.setattr(caching, "free_memory", lambda: 1000)
        assert images(shapes, "ram") == without

    def test_nothing_is_refused_where_nobody_knows(self, shapes, monkeypatch):
        monkeypatch.setattr(caching, "free_memory", lambda: None)
        assert opened("ram", shapes) is not None

    def test_what_is_free_is_what_the_system_and_the_container_leave(self, tmp_path):
        memory, group = tmp_path / "meminfo", tmp_path / "group"
        group.mkdir()
        memory.write_text("MemTotal:       16000000 kB\nMemFree:  10 kB\nMemAvailable:    8000 kB\n")
        assert free_memory(memory, group) == 8000 * 1024
        for name, text in (("max", "5000000"), ("current", "3000000"), ("stat", "anon 1\ninactive_file 500000\n")):
            (group / f"memory.{name}").write_text(text)
        assert free_memory(memory, group) == 2_500_000
        (group / "memory.max").write_text("max\n")
        assert free_memory(memory, group) == 8000 * 1024
        assert sys.platform == "win32" or free_memory(tmp_path / "no", tmp_path / "no") > 0
        assert free_disk(tmp_path / "not" / "there") > 0


class TestDisk:
    def test_the_file_is_written_once(self, shapes, place, said):
        opened("disk", shapes)
        file = file_of(shapes)
        assert file.parent == place
        assert str(file) in said()
        before = file.stat()
        assert is_right(opened("disk", shapes), shapes)
        assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
        assert said().count("pictures to disk") == 1

    def test_other_sizes_and_other_sets_have_files_of_their_own(self, shapes, place):
        opened("disk", shapes)
        opened("disk", shapes, 96)
        opened("disk", Dataset(shapes.source, "train", shapes.names, shapes.samples[1:]))
        assert len([*place.glob("*.pixels")]) == 3

    def test_a_picture_that_was_changed_is_read_again(self, shapes, place, said):
        opened("disk", shapes)
        write(Pictures(shapes).picture(2, 96)[::-1], shapes[2].path)
        assert is_right(opened("disk", shapes), shapes)
        assert said().count("pictures to disk") == 2
        assert len([*place.glob("*.pixels")]) == 1

    @pytest.mark.parametrize(
        ("where", "what"),
        [("head", "flipped"), ("pixels", "flipped"), ("table", "flipped"), ("end", "cut"), ("all", "empty")],
    )
    def test_a_damaged_file_is_made_anew(self, shapes, place, said, where, what):
        opened("disk", shapes)
        file = file_of(shapes)
        data = bytearray(file.read_bytes())
        at = {"head": 20, "pixels": 4096 + 5000, "table": len(data) - 40, "end": -1, "all": 0}[where]
        if what == "flipped":
            data[at] ^= 0xFF
        file.write_bytes(data if what == "flipped" else data[:at])
        assert is_right(opened("disk", shapes), shapes)
        assert said().count("pictures to disk") == 2

    def test_what_a_killed_run_left_is_swept_up(self, shapes, place):
        place.mkdir(parents=True)
        left = place / f".{file_of(shapes).name}.4194999-abcdef01.partial"
        left.write_bytes(bytes(100))
        opened("disk", shapes)
        assert not left.exists()
        assert not [*place.glob(".*partial")]

    def test_who_comes_at_the_same_time_waits_for_the_first(self, shapes, place, said):
        with ThreadPoolExecutor(3) as pool:
            kept = [*pool.map(lambda _: opened("disk", shapes), range(3))]
        assert all(is_right(each, shapes) for each in kept)
        assert said().count("pictures to disk") == 1

    def test_a_folder_that_cannot_be_written_to_is_no_hindrance(self, shapes, tmp_path, monkeypatch, said):
        (tmp_path / "file").write_text("not a folder")
        monkeypatch.setenv("SEGKIT_CACHE", str(tmp_path / "file"))
        assert opened("disk", shapes) is None
        assert "cache=disk: Cannot write" in said()
        assert "SEGKIT_CACHE names another folder" in said()
        assert "Pictures come from their files" in said()

    def test_a_disk_without_room_is_left_alone(self, shapes, place, monkeypatch, said):
        monkeypatch.setattr(caching, "free_disk", lambda folder: 1000)
        assert opened("disk", shapes) is None
        assert "cache=disk needs 110.6 kB, 1.0 kB are free at" in said()
        assert not place.exists()

    def test_a_disk_that_is_full_too_soon_leaves_nothing(self, shapes, place, monkeypatch, said):
        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("segkit.core.data.loading.on_disk._table", full)
        assert opened("disk", shapes) is None
        assert "the disk is full" in said()
        assert not [*place.rglob("*.pixels"), *place.rglob("*.partial")]


class TestLatest:
    def stores(self, shapes: Dataset, memory: int, workers: int = 2):
        samples = TrainingSamples(shapes, AugmentArguments(), imgsz=(SIDE, SIDE), memory=memory)
        return recent_stores(samples, Order(len(shapes), 4), workers)

    def test_what_one_worker_puts_there_all_have(self, shapes):
        one, other = self.stores(shapes, 1 << 20)
        picture = np.arange(SIDE * 48 * 3, dtype=np.uint8).reshape(48, SIDE, 3)
        assert one.get(4) is other.get(4) is None
        one.put(4, picture)
        assert np.array_equal(one.get(4), picture)
        assert np.array_equal(other.get(4), picture)
        assert other.get(3) is None

    def test_the_oldest_one_makes_room(self, shapes):
        one, other = self.stores(shapes, 2 * SIDE * SIDE * 3)
        pictures = [np.full((SIDE, SIDE, 3), index, np.uint8) for index in range(5)]
        other.put(4, pictures[4])
        for index in range(4):
            one.put(index, pictures[index])
        assert [other.get(index) is not None for index in range(5)] == [False, False, True, True, True]
        assert all(np.array_equal(one.get(index), pictures[index]) for index in (2, 3, 4))

    def test_one_that_is_being_written_is_not_there(self, shapes):
        one, other = self.stores(shapes, 1 << 20)
        one.put(4, np.zeros((SIDE, SIDE, 3), np.uint8))
        one._heads[0, 0] += 1  # as a worker leaves it that dies as it writes
        assert other.get(4) is None
        again = type(one)(*one.__getstate__())
        again.put(4, np.ones((SIDE, SIDE, 3), np.uint8))
        assert other.get(4).all()

    def test_without_memory_there_are_none(self, shapes):
        assert self.stores(shapes, 100) == [None, None]


class TestShared:
    def test_labels_that_are_shared_are_those_of_the_set(self, shapes):
        packed, listed = Packed(Listed(shapes)), Listed(shapes)
        assert len(packed) == len(listed)
        for index in range(len(listed)):
            assert (packed.path(index), packed.size(index)) == (listed.path(index), listed.size(index))
            one, other = vars(packed.outlined(index)), vars(listed.outlined(index))
            assert all(np.array_equal(one[name], other[name]) for name in other)

    def test_memory_is_given_back_when_its_last_array_has_gone(self):
        block = Block(100)
        array = block.array(np.uint8, (10,), 5)
        array[:] = 7
        block.close()
        block.close()
        assert array.tolist() == [7] * 10
        assert block.handles == (-1,)
