"""Which pictures int8 is calibrated with, and how they get there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from segkit._benchmark_subjects import Subject, export
from segkit._export import ENOUGH, calibration_from
from segkit._formats import formats
from segkit.conformance.golden import GOLDEN
from segkit.core.backend import Precision
from segkit.core.backend.calibration import PictureCalibration
from segkit.core.backend.registry import default_registry
from segkit.core.errors import OptionError, SourceError
from segkit.core.images import ImageBatch

OPTIONS = {"int8": True, "imgsz": 32}


@pytest.fixture
def chosen():
    """The grey levels of the pictures chosen, and what was told: chosen(data=…)."""
    backend = default_registry().get("onnx")

    def choose(**options):
        told = []
        calibration = calibration_from(backend, OPTIONS | options, told.append)
        return [int(picture[16, 16, 0]) for picture in calibration.pixels], told

    return choose


def grey(folder, *levels):
    """Pictures 000.png, 001.png, …, each of one grey level."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, level in enumerate(levels):
        cv2.imwrite(str(folder / f"{number:03}.png"), np.full((8, 8, 3), level, np.uint8))
    return folder


def test_pictures_come_from_a_folder_a_pattern_a_list_a_list_file_or_a_data_set(chosen, tmp_path):
    folder = grey(tmp_path / "set" / "images", 10, 20, 30)
    (tmp_path / "set" / "some.txt").write_text("images/002.png\nimages/000.png\n")
    (tmp_path / "set" / "data.yaml").write_text("train: some.txt\nval: images\nnames: [a]\n")
    (tmp_path / "set" / "train.yaml").write_text("train: some.txt\nnames: [a]\n")
    assert chosen(data=folder)[0] == [10, 20, 30]
    assert chosen(data=f"{folder}/00[12].png")[0] == [20, 30]
    assert chosen(data=[folder / "001.png", str(folder / "000.png")])[0] == [20, 10]
    assert chosen(data=str(tmp_path / "set" / "some.txt"))[0] == [30, 10]
    assert chosen(data=str(tmp_path / "set" / "data.yaml"))[0] == [10, 20, 30]
    assert chosen(data=tmp_path / "set" / "train.yaml")[0] == [30, 10]


def test_a_data_set_is_found_by_its_name(chosen, tmp_path, monkeypatch):
    grey(tmp_path / "mine" / "images", 10, 20)
    (tmp_path / "mine" / "mine.yaml").write_text("path: .\ntrain: images\nval: images\nnames: [a]\n")
    monkeypatch.setenv("SEGKIT_DATASETS", str(tmp_path))
    assert chosen(data="mine.yaml")[0] == [10, 20]
    with pytest.raises(SourceError, match="nor a data set of that name"):
        chosen(data="nobodys.yaml")


def test_a_share_is_spread_over_the_whole(chosen, tmp_path):
    folder = grey(tmp_path, *range(0, 200, 10))
    assert chosen(data=folder, fraction=0.25)[0] == [0, 40, 80, 120, 160]
    assert chosen(data=folder, fraction="0.01")[0] == [0]
    assert len(chosen(data=folder, fraction=1)[0]) == 20


def test_a_large_set_is_not_read_whole_unless_asked(chosen, tmp_path):
    folder = grey(tmp_path, *(number % 256 for number in range(ENOUGH + 44)))
    levels, told = chosen(data=folder)
    assert len(levels) == ENOUGH
    assert levels[:6] == [0, 1, 2, 3, 4, 5]
    assert levels[-1] == (ENOUGH + 42) % 256
    assert told[0] == f"reading calibration pictures: 1 of {ENOUGH}"
    assert len(chosen(data=folder, fraction=1)[0]) == ENOUGH + 44


def test_pictures_that_cannot_be_read_are_left_out_and_counted(chosen, tmp_path):
    folder = grey(tmp_path, 1, 2)
    (folder / "broken.png").write_bytes(b"not a picture")
    levels, told = chosen(data=folder)
    assert levels == [1, 2]
    assert told[-1] == "1 of 3 calibration pictures cannot be read and are left out"


