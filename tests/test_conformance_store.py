"""The suite where torch is not: exports and the reference come from a folder that was filled where it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segkit.conformance import VERSION, candidates, reference, store
from segkit.conformance.candidates import candidates_of
from segkit.conformance.compare import OUTPUTS
from segkit.conformance.store import LABEL, Shelf, Store
from segkit.core.backend import Anchors
from segkit.core.backend.registry import Registry
from segkit.core.errors import OptionError

BATCH = reference.pictures(1, (64, 64))
CASES = "fp32-one or fp32-smallest or threads or (objects and fp32-golden)"


def some(batch: object) -> Anchors:
    shapes = ((1, 4, 9), (1, 3, 9), (1, 32, 9), (1, 32, 4, 4))
    return Anchors(*(np.random.default_rng(0).random(shape, np.float32) for shape in shapes))


def never(*_: object) -> Any:
    raise AssertionError("it was computed anew")


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "has_torch", lambda: False)
    monkeypatch.setattr(candidates, "has_torch", lambda: False)


def test_what_was_computed_is_found_again(tmp_path):
    Shelf(tmp_path, reading=False).outputs(BATCH, some)
    Shelf(tmp_path, reading=False).values("mAP", lambda: [0.5, 0.4])
    there = Shelf(tmp_path, reading=True)
    found = there.outputs(BATCH, never)
    assert all(np.array_equal(getattr(found, name), getattr(some(BATCH), name)) for name in OUTPUTS)
    assert there.values("mAP", never) == [0.5, 0.4]


def test_what_one_format_of_a_run_has_found_out_the_others_believe(tmp_path):
    assert Shelf(tmp_path, reading=False, fresh=True).values("mAP", lambda: [0.5]) == [0.5]
    assert Shelf(tmp_path, reading=False, fresh=True).values("mAP", never) == [0.5]
    assert Shelf(tmp_path, reading=False).values("mAP", lambda: [0.6]) == [0.6], "an older store is never believed"


def test_what_is_not_there_ends_the_test_and_says_so(tmp_path):
    there = Shelf(tmp_path, reading=True)
    with pytest.raises(pytest.skip.Exception, match="torch is not installed, and the store has no output of PyTorch"):
        there.outputs(BATCH, never)
    with pytest.raises(pytest.skip.Exception, match="has no score of PyTorch"):
        there.values("mAP", never)
    with pytest.raises(pytest.skip.Exception, match="has no export with these options"):
        there.artefact("plain", never, tmp_path / "made")


@pytest.mark.usefixtures("no_torch")
def test_an_empty_store_and_one_of_another_suite_are_refused(tmp_path):
    with pytest.raises(OptionError, match=f"nothing is kept of 'blob' there, and this is suite {VERSION}"):
        Store(tmp_path, "blob")
    (tmp_path / "blob").mkdir()
    (tmp_path / "blob" / LABEL).write_text(json.dumps({"suite": "0.9"}))
    with pytest.raises(OptionError, match=r"it was kept by suite 0\.9"):
        Store(tmp_path, "blob")


def test_with_torch_what_another_suite_kept_makes_place(tmp_path):
    (tmp_path / "blob" / "golden").mkdir(parents=True)
    (tmp_path / "blob" / LABEL).write_text(json.dumps({"suite": "0.9"}))
    Store(tmp_path, "blob")
    assert [path.name for path in (tmp_path / "blob").iterdir()] == [LABEL]
    (tmp_path / "blob" / "golden").mkdir()
    Store(tmp_path, "blob")
    assert (tmp_path / "blob" / "golden").is_dir(), "a child that goes on after another one empties nothing"


def test_without_torch_the_formats_are_those_that_something_is_kept_of(tmp_path, request):
    registry = Registry()
    for name in ("blob", "tiny"):
        registry.register(name, "fake_formats")
    Store(tmp_path, "tiny")
    request.getfixturevalue("no_torch")
    (found,) = candidates_of(registry, store=tmp_path)
    assert (found.name, found.missing) == ("tiny", ())
    with pytest.raises(OptionError, match="nothing is kept of 'blob' there"):
        candidates_of(registry, ["blob", "tiny"], store=tmp_path)
    with pytest.raises(OptionError, match="nothing is kept of 'blob' there"):
        candidates_of(registry, store=tmp_path / "elsewhere")


def suite(folder: Path, kept: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A part of the suite on onnx, in a process of its own."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    test = folder / "test_onnx.py"
    test.write_text("from segkit.conformance import BackendSuite\nclass TestOnnx(BackendSuite):\n    format = 'onnx'\n")
    quiet = ["-q", "-rs", "-p", "no:cacheprovider", "--import-mode=importlib", "-c", os.devnull, f"--rootdir={folder}"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *quiet, "--segkit-store", str(kept), "-k", CASES, *options, str(test)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=False,
    )


def test_a_board_holds_a_file_against_a_reference_from_elsewhere(tmp_path):
    pytest.importorskip("torch")
    kept = tmp_path / "kept"
    made = suite(tmp_path, kept)
    assert made.returncode == 0, made.stdout
    there = suite(tmp_path, kept, "-p", "no_torch")
    assert there.returncode == 0, there.stdout
    counts = [run.stdout.strip().splitlines()[-1].partition(" in ")[0] for run in (made, there)]
    assert counts[0] == counts[1], "the same tests pass, and none is skipped for want of torch"

    for path in (kept / "onnx" / "golden" / "outputs").iterdir():
        with np.load(path) as outputs:
            moved = dict(outputs) | {"boxes": outputs["boxes"] + np.float32(1)}
        np.savez(path, **moved)
    wrong = suite(tmp_path, kept, "-p", "no_torch")
    assert wrong.returncode == 1
    assert "! boxes: max 1, mean 1" in wrong.stdout
