"""Reports as files: one folder with the same findings for programs, CI servers, reviews and people."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from segkit.conformance.report import BackendReport, Image, Report, Row
from segkit.conformance.report_junit import junit_of
from segkit.conformance.report_markdown import markdown_of
from segkit.conformance.report_page import page_of
from segkit.core.files import output_error
from segkit.core.inference.saving import write_text

JSON, JUNIT, MARKDOWN, PAGE = "report.json", "junit.xml", "report.md", "index.html"
PICTURES = "pictures"


def write_reports(report: Report, pictures: Path, folder: Path) -> Report:
    """Write every form of a report into `folder`; gives it back with its pictures where they are now.

    Args:
        report: what was found.
        pictures: folder that the paths of its pictures are relative to.
        folder: made if it is not there; files of an earlier report are replaced, nothing else is touched.

    Raises:
        OutputError: they cannot be written.
    """
    try:
        backends = [_with_pictures(backend, pictures, folder) for backend in report.backends]
    except OSError as error:
        raise output_error(folder, error) from error
    report = replace(report, backends=tuple(backends))
    texts = {JUNIT: junit_of(report), MARKDOWN: markdown_of(report), PAGE: page_of(report, folder)}
    for name, text in texts.items():
        write_text(folder / name, text)
    write_json(report, folder / JSON)
    return report


def write_json(report: Report, path: Path) -> None:
    """Write the document of a report.

    Raises:
        OutputError: it cannot be written.
    """
    write_text(path, json.dumps(report.to_plain(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def keep_picture(report: Path, name: str, noted: Mapping[str, str]) -> Image | None:
    """Copy a picture that a test noted to a folder beside the report; None if it is not there."""
    source = Path(noted["path"])
    target = report.with_name(f"{report.stem}-{PICTURES}") / f"{name}{source.suffix}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    except OSError:  # a report without a picture beats none
        return None
    return Image(noted["title"], target.relative_to(report.parent).as_posix())


def _with_pictures(backend: BackendReport, source: Path, folder: Path) -> BackendReport:
    def moved(row: Row) -> Iterator[Image]:
        for image in row.pictures:
            path = Path(PICTURES, backend.candidate.name, Path(image.path).name)
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / image.path, folder / path)
            yield Image(image.title, path.as_posix())

    return replace(backend, rows=tuple(replace(row, pictures=tuple(moved(row))) for row in backend.rows))
