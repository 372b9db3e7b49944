"""The pages about data sets and validation say what is there: commands, options, problems, files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from command_lines import values_of

from segkit._benchmark_report import COLUMNS
from segkit._val import val_options
from segkit.core.data.problems import Kind
from segkit.core.validation.benchmark_arguments import BOUNDS, BenchmarkArguments

DOCS = Path(__file__).resolve().parent.parent / "docs"
DATA, VAL = ((DOCS / name).read_text(encoding="utf-8") for name in ("data.md", "val.md"))
LINES = [
    line.partition("  #")[0].strip()
    for block in re.findall(r"^```sh\n(.*?)^```", DATA + VAL, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if line.startswith("segkit ")
]


def table_after(text: str, title: str) -> list[list[str]]:
    """Cells of the first table below a heading."""
    lines = text.partition(f"\n## {title}\n")[2].splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


@pytest.mark.parametrize("line", LINES)
def test_every_command_of_the_pages_is_understood(line: str) -> None:
    values_of(line)


def test_the_table_of_arguments_is_complete_and_its_defaults_are_right() -> None:
    table = table_after(VAL, "Arguments")
    rows = {row.name: row.default for row in val_options()}
    told = [re.findall(r"`(\w+)`", names) for names, _, _ in table]
    assert {name for names in told for name in names} | {"precision"} == rows.keys()  # of which half is short
    defaults = {names[0]: text for names, (_, text, _) in zip(told, table, strict=True)}
    assert defaults["conf"] == ", ".join(rows[name].removeprefix("0") for name in ("conf", "iou", "max_det"))
    assert defaults["batch"] == rows["batch"]
    for name in ("plots", "verbose", "save_json", "single_cls", "augment", "agnostic_nms", "download"):
        assert defaults[name] == ("on" if rows[name] == "True" else "off")


def test_every_problem_of_a_data_set_is_explained() -> None:
    told = ", ".join(cells[0] for cells in table_after(DATA, "What is wrong with it"))
    assert sorted(told.split(", ")) == sorted(Kind)


def test_the_columns_and_bounds_of_a_benchmark_are_explained() -> None:
    told = re.findall(r"`([^`]+)`", " ".join(cells[0] for cells in table_after(VAL, "Benchmark")))
    shown = {column.title for column in COLUMNS} - {"model", "MB"}
    assert {title for title in shown if not title.startswith("Δ")} == set(told) - {"Δ"}
    for precision, bound in BOUNDS.items():
        assert f"{bound:g} ({precision})".lstrip("0") in VAL
    assert f"`rounds` blocks ({BenchmarkArguments().rounds})" in VAL
