"""Fetching data sets: what arrives is right and whole, or nothing that looks so is there."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import signal
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from file_server import FileServer, Reply
from hypothesis import given
from hypothesis import strategies as st

from segkit.core.data.dataset import open_dataset
from segkit.core.data.description import read_description
from segkit.core.data.named import unpack as unpacking
from segkit.core.data.named.catalogue import find, locate
from segkit.core.data.named.entries import table
from segkit.core.data.named.get import get
from segkit.core.data.named.unpack import unpack
from segkit.core.errors import OptionError, OutputError, SourceError
from segkit.core.hub import download as downloads

NAME, ZIP = "coco8-seg.yaml", "/coco8-seg.zip"
TOP = "coco8-seg"


def zipped(members: Mapping[str, bytes], *, modes: Mapping[str, int] | None = None, deflate: bool = False) -> bytes:
    """A zip file; `modes` are Unix ones of members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED) as file:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (modes or {}).get(name, stat.S_IFREG | 0o644) << 16
            info.compress_type = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
            file.writestr(info, content)
    return buffer.getvalue()


PICTURES = {f"{TOP}/images/{split}/{n}.jpg": os.urandom(20_000) for split in ("train", "val") for n in range(4)}
LABELS = {name.replace("images", "labels").replace(".jpg", ".txt"): b"0 0 0 1 0 1 1\n" for name in PICTURES}
BODY = zipped(PICTURES | LABELS | {"__MACOSX/x": b"", f"{TOP}/README.txt": b"hello"})


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server


