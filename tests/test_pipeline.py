"""Export as a user relies on it: refused early or done whole, whatever a toolchain does."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segkit.core import files
from segkit.core.backend import Match, pipeline, placement
from segkit.core.backend.calibration import PictureCalibration
from segkit.core.backend.pipeline import ModelCard, export, plan
from segkit.core.backend.registry import Registry
from segkit.core.errors import (
    ExportError,
    MissingDependencyError,
    ModelFileError,
    OptionError,
    OutputError,
    PluginError,
    SegkitError,
    UnsupportedError,
)

FAKES = Path(__file__).parent / "fakes"
CARD = ModelCard(names={0: "cat", 1: "कुत्ता"})


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.syspath_prepend(str(FAKES))
    import fake_formats

    registry = Registry()
    for name in fake_formats.NAMES:
        registry.register(name, "fake_formats")
    return registry


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "best.weights"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def run(registry, weights, tmp_path):
    """Export the fake weights; give (result path, reports)."""

    def run(name, options=None, calibration=None, isolate=True, target=None):
        links = plan(registry, name, options or {}, CARD, calibration)
        target = target or tmp_path / "out" / links[-1].backend.format.artefact_name("best", links[-1].options)
        reports: list[str] = []
        export(registry, links, weights, target, calibration=calibration, isolate=isolate, report=reports.append)
        return target, reports

    return run


@pytest.fixture
def no_work(monkeypatch):
    """Called, it makes every conversion from then on a failure of the test."""
    return lambda: monkeypatch.setattr(pipeline.worker, "run_isolated", lambda *job: pytest.fail("it was converted"))


@pytest.fixture
def pictures():
    pixels = np.random.default_rng(0).integers(0, 255, (5, 48, 64, 3), np.uint8)
    return PictureCalibration.of_pictures(list(pixels), (64, 64), batch=2)


@pytest.mark.parametrize("isolate", [True, False], ids=["child", "in-place"])
def test_a_folder_artefact_arrives_whole_and_its_metadata_reads_back(run, registry, isolate):
    path, reports = run("blob", {"imgsz": 64, "dynamic": True}, isolate=isolate)
    assert path.name == "best_blob_model"
    assert sorted(item.name for item in path.iterdir()) == ["meta.json", "weights.bin"]
    read = registry.get("blob").read_metadata(path)
    assert read.names == {0: "cat", 1: "कुत्ता"}
    assert read.imgsz == (64, 64)
    assert read.segkit.dynamic_batch
    assert read.segkit.dynamic_size
    assert reports == ["converting to Blob", "dawdling", "moving the result into place"]


def test_a_chain_hands_calibration_and_head_layout_through_and_leaves_no_intermediates(run, pictures):
    path, _ = run("tiny", {"imgsz": 64, "batch": 2, "int8": True}, pictures)
    assert [item.name for item in path.parent.iterdir()] == ["best_int8.tiny"]
    record = json.loads(path.read_text())
    assert record["calibrated_with"] == [[2, 64, 64, 3], [2, 64, 64, 3]]
    assert record["upstream_head"] == {"outputs": "split", "boxes": "unit", "nms": False}
    assert record["metadata"]["segkit"]["calibration"] == record["digest"] == pictures.digest
    assert record["metadata"]["segkit"]["head"]["boxes"] == "unit"
    assert record["metadata"]["args"]["int8"] is True


def test_the_chain_without_int8_asks_for_the_usual_head_and_no_pictures(run):
    path, _ = run("tiny", {"half": True})
    record = json.loads(path.read_text())
    assert path.name == "best.tiny"
    assert record["upstream_head"]["outputs"] == "joined"
    assert record["digest"] is None
    assert record["metadata"]["segkit"]["precision"] == "fp16"


@pytest.mark.parametrize(
    ("name", "options", "kind", "words"),
    [
        (
            "blob",
            {"dynmic": True},
            OptionError,
            r"Unknown option 'dynmic' .*Did you mean 'dynamic'\?.*Accepted: batch, dyn",
        ),
        ("blob", {"imgsz": 0}, OptionError, "imgsz=0 .*at least 1"),
        ("blob", {"imgsz": -64}, OptionError, "at least 1"),
        ("blob", {"imgsz": "wide"}, OptionError, "imgsz='wide'"),
        ("blob", {"batch": 0}, OptionError, "batch=0 .*greater than or equal to 1|greater than 0"),
        ("blob", {"dynamic": "perhaps"}, OptionError, "dynamic='perhaps'"),
        ("blob", {"unit_boxes": True}, OptionError, "Unknown option 'unit_boxes'"),
        ("tiny", {"dynamic": True}, UnsupportedError, r"'tiny' does not support dynamic batch \(not-implemented\)"),
        ("blob", {"half": True}, UnsupportedError, "'blob' does not support half"),
        ("blob", {"precision": "fp16"}, UnsupportedError, "'blob' does not support half"),
        ("tiny", {"half": True, "int8": True}, OptionError, "exclude each other"),
        ("tiny", {"half": True, "precision": "fp32"}, OptionError, "contradict"),
        ("tiny", {"int8": True}, OptionError, "int8 needs pictures.*data="),
        ("needy", {}, MissingDependencyError, r'Run: pip install "no-such-package>=3"'),
        ("loop", {}, PluginError, "leads back to itself"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line_before_any_work(registry, name, options, kind, words):
    with pytest.raises(kind, match=words) as caught:
        plan(registry, name, options, CARD, None)
    assert "\n" not in str(caught.value)


def test_a_flag_that_is_off_asks_for_nothing(registry):
    links = plan(registry, "tiny", {"dynamic": False, "nms": "false", "half": False}, CARD, None)
    assert [link.backend.format.name for link in links] == ["blob", "tiny"]


def test_a_segfault_of_a_converter_is_an_error_with_its_log(run, tmp_path):
    with pytest.raises(
        ExportError, match=r"crash failed: the converter crashed with SIGSEGV; it last printed"
    ) as caught:
        run("crash")
    assert "loading the converter" in caught.value.log
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("isolate", [True, False], ids=["child", "in-place"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("raise", "KeyError: 'an op nobody knows'"),
        ("refuse", r"Export to refuse failed: op aten\.magic of layer 7 has no counterpart\."),
        ("lazy", r"ended without writing best\.lazy"),
        ("forget", "metadata does not read back as it was sealed .names: wrote"),
        ("quit", r"Export to quit failed: SystemExit: no licence found\."),
        ("shortcut", r"wrote a symbolic link, best\.shortcut"),
        ("meddle", "metadata does not read back as it was sealed .args: wrote"),
        ("mute", "its metadata does not read back .*fails to read its metadata .ValueError: what is this"),
    ],
)
def test_a_failing_exporter_is_one_line_and_leaves_nothing(run, tmp_path, name, words, isolate):
    with pytest.raises(ExportError, match=words) as caught:
        run(name, isolate=isolate)
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_toolchain_that_asks_a_question_gets_no_answer_and_does_not_wait(run):
    with pytest.raises(ExportError, match="ask failed: EOFError"):
        run("ask")


@pytest.mark.skipif(sys.platform == "win32", reason="process groups")
def test_what_a_converter_leaves_running_ends_with_it(run):
    import psutil

    _, reports = run("spawn")
    pid = int(reports[1])
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie"


@pytest.mark.parametrize("name", ["linger", "stumble"])
def test_once_the_artefact_is_checked_the_way_the_child_ends_does_not_matter(run, name):
    start = time.monotonic()
    path, _ = run(name)
    assert path.exists()
    assert time.monotonic() - start < 30


def test_a_fault_in_a_chain_is_blamed_on_its_link(run, registry, monkeypatch):
    monkeypatch.setattr(type(registry.get("blob")), "export", lambda self, job: {}["weights"])
    with pytest.raises(ExportError, match="Export to blob failed: KeyError: 'weights'"):
        run("tiny", isolate=False)


@pytest.mark.parametrize(
    ("asks", "words"),
    [
        (None, "valid dictionary"),
        ({"turbo": 1}, "turbo"),
        ({"batch": "many"}, "batch"),
        ({"precision": "int8"}, "'blob' does not support int8"),
    ],
)
def test_a_format_that_asks_its_source_for_nonsense_is_at_fault_itself(registry, monkeypatch, asks, words):
    monkeypatch.setattr(type(registry.get("misled")), "asks", asks)
    with pytest.raises(
        PluginError, match=f"Plugin misled: its source format 'blob' cannot be used .*{words}"
    ) as caught:
        plan(registry, "misled", {}, CARD, None)
    assert "\n" not in str(caught.value)


def test_a_source_format_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.syspath_prepend(str(FAKES))
    registry = Registry()
    registry.register("tiny", "fake_formats")
    with pytest.raises(
        PluginError, match=r"Plugin tiny: its source format 'blob' cannot be used .*Unknown format 'blob'"
    ):
        plan(registry, "tiny", {}, CARD, None)


@pytest.mark.parametrize("isolate", [True, False], ids=["child", "in-place"])
def test_weights_that_only_the_exporter_finds_fault_with_are_the_users_input(run, isolate):
    with pytest.raises(ModelFileError, match=r"^Cannot load model '.*best\.weights': its weights are not numbers\.$"):
        run("doubt", isolate=isolate)


def test_a_full_temporary_folder_is_named(run, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", full)
    with pytest.raises(OutputError, match=r"TMPDIR chooses another place.*: the disk is full"):
        run("blob")


def test_what_a_toolchain_leaves_in_the_temporary_folder_goes_with_the_job(run, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    run("litter")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_toolchain_chatter_stays_out_of_the_users_terminal(run, capfd):
    run("blob")
    assert "hello" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("name", ["blob", "serial"])
def test_an_old_artefact_is_replaced_whole(run, name):
    path, _ = run(name)
    before = (path / "meta.json" if path.is_dir() else path).read_text()
    run(name, {"imgsz": 96})
    assert (path / "meta.json" if path.is_dir() else path).read_text() != before
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_a_folder_in_the_way_of_a_file_is_not_removed(run, tmp_path):
    target = tmp_path / "precious"
    target.mkdir()
    (target / "thesis.txt").write_text("x")
    with pytest.raises(OutputError, match="a folder of that name is in the way"):
        run("serial", target=target)
    assert (target / "thesis.txt").exists()


def test_a_folder_with_the_name_of_an_artefact_and_other_things_in_it_is_not_removed(run, tmp_path):
    path, _ = run("blob")
    assert path.is_dir()
    target = tmp_path / "mine" / path.name
    target.mkdir(parents=True)
    (target / "thesis.txt").write_text("x")
    with pytest.raises(OutputError, match="in the way, and it is no Blob artefact; give another output="):
        run("blob", target=target)
    assert [item.name for item in target.iterdir()] == ["thesis.txt"]
    (target / "thesis.txt").unlink()
    assert run("blob", target=target)[0] == target, "an empty one is nobody's"


@pytest.mark.parametrize("inside", ["notes.txt", "mine/weights.bin", "empty/"])
def test_an_artefact_with_other_things_beside_it_is_not_replaced(run, no_work, inside):
    path, _ = run("blob")
    no_work()
    place = path / inside
    (place if inside.endswith("/") else place.parent).mkdir(exist_ok=True)
    if not inside.endswith("/"):
        place.write_text("mine")
    before = (path / "meta.json").read_bytes()
    first = inside.split("/")[0]
    with pytest.raises(OutputError, match=rf"holds '{first}', which is no part of an artefact of Blob; move that away"):
        run("blob", {"imgsz": 96})
    assert place.exists()
    assert (path / "meta.json").read_bytes() == before


def test_a_folder_without_its_usual_name_is_replaced_only_where_segkit_wrote_it(run, registry, tmp_path, monkeypatch):
    target = tmp_path / "model"
    run("blob", target=target)
    run("blob", {"imgsz": 96}, target=target)
    meta = target / "meta.json"
    meta.write_text("{}")
    match = Match(Match.CONTENT, "it looks like one")
    monkeypatch.setattr(type(registry.get("blob")), "recognises", lambda self, path: match)
    with pytest.raises(OutputError, match="it holds a Blob model that segkit did not write; give another output="):
        run("blob", target=target)
    assert meta.read_text() == "{}"


def test_an_exporter_that_writes_what_its_format_does_not_list_is_at_fault(run, registry, monkeypatch):
    fmt = registry.get("blob").format
    monkeypatch.setattr(type(registry.get("blob")), "format", replace(fmt, contents=("meta.json",)))
    with pytest.raises(ExportError, match=r"wrote 'weights\.bin', which is not among the contents of its format"):
        run("blob", isolate=False)


@pytest.mark.parametrize("name", ["bus.jpg", "best.tiny"])
def test_a_file_of_another_kind_is_not_replaced(run, no_work, tmp_path, name):
    target = tmp_path / name
    if name == "best.tiny":
        run("tiny", target=target)
    else:
        target.write_bytes(b"\xff\xd8\xff\xe0 a picture")
    before = target.read_bytes()
    no_work()
    with pytest.raises(OutputError, match=f"{name}': a file of that name is in the way, and it is no Serial artefact"):
        run("serial", target=target)
    assert target.read_bytes() == before


@pytest.mark.parametrize(("name", "content"), [("old.serial", b"\0damaged"), ("old.jpg", b"")])
def test_an_empty_file_and_a_damaged_artefact_are_replaced(run, tmp_path, name, content):
    target = tmp_path / name
    target.write_bytes(content)
    run("serial", target=target)
    assert b"names" in target.read_bytes()


def test_a_file_in_the_way_of_a_folder_is_found_before_any_work(run, no_work, tmp_path):
    no_work()
    target = tmp_path / "best_blob_model"
    target.write_bytes(b"")
    with pytest.raises(OutputError, match="a file of that name is in the way"):
        run("blob", target=target)
    assert target.is_file()


def test_an_empty_folder_gives_way_to_a_file(run, tmp_path):
    target = tmp_path / "best.serial"
    target.mkdir()
    run("serial", target=target)
    assert target.is_file()


def test_a_full_disk_leaves_the_old_artefact(run, monkeypatch):
    path, _ = run("serial")
    before = path.read_bytes()

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(placement, "_bring", full)
    with pytest.raises(OutputError, match="the disk is full"):
        run("serial", {"imgsz": 96})
    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_a_read_only_target_is_refused_before_any_work(run, tmp_path, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(OutputError, match="read-only; choose another folder"):
        run("crash")


def test_across_file_systems_the_artefact_is_copied_then_renamed(run, monkeypatch):
    real = Path.rename

    def rename(self, target):
        if "segkit-export-" in str(self):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    path, _ = run("blob")
    assert (path / "meta.json").exists()
    path, _ = run("blob", {"imgsz": 96})
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_where_names_cannot_be_exchanged_a_folder_is_put_aside_first(run, monkeypatch):
    monkeypatch.setattr(placement, "_exchange", lambda one, other: False)
    run("blob")
    path, _ = run("blob", {"imgsz": 96})
    assert json.loads((path / "meta.json").read_text())["imgsz"] == [96, 96]
    assert [item.name for item in path.parent.iterdir()] == [path.name]


SCRIPT = """
import sys
sys.path.insert(0, {fakes!r})
{first}
from pathlib import Path
from segkit.core.backend.pipeline import ModelCard, export, plan
from segkit.core.backend.registry import Registry
registry = Registry()
registry.register({name!r}, "fake_formats")
links = plan(registry, {name!r}, {options!r}, ModelCard(names={{0: "cat"}}), None)
print("ready", flush=True)
export(registry, links, Path({weights!r}), Path({target!r}), report=lambda text: print(text, flush=True))
"""


def start(weights, target, sleep, temporary, first="", name="blob"):
    temporary.mkdir()
    options = {"imgsz": 96, "sleep": sleep} if name == "blob" else {}
    code = SCRIPT.format(
        fakes=str(FAKES), name=name, options=options, weights=str(weights), target=str(target), first=first
    )
    environment = os.environ | {"TMPDIR": str(temporary)}
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)


def children_of(pid: int) -> set[int]:
    import psutil

    return {child.pid for child in psutil.Process(pid).children(recursive=True)}


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_killed_at_any_moment_an_export_leaves_the_old_artefact_and_no_child(run, weights, tmp_path):
    import psutil

    path, _ = run("blob")
    before = (path / "meta.json").read_bytes()
    process = start(weights, path, 30, tmp_path / "tmp")
    for line in process.stdout:
        if line.startswith("dawdling"):
            break
    children = children_of(process.pid)
    assert children
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert (path / "meta.json").read_bytes() == before
    _, alive = psutil.wait_procs([psutil.Process(pid) for pid in children if psutil.pid_exists(pid)], timeout=10)
    assert not alive, "the child outlived its parent"
    assert list((tmp_path / "tmp").iterdir()) == [], "the last one out takes the temporary files along"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("name", ["blob", "doubt"], ids=["that went well", "that failed"])
def test_killed_between_the_conversion_and_the_move_an_export_leaves_nothing(weights, tmp_path, name):
    kill = (
        "import os, signal; from segkit.core.backend import worker\n"
        "worker._end = lambda child: os.kill(os.getpid(), signal.SIGKILL)"
    )
    process = start(weights, tmp_path / "out" / "best", 0, tmp_path / "tmp", kill, name)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 20
    while any((tmp_path / "tmp").iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_an_interrupt_during_export_stops_the_child_and_leaves_nothing(weights, tmp_path):
    import psutil

    target = tmp_path / "out" / "best_blob_model"
    process = start(weights, target, 30, tmp_path / "tmp")
    for line in process.stdout:
        if line.startswith("dawdling"):
            break
    children = children_of(process.pid)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) != 0
    process.stdout.close()
    assert list(target.parent.iterdir()) == []
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in children)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_placing_can_be_killed_anywhere(tmp_path, kind):
    """A process replaces an artefact over and over and is killed; the artefact is whole, old or new, and later swept
    clean."""
    target = tmp_path / "artefact"
    code = f"""
