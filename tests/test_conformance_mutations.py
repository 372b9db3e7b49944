"""The suite is itself tested: a fault that is planted in a backend turns the stage red that names it, and no other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
from toy_format import ToyRegistry

from segkit.conformance.probed import works_nevertheless
from segkit.conformance.stage import Stage
from segkit.core.backend import Feature
from segkit.core.backend.registry import Registry

pytest.importorskip("torch")

FAULTS = {
    "a gap that works": (Stage.DECLARE, "declare it as FULL"),
    "red and blue swapped": (Stage.PREPROCESS, "red and blue are swapped"),
    "no division by 255": (Stage.PREPROCESS, "not divided by 255"),
    "half a pixel off": (Stage.PREPROCESS, "half a pixel too far right and down"),
    "x1 y1 x2 y2 for cx cy w h": (Stage.RAW, "boxes look as if they were x1 y1 x2 y2"),
    "no sigmoid": (Stage.RAW, "scores look as if the sigmoid were missing"),
    "prototypes transposed": (Stage.RAW, "rows and columns were swapped"),
    "boxes normalised twice": (Stage.RAW, "boxes look as if they were divided by the sides"),
    "reused buffer": (Stage.RAW, "changed after the next run()"),
    "several pictures at once": (Stage.RAW, "running the first pictures fails: RuntimeError: the arena is full"),
    "NaN": (Stage.RAW, "values are NaN"),
    "tensors for arrays": (Stage.RAW, "boxes is Tensor, not a numpy array"),
    "no export like another": (Stage.EXPORT, "boxes of two exports differ"),
    "stale metadata": (Stage.METADATA, "not there any more"),
    "results shared between threads": (Stage.CONTRACT, "too far from PyTorch"),
    "a leak": (Stage.CONTRACT, "MB more"),
    "a file left behind": (Stage.CONTRACT, "the exporter left cache.bin in the working folder"),
    "a cache beside the artefact": (Stage.CONTRACT, "running a file leaves toy.cache beside the model"),
}

ALONE = {"an export that fails": (Stage.EXPORT, "the compiler knows no such operator")}
"""Faults that turn a single test red, however many need what it looks at."""

IN_CHILDREN = "killed or damaged or time_and_size or light"
"""Tests that look at child processes, where no fault is planted."""


def run(tmp_path, fault, *options):
    """The suite on a toy with this fault, in a process of its own: what was found, by `toy_watch`."""
    (tmp_path / "test_toy.py").write_text(f"from toy_format import suite_of\nTestToy = suite_of({fault!r})\n")
    path = os.pathsep.join(filter(None, sys.path))
    quiet = ["-q", "-p", "no:cacheprovider", "-p", "toy_watch", "--import-mode=importlib", f"--rootdir={tmp_path}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *quiet, "-c", os.devnull, *options, str(tmp_path / "test_toy.py")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path, "TOY_WATCH": str(tmp_path / "found.json")},
        check=False,
    )
    assert (tmp_path / "found.json").exists(), done.stdout + done.stderr
    return json.loads((tmp_path / "found.json").read_text())


def test_a_backend_without_a_fault_is_green(tmp_path):
    found = run(tmp_path, "")
    assert not found["red"], found["said"]
    assert len(found["passed"]) > 40


def test_a_runtime_that_rounds_otherwise_every_time_is_green(tmp_path):
    found = run(tmp_path, "sums in any order", "-k", f"not ({IN_CHILDREN})")
    assert not found["red"], found["said"]


@pytest.fixture
def behind_the_gap(monkeypatch):
    """A registry whose toy has this fault behind its gap, in child processes, too."""

    def made(fault):
        monkeypatch.setenv("TOY_GAP", fault)
        return ToyRegistry(fault)

    return made


def test_a_gap_that_ends_its_process_is_confirmed_by_that(tmp_path, behind_the_gap):
    assert not works_nevertheless(behind_the_gap("a gap that crashes"), "toy", Feature.HALF, tmp_path)
    assert (tmp_path / "made" / "1").exists(), "the artefact of the gap was made: what ended the process came after"


def test_a_gap_that_hangs_is_confirmed_by_that(tmp_path, behind_the_gap):
    begun = time.monotonic()
    assert not works_nevertheless(behind_the_gap("a gap that hangs"), "toy", Feature.HALF, tmp_path, patience=2)
    assert time.monotonic() - begun < 60


def test_a_probe_that_never_began_confirms_nothing(tmp_path):
    with pytest.raises(AssertionError, match=r"ended with 1 before it began:\n(.|\n)*UnknownFormatError"):
        works_nevertheless(Registry(), "nobody's", Feature.HALF, tmp_path)


@pytest.mark.parametrize("fault", [*FAULTS, *ALONE])
def test_a_planted_fault_turns_the_stage_red_that_names_it(tmp_path, fault):
    stage, words = (FAULTS | ALONE)[fault]
    found = run(tmp_path, fault, "-k", f"not ({IN_CHILDREN})")
    assert [*found["red"]] == [stage], found["said"]
    assert words in found["said"]
    assert fault not in ALONE or len(found["red"][stage]) == 1, found["said"]
