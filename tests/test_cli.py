"""The command line as a user meets it: what it prints, where, and how it exits."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from segkit.cli import main
from segkit.core.backend.options import accepted_names
from segkit.core.backend.registry import default_registry
from segkit.core.inference.arguments import PredictArguments

FAKES = Path(__file__).parent / "fakes"
COMMANDS = ("predict", "export", "formats", "info", "inspect", "compare", "doctor", "version")


@dataclass(frozen=True)
class Outcome:
    """Exit code and streams of a run."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Outcome]


@pytest.fixture
def segkit(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line in this process, in an empty folder. A single string is split as a shell would."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def run(*argv: str) -> Outcome:
        words = shlex.split(argv[0]) if len(argv) == 1 and " " in argv[0] else list(argv)
        code = main(words)
        streams = capsys.readouterr()
        return Outcome(code, streams.out, streams.err)

    return run


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two formats that need nothing, beside the installed ones, and a broken plugin."""
    monkeypatch.syspath_prepend(str(FAKES))
    default_registry.cache_clear()
    for name in ("blob", "tiny", "needy"):
        default_registry().register(name, "fake_formats")
    default_registry().register("broken", "a_module_that_nobody_wrote")
    yield
    default_registry.cache_clear()


@pytest.fixture
def work(fakes: None, tmp_path: Path) -> Path:
    """A folder with a model that sees one square in everything, three pictures and a broken one."""
    model = tmp_path / "model_blob_model"
    model.mkdir()
    facts = {"names": {"0": "square", "1": "circle"}, "imgsz": [64, 64], "batch": 1, "stride": 32}
    (model / "meta.json").write_text(json.dumps(facts))
    for name in ("one.png", "pictures/two.png", "pictures/three.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), np.full((60, 80, 3), 90, np.uint8))
    (tmp_path / "pictures/zz_broken.png").write_bytes(b"\x89PNG\r\n\x1a\nand no more")
    (tmp_path / "empty").mkdir()
    return tmp_path


def files(folder: Path) -> set[str]:
    return {str(item.relative_to(folder)) for item in folder.rglob("*")}


# -- help ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"], ["help"], ["segment"]])
def test_the_general_help_lists_every_command_and_shows_how_to_begin(segkit: Run, argv: list[str]) -> None:
    shown = segkit(*argv)
    assert shown.code == 0
    assert all(f" {name} " in shown.out for name in COMMANDS)
    assert "segkit predict model=yolov8n-seg.pt source=bus.jpg" in shown.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(segkit: Run, name: str) -> None:
    shown = segkit(name, "--help")
    assert (shown.code, shown.err) == (0, "")
    assert f"Usage: segkit {name}" in shown.out
    assert "--json" in shown.out
    assert shown.out == segkit("help", name).out


def test_the_help_of_predict_has_every_argument_of_the_sdk(segkit: Run) -> None:
    shown = segkit("predict", "--help")
    for name in accepted_names(PredictArguments):
        assert f"--{name.replace('_', '-')} " in shown.out


def listed_options(text: str) -> set[str]:
    return {word[2:] for word in text.split() if word.startswith("--")}


@pytest.mark.parametrize(
    ("name", "own", "not_own"),
    [
        ("blob", {"imgsz", "batch", "precision", "dynamic", "sleep"}, {"half", "int8", "data", "unit-boxes"}),
        ("tiny", {"imgsz", "batch", "precision", "half", "int8", "data", "fraction"}, {"dynamic", "sleep"}),
    ],
)
def test_the_help_of_export_lists_exactly_the_options_of_its_format(
    segkit: Run, fakes: None, name: str, own: set[str], not_own: set[str]
) -> None:
    shown = segkit("export", f"format={name}", "--help")
    options = listed_options(shown.out.partition("Examples")[0])
    assert options == own | {"format", "output", "help", "json", "debug"}
    assert not options & not_own


def test_the_help_of_export_without_a_format_lists_the_formats(segkit: Run, fakes: None) -> None:
    shown = segkit("export --help")
    assert {"blob", "needy"} <= {*shown.out.split()}
    assert "segkit export --format NAME --help" in shown.out


# -- version and formats ------------------------------------------------------------------------------------------


def test_the_version_is_one_line_or_a_report(segkit: Run) -> None:
    short = segkit("--version")
    assert short == segkit("-V") == segkit("version --short")
    assert short.out.startswith("segkit ")
    assert short.out.count("\n") == 1
    assert "python" in segkit("version").out
    assert segkit("version json").document["numpy"] == np.__version__


def test_formats_shows_what_each_can_do_why_not_and_what_is_broken(segkit: Run, work: Path) -> None:
    shown = segkit("formats")
    assert shown.code == 0
    row = next(line for line in shown.out.splitlines() if line.startswith("blob"))
    assert row.split() == ["blob", "model_blob_model", "yes", "yes", "yes", "-", "-", "yes", "-"]
    assert '  pip install "no-such-package>=3"  # needy export, needy predict\n' in shown.out
    assert next(line for line in shown.out.splitlines() if line.startswith("needy")).split()[2] == "no"
    assert "int8 (not-implemented): a fake has no use for it" in shown.out
    assert "a_module_that_nobody_wrote" in shown.out


def test_formats_fits_a_narrow_terminal(segkit: Run, fakes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    shown = segkit("formats").out
    assert "Blob\n  artefact   model_blob_model\n" in shown
    assert segkit("formats blob").code == 0


@pytest.mark.parametrize("width", ["20", "40", "79"])
@pytest.mark.parametrize("line", ["--help", "predict --help", "export --help format=tiny", "formats", "formats tiny"])
def test_any_terminal_width_will_do(
    segkit: Run, fakes: None, monkeypatch: pytest.MonkeyPatch, line: str, width: str
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    shown = segkit(*line.split())
    assert (shown.code, shown.err) == (0, "")
    assert shown.out


def test_formats_of_one_name_shows_all_about_it(segkit: Run, fakes: None) -> None:
    shown = segkit("formats folder").out
    assert "blob, folder" in shown
    assert "seconds to dawdle" in shown
    assert "unit_boxes" not in shown
    assert 'pip install "no-such-package>=3"' in segkit("formats needy").out


def test_formats_speaks_json(segkit: Run, fakes: None) -> None:
    rows = {row["name"]: row for row in segkit("formats --json").document["formats"]}
    assert rows["tiny"]["source"] == "blob"
    assert rows["tiny"]["support"]["half"] is True
    assert rows["tiny"]["support"]["nms"] == {"kind": "not-implemented", "reason": "a fake has no use for it"}
    assert rows["needy"]["installed"] is False
    assert "a_module_that_nobody_wrote" in rows["broken"]["error"]
    one = segkit("formats tiny --json").document
    assert {"data", "fraction", "int8"} <= {row["name"] for row in one["options"]}


def test_a_broken_plugin_that_is_asked_for_is_a_failure(segkit: Run, fakes: None) -> None:
    shown = segkit("formats broken")
    assert shown.code == 1
    assert "a_module_that_nobody_wrote" in shown.err


# -- predict ------------------------------------------------------------------------------------------------------


def test_predict_prints_a_line_a_picture_and_says_where_the_results_are(segkit: Run, work: Path) -> None:
    shown = segkit("predict model_blob_model one.png")
    assert (shown.code, shown.err) == (0, "")
    first, speed, saved = shown.out.splitlines()
    assert first.startswith("one.png  80x60  1 square  ")
    assert first.endswith(" ms")
    assert all(stage in speed for stage in ("preprocess", "inference", "postprocess"))
    assert saved == f"Results saved to {Path('runs/segment/predict')}"
    assert (work / "runs/segment/predict/one.png").exists()


@pytest.mark.parametrize("switch", ["save=False", "--no-save", "no_save", "--save=0"])
def test_predict_without_saving_leaves_nothing_behind(segkit: Run, work: Path, switch: str) -> None:
    before = files(work)
    assert "saved" not in segkit(f"segment predict model=model_blob_model source=one.png {switch}").out
    assert files(work) == before


def test_predict_goes_on_after_an_unreadable_picture_and_counts_it(segkit: Run, work: Path) -> None:
    shown = segkit("predict model_blob_model pictures save=False")
    assert shown.code == 0
    assert shown.out.count("1 square") == 2
    assert "1 of 3 pictures could not be read" in shown.out
    assert shown.err.startswith("skipped: Cannot read")
    assert shown.err.count("\n") == 1


def test_predict_takes_several_sources_as_a_shell_expands_them(segkit: Run, work: Path) -> None:
    shown = segkit("predict model_blob_model pictures/two.png pictures/three.png one.png --no-save")
    names = [Path(line.split("  ")[0]).name for line in shown.out.splitlines()[:3]]
    assert names == ["two.png", "three.png", "one.png"]


def test_predict_hands_every_option_to_the_sdk(segkit: Run, work: Path) -> None:
    assert "no detections" in segkit("predict model_blob_model one.png --conf 0.95 --no-save").out
    assert "no detections" in segkit("predict model_blob_model one.png classes=[1] save=no").out
    assert segkit("predict model_blob_model one.png save_txt save_conf name=a=b exist-ok").code == 0
    assert (work / "runs/segment/a=b/labels/one.txt").exists()


def test_predict_can_be_quiet(segkit: Run, work: Path) -> None:
    assert "one.png" not in segkit("predict model_blob_model one.png verbose=False save=False").out


def test_predict_speaks_json(segkit: Run, work: Path) -> None:
    shown = segkit("predict model_blob_model pictures save=False --json")
    document = shown.document
    assert [Path(image["path"]).name for image in document["images"]] == ["three.png", "two.png"]
    [found] = document["images"][0]["objects"]
    assert (found["name"], found["class"]) == ("square", 0)
    assert document["images"][0]["width"] == 80
    assert [Path(item["path"]).name for item in document["unreadable"]] == ["zz_broken.png"]
    assert document["save_dir"] is None


# -- what goes wrong ----------------------------------------------------------------------------------------------

MODEL = "model=model_blob_model"
BAD_INPUT = {
    "missing model": ("predict nowhere.pt one.png", "Cannot load model 'nowhere.pt'"),
    "missing picture": (f"predict {MODEL} source=nowhere.jpg", "Cannot read 'nowhere.jpg'"),
    "folder without pictures": (f"predict {MODEL} source=empty", "Cannot read 'empty'"),
    "corrupt picture": (f"predict {MODEL} source=pictures/zz_broken.png", "zz_broken.png"),
    "model as a picture": (f"predict {MODEL} source=model_blob_model/meta.json", "meta.json"),
    "picture as a model": ("predict one.png one.png", "Cannot load model 'one.png'"),
    "class out of range": (f"predict {MODEL} one.png classes=2", "the model has 2 classes, 0 to 1"),
    "negative class": (f"predict {MODEL} one.png classes=-1", "classes"),
    "class in words": (f"predict {MODEL} one.png classes=cat", "classes"),
    "imgsz 0": (f"predict {MODEL} one.png imgsz=0", "a side must be at least 1"),
    "imgsz negative": (f"predict {MODEL} one.png --imgsz -32", "a side must be at least 1"),
    "imgsz in words": (f"predict {MODEL} one.png imgsz=big", "imgsz='big'"),
    "imgsz of a fixed model": (f"predict {MODEL} one.png imgsz=128", "fixed to 64x64"),
    "conf 2": (f"predict {MODEL} one.png conf=2", "conf='2'"),
    "conf in words": (f"predict {MODEL} one.png --conf high", "conf='high'"),
    "max_det 0": (f"predict {MODEL} one.png max_det=0", "max_det='0'"),
    "flag with a word": (f"predict {MODEL} one.png save=perhaps", "give true or false"),
    "unknown option": (f"predict {MODEL} one.png cnf=0.5", "Did you mean 'conf'?"),
    "unknown dashed option": (f"predict {MODEL} one.png --cnf 0.5", "Did you mean 'conf'?"),
    "another task": (f"predict {MODEL} one.png task=detect", "can only be 'segment'"),
    "unknown command": ("predcit a.pt b.jpg", "Unknown command 'predcit'. Did you mean 'predict'?"),
    "no command": (f"{MODEL} source=one.png", "No command given"),
    "no source": (f"predict {MODEL}", "SOURCE is missing"),
    "no format": ("export a.pt", "Say which format to export to"),
    "unknown format": ("export a.pt format=blbo", "Unknown format 'blbo'. Did you mean 'blob'?"),
    "unknown format to show": ("formats tinny", "Unknown format 'tinny'. Did you mean 'tiny'?"),
    "option of another format": ("export a.pt format=tiny sleep=1", "Unknown option 'sleep' for export to tiny."),
    "misspelt option of a format": ("export a.pt --format blob --dynamc", "Did you mean 'dynamic'?"),
    "an artefact cannot be exported": (f"export {MODEL} format=blob", "needs weights"),
    "a name with an escape sequence": (f"predict {MODEL} source='\x1b[2J.png'", "\\x1b[2J.png"),
    "a name of two lines": (f"predict {MODEL} source='a\nb.png'", "Cannot read"),
    "no memory of that many words": ("version 1 2", "Unexpected '1'"),
}


@pytest.mark.parametrize(("line", "message"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_gives_one_clear_line_exit_code_2_and_leaves_nothing(
    segkit: Run, work: Path, line: str, message: str
) -> None:
    before = files(work)
    shown = segkit(line)
    assert message in shown.err
    assert (shown.code, shown.out, shown.err.count("\n")) == (2, "", 1)
    assert shown.err.startswith("Error: ")
    assert files(work) == before


@pytest.mark.parametrize(("line", "message"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_is_a_document_too(segkit: Run, work: Path, line: str, message: str) -> None:
    shown = segkit(*shlex.split(line), "--json")
    assert shown.code == 2
    assert set(shown.document) == {"error"}
    assert set(shown.document["error"]) == {"type", "message"}
    assert shown.err.startswith("Error: ")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("fake.onnx", b"not a model at all", "it is a text file"),
        ("page.onnx", b"<!DOCTYPE html><title>404</title>", "it is an HTML page"),
        ("page.pt", b"<!DOCTYPE html><title>404</title>", "it is an HTML page"),
        ("zero.pt", b"", "the file is empty"),
        ("zero.onnx", b"", "the file is empty"),
        ("notes.txt", b"a wrong suffix", "no installed format recognises it"),
    ],
)
def test_a_file_that_is_no_model_says_what_it_is(
    segkit: Run, work: Path, name: str, content: bytes, message: str
) -> None:
    (work / name).write_bytes(content)
    shown = segkit("predict", name, "one.png")
    assert message in shown.err
    assert (shown.code, shown.out, shown.err.count("\n")) == (2, "", 1)
    assert not (work / "runs").exists()


@pytest.mark.parametrize(
    ("name", "message"), [("truncated-official.pt", "cut off or damaged"), ("yolov8n.pt", "it is a detection model")]
)
def test_a_real_file_that_is_no_usable_model_says_what_it_is(
    segkit: Run, work: Path, data: Path, name: str, message: str
) -> None:
    shown = segkit("predict", str(data / "checkpoints" / name), "one.png")
    assert message in shown.err
    assert (shown.code, shown.out, shown.err.count("\n")) == (2, "", 1)
    assert not (work / "runs").exists()


def test_a_target_that_cannot_be_written_is_named(segkit: Run, work: Path) -> None:
    (work / "runs").write_text("a file where the folder should be")
    shown = segkit("predict model_blob_model one.png")
    assert shown.code == 2
    assert shown.err.startswith("Error: Cannot write 'runs")


def test_debug_shows_the_traceback_and_still_ends_with_the_line(segkit: Run, work: Path) -> None:
    shown = segkit("predict model_blob_model nowhere.png --debug")
    assert shown.code == 2
    assert "Traceback" in shown.err
    assert shown.err.splitlines()[-1].startswith("Error: Cannot read")


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "Error: interrupted."),
        (ZeroDivisionError("oops\nand more"), 1, "something unexpected happened (ZeroDivisionError: oops). Run again"),
        (MemoryError(), 1, "MemoryError"),
    ],
)
def test_what_nobody_expected_is_one_line_too(
    segkit: Run, work: Path, monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: int, message: str
) -> None:
    def predict(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(segkit_yolo(), "predict", predict)
    shown = segkit("predict model_blob_model one.png")
    assert shown.code == code
    assert message in shown.err
    assert shown.err.count("\n") == 1


def segkit_yolo() -> Any:
    return sys.modules["segkit._yolo"].YOLO


# -- export and info ----------------------------------------------------------------------------------------------


@pytest.fixture
def weights(work: Path) -> Path:
    """Untrained weights in a folder with a space in its name."""
    from segkit import YOLO

    folder = work / "my models"
    folder.mkdir()
    return YOLO("yolov8n-seg.yaml").save(folder / "new.safetensors")


def test_export_says_where_the_artefact_is_and_how_to_use_it(segkit: Run, weights: Path) -> None:
    shown = segkit("export", str(weights), "--format", "blob", "imgsz=64")
    target = weights.parent / "new_blob_model"
    assert shown.code == 0
    assert shown.out.splitlines()[0].startswith(f"{target}  ")
    assert "converting to Blob" in shown.err
    predict, val = (shlex.split(line) for line in shown.out.splitlines() if line.startswith("  segkit "))
    assert predict[:3] == ["segkit", "predict", f"model={target}"]
    assert val[:3] == ["segkit", "val", f"model={target}"]
    again = segkit("predict", *predict[2:-1], "source=one.png", "save=False")
    assert again.out.startswith("one.png  80x60  1 ")


def test_export_speaks_json(segkit: Run, weights: Path) -> None:
    document = segkit("export", f"model={weights}", "format=blob", "--json").document
    assert Path(document["path"]).name == "new_blob_model"
    assert document["bytes"] > 1_000_000
    assert document["metadata"]["imgsz"] == [640, 640]
    assert shlex.split(document["commands"][0])[1] == "predict"


BAD_EXPORTS = {
    "a gap that is asked for": (
        "format=blob half",
        "does not support half (not-implemented): a fake has no use for it",
    ),
    "int8 without pictures": ("format=tiny int8", "data="),
    "pictures without int8": ("format=tiny data=pictures", "need int8=True"),
    "a share above 1": ("format=tiny int8 data=pictures fraction=2", "fraction"),
    "a share in words": ("format=tiny int8 data=pictures fraction=some", "fraction"),
    "imgsz 0": ("format=blob imgsz=0", "a side must be at least 1"),
    "batch 0": ("format=blob batch=0", "batch"),
    "a missing package": ("format=needy", 'pip install "no-such-package>=3"'),
    "a folder that is a file": ("format=blob output=one.png/x", "Cannot write"),
}


@pytest.mark.parametrize(("line", "message"), BAD_EXPORTS.values(), ids=BAD_EXPORTS)
def test_a_refused_export_gives_one_clear_line_and_leaves_nothing(
    segkit: Run, weights: Path, work: Path, line: str, message: str
) -> None:
    before = files(work)
    shown = segkit("export", str(weights), *shlex.split(line))
    assert message in shown.err
    assert (shown.code, shown.out, shown.err.count("\n")) == (2, "", 1)
    assert files(work) == before


def test_weights_that_are_no_numbers_are_refused(segkit: Run, weights: Path, work: Path) -> None:
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(weights, "pt") as stream:
        tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - not a dictionary
        facts = stream.metadata()
    next(tensor for tensor in tensors.values() if tensor.is_floating_point())[0] = float("nan")
    save_file(tensors, weights, facts)
    for line in (["predict", str(weights), "one.png"], ["info", str(weights)]):
        before = files(work)
        shown = segkit(*line)
        assert (shown.code, shown.out, shown.err.count("\n")) == (2, "", 1)
        assert "NaN" in shown.err
        assert files(work) == before


def test_a_switched_off_flag_that_a_format_lacks_asks_for_nothing(segkit: Run, weights: Path) -> None:
    assert segkit("export", str(weights), "format=blob", "half=False").code == 0


def test_info_lists_layers_of_weights_and_metadata_of_artefacts(segkit: Run, weights: Path) -> None:
    shown = segkit("info", str(weights)).out
    assert "3,409,968 parameters" in shown
    assert "Segment" in shown
    assert "0 square, 1 circle" in segkit("info model_blob_model").out


def test_info_speaks_json(segkit: Run, weights: Path) -> None:
    document = segkit("info", str(weights), "imgsz=320", "--json").document
    assert document["imgsz"] == [320, 320]
    assert sum(layer["parameters"] for layer in document["layers"]) == document["parameters"]
    assert segkit("info model_blob_model --json").document["metadata"]["names"] == {"0": "square", "1": "circle"}


def test_pictures_for_int8_are_answered_with_why_the_format_has_none(
    segkit: Run, n_seg_pt: Path, tmp_path: Path
) -> None:
    done = segkit("export", str(n_seg_pt), "format=torchscript", "int8=True", f"data={tmp_path}")
    assert done.code == 2
    assert "does not support int8 (not-implemented)" in " ".join(done.err.split())
