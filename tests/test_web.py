"""`segkit web`: the folder that it writes, and all that it refuses."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from installed_formats import formats_of_torch_and

from segkit import YOLO
from segkit._web import PAGE
from segkit.cli import main
from segkit.conformance.golden import GOLDEN
from segkit.core.backend import WebRuntime
from segkit.core.backend.registry import default_registry
from segkit.core.errors import ModelFileError, OptionError, OutputError, PluginError


@pytest.fixture(autouse=True)
def _staged(tmp_path: Path) -> Iterator[None]:
    """Installed are PyTorch, TorchScript and a format that runs in browsers; the working folder is the test's own."""
    with formats_of_torch_and({"staged": "staged_format"}, tmp_path):
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of the golden model."""
    folder = tmp_path_factory.mktemp("made")
    with formats_of_torch_and({"staged": "staged_format"}, folder):
        return Path(YOLO(GOLDEN).web(folder / "site", title="Shapes & <things>", imgsz=160, isolate=False))


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(["web", *argv])
    streams = capsys.readouterr()
    return code, streams.out, streams.err


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_weights_become_a_folder_with_page_model_and_runtime(made: Path) -> None:
    page = {path.name for path in PAGE.iterdir()}
    (model,) = left_in(made) - page - {"page.json", "runtime"}
    assert re.fullmatch("model-[0-9a-f]{8}", model)
    assert left_in(made / model) == {"stage.json"}
    assert left_in(made / "runtime") == {"adapter.js"}


def test_the_page_knows_its_model(made: Path) -> None:
    settings = json.loads((made / "page.json").read_text(encoding="utf-8"))
    names = list(YOLO(GOLDEN).names.values())
    wanted = {"input": {"height": 160, "width": 160}, "names": names, "conf": 0.25, "iou": 0.7, "max_det": 300}
    assert settings | wanted == settings
    assert settings["adapter"] == "runtime/adapter.js"
    assert (made / settings["model"] / "stage.json").is_file()
    assert settings["model"].endswith("/")
    assert len(set(settings["colors"])) == len(names)


def test_a_title_is_text_and_never_markup(made: Path) -> None:
    text = (made / "index.html").read_text(encoding="utf-8")
    assert text.count("Shapes &amp; &lt;things&gt;") == 2
    assert "$" not in text


def test_nothing_in_the_page_leads_elsewhere(made: Path) -> None:
    found = [path.name for path in made.rglob("*.*") if "://" in path.read_text(encoding="utf-8")]
    assert found == ["icon.svg"]  # the name of a name space


def test_the_command_says_where_the_page_is_and_how_to_serve_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    YOLO(GOLDEN).export(format="staged", imgsz=64, output=tmp_path / "golden_staged_model", isolate=False)
    code, out, err = run(capsys, str(tmp_path / "golden_staged_model"))
    assert code == 0, err
    assert out.startswith(f"{tmp_path / 'golden_web'}  ")
    assert f"python -m http.server -d {tmp_path / 'golden_web'}" in out
    assert "writing the page" in err


def test_options_are_those_of_the_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, f"model={GOLDEN}", "imgsz=96", "half=True", "output=site", "--json")
    assert code == 0, err
    document = json.loads(out)
    assert document["path"] == "site"
    assert (document["metadata"]["imgsz"], document["metadata"]["args"]["half"]) == ([96, 96], True)
    assert document["bytes"] == sum(path.stat().st_size for path in Path("site").rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["batch=2"], "Unknown option 'batch'"),
        (["int8=True"], "a stage has no use for it"),
        (["imgsz=one"], "imgsz"),
    ],
)
def test_what_the_export_refuses_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str], said: str
) -> None:
    code, out, err = run(capsys, str(GOLDEN), "output=site", *argv)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert left_in(tmp_path) == set()


def test_what_is_not_set_up_says_how(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(default_registry().get("staged"), "set_up", False, raising=False)
    code, _, err = run(capsys, str(GOLDEN), "output=site")
    assert code == 2
    assert "pip install curtains" in err
    assert left_in(tmp_path) == set()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "it gives no adapter for a browser"),
        (WebRuntime("adapter.js", {}), "it gives no adapter for a browser"),
        (WebRuntime("lost.js", {"lost.js": Path("lost.js")}), "'lost.js', which a browser would run, is not there"),
        (KeyError("curtain"), "asking what runs it in a browser failed (KeyError: 'curtain')"),
    ],
)
def test_a_plugin_that_gives_no_runtime_is_blamed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, given: Any, said: str
) -> None:
    def web_runtime() -> Any:
        if isinstance(given, Exception):
            raise given
        return given

    monkeypatch.setattr(default_registry().get("staged"), "web_runtime", web_runtime, raising=False)
    code, _, err = run(capsys, str(GOLDEN), "output=site")
    assert code == 1
    assert said in err
    assert err.count("\n") == 1


def test_where_no_format_runs_in_a_browser_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with formats_of_torch_and({}, tmp_path):
        code, _, err = run(capsys, str(GOLDEN), "output=site")
    assert code == 2
    assert "No installed format runs in a browser" in err


def test_a_page_is_replaced_and_anything_else_is_not(tmp_path: Path) -> None:
    model, site = YOLO(stage()), tmp_path / "site"
    site.mkdir()
    assert model.web(site) == str(site)  # an empty folder is nobody's work
    model.web(site, title="again")
    assert json.loads((site / "page.json").read_text())["title"] == "again"
    (site / "page.json").write_text("[]")
    with pytest.raises(OutputError, match="is no page of segkit"):
        model.web(site)
    assert left_in(tmp_path) == {"one_staged_model", "site"}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("CNAME", "meadow.example", "holds 'CNAME', which is no part of the page"),
        (".git/HEAD", "ref: main", "holds '.git/HEAD', which is no part of the page"),
        ("runtime/more.js", "", "holds 'runtime/more.js', which is no part of the page"),
        ("style.css", "body { color: red }", "holds 'style.css', which was changed since"),
    ],
)
def test_what_somebody_put_into_a_page_is_kept(tmp_path: Path, name: str, text: str, said: str) -> None:
    model, site = YOLO(stage()), tmp_path / "site"
    model.web(site)
    (site / name).parent.mkdir(exist_ok=True)
    (site / name).write_text(text)
    with pytest.raises(OutputError, match=re.escape(said)):
        model.web(site)
    assert (site / name).read_text() == text


def test_settings_that_somebody_changed_are_kept(tmp_path: Path) -> None:
    model, site = YOLO(stage()), tmp_path / "site"
    model.web(site)
    settings = site / "page.json"
    settings.write_text(settings.read_text().replace('"conf": 0.25', '"conf": 0.5'))
    with pytest.raises(OutputError, match=r"holds 'page.json', which was changed since"):
        model.web(site)


def stage(**changes: Any) -> Path:
    """An artefact of the format that runs in browsers, in the working folder."""
    file = Path("one_staged_model", "stage.json")
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"imgsz": [64, 64], "names": {"0": "thing"}} | changes))
    return file.parent


@pytest.mark.parametrize("given", ["one_staged_model", "one_staged_model/stage.json"])
def test_only_the_model_is_published(tmp_path: Path, given: str) -> None:
    folder = stage()
    for name in ("notes.txt", ".git/HEAD", ".git/a.bin", "props/tree.obj", "weights.bin"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("")
    (folder / "again.bin").symlink_to("weights.bin")
    (folder / "notes.md").symlink_to(tmp_path)
    site = Path(YOLO(given).web("site"))
    model = site / json.loads((site / "page.json").read_text())["model"]
    files = {path.relative_to(model).as_posix() for path in model.rglob("*") if path.is_file()}
    assert files == {"stage.json", "weights.bin", "again.bin", "props/tree.obj"}
    assert not any(path.is_symlink() for path in model.rglob("*"))


@pytest.mark.parametrize("leads_to", ["../key", "notes.txt", "x.bin", ".."])
def test_a_link_to_anything_else_is_not_followed(tmp_path: Path, leads_to: str) -> None:
    folder = stage()
    (tmp_path / "key").write_text("secret")
    (folder / "notes.txt").write_text("secret")
    (folder / "x.bin").symlink_to(leads_to)
    with pytest.raises(ModelFileError, match=r"'one_staged_model': its x.bin is "):
        YOLO(folder).web("site")
    assert left_in(tmp_path) == {"one_staged_model", "key"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
def test_a_pipe_is_not_read() -> None:
    folder = stage()
    os.mkfifo(folder / "x.bin")
    with pytest.raises(ModelFileError, match=r"its x.bin is no file"):
        YOLO(folder).web("site")


def test_a_format_must_say_what_its_folders_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = default_registry().get("staged")
    monkeypatch.setattr(backend, "format", dataclasses.replace(backend.format, contents=()), raising=False)
    with pytest.raises(PluginError, match="does not say what its folders hold"):
        YOLO(stage()).web("site")


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (
            ModelFileError("elsewhere", "its prop is broken"),
            "Cannot load model 'one_staged_model': its prop is broken.",
        ),
        (KeyError("prop"), "the plugin of 'staged' fails to inspect it (KeyError: 'prop')"),
    ],
)
def test_a_damaged_model_is_refused_by_the_name_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: Exception, said: str
) -> None:
    def inspect(path: Path) -> Any:
        raise problem

    monkeypatch.setattr(default_registry().get("staged"), "inspect", inspect, raising=False)
    with pytest.raises(ModelFileError, match=re.escape(said)):
        YOLO(stage()).web("site")
    assert left_in(tmp_path) == {"one_staged_model"}


def test_another_model_is_at_another_address() -> None:
    def address(**changes: Any) -> str:
        site = Path(YOLO(stage(**changes)).web("site"))
        (model,) = site.glob("model*")
        assert json.loads((site / "page.json").read_text())["model"] == f"{model.name}/"
        return model.name

    one, other, again = address(), address(stride=16), address()
    assert one == again != other


def test_an_artefact_takes_no_options_of_an_export() -> None:
    YOLO(GOLDEN).export(format="staged", imgsz=64, output="one_staged_model", isolate=False)
    with pytest.raises(OptionError, match="Option imgsz is of an export, and 'one_staged_model' is exported already"):
        YOLO("one_staged_model").web(imgsz=64)


def test_an_artefact_of_another_format_is_refused(tmp_path: Path) -> None:
    YOLO(GOLDEN).export(format="torchscript", imgsz=64, output="one.torchscript", isolate=False)
    with pytest.raises(OptionError, match=r"runs staged, and 'one.torchscript' is torchscript"):
        YOLO("one.torchscript").web()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"names": {}}, "name no classes"),
        ({"names": {"0": "thing", "-1": "nothing"}}, "an index from 0 to 65535, not -1"),
        ({"names": {"1000000000": "thing"}}, "from 0 to 65535, not 1000000000"),
        ({"batch": 2}, "it takes 2 pictures at a time"),
        ({"segkit": {"head": {"nms": True}}}, "without nms=True"),
    ],
)
def test_a_model_that_is_nothing_for_a_page_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], said: str
) -> None:
    code, _, err = run(capsys, str(stage(**changes)))
    assert code == 2
    assert said in err
    assert left_in(tmp_path) == {"one_staged_model"}


def test_the_page_of_a_model_in_memory_lands_in_the_working_folder(tmp_path: Path) -> None:
    assert Path(YOLO("yolov8t-seg.yaml").web(imgsz=64, isolate=False)) == Path("yolov8t-seg_web")
