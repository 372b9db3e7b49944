"""The public API: its names, and the snippets that users know, on the real model."""

from __future__ import annotations

import errno
import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

import segkit
from segkit import YOLO
from segkit._paths import target_for
from segkit.core.errors import (
    ModelFileError,
    OptionError,
    OutputError,
    SourceError,
    UnknownFormatError,
    UnsupportedError,
)
from segkit.core.notices import notice


@pytest.fixture(scope="session")
def home(n_seg_pt, bus, tmp_path_factory) -> Path:
    """A folder with yolov8n-seg.pt and bus.jpg, and the ONNX file that the first export makes."""
    folder = tmp_path_factory.mktemp("home")
    shutil.copy(n_seg_pt, folder / "yolov8n-seg.pt")
    shutil.copy(bus, folder / "bus.jpg")
    assert YOLO(folder / "yolov8n-seg.pt").export(format="onnx") == str(folder / "yolov8n-seg.onnx")
    return folder


@pytest.fixture
def here(home, monkeypatch, tmp_path):
    """A working folder with links to the files, so that the snippets run word for word and leave nothing behind."""
    for item in ("yolov8n-seg.pt", "yolov8n-seg.onnx", "bus.jpg"):
        (tmp_path / item).symlink_to(home / item)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def server(home):
    """The folder behind http, as pictures on the web are."""
    handler = functools.partial(QuietHandler, directory=str(home))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def test_the_public_names():
    names = [
        *("BenchmarkReport", "Results", "SegkitError", "SegmentationMetrics", "YOLO", "__version__"),
        *("benchmark", "errors", "formats", "save_coco_results"),
    ]
    assert sorted(segkit.__all__) == names
    for name in segkit.__all__:
        assert getattr(segkit, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = segkit.nothing


def test_the_public_methods_of_a_model():
    public = {name for name in dir(YOLO) if not name.startswith("_")}
    assert public == {
        "add_callback", "benchmark", "clear_callback", "embed", "export", "export_to", "fuse", "info", "load", "names",
        "network", "predict", "save", "task", "to", "train", "tune", "val", "web",
    }  # fmt: skip


def test_snippet_predict_and_read_masks(here):
    model = YOLO("yolov8n-seg.pt")
    results = model("bus.jpg")
    for result in results:
        xy = result.masks.xy
        xyn = result.masks.xyn
        masks = result.masks.data
    assert len(xy) == len(xyn) == len(masks) == 6
    assert all(points.min() >= 0 and points.max() <= 1 for points in xyn)
    assert [model.names[int(c)] for c in result.boxes.cls].count("person") == 4 or len(result) == 6


def test_snippet_stream(here):
    results = YOLO("yolov8n-seg.onnx")(["bus.jpg", "bus.jpg"], stream=True)
    for result in results:
        boxes = result.boxes
        for box in boxes:
            assert int(box.cls) in result.names
            assert 0 < float(box.conf) <= 1
            assert len(box.xyxy[0].tolist()) == 4
        assert boxes.xyxy.cpu().numpy().shape == (len(boxes), 4)


def test_snippet_url_source(here, server):
    results = YOLO("yolov8n-seg.onnx")(f"{server}/bus.jpg")
    assert len(results[0]) == 6
    with pytest.raises(SourceError, match="the server answered 404"):
        YOLO("yolov8n-seg.onnx")(f"{server}/nothing.jpg")
    with pytest.raises(SourceError, match="a web page"):
        YOLO("yolov8n-seg.onnx")(f"{server}/")


def test_offline_means_offline(here, server, monkeypatch):
    monkeypatch.setenv("SEGKIT_OFFLINE", "1")
    with pytest.raises(SourceError, match="SEGKIT_OFFLINE forbids"):
        YOLO("yolov8n-seg.onnx")(f"{server}/bus.jpg")


def test_snippet_build_from_yaml_and_transfer(here, data, capsys):
    model = YOLO("yolov8n-seg.yaml").load(data / "checkpoints" / "yolov8n.pt")
    assert "tensors taken over" in capsys.readouterr().err
    assert len(model.names) == 80
    model.save("mine.pt")
    assert YOLO("mine.pt")("bus.jpg")[0].orig_shape == (1080, 810)


def test_snippet_export_of_a_model_in_memory(here):
    path = YOLO("yolov8n-seg.yaml").export(format="onnx", imgsz=64)
    assert path == "yolov8n-seg.onnx" or Path(path).name == "yolov8n-seg.onnx"
    assert YOLO(path)(np.zeros((64, 64, 3), np.uint8))[0].boxes is not None


def test_pt_and_onnx_see_the_same_objects(home):
    (torch_result,), (onnx_result,) = (YOLO(home / f"yolov8n-seg{end}")(home / "bus.jpg") for end in (".pt", ".onnx"))
    np.testing.assert_array_equal(torch_result.boxes.cls, onnx_result.boxes.cls)
    np.testing.assert_allclose(torch_result.boxes.xyxy, onnx_result.boxes.xyxy, atol=1e-2)
    np.testing.assert_allclose(torch_result.boxes.conf, onnx_result.boxes.conf, atol=2e-5)
    for one, two in zip(torch_result.masks.data, onnx_result.masks.data, strict=True):
        one, two = one.astype(bool), two.astype(bool)
        assert (one & two).sum() / (one | two).sum() >= 0.999


def test_predicting_with_onnx_does_not_import_torch(home):
    code = (
        "import sys; from segkit import YOLO; r, = YOLO('yolov8n-seg.onnx')('bus.jpg'); "
        "print(len(r), 'torch' in sys.modules, 'onnx' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=home, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("6 False False\n", "")


def test_saved_pictures_labels_and_crops(here):
    (result,) = YOLO("yolov8n-seg.onnx").predict("bus.jpg", save=True, save_txt=True, save_conf=True, save_crop=True)
    folder = Path(result.save_dir)
    assert folder == Path("runs/segment/predict")
    drawn = cv2.imread(str(folder / "bus.jpg"))
    assert drawn.shape == (1080, 810, 3)
    assert (drawn != result.orig_img).mean() > 0.1
    rows = [line.split() for line in (folder / "labels" / "bus.txt").read_text().splitlines()]
    assert len(rows) == 6
    assert all(len(row) % 2 == 0 for row in rows), "class, x y pairs, confidence"
    assert len(list((folder / "crops").rglob("*.jpg"))) == 6
    (again,) = YOLO("yolov8n-seg.onnx").predict("bus.jpg", save=True)
    assert Path(again.save_dir).name == "predict2"


def test_pictures_of_one_name_do_not_overwrite_each_other(here):
    (here / "other").mkdir()
    shutil.copy("bus.jpg", here / "other" / "bus.jpg")
    YOLO("yolov8n-seg.onnx").predict(["bus.jpg", "other/bus.jpg"], save=True, project="out", name="x")
    assert sorted(item.name for item in Path("out/x").iterdir()) == ["bus-2.jpg", "bus.jpg"]


def test_results_as_json(here):
    (result,) = YOLO("yolov8n-seg.onnx")("bus.jpg")
    rows = json.loads(result.to_json())
    assert {row["name"] for row in rows} <= set(result.names.values())
    assert len(rows) == 6


def test_arrays_pillow_and_tensors_give_what_the_file_gives(here):
    import torch
    from PIL import Image

    model = YOLO("yolov8n-seg.onnx")
    array = cv2.imread("bus.jpg")
    (from_file,), (from_array,), (from_pil,) = model("bus.jpg"), model(array), model(Image.open("bus.jpg"))
    np.testing.assert_array_equal(from_file.boxes.data, from_array.boxes.data)
    assert len(from_pil) == len(from_file)
    square = cv2.resize(array, (640, 640))[..., ::-1].transpose(2, 0, 1)
    (from_tensor,) = model(torch.from_numpy(square.copy())[None] / 255)
    assert from_tensor.orig_shape == (640, 640)
    assert len(from_tensor) >= 4


def test_half_runs_the_reference_in_half_precision(home):
    model = YOLO(home / "yolov8n-seg.pt")
    (full,), (half,) = model(home / "bus.jpg"), model(home / "bus.jpg", half=True)
    assert len(full) == len(half)
    assert np.abs(full.boxes.xyxy - half.boxes.xyxy).max() < 2


def test_the_precision_of_an_artefact_is_the_one_it_was_exported_in(here):
    model = YOLO("yolov8n-seg.onnx")
    assert len(model("bus.jpg", precision="fp32")[0]) == 6
    with pytest.raises(OptionError, match=r"'yolov8n-seg.onnx' computes in fp32, .*; export it again for fp16"):
        model("bus.jpg", half=True)


def test_a_replaced_file_is_loaded_anew(here):
    shutil.copy(here / "yolov8n-seg.onnx", here / "copy.onnx")
    model = YOLO("copy.onnx")
    assert len(model("bus.jpg")[0]) == 6
    YOLO("yolov8n-seg.yaml").export(format="onnx", output="copy.onnx")
    assert len(model("bus.jpg")[0]) != 6


def test_names_are_read_from_the_file_once_until_it_changes(here, monkeypatch):
    for path in ("yolov8n-seg.pt", "yolov8n-seg.onnx"):
        model = YOLO(path)
        backend, read = type(model._backend), []
        real = backend.read_metadata
        monkeypatch.setattr(
            backend, "read_metadata", lambda self, path, r=real, n=read: n.append(path) or r(self, path)
        )
        assert [model.names[index] for index in (0, 5)] == ["person", "bus"]
        assert len(read) == 1
    shutil.copy(here / "yolov8n-seg.onnx", here / "copy.onnx")
    model = YOLO("copy.onnx")
    model.info().names[5] = "mine"
    assert model.names[5] == "bus"
    YOLO("yolov8n-seg.yaml").export(format="onnx", output="copy.onnx", imgsz=64)
    assert model.names[5] == "class 5"


def test_argument_errors_come_at_the_call_even_when_streaming(here):
    model = YOLO("yolov8n-seg.onnx")
    with pytest.raises(OptionError, match=r"Did you mean 'conf'"):
        model.predict("bus.jpg", stream=True, cnf=0.5)
    with pytest.raises(SourceError, match="no such file"):
        model.predict("missing.jpg", stream=True)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: YOLO("missing.pt"), ModelFileError, "no such file"),
        (lambda: YOLO("bus.jpg"), ModelFileError, "no installed format recognises it"),
        (lambda: YOLO("yolov8n-seg.pt", task="detect"), OptionError, "task='detect'"),
        (lambda: YOLO("yolov8n-seg.pt").predict(), OptionError, "needs a source"),
        (lambda: YOLO("yolov8n-seg.pt").export(), OptionError, r"export needs a format: one of (\w+, )*onnx\b"),
        (lambda: YOLO("yolov8n-seg.pt").export(format="onxx"), UnknownFormatError, "Did you mean 'onnx'"),
        (lambda: YOLO("yolov8n-seg.pt").export(format="pytorch"), UnsupportedError, "does not support export"),
        (lambda: YOLO("yolov8n-seg.onnx").export(format="onnx"), OptionError, "needs weights such as yolov8n-seg.pt"),
        (lambda: YOLO("yolov8n-seg.onnx").load("yolov8n-seg.pt"), OptionError, "needs weights"),
        (lambda: YOLO("yolov8n-seg.pt").export(format="onnx", data="."), OptionError, "need int8"),
        (lambda: YOLO("yolov8n-seg.pt").export(format="onnx", output="bus.jpg/x.onnx"), OutputError, "not a folder"),
        (lambda: YOLO("yolov8n-seg.onnx")("bus.jpg", imgsz=320), OptionError, "fixed to 640x640"),
        (lambda: YOLO("yolov8n-seg.onnx")("bus.jpg", device="cuda:7"), segkit.SegkitError, "cuda"),
        (lambda: YOLO("yolov8n-seg.pt")("bus.jpg", device="cuda:7"), segkit.SegkitError, "cuda"),
        (lambda: YOLO("yolov8n-seg.pt")("bus.jpg", device="abacus"), segkit.SegkitError, "abacus"),
    ],
)
def test_errors_say_what_to_do(here, call, kind, words):
    with pytest.raises(kind, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert sorted(item.name for item in here.iterdir()) == ["bus.jpg", "yolov8n-seg.onnx", "yolov8n-seg.pt"]


def test_an_artefact_named_as_weights_is_not_given_as_the_example(here):
    (here / "yolov8n-seg.onnx").rename("named.pt")
    with pytest.raises(OptionError, match=r"^Export needs weights; 'named\.pt' is ONNX"):
        YOLO("named.pt").export(format="onnx")


def test_info_of_weights_and_of_an_artefact(home):
    summary = YOLO(home / "yolov8n-seg.pt").info()
    assert summary.parameters == 3409968
    metadata = YOLO(home / "yolov8n-seg.onnx").info()
    assert metadata.imgsz == (640, 640)
    assert metadata.names[5] == "bus"


@pytest.mark.parametrize(
    "command", [("info", "yolov8n-seg.pt"), ("predict", "yolov8n-seg.yaml", "bus.jpg")], ids=" ".join
)
def test_weights_where_torch_is_not_installed_name_the_line_for_pip(here, command):
    absent = "sys.modules.update(torch=None, safetensors=None)"
    code = f"import sys; {absent}; from segkit.cli import main; sys.exit(main({list(command)!r}))"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: ")
    assert done.stderr.endswith('Run: pip install "torch>=2.9" "safetensors>=0.5"\n')


def test_formats_as_data():
    by_name = {info.name: info for info in segkit.formats()}
    assert by_name["onnx"].artefact == "{stem}.onnx"
    assert by_name["onnx"].support["export"] is None
    assert by_name["pytorch"].support["export"][0] == "not-applicable"
    assert "imgsz" in [option[0] for option in by_name["onnx"].options]


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ("x" * 300 + ".pt", "file name too long"),
        ("ftp://example.com/yolov8n-seg.pt", "'ftp://example.com/yolov8n-seg.pt': only http and https addresses"),
        (os.devnull, "a pipe or a device"),
        ("nul\0.pt", "no such file"),
    ],
)
def test_a_model_path_that_cannot_be_a_file_is_refused_at_once(model, problem):
    with pytest.raises(ModelFileError, match=problem):
        YOLO(model)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
