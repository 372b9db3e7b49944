"""The pictures of a training: what is labelled, what the network is shown, how the figures went."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import fake_run
import numpy as np
import pytest
from class_names import any_names

from segkit.core.images.batch import Picture
from segkit.core.ink.colors import color_of
from segkit.core.training.batch_sheet import draw_batch
from segkit.core.training.callbacks import Callbacks
from segkit.core.training.labels_picture import draw_labels_picture
from segkit.core.training.pictures import Pictures
from segkit.core.training.results_picture import draw_results, smoothed

FIRST = {"labels.jpg", "train_batch0.jpg", "train_batch1.jpg", "train_batch2.jpg"}


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr("segkit.core.training.pictures.notice", told.append)
    return told


def written(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def read(path: Path) -> Picture:
    found = cv2.imread(str(path))
    assert found is not None
    return np.asarray(found, np.uint8)


def is_drawn(path: Path) -> bool:
    """Whether there is something to see, in a picture of a size that one can look at."""
    picture = read(path)
    dark = (picture.reshape(-1, 3).min(axis=1) < 128).mean()
    return bool(100 < min(picture.shape[:2]) <= max(picture.shape[:2]) < 2500 and dark > 0.002)


# -- when ---------------------------------------------------------------------------------------------------------


def test_a_run_has_its_pictures(tmp_path: Path, said: list[str]) -> None:
    fake_run.train(Callbacks.of(Pictures()), fake_run.run_in(tmp_path))
    assert written(tmp_path) == FIRST | {"results.png"}
    assert said == []


def test_they_are_there_as_soon_as_they_can_be(tmp_path: Path) -> None:
    run = fake_run.run_in(tmp_path)
    for event in fake_run.steps(Callbacks.of(Pictures()), run):
        if event == "pretrain_routine_end":
            assert written(tmp_path) == {"labels.jpg"}
        if event == "train_batch_start" and run.batch_number == 0:
            assert "train_batch0.jpg" in written(tmp_path)


def test_the_first_batch_without_mosaic_is_drawn_too(tmp_path: Path) -> None:
    run = fake_run.run_in(tmp_path, epochs=5, batches=4, close_mosaic=2)
    fake_run.train(Callbacks.of(Pictures()), run)
    assert written(tmp_path) == FIRST | {"results.png", "train_batch12.jpg"}


@pytest.mark.parametrize("given", [{"mosaic": 0.0}, {"close_mosaic": 0}, {"close_mosaic": 9}, {"rect": True}])
def test_where_nothing_closes_there_is_no_such_batch(tmp_path: Path, given: dict[str, Any]) -> None:
    run = fake_run.run_in(tmp_path, epochs=5, **{"close_mosaic": 2, **given})
    fake_run.train(Callbacks.of(Pictures()), run)
    assert written(tmp_path) == FIRST | {"results.png"}


def test_a_resumed_run_keeps_the_pictures_of_its_beginning(tmp_path: Path) -> None:
    run = fake_run.run_in(tmp_path)
    run.history, run.start_epoch = [fake_run.record(1), fake_run.record(2)], 2
    fake_run.train(Callbacks.of(Pictures()), run)
    assert written(tmp_path) == {"results.png"}


def test_a_run_that_fails_shows_how_far_it_came(tmp_path: Path) -> None:
    run = fake_run.run_in(tmp_path)
    fake_run.train(Callbacks.of(Pictures()), run, until=2)
    assert "results.png" in written(tmp_path)


def test_a_run_that_ends_before_its_first_epoch_has_no_figures(tmp_path: Path) -> None:
    fake_run.train(Callbacks.of(Pictures()), fake_run.run_in(tmp_path), until=0)
    assert written(tmp_path) == {"labels.jpg"}


def test_plots_false_draws_nothing(tmp_path: Path) -> None:
    run = fake_run.run_in(tmp_path, plots=False, loggers=())
    fake_run.train(Callbacks({}, run.args, {}, ()), run)
    assert written(tmp_path) == {"results.csv"}


def test_without_matplotlib_there_is_a_notice_and_what_needs_none(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    fake_run.train(Callbacks.of(Pictures()), fake_run.run_in(tmp_path))
    assert written(tmp_path) == FIRST - {"labels.jpg"}
    assert [notice.split(":")[0] for notice in said] == ["no labels.jpg", "no results.png"]
    assert all("pip install" in notice for notice in said)


def test_a_picture_that_cannot_be_written_costs_one_notice(tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "file").touch()
    fake_run.train(Callbacks.of(Pictures()), fake_run.run_in(tmp_path / "file" / "run"))
    assert len(said) == 3, "labels, batches, results"


def test_pyplot_and_the_settings_of_matplotlib_are_left_alone(tmp_path: Path) -> None:
    import matplotlib

    before, loaded = dict(matplotlib.rcParams), "matplotlib.pyplot" in sys.modules
    fake_run.train(Callbacks.of(Pictures()), fake_run.run_in(tmp_path))
    assert dict(matplotlib.rcParams) == before
    assert ("matplotlib.pyplot" in sys.modules) is loaded


# -- batches ------------------------------------------------------------------------------------------------------


def colour_at(picture: Picture, x: float, y: float) -> list[int]:
    height, width = picture.shape[:2]
    return [int(value) for value in picture[round(y * height), round(x * width)]]


def tinted(label: int) -> list[int]:
    return [round(200 * 0.6 + channel * 0.4) for channel in color_of(label)]


@pytest.mark.parametrize("overlapping", [True, False])
def test_every_object_is_tinted_in_the_colour_of_its_class(tmp_path: Path, overlapping: bool) -> None:
    draw_batch(fake_run.batch(1, (320, 480), overlapping=overlapping), fake_run.NAMES, tmp_path / "batch.png")
    picture = read(tmp_path / "batch.png")
    assert picture.shape == (320, 480, 3)
    assert colour_at(picture, 0.25, 0.75) == tinted(0)
    assert colour_at(picture, 0.75, 0.75) == tinted(1)
    assert colour_at(picture, 0.5, 0.5) == [200, 200, 200], "between them is nothing"


def test_pictures_are_shown_in_their_own_colours(tmp_path: Path) -> None:
    batch = fake_run.batch(1, (320, 320))
    batch.images[:, 0], batch.images[:, 1], batch.images[:, 2] = 250, 120, 10  # red, green, blue
    draw_batch(batch, fake_run.NAMES, tmp_path / "batch.png")
    assert colour_at(read(tmp_path / "batch.png"), 0.5, 0.97) == [10, 120, 250], "OpenCV reads blue first"


def test_pictures_are_in_rows_and_no_more_than_sixteen(tmp_path: Path) -> None:
    for count, size in ((1, (64, 96)), (2, (64, 196)), (3, (132, 196)), (40, (268, 396))):
        draw_batch(fake_run.batch(count), fake_run.NAMES, tmp_path / "batch.png")
        assert read(tmp_path / "batch.png").shape[:2] == size


def test_large_pictures_are_made_smaller(tmp_path: Path) -> None:
    draw_batch(fake_run.batch(4, (1024, 1024)), fake_run.NAMES, tmp_path / "batch.jpg")
    assert max(read(tmp_path / "batch.jpg").shape) == 2 * 960 + 4


def test_a_batch_without_objects_is_drawn(tmp_path: Path) -> None:
    batch = fake_run.batch(2)
    batch.owner, batch.classes, batch.boxes = batch.owner[:0], batch.classes[:0], batch.boxes[:0]
    batch.masks.zero_()
    draw_batch(batch, {}, tmp_path / "batch.png")
    assert (read(tmp_path / "batch.png")[:, :96] == 200).all()


def test_what_is_drawn_is_what_the_loader_gives(tmp_path: Path, data: Path) -> None:
    from segkit.core.data.augment.pipeline import TrainingSamples
    from segkit.core.data.dataset import open_dataset
    from segkit.core.data.loader import TrainLoader
    from segkit.core.data.order import Order

    dataset = open_dataset(data / "datasets" / "coco128-seg", "train")
    samples = TrainingSamples(dataset, imgsz=(320, 320), seed=0)
    order = Order([sample.size for sample in dataset], 4, imgsz=(320, 320), seed=0)
    with TrainLoader(samples, order, workers=0) as loader:
        draw_batch(next(iter(loader.epoch(0))), dataset.names, tmp_path / "batch.jpg")
    assert is_drawn(tmp_path / "batch.jpg")


# -- labels -------------------------------------------------------------------------------------------------------


@any_names
def test_labels_are_drawn_whatever_they_are_called_and_however_many_there_are(names: list[str], tmp_path: Path) -> None:
    draw_labels_picture(fake_run.dataset(dict(enumerate(names)), objects=50), tmp_path / "labels.jpg")
    assert is_drawn(tmp_path / "labels.jpg")


def test_the_bar_of_a_class_is_as_high_as_it_has_objects(tmp_path: Path) -> None:
    dataset = fake_run.dataset({0: "a", 1: "b"}, objects=300)
    for sample in dataset:
        sample.labels.classes[:] = 0
        sample.labels.classes[::3] = 1
    draw_labels_picture(dataset, tmp_path / "labels.jpg")
    picture = read(tmp_path / "labels.jpg")[:300].astype(int)
    first, second = ((np.abs(picture - color_of(label)).max(axis=2) < 12).any(axis=1).sum() for label in range(2))
    assert first / second == pytest.approx(2, rel=0.05)


def test_a_set_without_objects_is_drawn(tmp_path: Path) -> None:
    draw_labels_picture(fake_run.dataset(objects=0), tmp_path / "labels.jpg")
    assert (tmp_path / "labels.jpg").exists()


def test_boxes_of_no_area_and_beyond_the_picture_are_drawn(tmp_path: Path) -> None:
    dataset = fake_run.dataset(objects=3)
    for sample in dataset:
        sample.labels.boxes[:] = [[0.5, 0.5, 0.5, 0.5], [-0.5, -0.5, 1.5, 1.5], [0, 0, 1, 1]]
    draw_labels_picture(dataset, tmp_path / "labels.jpg")
    assert is_drawn(tmp_path / "labels.jpg")


# -- figures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epochs", [1, 2, 7, 8, 300])
def test_figures_of_any_number_of_epochs_are_drawn(epochs: int, tmp_path: Path) -> None:
    draw_results([fake_run.record(n, epochs, best=n == 2) for n in range(1, epochs + 1)], tmp_path / "results.png")
    assert is_drawn(tmp_path / "results.png")


def test_without_scores_there_is_one_row_of_panels(tmp_path: Path) -> None:
    for scored in (True, False):
        draw_results([fake_run.record(n, 9, scored=scored) for n in range(1, 10)], tmp_path / f"{scored}.png")
    with_scores, without = (read(tmp_path / f"{scored}.png").shape for scored in (True, False))
    assert with_scores[1] == without[1]
    assert with_scores[0] > 1.5 * without[0]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e12, 0.0])
def test_figures_that_mean_nothing_are_no_hindrance(value: float, tmp_path: Path) -> None:
    history = [fake_run.record(n, 20) for n in range(1, 21)]
    history[0] = fake_run.record(1, 20, losses=dict.fromkeys(history[0].losses, value))
    draw_results(history, tmp_path / "results.png")
    draw_results([fake_run.record(1, losses=history[0].losses, val_losses={})], tmp_path / "one.png")
    assert is_drawn(tmp_path / "results.png")


def test_a_validation_every_few_epochs_is_drawn(tmp_path: Path) -> None:
    draw_results([fake_run.record(n, 50, scored=n % 5 == 0) for n in range(1, 51)], tmp_path / "results.png")
    assert is_drawn(tmp_path / "results.png")


def test_the_smoothed_line_follows_the_values() -> None:
    values = np.linspace(3, 1, 200)
    noisy = values + np.random.default_rng(0).normal(0, 0.1, 200)
    assert np.abs(smoothed(noisy) - values).max() < 0.1
    assert np.abs(smoothed(np.full(9, 5.0)) - 5).max() < 1e-12
    assert smoothed(np.array([4.0])).tolist() == [4.0]
