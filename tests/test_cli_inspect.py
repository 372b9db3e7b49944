"""`segkit inspect` as a user meets it: what any file says about itself, and what it costs to ask."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from installed_formats import formats_of_torch_and

from segkit._inspect import inspect
from segkit.cli import main
from segkit.core.backend.registry import default_registry

FAKES = Path(__file__).parent / "fakes"


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(["inspect", *argv])
    streams = capsys.readouterr()
    return code, streams.out, streams.err


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A format written in JSON, beside the installed ones."""
    monkeypatch.syspath_prepend(str(FAKES))
    default_registry.cache_clear()
    default_registry().register("scripted", "scripted_format")
    yield
    default_registry.cache_clear()


# -- weights ------------------------------------------------------------------------------------------------------


def test_published_weights_tell_who_made_them_and_how(n_seg_pt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, str(n_seg_pt))
    assert (code, err) == (0, "")
    for text in (
        "PyTorch: it is a torch archive with a pickle in it",
        "7.1 MB",
        "a trainer of version 8.0.0.dev0",
        "YOLOv8-seg, scale n, 80 classes",
        "3,409,968 in 219 tensors",
        "fp16 on disk",
        "2023-01-04T18:12:00",
        "AGPL-3.0",
        "data=coco.yaml, epochs=500",
        "(batch, 116, anchors)",
        "80 classes: 0 person, 1 bicycle",
    ):
        assert text in out
    assert "79 toothbrush" not in out


def test_the_parameters_of_weights_are_those_that_info_counts(n_seg_pt: Path) -> None:
    from segkit import YOLO

    told = inspect(n_seg_pt).inspection.facts["parameters"]
    assert told.startswith(f"{YOLO(n_seg_pt).info().parameters:,} ")  # type: ignore[union-attr]


def test_every_checkpoint_and_foreign_file_here_is_told_apart(data: Path) -> None:
    paths = [*sorted((data / "checkpoints").iterdir()), *sorted((data / "foreign").iterdir())]
    told = {path.name: inspect(path) for path in paths}
    assert {name for name, report in told.items() if report.error} == {"truncated-official.pt"}
    assert "cut off or damaged" in str(told["truncated-official.pt"].error)
    assert told["yolov8n.pt"].problem == "it is a detection model, not segmentation"
    assert told["coco8_1ep_v8.3.0.best.pt"].inspection.producer == "a trainer of version 8.3.0"
    # A plugin for one of these may be installed one day.
    for name, seems in {
        "best128_full_integer_quant_edgetpu.tflite": "a TensorFlow Lite model compiled for an Edge TPU",
        "yolov8n-seg_int8.tflite": "a TensorFlow Lite model",
        "yolov8n_seg.ncnn.param": "the description of an ncnn network; its weights are the .bin file beside it",
    }.items():
        assert told[name].format or told[name].reason == f"it seems to be {seems}"


def test_weights_saved_by_segkit_are_its_own(tmp_path: Path) -> None:
    from segkit import YOLO

    model = YOLO("yolov8n-seg.yaml")
    for suffix, stored in ((".pt", "fp32"), (".safetensors", "fp32")):
        report = inspect(model.save(tmp_path / f"mine{suffix}"))
        assert report.inspection.producer == "segkit"
        assert stored in report.inspection.facts["stored"]
        assert report.metadata is not None
        assert report.error is report.problem is None


def test_a_hostile_pickle_is_named_and_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "harm",)

    path = tmp_path / "evil.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("evil/data.pkl", pickle.dumps({"model": Evil()}, protocol=2))
    code, out, err = run(capsys, str(path))
    assert (code, out) == (2, "")
    assert "nothing was executed" in err
    assert not (tmp_path / "harm").exists()


# -- exported files -----------------------------------------------------------------------------------------------


def test_an_onnx_file_of_another_tool_shows_tensors_writer_and_head(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = data / "foreign" / "yolov8n-seg.onnx"
    code, out, _ = run(capsys, str(path))
    assert code == 0
    for text in (
        "ONNX: it holds an ONNX graph",
        "pytorch 2.13.0",
        "images  float32  (1, 3, 640, 640)",
        "output0  float32  (1, 116, 8400)",
        "80 class scores and 32 mask coefficients, in one tensor; 32 prototypes; objects are selected afterwards",
        "opset         17",
        "3,404,320 float32",
        "AGPL-3.0",
    ):
        assert text in out


def onnx_model(
    path: Path, numpy_type: Any, *, dims: tuple[Any, ...] = ("batch", 3, None, 64), quantised: bool = False
) -> Path:
    """A small graph with one weight of 12 numbers of that type, listed among the inputs as old tools do."""
    onnx = pytest.importorskip("onnx")
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(numpy_type))
    weight = onnx.numpy_helper.from_array(np.ones((3, 4), numpy_type), "weight")
    make = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["images"], ["out"])],
        "graph",
        [make("images", kind, dims), make("weight", kind, (3, 4))],
        [make("out", kind, dims)],
        [weight],
    )
    model = onnx.helper.make_model(graph, producer_name="a tool", opset_imports=[onnx.helper.make_opsetid("", 17)])
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("numpy_type", "precision"), [(np.float32, "fp32"), (np.float16, "fp16"), (np.int8, "int8"), (np.uint8, "int8")]
)
def test_the_precision_of_an_onnx_file_is_that_of_its_weights(tmp_path: Path, numpy_type: Any, precision: str) -> None:
    report = inspect(onnx_model(tmp_path / "model.onnx", numpy_type))
    assert report.precision == precision
    assert report.inspection.facts["weights"] == f"12 {np.dtype(numpy_type).name} in 1 tensors"
    assert report.inspection.producer == "a tool"