def test_a_pipe_for_a_model_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.pt")
    with pytest.raises(ModelFileError, match="a pipe or a device"):
        YOLO(tmp_path / "pipe.pt")


@pytest.mark.parametrize("model", [None, 3, b"model.pt"])
def test_what_is_no_path_is_refused_as_a_model(model):
    with pytest.raises(OptionError, match=r"model=.* is not usable: give the path of a model file"):
        YOLO(model)


def test_a_model_in_a_folder_that_may_not_be_looked_into(monkeypatch):
    def locked(path, **how):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", locked)
    with pytest.raises(ModelFileError, match="permission denied"):
        YOLO("locked/a.pt")
    with pytest.raises(OutputError, match="permission denied"):
        target_for(Path(), "a.onnx", "locked/b.onnx")


def test_the_home_folder_is_understood_where_no_shell_puts_it_in(here, monkeypatch):
    monkeypatch.setenv("HOME", str(here))
    monkeypatch.chdir("/")
    assert YOLO("~/yolov8n-seg.onnx").path == here / "yolov8n-seg.onnx"
    assert target_for(Path(), "a.onnx", "~") == here / "a.onnx"


@pytest.mark.parametrize("name", ["old.mlpackage", "old_openvino_model"])
def test_a_folder_that_is_called_like_an_artefact_is_the_target_and_not_its_place(tmp_path, name):
    target = tmp_path / name
    target.mkdir()
    assert target_for(Path(), name.replace("old", "new"), target) == target
    (tmp_path / "models").mkdir()
    assert target_for(Path(), name, tmp_path / "models") == tmp_path / "models" / name


