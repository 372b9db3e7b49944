"""A stranger's plugin: built as a wheel, installed beside segkit, and it is one of the formats.

Its own tests, the conformance suite among them, run in its own folder (`.ci/run` does so).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PLUGIN = Path(__file__).resolve().parent.parent / "examples" / "plugin"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the plugin installed from its wheel, as an environment of its own sees it."""
    folder = tmp_path_factory.mktemp("plugin")
    # A build writes into the tree it builds from.
    source = shutil.copytree(
        PLUGIN, folder / "source", ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    )
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source)
    wheel = next(folder.glob("segkit_numpy-*.whl"))
    run(*pip, "install", "--quiet", "--no-deps", "--target", folder / "site", wheel)
    return folder / "site"


def run(*command, site=None, cwd=None):
    path = {"PYTHONPATH": str(site)} if site else {}
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, cwd=cwd, env=os.environ | path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_its_wheel_holds_the_package_and_the_entry_point(site):
    with zipfile.ZipFile(next(site.parent.glob("*.whl"))) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        points = next(wheel.read(name).decode() for name in wheel.namelist() if name.endswith("entry_points.txt"))
    modules = ("__init__", "archive", "exporter", "ops", "predictor")
    assert names == {"segkit_numpy/py.typed", *(f"segkit_numpy/{module}.py" for module in modules)}
    assert points.split() == ["[segkit.plugins]", "numpy", "=", "segkit_numpy"]


def test_segkit_lists_it_like_its_own_formats(site):
    assert "numpy" in run(sys.executable, "-P", "-m", "segkit.cli", "formats", site=site)
    assert "imgsz" in run(sys.executable, "-P", "-m", "segkit.cli", "formats", "numpy", site=site)


def test_it_exports_and_predicts_from_the_command_line(site, n_seg_pt, bus, tmp_path):
    segkit = [sys.executable, "-P", "-m", "segkit.cli"]
    target = tmp_path / "n.npz"
    run(
        *segkit, "export", f"model={n_seg_pt}", "format=numpy", "imgsz=320", f"output={target}", site=site, cwd=tmp_path
    )
    said = run(
        *segkit, "predict", f"model={target}", f"source={bus}", f"project={tmp_path}", "--json", site=site, cwd=tmp_path
    )
    assert '"bus"' in said
    assert said.count('"person"') >= 3


def test_conformance_tests_it_like_a_format_of_segkit(site, tmp_path):
    run(
        *[sys.executable, "-P", "-m", "segkit.cli", "conformance", "format=numpy", "stage=declare"],
        *[f"report={tmp_path / 'report'}"],
        site=site,
        cwd=tmp_path,
    )
    report = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert report["passed"]
    assert [backend["plugin"] for backend in report["backends"]] == ["segkit-numpy 0.1.0"]