@pytest.fixture(autouse=True)
def sets(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of data sets, not made yet; the server is the only mirror."""
    monkeypatch.delenv("SEGKIT_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("SEGKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SEGKIT_DATASETS", str(tmp_path / "sets"))
    monkeypatch.setenv("SEGKIT_DATASETS_URL", server.url)
    monkeypatch.setenv("SEGKIT_TIMEOUT", "0.5")
    monkeypatch.setattr(downloads, "PAUSE", 0.01)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "sets"


def refused(name: str = NAME) -> str:
    with pytest.raises(SourceError) as caught:
        get(name)
    assert "\n" not in str(caught.value)
    assert find(name) is None, "nothing may look complete"
    return str(caught.value)


def left_over(sets: Path) -> set[str]:
    return {path.name for path in sets.rglob("*") if path.is_file() and path.suffix != ".lock"}


def in_it(sets: Path) -> set[str]:
    return {path.name for path in sets.iterdir() if path.suffix != ".lock"}


# -- downloads ----------------------------------------------------------------------------------------------------


def test_a_data_set_comes_as_a_whole_with_its_terms_first(
    server: FileServer, sets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.serve(ZIP, BODY)
    path = get(NAME)
    assert path == sets / TOP / NAME == locate("coco8-seg")
    read = read_description(path)
    assert read.names[79] == "toothbrush"
    assert {split: (path.parent / places[0]).is_dir() for split, places in read.splits.items()} == {
        "train": True,
        "val": True,
    }
    for name, content in PICTURES.items():
        assert (sets / name).read_bytes() == content
    assert in_it(sets) == {TOP}, "nothing of the way there is left"
    said = capsys.readouterr().err
    assert said.index("CC BY 4.0") < said.index("coco8-seg.zip")
    assert "https://cocodataset.org" in said
    get("coco8-seg")
    assert len(server.log) == 1, "what is here is not fetched again"


def test_it_goes_into_the_cache_where_no_folder_is_named(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEGKIT_DATASETS")
    server.serve(ZIP, BODY)
    assert locate(NAME, download=True) == tmp_path / "cache/datasets" / TOP / NAME
    assert locate(NAME) == tmp_path / "cache/datasets" / TOP / NAME


def test_locating_alone_asks_no_server(server: FileServer) -> None:
    with pytest.raises(SourceError, match="segkit data get"):
        locate(NAME)
    assert not server.log


def test_a_mirror_may_say_where_the_name_belongs(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGKIT_DATASETS_URL", server.url + "/a/{name}?x=1")
    server.serve("/a/coco8-seg.zip?x=1", BODY)
    assert get(NAME).is_file()
    monkeypatch.setenv("SEGKIT_DATASETS_URL", "/mnt/sets")
    with pytest.raises(OptionError, match="SEGKIT_DATASETS_URL='/mnt/sets' is not usable: give an http"):
        get("coco128-seg.yaml")


def test_a_download_that_is_cut_off_goes_on_at_the_next_attempt(server: FileServer, sets: Path) -> None:
    server.serve(ZIP, Reply(BODY, cut=40_000), Reply(BODY, cut=0))
    assert "the 40.0 kB that came are kept, and the same command goes on from there" in refused()
    assert "or put the data set into a folder of SEGKIT_DATASETS by hand" in refused()
    server.serve(ZIP, BODY)
    assert get(NAME).is_file()
    assert server.log[-1].start == 40_000
    assert in_it(sets) == {TOP}


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(b"<!DOCTYPE html><html>login</html>"), "the server sent a web page, not a file"),
        (Reply(b"<?xml version='1.0'?><Error/>"), "the server sent an XML document, not a zip file"),
        (Reply(b"gone", status=404), "the server answered 404"),
        (Reply(os.urandom(5000)), "what came as coco8-seg.zip is thrown away: it is no whole zip file"),
        (Reply(BODY[:-30_000]), "what came as coco8-seg.zip is thrown away: it is no whole zip file"),
        (Reply(BODY[:3000] + b"\0" * 3000 + BODY[6000:]), "is thrown away: it is no whole zip file (Bad CRC-32"),
        (Reply(zipped({"other/a.txt": b"a"})), "what came is not this data set: it has no 'images/train'"),
    ],
    ids=["page", "xml", "gone", "noise", "half", "damaged", "other"],
)
def test_what_is_no_such_data_set_leaves_nothing(server: FileServer, sets: Path, reply: Reply, words: str) -> None:
    server.serve(ZIP, reply)
    assert words in refused()
    assert left_over(sets) == set()
    server.serve(ZIP, BODY)
    assert get(NAME).is_file(), "and the right one comes at the next attempt"


def test_far_more_than_expected_is_not_even_begun(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.serve(ZIP, BODY)
    small = replace(table()[NAME].parts[0], bytes=-(8 << 20) + 50_000)
    monkeypatch.setitem(table(), NAME, replace(table()[NAME], parts=(small,)))
    assert "no zip file is larger than 100.0 kB" in refused()


def test_offline_nothing_is_asked(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGKIT_OFFLINE", "1")
    assert "SEGKIT_OFFLINE forbids to download it; set SEGKIT_DATASETS" in refused()
    assert not server.log
    few = replace(table()["shapes.yaml"], pictures={"train": 2, "val": 1})
    monkeypatch.setitem(table(), "shapes.yaml", few)
    assert get("shapes.yaml").is_file(), "what is generated needs no network"


def test_what_is_in_the_way_is_not_touched(server: FileServer, sets: Path) -> None:
    server.serve(ZIP, BODY)
    (sets / TOP).mkdir(parents=True)
    (sets / TOP / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"it is in the way, and is not coco8-seg\.yaml"):
        get(NAME)
    assert left_over(sets) == {"mine.txt"}
    assert not server.log


def test_a_folder_that_cannot_be_made_is_one_line(server: FileServer, sets: Path) -> None:
    server.serve(ZIP, BODY)
    sets.write_text("a file")
    with pytest.raises(OutputError, match="Cannot write"):
        get(NAME)


def test_a_process_that_is_killed_leaves_nothing_that_looks_complete(server: FileServer, sets: Path) -> None:
    server.serve(ZIP, Reply(BODY, stall=60_000), Reply(BODY))
    environment = os.environ | {"SEGKIT_TIMEOUT": "100"}
    code = f"from segkit.core.data.named.get import get; get({NAME!r})"
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.DEVNULL) as process:
        assert server.stalled.wait(60)
        # What was sent is on its way to the disk; whatever of it is there when the process ends may be continued.
        process.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
    assert find(NAME) is None
    assert not (sets / TOP).exists()
    assert get(NAME).is_file()
    assert in_it(sets) == {TOP}


# -- parts and splits ---------------------------------------------------------------------------------------------


@pytest.fixture
def coco(server: FileServer) -> FileServer:
    """COCO with two pictures in each of its three files."""
    for split in ("train2017", "val2017"):
        server.serve(f"/{split}.zip", zipped({f"{split}/{n}.jpg": b"x" for n in range(2)}))
    kinds = [f"annotations/{kind}_{split}2017.json" for kind in ("instances", "captions") for split in ("train", "val")]
    server.serve("/annotations_trainval2017.zip", zipped(dict.fromkeys(kinds, b"{}")))
    return server


@pytest.fixture
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    """COCO as if it were small: the disk of a test need not have room for all of it."""
    coco = table()["coco.yaml"]
    parts = tuple(replace(part, bytes=1000, unpacked=1000, sha256="") for part in coco.parts)
    monkeypatch.setitem(table(), "coco.yaml", replace(coco, parts=parts))


def test_coco_comes_in_its_original_files_without_conversion(coco: FileServer, roomy: None, sets: Path) -> None:
    path = get("coco.yaml")
    read = read_description(path)
    assert dict(read.splits) == {
        "train": ("annotations/instances_train2017.json",),
        "val": ("annotations/instances_val2017.json",),
    }
    assert (sets / "coco/images/train2017/1.jpg").is_file()
    assert (sets / "coco/annotations/instances_val2017.json").is_file()
    assert len(coco.log) == 3


def test_what_needs_one_split_need_not_fetch_the_others(coco: FileServer, roomy: None) -> None:
    path = locate("coco.yaml", download=True, splits=["val"])
    assert set(read_description(path).splits) == {"val"}
    assert not coco.asked("/train2017.zip")


def test_one_split_alone_and_the_other_later(coco: FileServer, roomy: None, sets: Path) -> None:
    path = get("coco.yaml", splits=["val"])
    assert set(read_description(path).splits) == {"val"}
    assert not coco.asked("/train2017.zip")
    assert not (sets / "coco/images/train2017").exists()
    coco.serve("/train2017.zip", Reply(b"no", status=404), coco.replies["/train2017.zip"][0])
    with pytest.raises(SourceError, match="404"):
        get("coco.yaml")
    assert set(read_description(path).splits) == {"val"}, "what was there is as it was"
    assert get("coco.yaml") == path
    assert set(read_description(path).splits) == {"train", "val"}
    assert (sets / "coco/images/train2017/1.jpg").is_file()
    assert len(coco.asked("/val2017.zip")) == len(coco.asked("/annotations_trainval2017.zip")) == 1
    assert in_it(sets) == {"coco"}


def test_parts_that_are_here_are_not_fetched_again_after_a_failure(coco: FileServer, roomy: None) -> None:
    coco.serve("/train2017.zip", Reply(b"no", status=404), coco.replies["/train2017.zip"][0])
    assert "404" in refused("coco.yaml")
    assert get("coco.yaml").is_file()
    assert len(coco.asked("/val2017.zip")) == 1


def test_a_part_whose_digest_is_known_must_have_it(
    coco: FileServer, sets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = table()["coco.yaml"]
    body = coco.replies["/annotations_trainval2017.zip"][0].body
    known = replace(published.parts[0], bytes=len(body), unpacked=1000, sha256=hashlib.sha256(body).hexdigest())
    others = tuple(replace(part, bytes=1000, unpacked=1000, sha256="") for part in published.parts[1:])
    monkeypatch.setitem(table(), "coco.yaml", replace(published, parts=(known, *others)))
    coco.serve("/annotations_trainval2017.zip", body[:100] + b"!" + body[101:])
    assert "which is not that of the published annotations_trainval2017.zip" in refused("coco.yaml")
    assert left_over(sets) == set()
    coco.serve("/annotations_trainval2017.zip", body + b" ")
    assert "bytes, not the" in refused("coco.yaml")
    coco.serve("/annotations_trainval2017.zip", body)
    assert get("coco.yaml").is_file()


def test_a_split_that_it_does_not_have_is_refused(coco: FileServer) -> None:
    with pytest.raises(OptionError, match=r"split='test' is not usable: coco\.yaml has train, val"):
        get("coco.yaml", splits=["test"])


def test_a_disk_without_room_is_noticed_before_the_download(
    coco: FileServer, sets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = replace(table()["coco.yaml"].parts[0], unpacked=1 << 60)
    monkeypatch.setitem(table(), "coco.yaml", replace(table()["coco.yaml"], parts=(huge,)))
    with pytest.raises(OutputError, match=r"are needed there, and the disk has .* free"):
        get("coco.yaml")
    assert not coco.log
    assert left_over(sets) == set()


def test_ones_own_copy_elsewhere_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own/coco/coco.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("val: images\nnames: [a]\n")
    monkeypatch.setenv("SEGKIT_DATASETS", os.pathsep.join([str(tmp_path / "sets"), str(tmp_path / "own")]))
    assert get("coco.yaml") == own
    with pytest.raises(SourceError, match="it has no split train"):
        get("coco.yaml", splits=["train"])


def test_ones_own_description_is_never_written_over(coco: FileServer, roomy: None, sets: Path) -> None:
    (sets / "coco").mkdir(parents=True)
    own = sets / "coco/coco.yaml"
    own.write_text("val: val2017.txt\nnames: [a]\n")
    assert get("coco.yaml") == own
    with pytest.raises(SourceError, match="it has no split train"):
        get("coco.yaml", splits=["train"])
    assert own.read_text() == "val: val2017.txt\nnames: [a]\n"
    assert not coco.log


# -- archives of strangers ----------------------------------------------------------------------------------------


def unpacked(tmp_path: Path, body: bytes, **options: object) -> Path:
    archive, folder = tmp_path / "a.zip", tmp_path / "in" / "folder"
    archive.write_bytes(body)
    folder.mkdir(parents=True, exist_ok=True)
    unpack(archive, folder, **{"limit": 1 << 20, **options})  # type: ignore[arg-type]
    return folder


@pytest.mark.parametrize(
    "name",
    ["../evil", "a/../../evil", "/evil", "C:/evil", "a\\..\\evil", "a//b", "./a", "a/./b", "con.txt", "x./a", "a\nb"],
)
def test_a_name_that_leads_elsewhere_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match="leads elsewhere or that not every system has; nothing was unpacked"):
        unpacked(tmp_path, zipped({"good": b"x", name: b"y"}))
    assert {path.name for path in tmp_path.rglob("*")} == {"a.zip", "in", "folder", "work"}


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR], ids=["link", "pipe", "device"])
def test_links_and_devices_are_refused(tmp_path: Path, kind: int) -> None:
    with pytest.raises(SourceError, match="'link' is a link or a device"):
        unpacked(tmp_path, zipped({"good": b"x", "link": b"/etc/passwd"}, modes={"link": kind | 0o777}))
    assert not list((tmp_path / "in/folder").iterdir())


def test_a_file_keeps_no_permissions_of_the_archive(tmp_path: Path) -> None:
    folder = unpacked(tmp_path, zipped({"run.sh": b"x"}, modes={"run.sh": stat.S_IFREG | 0o4777}))
    assert not (folder / "run.sh").stat().st_mode & (stat.S_IXUSR | stat.S_ISUID)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"unpacked it has 50\.0 MB or more, where 1\.0 MB at most were expected"):
        unpacked(tmp_path, zipped({"zeros": bytes(50_000_000)}, deflate=True))
    assert not list((tmp_path / "in/folder").iterdir())


def test_a_bomb_that_lies_about_its_size_is_stopped(tmp_path: Path) -> None:
    body = zipped({"zeros": bytes(5_000_000)}, deflate=True)
    size = (5_000_000).to_bytes(4, "little")
    assert body.count(size) == 2
    with pytest.raises(SourceError):
        unpacked(tmp_path, body.replace(size, (1000).to_bytes(4, "little")))
    assert sum(path.stat().st_size for path in (tmp_path / "in/folder").rglob("*")) <= 1 << 20


def test_more_files_than_any_data_set_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MEMBERS", 3)
    with pytest.raises(SourceError, match="it holds 4 files"):
        unpacked(tmp_path, zipped({str(n): b"" for n in range(4)}))


def test_names_that_some_systems_take_for_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="'A' is there twice"):
        unpacked(tmp_path, zipped({"a": b"1", "A": b"2"}))


def test_an_encrypted_member_is_named(tmp_path: Path) -> None:
    body = bytearray(zipped({"secret": b"x"}))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        body[body.index(mark) + place] |= 1
    with pytest.raises(SourceError, match="'secret' is encrypted"):
        unpacked(tmp_path, bytes(body))


@given(st.data())
def test_damage_anywhere_is_an_error_of_ours_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    body = bytearray(zipped({"a/b.txt": b"hello " * 20, "c": b"x" * 50, "d/": b""}, deflate=True))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.mktemp("damaged")
    with contextlib.suppress(SourceError):
        unpacked(folder, bytes(body[: data.draw(st.integers(0, len(body)))]))
    inside = folder / "in" / "folder"
    outside = {path for path in folder.rglob("*") if inside not in (path, *path.parents)}
    assert outside == {folder / "a.zip", inside.parent}


# -- together with what reads it ----------------------------------------------------------------------------------


def test_coco_as_it_is_published_is_read_from_its_own_json(
    data: Path, server: FileServer, roomy: None, sets: Path
) -> None:
    real = data / "datasets/coco-val100-seg"
    pictures = {f"val2017/{path.name}": path.read_bytes() for path in sorted((real / "images/val2017").iterdir())[:20]}
    labels = (real / "annotations/instances_val2017.json").read_bytes()
    server.serve("/val2017.zip", zipped(pictures))
    server.serve("/annotations_trainval2017.zip", zipped({"annotations/instances_val2017.json": labels}))
    get("coco.yaml", splits=["val"])
    found = open_dataset("coco.yaml", "val")
    assert {str(sample.path.relative_to(sets / "coco/images")) for sample in found} == set(pictures)
    assert found.category_ids is not None
    assert found.category_ids[79] == 90
    assert sum(len(sample.labels) for sample in found) > 50


def test_two_processes_fetch_it_once(server: FileServer, sets: Path) -> None:
    server.serve(ZIP, BODY)
    code = f"from segkit.core.data.named.get import get; print(get({NAME!r}))"
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert {process.communicate(timeout=60)[0].strip() for process in both} == {str(sets / TOP / NAME)}
    assert len(server.log) == 1
    assert in_it(sets) == {TOP}