import itertools, sys
from pathlib import Path
from segkit.core.backend.placement import place
target = Path({str(target)!r})
made = target.with_name("made")
for number in itertools.count():
    if {kind!r} == "folder":
        made.mkdir()
        for part in "ab":
            (made / part).write_text(str(number) * 1000)
    else:
        made.write_text(str(number % 10) * 2000)
    place(made, target)
    if number == 20:
        print("going", flush=True)
"""
    for delay in (0.0, 0.003, 0.011):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "going\n"
        time.sleep(delay)
        process.kill()
        process.wait()
        process.stdout.close()
        if kind == "folder":
            assert (target / "a").read_text() == (target / "b").read_text() != ""
        else:
            assert len(set(target.read_text())) == 1
            assert len(target.read_text()) == 2000
        for left in tmp_path.glob("made"):
            files.remove(left)
    made = tmp_path / "made"
    made.mkdir() if kind == "folder" else made.write_text("x")
    placement.place(made, target)
    assert [item.name for item in tmp_path.iterdir()] == ["artefact"]


def test_exports_run_at_the_same_time_from_threads(run):
    errors: list[SegkitError] = []

    def job(size):
        try:
            run("blob", {"imgsz": size})
        except SegkitError as error:
            errors.append(error)

    threads = [threading.Thread(target=job, args=(size,)) for size in (64, 96)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_the_pid_of_a_dead_process_is_not_alive():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert not files.is_running(process.pid)
    assert files.is_running(os.getpid())
