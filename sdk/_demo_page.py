"""The demo as one page: a single file without scripts, whose pictures are in it and which links to nothing."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from string import Template

from segkit._demo_arguments import MODEL
from segkit._demo_pictures import LABELLED
from segkit._demo_report import COLUMNS, DemoReport, DemoRow
from segkit.core.inference.saving import write_text

TEMPLATE = Path(__file__).with_name("demo_page.html")
KINDS = {".jpg": "jpeg", ".png": "png"}
CURVES = Path("train", "results.png")


def write_demo(report: DemoReport) -> None:
    """Write the page, and the figures beside it as JSON.

    Raises:
        OutputError: they cannot be written.
    """
    figures = json.dumps(report.to_plain(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(report.page.with_suffix(".json"), figures)
    write_text(report.page, page_of(report))


def page_of(report: DemoReport) -> str:
    """The page. Every text in it is escaped."""
    works = [row for row in report.rows if row.works]
    others = [row for row in report.rows if not row.works]
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        verdict=escape(report.verdict),
        state="good" if report.reached else "bad",
        formats=len(works),
        model=escape(MODEL),
        size=f"{(report.rows[0].row.size or 0) / 1e6:.2f}",
        learned=report.args.pictures,
        held_out=report.args.held_out,
        epochs=report.args.epochs,
        imgsz=report.args.imgsz,
        seed=report.args.seed,
        steps="".join(f"<li>{escape(step)} <span>{value:.0f} s</span></li>" for step, value in report.seconds.items()),
        head="".join(f"<th>{escape(column.title)}</th>" for column in COLUMNS),
        rows="".join(_row(row) for row in works),
        others=_others(others),
        curves=_curves(report.folder / CURVES, "Losses and scores over the epochs"),
        pictures="".join(_pictures(report)),
        machine=_facts(report.machine),
        commands=escape("\n".join(report.commands)),
    )


def _row(row: DemoRow) -> str:
    first, *rest = (escape(column.text(row)) for column in COLUMNS)
    return f'<tr><th scope="row">{first}</th>' + "".join(f"<td>{text or '–'}</td>" for text in rest) + "</tr>\n"


def _others(rows: Iterable[DemoRow]) -> str:
    items = [f"<dt>{escape(row.row.name)} ({row.state})</dt><dd>{escape(row.reason)}</dd>" for row in rows]
    return f"<h3>Not here</h3><dl>{''.join(items)}</dl>" if items else ""


def _pictures(report: DemoReport) -> Iterable[str]:
    for shown in report.shown:
        figures = []
        for title, path in shown.drawn.items():
            count = shown.counts[title]
            caption = f"<b>{escape(title)}</b> {count} object{'' if count == 1 else 's'}"
            kind = "truth" if title == LABELLED else "seen"
            image = _image(path, f"{shown.name}: {title}")
            figures.append(f'<figure class="{kind}">{image}<figcaption>{caption}</figcaption></figure>')
        yield f'<div class="row">{"".join(figures)}</div>\n'


def _curves(path: Path, title: str) -> str:
    return f'<figure class="curves">{_image(path, title)}</figure>' if path.exists() else "<p>No curves were drawn.</p>"


def _image(path: Path, title: str) -> str:
    """The picture as a part of the page."""
    data = b64encode(path.read_bytes()).decode("ascii")
    return f'<img alt="{escape(title)}" src="data:image/{KINDS[path.suffix]};base64,{data}">'


def _facts(facts: Mapping[str, str]) -> str:
    return "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>\n' for name, text in facts.items()
    )
