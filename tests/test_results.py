"""`Results`: the API that scripts for the known tools use, without torch, and the files it writes."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from segkit.core.errors import OptionError, OutputError
from segkit.core.images import Letterbox
from segkit.core.inference.arguments import PredictArguments
from segkit.core.inference.arrays import Array
from segkit.core.inference.decode import Detections
from segkit.core.inference.masks import InstanceMasks
from segkit.core.inference.output import RunFolder
from segkit.core.inference.results import Boxes, Results

NAMES = {0: "person", 5: "bus", 7: "a/b: c?"}
TABLE = np.array([[10, 5, 30, 25, 0.9, 0], [40, 10, 90, 50, 0.8, 5], [0, 40, 20, 60, 0.5, 0]], np.float32)


def rectangles() -> np.ndarray:
    masks = np.zeros((3, 60, 100), bool)
    for mask, (x1, y1, x2, y2) in zip(masks, TABLE[:, :4].astype(int), strict=True):
        mask[y1:y2, x1:x2] = True
    return masks


@pytest.fixture
def results() -> Results:
    picture = np.random.default_rng(0).integers(0, 256, (60, 100, 3), np.uint8)
    masks = InstanceMasks.from_dense(rectangles())
    return Results(picture, "street/bus.png", NAMES, TABLE, masks, {"inference": 3.5})


@pytest.fixture
def nothing() -> Results:
    return Results(np.zeros((60, 100, 3), np.uint8), "empty.jpg", NAMES)


class TestArrays:
    def test_the_tensor_methods_of_known_snippets_work(self) -> None:
        array = Array.of([[1.5, 2.5]], np.float32)
        assert type(array.cpu().detach().numpy()) is np.ndarray
        assert array.to("cuda:0").cuda() is array
        assert array.int().dtype == np.int32
        assert array.long().tolist() == [[1, 2]]
        assert array.int().float().dtype == np.float32
        assert isinstance(array.bool(), Array)
        copy = array.clone()
        copy[0, 0] = 9
        assert array[0, 0].item() == 1.5

    def test_one_element_of_any_shape_is_a_number(self) -> None:
        for shape in ((), (1,), (1, 1)):
            array = Array.of(np.full(shape, 2.7, np.float32))
            assert int(array) == 2
            assert float(array) == pytest.approx(2.7)
        with pytest.raises(ValueError, match="size 1"):
            int(Array.of([1, 2]))

    def test_elements_are_arrays_too(self) -> None:
        array = Array.of([3.0, 1.0, 3.0])
        assert array[0].cpu().numpy() == 3
        assert [int(value.cpu()) for value in array] == [3, 1, 3]
        assert f"{array[1]:.2f}" == "1.00"
        assert array.unique().tolist() == [1, 3]
        assert array[array > 2].tolist() == [3, 3]
        with pytest.raises(TypeError, match="0-d"):
            iter(array[0])


class TestBoxes:
    def test_every_form_of_a_box(self, results: Results) -> None:
        boxes = results.boxes
        assert boxes.xyxy[0].tolist() == [10, 5, 30, 25]
        assert boxes.xywh[1].tolist() == [65, 30, 50, 40]
        assert boxes.xyxyn[1].numpy() == pytest.approx([0.4, 10 / 60, 0.9, 50 / 60])
        assert boxes.xywhn[1].numpy() == pytest.approx([0.65, 0.5, 0.5, 40 / 60])
        assert boxes.conf.numpy() == pytest.approx([0.9, 0.8, 0.5])
        assert boxes.cls.tolist() == [0, 5, 0]
        assert boxes.data.shape == boxes.shape == (3, 6)
        assert boxes.orig_shape == (60, 100)
        assert not boxes.is_track
        assert boxes.id is None

    def test_the_loop_that_everybody_writes(self, results: Results) -> None:
        seen = [
            (results.names[int(box.cls)], round(float(box.conf), 2), box.xyxy[0].cpu().numpy().astype(int).tolist())
            for box in results.boxes
        ]
        assert seen[1] == ("bus", 0.8, [40, 10, 90, 50])
        assert len(seen) == len(results.boxes) == 3
        x1, y1, x2, y2 = map(int, results.boxes[2].xyxy[0])
        assert (x1, y1, x2, y2) == (0, 40, 20, 60)
        assert [results.names[c.item()] for c in results.boxes.cls] == ["person", "bus", "person"]

    def test_choosing_boxes(self, results: Results) -> None:
        boxes = results.boxes
        assert boxes[-1].data.tolist() == boxes[2:].data.tolist() == boxes[[2]].data.tolist()
        assert len(boxes[boxes.conf > 0.6]) == 2
        assert len(boxes[boxes.cls == 3]) == 0
        assert boxes.cpu().numpy().to("cpu").cuda() is boxes
        with pytest.raises(IndexError):
            boxes[3]

    def test_track_ids_stand_before_the_confidence(self) -> None:
        boxes = Boxes([[1, 2, 3, 4, 17, 0.5, 5]], (60, 100))
        assert boxes.is_track
        assert boxes.id is not None
        assert boxes.id.tolist() == [17]
        assert (float(boxes.conf), int(boxes.cls)) == (0.5, 5)

    def test_a_table_of_another_width_is_refused(self) -> None:
        with pytest.raises(ValueError, match="6 or 7 columns, not 5"):
            Boxes(np.zeros((2, 5)), (60, 100))

    def test_repr_shows_the_table(self, results: Results) -> None:
        assert repr(results.boxes).startswith("Boxes(3 of x1, y1, x2, y2, conf, cls; orig_shape=(60, 100)\n[[10.")


class TestMasks:
    def test_dense_masks_are_bytes_that_make_a_picture(self, results: Results) -> None:
        assert results.masks is not None
        data = results.masks.data
        assert data.dtype == np.uint8
        assert data.shape == results.masks.shape == (3, 60, 100)
        assert np.array_equal(data.numpy().astype(bool), rectangles())
        assert set(np.unique(data[0].cpu().numpy() * 255)) == {0, 255}

    def test_outlines_in_pixels_and_normalised(self, results: Results) -> None:
        assert results.masks is not None
        assert results.masks.xy[1].min(axis=0).tolist() == [40, 10]
        assert results.masks.xy[1].max(axis=0).tolist() == [89, 49]
        assert results.masks.xyn[1].max(axis=0) == pytest.approx([0.89, 49 / 60])
        assert results.masks.xy[0].dtype == results.masks.xyn[0].dtype == np.float32

    @pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside pycocotools
    def test_run_lengths_are_at_the_size_of_the_picture(self, results: Results) -> None:
        mask_api = pytest.importorskip("pycocotools.mask")
        assert results.masks is not None
        decoded = np.stack([mask_api.decode(rle) for rle in results.masks.rle()]).astype(bool)
        assert np.array_equal(decoded, rectangles())

    def test_choosing_masks(self, results: Results) -> None:
        masks = results.masks
        assert masks is not None
        assert np.array_equal(masks[1].data[0], masks.data[1])
        assert [len(mask) for mask in masks] == [1, 1, 1]
        assert repr(masks) == "Masks(3 of 60x100; orig_shape=(60, 100))"
        assert masks.cpu().numpy().cuda().to("cpu") is masks

    def test_masks_of_the_network_include_its_border(self) -> None:
        """A picture of 16x32 in an input of 32x32: the mask is that of the input, run lengths those of the picture."""
        found = Detections(
            xyxy=np.array([[4, 10, 20, 22]], np.float32),
            confidence=np.array([0.9], np.float32),
            classes=np.array([0]),
            coefficients=np.ones((1, 1), np.float32),
            anchors=np.array([0]),
        )
        letterbox = Letterbox.fit((16, 32), (32, 32))
        instances, _ = InstanceMasks.from_prototypes(np.ones((1, 8, 8), np.float32), found, letterbox, native=False)
        results = Results(
            np.zeros((16, 32, 3), np.uint8), "x.jpg", NAMES, np.array([[4, 2, 20, 14, 0.9, 0]]), instances
        )
        assert results.masks is not None
        assert results.masks.data.shape == (1, 32, 32)
        assert results.masks.data.sum() == 16 * 12
        assert results.masks.rle()[0]["size"] == [16, 32]


class TestResults:
    def test_attributes(self, results: Results) -> None:
        assert results.orig_shape == (60, 100)
        assert results.path == "street/bus.png"
        assert results.names == NAMES
        assert results.speed == {"preprocess": None, "inference": 3.5, "postprocess": None}
        assert results.save_dir is None
        assert results.cpu().numpy().to("cuda").cuda() is results

    def test_iteration_and_indexing_keep_boxes_and_masks_together(self, results: Results) -> None:
        results.save_dir = "runs"
        assert [len(one) for one in results] == [1, 1, 1]
        buses = results[results.boxes.cls == 5]
        assert (len(buses), buses.save_dir) == (1, "runs")
        assert buses.masks is not None
        assert np.array_equal(buses.masks.data[0], rectangles()[1])
        assert len(results[:2]) == 2
        with pytest.raises(IndexError):
            results[3]

    def test_nothing_found_has_empty_boxes_and_no_masks(self, nothing: Results) -> None:
        assert len(nothing) == len(nothing.boxes) == 0
        assert nothing.boxes.xyxy.shape == nothing.boxes.xywhn.shape == (0, 4)
        assert nothing.masks is None
        assert list(nothing) == []
        assert nothing.to_json() == "[]"
        assert np.array_equal(nothing.plot(), nothing.orig_img)
        none_left = Results(nothing.orig_img, "", NAMES, TABLE[:0], InstanceMasks.from_dense(rectangles()[:0]))
        assert none_left.masks is None

    def test_as_many_masks_as_boxes(self) -> None:
        with pytest.raises(ValueError, match="2 boxes but 3 masks"):
            Results(np.zeros((60, 100, 3), np.uint8), "", NAMES, TABLE[:2], InstanceMasks.from_dense(rectangles()))

    def test_words(self, results: Results, nothing: Results) -> None:
        assert results.verbose() == "2 persons, 1 bus"
        assert nothing.verbose() == "no detections"
        assert repr(results) == "Results('street/bus.png' 60x100: 2 persons, 1 bus, masks 60x100)"

    @pytest.mark.parametrize(
        ("name", "two"),
        [("bus", "2 buses"), ("couch", "2 couches"), ("skis", "2 skis"), ("गाड़ी", "2 गाड़ी"), ("", "2 class 0s")],
    )
    def test_plurals(self, name: str, two: str) -> None:
        table = TABLE[[0, 2]]
        assert Results(np.zeros((60, 100, 3), np.uint8), "", {0: name}, table).verbose() == two

    def test_a_class_without_a_name_is_called_by_its_number(self, results: Results) -> None:
        nameless = Results(results.orig_img, "", {}, TABLE)
        assert nameless.verbose() == "2 class 0s, 1 class 5"
        assert nameless.plot().shape == (60, 100, 3)

    def test_summary_and_json(self, results: Results) -> None:
        rows = json.loads(results.to_json(decimals=3))
        assert rows[1]["name"] == "bus"
        assert rows[1]["class"] == 5
        assert rows[1]["confidence"] == 0.8
        assert rows[1]["box"] == {"x1": 40, "y1": 10, "x2": 90, "y2": 50}
        assert len(rows[1]["segments"]["x"]) == len(rows[1]["segments"]["y"]) == 4
        assert results.tojson() == results.to_json()
        normal = results.summary(normalize=True, decimals=2)[1]
        assert normal["box"] == {"x1": 0.4, "y1": 0.17, "x2": 0.9, "y2": 0.83}
        assert max(normal["segments"]["x"]) == 0.89
        boxes_only = Results(results.orig_img, "", NAMES, [[1, 2, 3, 4, 17, 0.5, 5]]).summary()[0]
        assert boxes_only["track_id"] == 17
        assert "segments" not in boxes_only

    def test_plot_draws_on_a_copy(self, results: Results) -> None:
        before = results.orig_img.copy()
        drawn = results.plot()
        assert drawn.dtype == np.uint8
        assert drawn.shape == before.shape
        assert not np.array_equal(drawn, before)
        assert np.array_equal(results.orig_img, before)
        assert np.array_equal(results.plot(boxes=False, masks=False), before)
        image = results.plot(pil=True)
        assert np.array_equal(np.asarray(image)[..., ::-1], drawn)

    def test_plot_switches_change_the_picture(self, results: Results) -> None:
        pictures = [
            results.plot(**switches).tobytes()
            for switches in (
                {},
                {"conf": False},
                {"labels": False},
                {"boxes": False},
                {"masks": False},
                {"line_width": 5},
                {"font_size": 9},
                {"color_mode": "instance"},
                {"img": np.zeros((60, 100, 3), np.uint8)},
            )
        ]
        assert len(set(pictures)) == len(pictures)

    def test_plot_refuses_what_does_not_fit(self, results: Results) -> None:
        with pytest.raises(OptionError, match="img"):
            results.plot(img=np.zeros((5, 5, 3), np.uint8))
        with pytest.raises(OptionError, match="color_mode"):
            results.plot(color_mode="rainbow")  # type: ignore[arg-type]
        with pytest.raises(OptionError, match=r"font='nowhere.ttf'.*no such font file"):
            results.plot(font="nowhere.ttf")


class TestFiles:
    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tif"])
    def test_save_writes_what_plot_shows(self, results: Results, tmp_path: Path, suffix: str) -> None:
        path = results.save(tmp_path / "new" / f"公共{suffix}", conf=False)
        assert path == str(tmp_path / "new" / f"公共{suffix}")
        read = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
        assert read is not None
        assert read.shape == (60, 100, 3)
        if suffix in (".png", ".bmp", ".tif"):
            assert np.array_equal(read, results.plot(conf=False))

    def test_save_has_a_default_name(self, results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert results.save() == "results_bus.jpg"
        assert (tmp_path / "results_bus.jpg").exists()

    @pytest.mark.parametrize("name", ["x.xyz", "x", "x.gif.tar"])
    def test_an_unknown_picture_suffix_is_an_output_error(self, results: Results, tmp_path: Path, name: str) -> None:
        with pytest.raises(OutputError, match="no picture format has the suffix"):
            results.save(tmp_path / name)
        assert list(tmp_path.iterdir()) == []

    def test_a_picture_too_long_for_its_format_is_an_output_error(self, tmp_path: Path) -> None:
        long = Results(np.zeros((1, 70_000, 3), np.uint8), "", NAMES)
        with pytest.raises(OutputError, match="cannot hold a picture of 70000x1"):
            long.save(tmp_path / "x.jpg")

    def test_label_rows_are_class_outline_and_confidence(self, results: Results, tmp_path: Path) -> None:
        results.save_txt(tmp_path / "labels" / "bus.txt", save_conf=True)
        rows = [[float(n) for n in row.split()] for row in (tmp_path / "labels" / "bus.txt").read_text().splitlines()]
        assert [row[0] for row in rows] == [0, 5, 0]
        assert [row[-1] for row in rows] == pytest.approx([0.9, 0.8, 0.5])
        assert results.masks is not None
        for row, outline in zip(rows, results.masks.xyn, strict=True):
            assert np.array(row[1:-1]).reshape(-1, 2) == pytest.approx(outline, abs=1e-6)
        results.save_txt(tmp_path / "labels" / "bus.txt")
        assert (tmp_path / "labels" / "bus.txt").read_text().splitlines()[1].startswith("5 0.4 0.166667 0.4 ")

    def test_a_row_without_an_outline_is_a_box(self, results: Results, tmp_path: Path) -> None:
        Results(results.orig_img, "", NAMES, TABLE[1:2]).save_txt(tmp_path / "a.txt")
        assert (tmp_path / "a.txt").read_text() == "5 0.65 0.5 0.5 0.666667\n"
        dot = np.zeros((1, 60, 100), bool)
        dot[0, 20, 50:52] = True  # an outline of two points would be read as a box of nonsense
        Results(results.orig_img, "", NAMES, TABLE[1:2], InstanceMasks.from_dense(dot)).save_txt(tmp_path / "a.txt")
        assert (tmp_path / "a.txt").read_text() == "5 0.65 0.5 0.5 0.666667\n"

    def test_nothing_found_gives_an_empty_label_file(self, nothing: Results, tmp_path: Path) -> None:
        nothing.save_txt(tmp_path / "a.txt")
        assert (tmp_path / "a.txt").read_bytes() == b""

    def test_crops_are_cut_out_and_numbered(self, results: Results, tmp_path: Path) -> None:
        written = results.save_crop(tmp_path, "frame.png")
        assert [Path(path).relative_to(tmp_path).as_posix() for path in written] == [
            "person/frame.png",
            "bus/frame.png",
            "person/frame2.png",
        ]
        assert np.array_equal(cv2.imread(written[1]), results.orig_img[10:50, 40:90])
        assert Path(results.save_crop(tmp_path, "frame.png")[0]).name == "frame3.png", "nothing is overwritten"

    def test_a_crop_stays_inside_the_picture_and_its_folder(self, tmp_path: Path) -> None:
        boxes = [[-5, -5, 8.2, 8.2, 0.9, 7], [50, 50, 50, 70, 0.9, 7], [200, 5, 300, 9, 0.9, 7]]
        odd = Results(np.zeros((60, 100, 3), np.uint8), "", NAMES, boxes)
        (path,) = odd.save_crop(tmp_path)
        assert Path(path) == tmp_path / "a_b_ c_" / "im.jpg"
        assert cv2.imread(path).shape == (9, 9, 3)
        for name in ("..", "/", "con.", ""):
            odd.names = {7: name}
            assert all(tmp_path in Path(p).parents for p in odd.save_crop(tmp_path / "deep"))

    @pytest.mark.parametrize("method", ["save", "save_txt", "save_crop"])
    def test_a_place_that_is_no_folder_is_an_output_error(self, results: Results, tmp_path: Path, method: str) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(OutputError, match="file"):
            getattr(results, method)(tmp_path / "file" / "x.jpg")

    @pytest.mark.parametrize(("method", "name", "writer"), [("save", "a.png", "bytes"), ("save_txt", "a.txt", "text")])
    def test_a_full_disk_leaves_the_old_file(
        self, results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, name: str, writer: str
    ) -> None:
        (tmp_path / name).write_text("old")

        def full(self: Path, *_: object, **__: object) -> None:
            self.touch()
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(Path, f"write_{writer}", full)
            with pytest.raises(OutputError, match="the disk is full"):
                getattr(results, method)(tmp_path / name)
        assert (tmp_path / name).read_text() == "old"
        assert [path.name for path in tmp_path.iterdir()] == [name]


class TestOddNamesAndNumbers:
    @pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="names are Unicode here")
    def test_a_name_that_is_no_utf8_is_written_like_any_other(self, results: Results, tmp_path: Path) -> None:
        # As its own process: OpenCV crashed on such a name.
        code = (
            "import numpy as np, os, pathlib\n"
            "from segkit.core.inference.saving import write_picture\n"
            f"write_picture(pathlib.Path(os.fsdecode({os.fsencode(tmp_path)!r} + b'/caf\\xe9.png')), "
            "np.zeros((4, 4, 3), np.uint8))"
        )
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
        assert os.listdir(os.fsencode(tmp_path)) == [b"caf\xe9.png"]

    @pytest.mark.parametrize("name", [".png", "a.pbm", "a.PGM", "a.j\udce9g", "a."])
    def test_a_suffix_that_holds_no_colours_or_is_none_names_those_that_do(
        self, results: Results, tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(OutputError, match=r"no picture format has the suffix .* use .jpg, .png"):
            results.save(tmp_path / "new" / name)
        assert capfd.readouterr() == ("", "")
        assert list(tmp_path.iterdir()) == []

    def test_a_name_that_is_too_long_is_an_output_error(self, results: Results, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match="the name is too long"):
            results.save(tmp_path / ("x" * 300 + ".png"))

    @pytest.mark.parametrize("size", [{"line_width": 0}, {"line_width": -1}, {"font_size": -3}])
    def test_a_size_below_a_pixel_is_refused(self, results: Results, size: dict[str, int]) -> None:
        with pytest.raises(OptionError, match=f"{next(iter(size))}=.*a number of pixels from 1"):
            results.plot(**size)

    def test_a_width_with_a_fraction_is_rounded(self, results: Results) -> None:
        assert np.array_equal(results.plot(line_width=1.6, font_size=11.8), results.plot(line_width=2, font_size=12))

    def test_a_pillow_image_to_draw_on_is_refused_with_what_is_wanted(self, results: Results) -> None:
        with pytest.raises(OptionError, match="img='Image' is not usable: give an array"):
            results.plot(img=Image.new("RGB", (100, 60)))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_run_that_cannot_write_leaves_no_empty_folders(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(path: Path, *args: object, **options: object) -> int:
        path.touch()
        raise OSError(number, "no")

    kept = tmp_path / "kept"
    kept.mkdir()
    monkeypatch.setattr(Path, "write_text", fail)
    for project in (kept, tmp_path / "new" / "deep"):
        with pytest.raises(OutputError):
            RunFolder(PredictArguments(project=project, save_txt=True)).write(results)
    assert [*tmp_path.rglob("*")] == [kept]
