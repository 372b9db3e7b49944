"""The folder that models are kept in, what is noted about each, and the lock while one is fetched."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from segkit.core.errors import ModelFileError, OutputError
from segkit.core.files import atomic_write
from segkit.core.notices import notice
from segkit.core.places import cache_folder as cache_folder  # it has always been here

WEIGHTS, ADDRESSES = "weights", "addresses"
"""Folders of the cache: for what has a name of its own, and for what is known by its address."""

LOCK_WAIT = 600.0
"""Seconds to wait for another process that is fetching the same file."""


def is_cached(path: Path) -> bool:
    """Whether a file was downloaded into the cache: nobody looks there for what is made from it."""
    whole_path = Path(os.path.abspath(path))  # noqa: PTH100 - links may lead anywhere
    return any(whole_path.is_relative_to(cache_folder() / part) for part in (WEIGHTS, ADDRESSES))


@dataclass(frozen=True)
class Record:
    """What is noted beside a file: where it came from, and which version of it this is.

    `address` is without its query, which may hold a password. `size` in bytes and `sha256` are None of a part of a file
    where they are not known yet. `etag` and `modified` are the server's words for the version, `fetched` is a date.
    """

    address: str = ""
    size: int | None = None
    sha256: str | None = None
    etag: str | None = None
    modified: str | None = None
    fetched: str = ""

    @property
    def validator(self) -> str | None:
        """What the server can tell this exact version by (RFC 9110, 13.1.5: no weak tag may stand there)."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified


def beside(target: Path, ending: str) -> Path:
    """'model.pt' and '.json' → 'model.pt.json' in the same folder."""
    return target.with_name(target.name + ending)


def read_record(path: Path) -> Record | None:
    """The record at `path`; None if there is none that makes sense."""
    try:
        values = json.loads(path.read_bytes())
        given: dict[str, Any] = {field.name: values[field.name] for field in fields(Record) if field.name in values}
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    record = Record(**given)
    texts = (record.address, record.sha256, record.etag, record.modified, record.fetched)
    sound = all(text is None or isinstance(text, str) for text in texts)
    return record if sound and (record.size is None or isinstance(record.size, int)) else None


def write_record(path: Path, record: Record) -> None:
    """Note `record` at `path`.

    Raises:
        OutputError: it cannot be written.
    """
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(asdict(record), indent=2) + "\n", encoding="utf-8")


def whole(target: Path) -> bool:
    """Whether `target` is in the cache: put there by hand, or fetched and not cut since."""
    record = read_record(beside(target, ".json"))
    try:
        return target.is_file() and (record is None or record.size in (None, target.stat().st_size))
    except OSError:
        return False


@contextlib.contextmanager
def locked(target: Path, name: str) -> Iterator[None]:
    """No other process or thread fetches `target` in the block; its folder exists.

    Raises:
        OutputError: the folder cannot be written to.
        ModelFileError: somebody else did not come to an end in LOCK_WAIT seconds.
    """
    from filelock import FileLock, Timeout

    path = beside(target, ".lock")
    lock = FileLock(path, thread_local=False)
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            minutes = f"{LOCK_WAIT / 60:g} minutes"
            notice(f"{name}: another process is downloading it; waiting for that, at most {minutes}")
            try:
                lock.acquire(timeout=LOCK_WAIT)
            except Timeout as error:
                problem = f"another process has been downloading it for {minutes}; '{path}' is its lock"
                raise ModelFileError(name, problem) from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def writing(target: Path) -> Iterator[None]:
    """An OSError in the block becomes the OutputError of a user whose cache, or other folder, cannot be written to."""
    try:
        yield
    except OSError as error:
        words = error.strerror or str(error)
        words = words[:1].lower() + words[1:]
        if target.is_relative_to(cache_folder()):
            words += f"; SEGKIT_CACHE names another folder to keep models in, now '{cache_folder()}'"
        raise OutputError(target, words) from error
