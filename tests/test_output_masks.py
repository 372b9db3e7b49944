"""Masks that a run writes: one PNG an object, one map a picture, one COCO file a run."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from segkit.core.errors import OptionError, OutputError
from segkit.core.images.items import Frame
from segkit.core.inference.arguments import MaskFiles, PredictArguments
from segkit.core.inference.coco import CocoFile, save_coco_results
from segkit.core.inference.mask_files import index_map, write_index
from segkit.core.inference.masks import InstanceMasks
from segkit.core.inference.output import RunFolder
from segkit.core.inference.results import Results

NAMES = {0: "person", 5: "bus / coach"}
SIZE = (60, 100)


def masks_of(*boxes: tuple[int, int, int, int], size: tuple[int, int] = SIZE) -> np.ndarray:
    """(N, H, W) rectangles x1, y1, x2, y2."""
    masks = np.zeros((len(boxes), *size), bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[y1:y2, x1:x2] = True
    return masks


BOXES = (10, 5, 30, 25), (20, 10, 90, 50)


def results_of(path: str = "street/bus.png", frame: Frame | None = None, boxes: Any = BOXES) -> Results:
    table = np.array([[*box, 0.9 - index / 10, 5 * (index % 2)] for index, box in enumerate(boxes)], np.float32)
    picture = np.zeros((*SIZE, 3), np.uint8)
    return Results(picture, path, NAMES, table, InstanceMasks.from_dense(masks_of(*boxes)), frame=frame)


def nothing(path: str = "empty.jpg") -> Results:
    return Results(np.zeros((*SIZE, 3), np.uint8), path, NAMES)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def read(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return picture


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (True, MaskFiles.INSTANCES),
        ("True", MaskFiles.INSTANCES),
        ("index", MaskFiles.INDEX),
        ("COCO", MaskFiles.COCO),
        (False, None),
        ("False", None),
        (None, None),
    ],
)
def test_save_masks_is_a_flag_or_a_kind(given: Any, kind: MaskFiles | None) -> None:
    args = PredictArguments(save_masks=given)
    assert args.save_masks is kind
    assert args.saves is (kind is not None)


def test_an_unknown_kind_names_those_that_exist() -> None:
    from segkit.core.backend.options import validate

    with pytest.raises(OptionError, match="'instances', 'index' or 'coco'"):
        validate(PredictArguments, {"save_masks": "png"}, "predict")


def run(tmp_path: Path, kind: str, *results: Results) -> Path:
    folder = RunFolder(PredictArguments(save_masks=kind, project=str(tmp_path)))
    for result in results:
        folder.write(result)
    folder.close()
    return folder.path


def test_one_picture_an_object(tmp_path: Path) -> None:
    folder = run(tmp_path, "instances", results_of(), results_of("clip.mp4", Frame(3)), nothing())
    names = {"001-person.png", "002-bus _ coach.png"}
    assert files(folder) == {f"masks/{stem}/{name}" for stem in ("bus", "clip_3") for name in names}
    for name, mask in zip(sorted(names), masks_of(*BOXES), strict=True):
        assert np.array_equal(read(folder / "masks/bus" / name), mask.astype(np.uint8) * 255)


def test_one_map_a_picture_has_the_better_object_on_top(tmp_path: Path) -> None:
    folder = run(tmp_path, "index", results_of(), nothing())
    first, second = masks_of(*BOXES)
    expected = np.where(first, 1, np.where(second, 2, 0))
    written = read(folder / "masks/bus.png")
    assert written.dtype == np.uint8
    assert np.array_equal(written, expected)
    assert not read(folder / "masks/empty.png").any()


@pytest.mark.parametrize(("count", "dtype"), [(255, np.uint8), (256, np.uint16)])
def test_a_map_of_many_objects_tells_all_of_them_apart(tmp_path: Path, count: int, dtype: type) -> None:
    dots = masks_of(*((x % 20 * 5, x // 20 * 4, x % 20 * 5 + 2, x // 20 * 4 + 2) for x in range(count)))
    write_index(tmp_path / "map.png", InstanceMasks.from_dense(dots), SIZE)
    written = read(tmp_path / "map.png")
    assert written.dtype == dtype
    assert np.unique(written).tolist() == list(range(count + 1))


def test_masks_of_the_network_are_written_in_the_size_of_the_picture(n_seg_pt: Path, bus: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from segkit import YOLO

    options = {"save_masks": "index", "project": str(tmp_path), "threads": 2, "imgsz": 320}
    (result,) = YOLO(n_seg_pt).predict(bus, **options)
    assert result.masks is not None
    written = read(tmp_path / "predict/masks/bus.png")
    assert written.shape == result.orig_shape == (1080, 810)
    assert np.array_equal(written == 1, result.masks.instances.native().dense()[0])
    assert np.array_equal(written, index_map(result.masks.instances, result.orig_shape))


# -- COCO ---------------------------------------------------------------------------------------------------------


class TestAnnotations:
    def test_what_an_object_has(self) -> None:
        first, second = results_of("val/000000000139.jpg").to_coco()
        assert list(first) == ["image_id", "category_id", "bbox", "score", "area", "segmentation"]
        assert (first["image_id"], first["category_id"], first["score"]) == (139, 0, 0.9)
        assert second["bbox"] == [20, 10, 70, 40]
        assert (first["area"], second["area"]) == (20 * 20, 70 * 40)
        assert json.loads(json.dumps(second)) == second

    @pytest.mark.parametrize(
        ("path", "frame", "image_id"),
        [("a/000139.jpg", None, 139), ("bus.jpg", None, "bus"), ("street.mp4", Frame(12), "street_12")],
    )
    def test_an_image_is_called_by_its_name(self, path: str, frame: Frame | None, image_id: int | str) -> None:
        assert {row["image_id"] for row in results_of(path, frame).to_coco()} == {image_id}

    def test_ids_of_images_and_categories_can_be_given(self) -> None:
        rows = results_of().to_coco(image_id=7, category_ids={0: 1, 5: 6})
        assert [(row["image_id"], row["category_id"]) for row in rows] == [(7, 1), (7, 6)]
        with pytest.raises(OptionError, match="no category for class 5"):
            results_of().to_coco(category_ids={0: 1})
        with pytest.raises(OptionError, match="give rle or polygon"):
            results_of().to_coco(segmentation="mask")  # type: ignore[arg-type]

    @pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside pycocotools
    def test_polygons_outline_the_masks_and_a_speck_is_its_box(self) -> None:
        mask_api = pytest.importorskip("pycocotools.mask")
        result = results_of(boxes=((10, 5, 30, 25), (40, 40, 41, 41)))
        square, speck = result.to_coco(segmentation="polygon")
        drawn = mask_api.decode(mask_api.merge(mask_api.frPyObjects(square["segmentation"], *SIZE))).astype(bool)
        mask = masks_of((10, 5, 30, 25))[0]
        assert (drawn & mask).sum() / (drawn | mask).sum() > 0.88  # through the centres of the pixels
        assert speck["segmentation"] == [[40, 40, 41, 40, 41, 41, 40, 41]]
        assert speck["area"] == 1

    def test_track_ids_and_boxes_alone(self) -> None:
        tracked = np.array([[1, 2, 5, 8, 17, 0.5, 0]], np.float32)
        (row,) = Results(np.zeros((*SIZE, 3), np.uint8), "a.jpg", NAMES, tracked).to_coco()
        assert row == {"image_id": "a", "category_id": 0, "bbox": [1, 2, 4, 6], "score": 0.5, "track_id": 17}
        assert nothing().to_coco() == []


def coco_of(path: Path) -> Any:
    coco = pytest.importorskip("pycocotools.coco")
    with contextlib.redirect_stdout(io.StringIO()):
        return coco.COCO(str(path))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside pycocotools
def test_a_run_in_one_file_that_pycocotools_reads(tmp_path: Path) -> None:
    folder = run(tmp_path, "coco", results_of(), nothing(), results_of("clip.mp4", Frame(3)))
    assert files(folder) == {"coco.json"}
    coco = coco_of(folder / "coco.json")
    assert sorted(coco.imgs) == [1, 2, 3]
    assert coco.imgs[1] == {"id": 1, "file_name": "street/bus.png", "width": 100, "height": 60}
    assert coco.imgs[3]["frame"] == 3
    assert {category["id"]: category["name"] for category in coco.cats.values()} == NAMES
    assert sorted(coco.anns) == [1, 2, 3, 4]
    for image, expected in ((1, 2), (2, 0), (3, 2)):
        rows = coco.loadAnns(coco.getAnnIds(imgIds=[image]))
        assert len(rows) == expected
        for row, mask in zip(rows, masks_of(*BOXES), strict=False):
            assert np.array_equal(coco.annToMask(row), mask)
            assert row["area"] == mask.sum()


def test_a_run_without_a_picture_writes_no_file(tmp_path: Path) -> None:
    assert files(run(tmp_path, "coco")) == set()


def test_an_empty_run_is_valid_too(tmp_path: Path) -> None:
    document = json.loads((run(tmp_path, "coco", nothing()) / "coco.json").read_text())
    assert (len(document["images"]), document["annotations"]) == (1, [])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside pycocotools
def test_a_result_file_is_evaluated_by_pycocotools(tmp_path: Path) -> None:
    """Predictions equal to the truth have an average precision of 1, for boxes and for masks."""
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    names = ("000000000139.jpg", "000000000285.jpg")
    truth_file = run(tmp_path, "coco", *map(results_of, names)) / "coco.json"
    truth = coco_of(truth_file)
    stream = (results_of(name) for name in names)
    ids = {139: 1, 285: 2}
    count = save_coco_results(stream, tmp_path / "results.json", lambda result: ids[int(Path(result.path).stem)])
    assert count == 4
    with contextlib.redirect_stdout(io.StringIO()):
        found = truth.loadRes(str(tmp_path / "results.json"))
        for kind in ("bbox", "segm"):
            judge = evaluation.COCOeval(truth, found, kind)
            judge.evaluate()
            judge.accumulate()
            judge.summarize()
            assert judge.stats[0] == pytest.approx(1)


def test_a_result_file_of_nothing_is_an_empty_list(tmp_path: Path) -> None:
    assert save_coco_results([], tmp_path / "results.json") == 0
    assert json.loads((tmp_path / "results.json").read_text()) == []


def test_a_stream_that_fails_leaves_the_old_result_file(tmp_path: Path) -> None:
    def broken() -> Any:
        yield results_of()
        raise OutputError("x", "the camera fell down")

    (tmp_path / "results.json").write_text("old")
    with pytest.raises(OutputError, match="fell down"):
        save_coco_results(broken(), tmp_path / "results.json")
    assert files(tmp_path) == {"results.json"}
    assert (tmp_path / "results.json").read_text() == "old"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs limits of POSIX")
def test_a_full_disk_leaves_no_half_of_a_coco_file(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import resource, signal\n"
        "from test_output_masks import OutputError, PredictArguments, RunFolder, results_of\n"
        "folder = RunFolder(PredictArguments(save_masks='coco', project='runs'))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "try:\n"
        "    for _ in range(1000): folder.write(results_of())\n"
        "except OutputError as error: print(error)\n"
        "folder.close()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "Cannot write 'runs/predict/coco.json': file too large.\n", done.stderr
    assert files(tmp_path) == set()


def test_a_coco_file_holds_no_results_in_memory(tmp_path: Path) -> None:
    """What is kept is the same after 20 pictures and after 400."""
    import tracemalloc

    file = CocoFile(tmp_path / "coco.json")
    result = results_of()
    tracemalloc.start()
    try:
        sizes = []
        for count in range(400):
            file.add(result)
            if count in (20, 399):
                sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    file.close()
    assert sizes[1] - sizes[0] < 100_000, "less than half of what was written; the rest is buffers"
    assert len(json.loads((tmp_path / "coco.json").read_text())["annotations"]) == 800
