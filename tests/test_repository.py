"""What the repository says about itself is true: commands of the README run, links lead somewhere, recipes exist."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest
from films import film

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PLUGINS = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def blocks(text: str, language: str) -> list[str]:
    """Fenced code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(text: str, program: str) -> list[str]:
    """Lines of the shell blocks that call `program`, without their comments."""
    lines = [line for block in blocks(text, "sh") for line in block.splitlines()]
    return [line.partition("  #")[0].strip() for line in lines if line.split()[:1] == [program]]


def recipes() -> set[str]:
    """Targets of the Makefile."""
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, n_seg_pt: Path, bus: Path, data: Path) -> Path:
    """A user's folder: the files that the README names, and nothing else."""
    folder = tmp_path_factory.mktemp("desk")
    for path in (n_seg_pt, bus):
        shutil.copy(path, folder / path.name)
    picture = cv2.imread(str(bus))
    cv2.imwrite(str(folder / "map.tif"), np.tile(picture, (1, 2, 1)))
    film(folder / "street.mp4", 3)
    (folder / "datasets").symlink_to(data / "datasets")
    return folder


def run(command: list[str], folder: Path) -> str:
    """Output of a command that must succeed."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.timeout(1200)
@pytest.mark.slow
def test_the_commands_of_the_readme_run_in_their_order(desk: Path) -> None:
    lines = commands(README, "segkit")
    assert len(lines) > 5
    for line in lines:
        run([sys.executable, "-P", "-m", "segkit.cli", *shlex.split(line)[1:]], desk)
    assert (desk / "yolov8n-seg.onnx").is_file()
    assert list(desk.glob("runs/**/*.jpg"))


@pytest.mark.slow
def test_the_python_of_the_readme_runs(desk: Path) -> None:
    (script,) = blocks(README, "python")
    said = run([sys.executable, "-P", "-c", script], desk)
    assert "bus" in said.split()
    assert (desk / "bus-segmented.jpg").is_file()


def test_recipes_that_the_pages_name_are_in_the_makefile() -> None:
    named = {line.split()[1] for page in PAGES for line in commands(page.read_text(encoding="utf-8"), "make")}
    assert {"demo", "test"} <= named <= recipes()


def test_extras_that_the_readme_names_exist() -> None:
    named = set(re.findall(r'"\.\[([\w,-]+)\]"', README))
    assert named
    assert named <= set(PROJECT["project"]["optional-dependencies"])


def test_the_readme_lists_exactly_the_formats_that_are_there() -> None:
    named = set(re.findall(r"^\| [^|]+ \| `(\w+)` \|", README, re.MULTILINE))
    assert named == set(PROJECT["project"]["entry-points"]["segkit.plugins"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_declaration_in_the_plugin_guide_is_accepted() -> None:
    declaration = next(block for block in blocks(PLUGINS, "python") if "hookimpl" in block)
    module: dict[str, object] = {}
    exec(compile(declaration, "docs/plugins.md", "exec", dont_inherit=True), module)
    (backend,) = module["segkit_backends"]()  # type: ignore[operator]
    backend.format.check("acme")
    assert backend.format.parse_export_options({"dynamic": True, "half": True}).dynamic


@pytest.mark.parametrize("number", range(len(blocks(PLUGINS, "python"))))
def test_the_code_in_the_plugin_guide_imports_what_exists(number: int) -> None:
    code = blocks(PLUGINS, "python")[number]
    compile(code, "docs/plugins.md", "exec")
    statements = re.findall(r"^from segkit\.[^(\n]*(?:\([^)]*\))?.*$", code, re.MULTILINE)
    assert statements
    exec("\n".join(statements), {})


def test_decisions_are_numbered_and_listed() -> None:
    index = (ROOT / "docs" / "adr" / "README.md").read_text(encoding="utf-8")
    files = sorted(path.name for path in (ROOT / "docs" / "adr").glob("0*.md"))
    assert re.findall(r"\((0\S+\.md)\)", index) == files
    assert [int(name[:4]) for name in files] == list(range(1, len(files) + 1))


def test_the_licence_is_the_whole_apache_licence() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION" in text
    assert "limitations under the License." in text
