"""`metadata.yaml` of folders: the sums of the other files, and what is left of them when the file is not whole."""

from __future__ import annotations

import shutil

import pytest

from segkit.core.backend import Metadata, Seal
from segkit.core.backend.described import METADATA, SUMS, check_sums, read_described, write_described
from segkit.core.errors import ModelFileError

SEALED = Metadata(names={0: "cat", 1: "कुत्ता"}, segkit=Seal(toolchain={"torch": "2.9.0"}, data="coco.yaml"))


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "a_model"
    path.mkdir()
    (path / "a.graph").write_text("graph")
    (path / "a.bin").write_bytes(b"weights")
    write_described(path, SEALED)
    return path


def checked(folder):
    """As a backend loads it."""
    described = read_described(folder / METADATA, folder)
    check_sums(described, [file for file in folder.iterdir() if file.name != METADATA], folder)
    return Metadata.parse(described, folder)


def test_what_was_written_is_read_and_the_sums_come_first(folder):
    assert checked(folder) == SEALED
    assert (folder / METADATA).read_text(encoding="utf-8").startswith(f"{SUMS}:\n  a.bin: ")


def test_cut_off_anywhere_it_is_refused_or_tells_all_that_decides(folder):
    (folder / "a.bin").write_bytes(b"changed")
    whole = (folder / METADATA).read_bytes()
    for length in range(len(whole)):
        (folder / METADATA).write_bytes(whole[:length])
        with pytest.raises(ModelFileError):
            checked(folder)
    (folder / METADATA).write_bytes(whole)
    with pytest.raises(ModelFileError, match=r"a\.bin is damaged, or was changed .*remove 'checksums' and 'segkit' th"):
        checked(folder)


@pytest.mark.parametrize("key", [SUMS, "segkit"])
def test_segkits_own_without_one_of_its_two_parts_is_damaged(folder, key):
    described = (folder / METADATA).read_text(encoding="utf-8")
    (folder / METADATA).write_text(described.replace(f"{key}:", "other:", 1), encoding="utf-8")
    with pytest.raises(ModelFileError, match="damaged or cut off: one of segkit has both 'checksums' and 'segkit'"):
        checked(folder)


def test_of_other_tools_nothing_of_that_is_asked(folder):
    (folder / METADATA).write_text("names: {0: cat}\ndate: 2026-01-01\n")
    assert checked(folder) == Metadata(names={0: "cat"}, date="2026-01-01")
    (folder / METADATA).unlink()
    assert checked(folder) == Metadata()


def test_files_that_were_renamed_are_still_checked(folder):
    shutil.move(folder / "a.bin", folder / "b.bin")
    assert checked(folder) == SEALED
    (folder / "b.bin").write_bytes(b"changed")
    with pytest.raises(ModelFileError, match=r"b\.bin is damaged"):
        checked(folder)
