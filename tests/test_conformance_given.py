"""A model and pictures that are given to the suite: what is wrong with them is one line before anything runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from segkit.cli import main
from segkit.conformance import given, runner
from segkit.conformance.given import look_at
from segkit.conformance.golden import GOLDEN, held_out
from segkit.core.errors import InputError, ModelFileError, OptionError, SegkitError, SourceError


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of what the golden model knows; the suite takes the split that is called val."""
    data = held_out(tmp_path_factory.mktemp("given") / "shapes", 3)
    data.write_text(data.read_text().replace("test:", "val:"))
    return data


@pytest.fixture
def set_of(shapes: Path, tmp_path: Path) -> Callable[[Callable[[Path], object]], Path]:
    """A copy of the data set that was spoilt."""

    def spoil(how: Callable[[Path], object]) -> Path:
        folder = tmp_path / "set"
        shutil.copytree(shapes.parent, folder)
        how(folder)
        return folder / shapes.name

    return spoil


def refused(model: Path | str | None, data: Path | str | None = None) -> SegkitError:
    with pytest.raises(SegkitError) as told:
        look_at(None if model is None else str(model), None if data is None else str(data), command=True)
    assert "\n" not in str(told.value)
    return told.value


def _flipped(path: Path) -> None:
    whole = bytearray(GOLDEN.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    path.write_bytes(whole)


def _onnx(path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    graph = onnx.helper.make_graph([], "nothing", [], [])
    onnx.save(onnx.helper.make_model(graph), path)


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("golden.pd", None, "no such file or folder. Did you mean 'golden.pt'?"),
        ("folder.pt", Path.mkdir, "it is a folder, not a checkpoint."),
        ("cut.pt", lambda path: path.write_bytes(GOLDEN.read_bytes()[:-100]), "it is cut off or damaged"),
        ("flipped.pt", _flipped, "it is damaged or cut off at archive/data/"),
        ("page.pt", lambda path: path.write_text("<!doctype html><p>Not found"), "it is an HTML page"),
        ("empty.pt", Path.touch, "the file is empty."),
        ("best.onnx", _onnx, "it is ONNX, an exported artefact; the suite exports weights itself: give the .pt file."),
    ],
)
def test_a_model_that_is_none_is_refused(
    tmp_path: Path, name: str, make: Callable[[Path], object] | None, words: str
) -> None:
    shutil.copyfile(GOLDEN, tmp_path / "golden.pt")
    if make:
        make(tmp_path / name)
    error = refused(tmp_path / name)
    assert isinstance(error, ModelFileError)
    assert error.path == tmp_path / name
    assert words in str(error)


def test_a_detection_model_is_refused(data: Path) -> None:
    model = data / "checkpoints" / "yolov8n.pt"
    if not model.is_file():
        pytest.skip("no detection model")
    assert "it is a detection model, not segmentation." in str(refused(model))


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs a device that is no file")
def test_a_device_is_not_waited_for() -> None:
    assert "it is a pipe or a device, not a file" in str(refused("/dev/zero"))


def test_pictures_without_a_model_are_refused_in_the_words_of_who_reads(shapes: Path) -> None:
    assert str(refused(None, shapes)).startswith("Option data needs model=FILE: labelled pictures go with weights of")
    with pytest.raises(OptionError, match="Option --segkit-data needs --segkit-model FILE: labelled"):
        look_at(None, str(shapes), command=False)


def without(name: str) -> Callable[[Path], object]:
    return lambda folder: shutil.rmtree(folder / name)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (lambda folder: (folder / "data.yaml").unlink(), "there is no such file or folder"),
        (without("images"), "which is not there"),
        (without("labels"), "no picture of its split 'val' has a label file"),
        (
            lambda folder: [path.write_text("") for path in folder.glob("labels/*/*.txt")],
            "nothing to score: no object is labelled in its split 'val'",
        ),
    ],
    ids=["description", "pictures", "labels", "objects"],
)
def test_a_data_set_that_cannot_be_used_is_refused(
    set_of: Callable[[Callable[[Path], object]], Path], how: Callable[[Path], object], words: str
) -> None:
    error = refused(GOLDEN, set_of(how))
    assert isinstance(error, SourceError)
    assert words in str(error)


def test_other_classes_than_the_models_are_refused(set_of: Callable[[Callable[[Path], object]], Path]) -> None:
    def renamed(folder: Path) -> None:
        text = (folder / "data.yaml").read_text()
        (folder / "data.yaml").write_text(text[: text.index("names:")] + "names: {0: cat}\n")

    error = refused(GOLDEN, set_of(renamed))
    assert isinstance(error, InputError)
    assert "1 class (cat): they do not fit together. Give the data set that the model was trained on." in str(error)


def test_pictures_of_which_none_can_be_read_are_refused(shapes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(given, "_readable", lambda dataset: iter(()))
    assert "none of the first 3 pictures can be read" in str(refused(GOLDEN, shapes))


def test_what_is_given_is_found_from_any_folder(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(GOLDEN, "blob")
    Path("best.pt").symlink_to("blob")  # its name tells what it is, and the name of where it leads does not
    shutil.copytree(shapes.parent, "datasets/shapes-of-mine")
    model, data = look_at("best.pt", "shapes-of-mine", command=True)
    assert model == tmp_path / "best.pt"
    assert data == str(tmp_path / "datasets" / "shapes-of-mine" / "data.yaml")


@pytest.mark.parametrize("stage", ["declare", "raw"])
def test_no_process_is_started_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    monkeypatch.setattr(runner, "Child", pytest.fail)
    monkeypatch.chdir(tmp_path)
    code = main(["conformance", "format=onnx", f"stage={stage}", f"model={tmp_path}", "report=out"])
    streams = capsys.readouterr()
    assert (code, streams.out) == (2, "")
    assert streams.err == f"Error: Cannot load model '{tmp_path}': it is a folder, not a checkpoint.\n"
    assert not Path("out").exists()