@pytest.mark.parametrize("fraction", [0, -1, 1.5, "some", "nan"])
def test_a_share_that_is_none_is_refused(chosen, tmp_path, fraction):
    with pytest.raises(OptionError, match="give a share above 0 and up to 1"):
        chosen(data=grey(tmp_path, 1), fraction=fraction)


def test_what_cannot_be_calibrated_with_is_told(chosen, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    (tmp_path / "worse.png").write_bytes(b"not a picture either")
    with pytest.raises(OptionError, match="No picture to calibrate with could be read"):
        chosen(data=tmp_path)
    with pytest.raises(SourceError, match="there is no such file or folder"):
        chosen(data=str(tmp_path / "gone.yaml"))
    with pytest.raises(OptionError, match="give data=FOLDER too"):
        chosen(fraction=0.5)
    with pytest.raises(OptionError, match="they need int8=True"):
        chosen(data=tmp_path, int8=False)


def test_the_folder_of_a_data_set_stands_for_its_pictures(chosen, tmp_path):
    grey(tmp_path / "images", 1, 2, 3)
    (tmp_path / "data.yaml").write_text("train: images\nval: images\nnames: [one]\n")
    assert chosen(data=tmp_path)[0] == [1, 2, 3]


def test_int8_without_pictures_is_not_told_to_ask_for_int8(tmp_path):
    backend = default_registry().get("tflite")
    with pytest.raises(OptionError, match=r"the other options ask for int8 without\. Leave them out"):
        calibration_from(backend, {"precision": "int8", "quantize": "dynamic_range", "imgsz": 32, "data": tmp_path})
    with pytest.raises(OptionError, match=r"torchscript has no int8\. Leave them out"):
        calibration_from(default_registry().get("torchscript"), {"imgsz": 32, "data": tmp_path})


@pytest.mark.parametrize("int8", [True, False])
def test_a_format_whose_int8_is_of_weights_alone_says_that_it_needs_no_pictures(tmp_path, int8):
    backend = default_registry().get("coreml")
    with pytest.raises(OptionError, match=r"coreml needs none, since it brings weights alone to 8 bits"):
        calibration_from(backend, {"int8": int8, "imgsz": 32, "data": tmp_path})


def test_pictures_are_listed_where_int8_sees_them():
    listed = {info.name: {"data", "fraction"} & {row.name for row in info.options} for info in formats()}
    assert listed["onnx"] == listed["engine"] == {"data", "fraction"}
    assert listed["coreml"] == listed["torchscript"] == set()


def test_a_benchmark_gives_pictures_to_formats_that_take_them():
    asked = []

    def export_to(name, **options):
        asked.append(options.get("data"))
        return SimpleNamespace(path=GOLDEN, size=1, seconds=1.0)

    for name in ("onnx", "coreml"):
        export(SimpleNamespace(export_to=export_to), Subject(name, Precision.INT8, True), Path("x"), {}, ["a.png"])
    assert asked == [["a.png"], None]


def test_pictures_are_seen_as_prediction_sees_them(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)
    calibration = PictureCalibration.of_pictures([picture, picture[:, ::-1]], (32, 64), batch=2)
    wanted = ImageBatch([picture, picture[:, ::-1]], (32, 64)).u8_nhwc
    (batch,) = calibration
    assert np.array_equal(batch.u8_nhwc, wanted)
    calibration.save(tmp_path / "pixels.npy")
    again = PictureCalibration.open(tmp_path / "pixels.npy", 2)
    assert again.digest == calibration.digest == PictureCalibration(wanted, 2).digest
    assert np.array_equal(again.pixels, wanted)


def test_the_digest_tells_other_pictures_apart():
    one = PictureCalibration(np.zeros((2, 32, 32, 3), np.uint8))
    assert one.digest != PictureCalibration(np.ones((2, 32, 32, 3), np.uint8)).digest
    assert one.digest != PictureCalibration(np.zeros((1, 32, 64, 3), np.uint8)).digest
