"""What a user gets from `pip install`: every module, every data file, working entry points, one version everywhere."""

from __future__ import annotations

import email
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import segkit

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PROJECT["tool"]["setuptools"]
FOLDERS: dict[str, str] = SETUPTOOLS["package-dir"]
VERSION: str = PROJECT["project"]["version"]


def shipped() -> dict[str, Path]:
    """Path inside the wheel → file in the tree, for everything in the product's folders."""
    found = {}
    for package, folder in FOLDERS.items():
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                found[f"{package.replace('.', '/')}/{path.relative_to(ROOT / folder).as_posix()}"] = path
    return found


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an sdist and the wheel made from it; SEGKIT_TEST_DIST names one that exists already."""
    if ready := os.environ.get("SEGKIT_TEST_DIST"):
        return Path(ready)
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-P", "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="session")
def wheel(dist: Path) -> zipfile.ZipFile:
    """The one wheel."""
    (path,) = dist.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_package_list_holds_every_folder_with_code() -> None:
    folders = {path.rpartition("/")[0].replace("/", ".") for path in shipped() if path.endswith(".py")}
    assert folders == set(SETUPTOOLS["packages"])


def test_no_module_of_the_sdk_hides_a_mapped_folder() -> None:
    mapped = {package.partition(".")[2] for package in FOLDERS} - {""}
    assert mapped.isdisjoint(path.stem for path in (ROOT / FOLDERS["segkit"]).iterdir())


def test_the_wheel_holds_exactly_the_tree(wheel: zipfile.ZipFile) -> None:
    inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert inside == set(shipped())


def test_files_in_the_wheel_are_those_of_the_tree_byte_for_byte(wheel: zipfile.ZipFile) -> None:
    assert [name for name, path in shipped().items() if wheel.read(name) != path.read_bytes()] == []


def test_the_wheel_carries_the_golden_model_and_the_page_of_the_demo(wheel: zipfile.ZipFile) -> None:
    assert {"segkit/conformance/golden.pt", "segkit/demo_page.html"} <= set(wheel.namelist())


def test_the_wheel_carries_the_licence_and_the_type_marker(wheel: zipfile.ZipFile) -> None:
    licence = next(name for name in wheel.namelist() if name.endswith("licenses/LICENSE"))
    assert wheel.read(licence) == (ROOT / "LICENSE").read_bytes()
    assert "segkit/py.typed" in wheel.namelist()


def test_the_wheel_names_the_version_and_the_python_it_needs(wheel: zipfile.ZipFile) -> None:
    metadata = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    header = email.message_from_bytes(wheel.read(metadata))
    assert (header["Name"], header["Version"], header["Requires-Python"]) == ("segkit", VERSION, ">=3.11")


def test_the_sdist_holds_what_a_build_needs(dist: Path) -> None:
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "core/errors.py", "sdk/py.typed"} <= names


def entry_points() -> list[EntryPoint]:
    """Every entry point that pyproject.toml declares: commands and plugins."""
    groups = {"console_scripts": PROJECT["project"]["scripts"], **PROJECT["project"]["entry-points"]}
    return [EntryPoint(name, value, group) for group, rows in groups.items() for name, value in rows.items()]


@pytest.mark.parametrize("entry", entry_points(), ids=lambda entry: f"{entry.group}:{entry.name}")
def test_an_entry_point_leads_somewhere(entry: EntryPoint) -> None:
    assert entry.load() is not None


def test_every_format_folder_is_an_entry_point() -> None:
    folders = {path.parent.name for path in (ROOT / FOLDERS["segkit.plugins"]).glob("*/__init__.py")}
    assert folders - {"shared"} == set(PROJECT["project"]["entry-points"]["segkit.plugins"])


def test_the_version_is_one_everywhere() -> None:
    command = [sys.executable, "-P", "-c", "from segkit.cli import main; main()", "version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    newest = re.search(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert VERSION in said.split()
    assert segkit.__version__ == VERSION
    assert newest
    assert newest.group(1) == VERSION


def test_every_pinned_version_is_one_that_the_requirements_accept() -> None:
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))
    from packaging.requirements import Requirement

    extras = PROJECT["project"]["optional-dependencies"].values()
    wanted = [Requirement(text) for group in [PROJECT["project"]["dependencies"], *extras] for text in group]
    known = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    for need in wanted:
        if need.name != "segkit":
            assert need.name.lower() in known, f"{need.name} is not pinned in constraints.txt"
            assert need.specifier.contains(known[need.name.lower()]), need
