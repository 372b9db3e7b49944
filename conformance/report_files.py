"""Reports as files: one folder with the same findings for programs, CI servers, reviews and people."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from segkit.conformance.report import BackendReport, Image, Report, Row, read_report
from segkit.conformance.report_junit import junit_of
from segkit.conformance.report_markdown import markdown_of
from segkit.conformance.report_page import page_of
from segkit.core.errors import InputError, OutputError
from segkit.core.files import (
    absent_folders,
    check_new_folder,
    made_folder,
    merge,
    output_error,
    remove,
    remove_empty,
    sibling,
)
from segkit.core.inference.saving import write_text

JSON, JUNIT, MARKDOWN, PAGE = "report.json", "junit.xml", "report.md", "index.html"
PICTURES = "pictures"


def check_folder(folder: Path, formats: Iterable[str] = ()) -> None:
    """Refuse a folder that a report on these formats could not be written into, before anything is run. Nothing of the
    attempt stays.

    Raises:
        OutputError: as `write_reports`.
    """
    place = _absolute(folder)
    check_new_folder(folder, exist_ok=True)
    made = absent_folders(place)
    try:
        with made_folder(place):
            for name in (JSON, JUNIT, MARKDOWN, PAGE, *map(_log_of, formats)):
                if (place / name).is_dir():
                    raise OutputError(folder / name, "it is a folder, and the report has a file of that name")
            pictures = place / PICTURES
            if pictures.exists() and not pictures.is_dir():
                raise OutputError(folder / PICTURES, "it is a file, and the report has a folder of that name")
            for each in filter(Path.is_dir, (place, pictures, *(pictures / name for name in formats))):
                probe = sibling(each / "report")
                probe.mkdir()
                probe.rmdir()
    except OSError as error:
        raise output_error(folder, error) from error
    finally:
        remove_empty(made)


def write_reports(report: Report, source: Path, folder: Path) -> Report:
    """Write every form of a report into `folder`, whole or not at all; gives it back with what belongs to it where that
    is now.

    Args:
        report: what was found.
        source: folder that the paths of its pictures are relative to, with a log of each format.
        folder: made if it is not there. What an earlier report left in it goes, nothing else is touched.

    Raises:
        OutputError: it cannot be written; an earlier report is still there.
    """
    place = _absolute(folder)
    try:
        with made_folder(place):
            partial = sibling(place / place.name)  # not beside it: that may be another disk, or not allowed
            try:
                report = _written(report, source, partial)
                earlier = files_of(place / JSON)
                merge(partial, place)
            finally:
                remove(partial)
            remove_files(place, earlier - files_of(place / JSON))
    except OSError as error:
        raise output_error(folder, error) from error
    return report


def _written(report: Report, source: Path, folder: Path) -> Report:
    folder.mkdir()
    backends = (_with_log(_with_pictures(each, source, folder), source, folder) for each in report.backends)
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


def files_of(path: Path) -> set[PurePosixPath]:
    """The pictures and logs that a report.json names, relative to its folder; none where it is no report of ours."""
    try:
        report = read_report(path)
    except InputError:
        return set()
    named = [image.path for row in report.rows() for image in row.pictures]
    named += [backend.log for backend in report.backends if backend.log]
    # A file that somebody wrote by hand may name anything.
    return {name for name in map(PurePosixPath, named) if not name.is_absolute() and ".." not in name.parts}


def remove_files(folder: Path, names: Iterable[PurePosixPath]) -> None:
    """Remove files of a report, and the folders below `folder` that are empty then."""
    for name in names:
        with contextlib.suppress(OSError):
            (folder / name).unlink()
        remove_empty(folder / parent for parent in list(name.parents)[:-1])


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


def _with_log(backend: BackendReport, source: Path, folder: Path) -> BackendReport:
    """What pytest printed about a format that failed, with every traceback."""
    log = source / _log_of(backend.candidate.name)
    if backend.state != "failed" or not log.exists():
        return backend
    shutil.copyfile(log, folder / log.name)
    return replace(backend, log=log.name)


def _log_of(name: str) -> str:
    return f"{name}.log"


def _absolute(folder: Path) -> Path:
    return Path(os.path.abspath(folder))  # noqa: PTH100 - "." has no name, and links stay links
