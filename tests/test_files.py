"""What is written into a new folder is there as a whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from segkit.core.errors import OutputError
from segkit.core.files import new_folder, sibling


def filled(folder: Path, **options: bool) -> None:
    with new_folder(folder, **options) as made:
        (made / "inside").mkdir()
        (made / "inside" / "a.txt").write_text("new")
        (made / "b.txt").write_text("new")


def interrupted(folder: Path) -> None:
    with new_folder(folder) as made:
        (made / "a.txt").write_text("half")
        raise KeyboardInterrupt


def everything(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("made_before", [False, True])
def test_it_appears_when_it_is_complete(tmp_path: Path, made_before: bool) -> None:
    target = tmp_path / "deep" / "out"
    if made_before:
        target.mkdir(parents=True)
    with new_folder(target) as made:
        (made / "a.txt").write_text("new")
        assert not (target / "a.txt").exists()
    assert everything(tmp_path) == ["deep", "deep/out", "deep/out/a.txt"]


@pytest.mark.parametrize("made_before", [False, True])
def test_what_fails_leaves_nothing(tmp_path: Path, made_before: bool) -> None:
    target = tmp_path / "deep" / "out"
    if made_before:
        target.mkdir(parents=True)
    before = everything(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        interrupted(target)
    assert everything(tmp_path) == before


def test_an_existing_folder_stays_the_same_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    place = (tmp_path / "real").stat().st_ino
    filled(tmp_path / "link")
    assert (tmp_path / "real").stat().st_ino == place
    assert everything(tmp_path / "real") == ["b.txt", "inside", "inside/a.txt"]


def test_nothing_is_made_beside_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with new_folder(tmp_path / "out") as made:
        assert made.parent == tmp_path / "out"
    assert everything(tmp_path) == ["out"]


def test_only_with_leave_is_anything_overwritten(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "a.txt").write_text("old")
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="it is not empty; give a new folder"):
        filled(tmp_path)
    assert (tmp_path / "inside" / "a.txt").read_text() == "old"
    filled(tmp_path, exist_ok=True)
    assert (tmp_path / "inside" / "a.txt").read_text() == "new"
    assert everything(tmp_path) == ["b.txt", "inside", "inside/a.txt", "mine.txt"]


@pytest.mark.parametrize("name", ["file", "nowhere", "file/out", "a\0b", "x" * 300])
def test_what_can_be_no_folder_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "nowhere").symlink_to("gone")
    with pytest.raises(OutputError, match="Cannot write"):
        filled(tmp_path / name, exist_ok=True)
    assert everything(tmp_path) == ["file", "nowhere"]


@pytest.mark.parametrize("made_before", [False, True])
def test_what_killed_runs_left_is_swept_up_and_no_more(tmp_path: Path, made_before: bool) -> None:
    target = tmp_path / "out"
    if made_before:
        target.mkdir()
    here = target / "out" if made_before else target
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = here.with_name(f".out.{ended.pid}-0123.partial")
    (left / "inside").mkdir(parents=True)
    other = sibling(tmp_path / "out")
    other.mkdir()
    filled(target)
    assert not left.exists()
    assert other.exists()
    assert str(os.getpid()) in other.name
    assert (target / "b.txt").is_file()