def test_the_description_of_an_artefact_names_its_folder_and_a_folder_is_no_architecture(tmp_path):
    (tmp_path / "a_model").mkdir()
    (tmp_path / "a_model" / "metadata.yaml").write_text("names: {0: cat}")
    with pytest.raises(ModelFileError, match=r"describes the model in its folder: give the folder, model=.*a_model"):
        YOLO(tmp_path / "a_model" / "metadata.yaml")
    (tmp_path / "best.yaml").mkdir()
    with pytest.raises(ModelFileError, match="it is a folder, and no installed format recognises it"):
        YOLO(tmp_path / "best.yaml")


def test_a_folder_that_holds_an_artefact_is_the_target_whatever_its_name(tmp_path):
    (tmp_path / "out").mkdir()
    for given in (tmp_path / "out", f"{tmp_path}/out/"):
        assert target_for(Path(), "a_model", given, lambda path: path.name == "out") == tmp_path / "out"
        assert target_for(Path(), "a_model", given, lambda path: False) == tmp_path / "out" / "a_model"


def test_a_stream_can_be_closed_half_way(here):
    stream = YOLO("yolov8n-seg.onnx").predict(["bus.jpg"] * 20, stream=True)
    next(stream)
    stream.close()
    assert list(stream) == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("segkit-reader")]


def test_a_notice_cannot_steer_the_terminal(capsys):
    notice("class \x1b[31mred\nnew line 猫")
    assert capsys.readouterr().err == "class \\x1b[31mred\\nnew line 猫\n"


def test_an_export_never_replaces_its_own_weights(here, home):
    for output in ("yolov8n-seg.pt", home / "yolov8n-seg.pt"):
        with pytest.raises(OutputError, match="it is the model that is exported"):
            YOLO("yolov8n-seg.pt").export(format="onnx", output=output)
    assert YOLO("yolov8n-seg.pt").names[0] == "person"