def test_free_sides_of_an_onnx_file_are_named_and_weights_are_no_inputs(tmp_path: Path) -> None:
    inputs = inspect(onnx_model(tmp_path / "model.onnx", np.float32)).inspection.inputs
    assert [(tensor.name, tensor.dtype, tensor.shape) for tensor in inputs] == [
        ("images", "float32", ("batch", 3, None, 64))
    ]


def test_what_a_fresh_export_says_is_what_it_was_made_with(tmp_path: Path) -> None:
    pytest.importorskip("onnxslim")
    from segkit import YOLO

    model = YOLO("yolov8n-seg.yaml")
    path = model.export(format="onnx", imgsz=64, half=True, output=tmp_path / "half.onnx")
    report = inspect(path)
    assert (report.format, report.precision, report.problem) == ("onnx", "fp16", None)
    assert report.metadata is not None
    assert report.metadata.imgsz == (64, 64)
    assert report.head is not None
    assert "boxes in pixels, 80 class scores and 32 mask coefficients, in one tensor" in report.head


def test_a_damaged_onnx_file_is_told_with_its_place(data: Path, tmp_path: Path) -> None:
    whole = (data / "foreign" / "yolov8n-seg.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    report = inspect(tmp_path / "cut.onnx")
    assert report.format == "onnx"
    assert "interrupted download" in str(report.error)


# -- what nobody knows --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "seems"),
    [
        ("x.tflite", b"\x1c\0\0\0TFL3" + bytes(20), "a TensorFlow Lite model"),
        ("x.engine", b"ftrt" + bytes(20), "a TensorRT engine"),
        ("x.jpg", b"\xff\xd8\xff\xe0" + bytes(20), "a JPEG picture"),
        ("x.mp4", b"\0\0\0\x18ftypmp42", "a video or picture in an MP4 container"),
        ("x.xml", b'<?xml version="1.0"?>\n<net name="model" version="11">', "the description of an OpenVINO network"),
        ("x.bin", b"", "an empty file"),
        ("x.html", b"<!DOCTYPE html><html>", "an HTML page (a failed download?)"),
        ("x.yaml", b"nc: 80", "a YAML text"),
        ("x", b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
        ("x", bytes(range(256)), "a file of a kind that segkit does not know"),
    ],
)
def test_a_file_that_no_format_knows_is_told_by_its_content(
    name: str, content: bytes, seems: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with formats_of_torch_and({}, tmp_path):  # others know some of these
        report = inspect(path)
    assert (report.format, report.error) == (None, None)
    assert report.reason.startswith(f"it seems to be {seems}")
    assert report.problem is not None
    assert "no installed format recognises it" in report.problem


@pytest.mark.parametrize(
    ("inside", "seems"),
    [
        ([], "an empty folder"),
        (["saved_model.pb", "variables"], "a TensorFlow SavedModel"),
        (["model.ncnn.param"], "an ncnn model"),
        (["a.jpg"], "a folder without a model in it"),
    ],
)
def test_a_folder_is_told_by_what_lies_in_it(inside: list[str], seems: str, tmp_path: Path) -> None:
    folder = tmp_path / "thing"
    folder.mkdir()
    for name in inside:
        (folder / name).write_bytes(b"123")
    report = inspect(folder)
    assert report.reason == f"it seems to be {seems}"
    assert (report.files, report.size) == (len(inside), 3 * len(inside))


@pytest.mark.parametrize("name", ["gone.pt", "gone"])
def test_a_file_that_is_not_there_is_one_line_and_code_2(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, name)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"'{name}'" in err


# -- several files, programs, plugins -----------------------------------------------------------------------------


def test_several_files_are_shown_and_one_that_is_damaged_sets_the_code(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(data / "foreign" / "yolov8n-seg.onnx"), str(data / "checkpoints" / "truncated-official.pt")]
    code, out, err = run(capsys, *paths)
    assert (code, err) == (2, "")
    assert all(path in out for path in paths)
    assert "error         Cannot load model" in out


def test_the_document_holds_one_entry_a_file(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(data / "foreign" / "yolov8n-seg.onnx"), str(data / "foreign" / "yolov8n_seg.ncnn.param")]
    code, out, _ = run(capsys, *paths, "--json")
    onnx, unknown = json.loads(out)["files"]
    assert code == 0
    assert (onnx["format"], onnx["bytes"], onnx["precision"]) == ("onnx", 13842219, "fp32")
    assert onnx["inputs"] == [{"name": "images", "dtype": "float32", "shape": [1, 3, 640, 640]}]
    assert len(onnx["metadata"]["names"]) == 80
    assert unknown["path"] == paths[1]
    assert unknown["error"] is None


def test_a_format_of_a_stranger_is_inspected_like_ours(
    scripted: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.scripted"
    path.write_text("{}")
    code, out, _ = run(capsys, str(path))
    assert code == 0
    assert "Scripted: its name ends in .scripted" in out
    assert "a test" in out
    path.write_text('{"broken": true}')
    code, _, err = run(capsys, str(path))
    assert code == 2
    assert "the plugin of 'scripted' fails to inspect it" in err


def test_inspecting_loads_no_runtime(data: Path) -> None:
    paths = [str(path) for name in ("checkpoints", "foreign") for path in sorted((data / name).iterdir())]
    code = (
        "import sys, io; from segkit.cli import main; out, sys.stdout = sys.stdout, io.StringIO();"
        f"main({['inspect', *paths]!r});"
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'safetensors', 'pandas'} & set(sys.modules)), file=out)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_help_says_how_inspect_and_info_differ(capsys: pytest.CaptureFixture[str]) -> None:
    main(["inspect", "--help"])
    main(["info", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert "segkit info counts layers" in out
    assert "segkit inspect shows" in out
