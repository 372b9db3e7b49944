"""`segkit data list`, `get` and `shapes`, as they are typed."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import FileServer, Reply

from segkit.cli.app import run
from segkit.core.data.named.catalogue import entries


@pytest.fixture(autouse=True)
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of data sets, without anything in it."""
    monkeypatch.delenv("SEGKIT_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("SEGKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SEGKIT_DATASETS", str(tmp_path / "sets"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "sets"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """Has coco8-seg."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for split in ("train", "val"):
            file.writestr(f"coco8-seg/images/{split}/1.jpg", b"x")
    with FileServer() as server:
        server.serve("/coco8-seg.zip", buffer.getvalue())
        monkeypatch.setenv("SEGKIT_DATASETS_URL", server.url)
        yield server


def test_list_shows_every_name_with_its_terms_and_where_it_is(
    sets: Path, server: FileServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["data", "get", "coco8-seg"]) == 0
    capsys.readouterr()
    assert run(["data", "list"]) == 0
    shown = capsys.readouterr().out
    for entry in entries():
        assert entry.name in shown
        assert f"{entry.name}: {entry.title}; {entry.source}; {entry.licence}" in shown
    assert "118287/5000" in shown
    assert "segkit data get coco.yaml" in shown
    assert "segkit data get coco8-seg.yaml" not in shown


def test_list_as_a_document(server: FileServer, sets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["data", "get", "coco8-seg"])
    capsys.readouterr()
    assert run(["data", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["datasets"]}
    assert list(rows) == [entry.name for entry in entries()]
    assert rows["coco.yaml"]["names"][0] == "person"
    assert rows["coco.yaml"]["path"] is None
    assert len(rows["coco.yaml"]["urls"]) == 3
    assert rows["coco8-seg.yaml"]["path"] == str(sets / "coco8-seg" / "coco8-seg.yaml")
    assert rows["shapes.yaml"]["generated"]


def test_get_prints_where_it_is_and_tells_the_terms_beside(
    server: FileServer, sets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["data", "get", "coco8-seg.yaml"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{sets / 'coco8-seg' / 'coco8-seg.yaml'}\n"
    assert "annotations CC BY 4.0" in err
    assert run(["data", "get", "coco8-seg.yaml", "--json"]) == 0
    path = str(sets / "coco8-seg" / "coco8-seg.yaml")
    assert json.loads(capsys.readouterr().out) == {"datasets": [{"name": "coco8-seg.yaml", "path": path}]}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nix"], "Cannot read 'nix': no data set has that name; known are coco.yaml"),
        (["coco8-seg", "nix"], "Cannot read 'nix': no data set has that name"),
        (["coco8-seg", "--split", "tset"], "Option split='tset' is not usable: coco8-seg.yaml has train, val."),
        ([], "NAME is missing for data get"),
    ],
)
def test_what_cannot_be_meant_is_one_line_before_anything_is_fetched(
    server: FileServer, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert run(["data", "get", *words]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert not server.log


def test_a_server_that_has_it_not_is_one_line(
    server: FileServer, sets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.serve("/coco8-seg.zip", Reply(b"", status=404))
    assert run(["data", "get", "coco8-seg"]) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("Error: Cannot read 'coco8-seg.yaml': the server answered 404")
    assert {path.suffix for path in sets.iterdir()} == {".lock"}


def test_shapes_are_made_as_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data", "shapes", str(tmp_path / "out"), "--count", "2", "--val", "1", "seed=3", "--imgsz", "64"]
    assert run(words) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out' / 'data.yaml'}\n"
    assert len(list((tmp_path / "out/images/train").iterdir())) == 2
    assert run(words) == 2
    assert "it is not empty; give a new folder" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["list", "get", "shapes"])
def test_each_has_its_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", command, "--help"]) == 0
    assert f"segkit data {command}" in capsys.readouterr().out
