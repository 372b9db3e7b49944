"""A title with labelled facts below it: what inspect, compare and doctor print."""

from __future__ import annotations

from collections.abc import Iterable

from segkit.cli.output import Output
from segkit.core.notices import visible

WIDTH, WIDEST = 13, 24
"""Columns of the labels: at least, and at most."""


def show_facts(output: Output, title: str, facts: Iterable[tuple[str, str]]) -> None:
    """The title, and every fact beside its label: wrapped on a terminal, one line each elsewhere. Nothing for none."""
    rows = [(visible(label), visible(text)) for label, text in facts]
    if not rows:
        return
    output.block(visible(title))
    width = min(max(WIDTH, *(len(label) for label, _ in rows)), WIDEST)
    if not output.text.isatty():
        for label, text in rows:
            output.line(f"  {label:{width}} {text}")
        return
    from rich.table import Table

    grid = Table.grid(padding=(0, 1), pad_edge=False)
    grid.add_column(width=width + 2)
    grid.add_column(overflow="fold")
    for label, text in rows:
        grid.add_row(f"  {label}", text)
    output.show(grid)
