"""One file from an address into the cache: continued where it stopped, checked, and there as a whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from segkit.core.http import AddressError, Answer, opened
from segkit.core.hub.cache import Record, writing
from segkit.core.hub.known import Identity
from segkit.core.hub.partial import Partial
from segkit.core.hub.refusals import BEGINNING, check_beginning
from segkit.core.notices import notice, progress, size_of

if TYPE_CHECKING:
    from hashlib import _Hash

ATTEMPTS = 5
"""How often one call asks a server that stumbles."""

PAUSE = 1.0
"""Seconds before the second attempt; doubled for each further one."""

LONGEST_PAUSE = 60.0
"""Seconds; a server that asks for a longer wait ends the download."""

LIMIT = 8 << 30
"""Bytes; no model is larger. Files of other kinds have limits of their own."""

_PIECE = 1 << 18


@dataclass(frozen=True)
class Wanted:
    """A file to be fetched: its name for the user, its address, its place in the cache.

    If there are `identities` it must have one of them; `origin` ends a sentence that says where they are from. It is a
    `kind`, none of which has more than `limit` bytes.
    """

    name: str
    address: str
    target: Path
    identities: tuple[Identity, ...] = ()
    origin: str = ""
    limit: int = LIMIT
    kind: str = "model"

    @property
    def sizes(self) -> set[int]:
        """Those that it may have, in bytes; empty if any."""
        sizes = [identity.size for identity in self.identities]
        return set() if None in sizes else {size for size in sizes if size is not None}

    def refusal(self, problem: str) -> AddressError:
        """The error for an address that gives something else."""
        return AddressError(self.address, problem)


def download(wanted: Wanted) -> Record:
    """Fetch a file into its place. The caller holds its lock.

    Raises:
        AddressError: the server did not give it, or gave something else.
        OutputError: it cannot be written.
    """
    part = Partial(wanted.target, wanted.address, checked=bool(wanted.identities))
    with writing(wanted.target):
        for attempt in range(1, ATTEMPTS + 1):
            try:
                record = _attempt(wanted, part)
                part.finish(record)
                return record
            except AddressError as error:
                wait = PAUSE * 2 ** (attempt - 1) if error.wait is None else error.wait
                if not error.transient or attempt == ATTEMPTS or wait > LONGEST_PAUSE:
                    raise _with_hint(error, wanted, part) from error
                notice(f"{wanted.name}: {error.problem}; trying again in {wait:g} s")
                time.sleep(wait)
    raise AssertionError("the last attempt returns or raises")


def _attempt(wanted: Wanted, part: Partial) -> Record:
    """Get what is missing, and check the whole."""
    have, record = part.state()
    if have and have == record.size:
        digest = _digest_of(part.path)
    else:
        have, digest, record = _receive(wanted, part, have, record)
    found = digest.hexdigest()
    if wanted.identities and found not in {identity.sha256 for identity in wanted.identities}:
        part.discard()
        if have:
            notice(f"{wanted.name}: what was here of it does not fit together with the rest; starting again")
            return _attempt(wanted, part)
        raise wanted.refusal(f"what came is thrown away: its SHA-256 is {found}, which is not that of {wanted.origin}")
    today = datetime.now(UTC).date().isoformat()
    return Record(part.source, part.path.stat().st_size, found, record.etag, record.modified, today)


def _receive(wanted: Wanted, part: Partial, have: int, record: Record) -> tuple[int, _Hash, Record]:
    """Append what follows the first `have` bytes, or get everything if the server has another version or no ranges.

    Gives the number of bytes that were continued, the digest of the whole, and the record of its version.
    """
    headers = {"Range": f"bytes={have}-"} if have else {}
    if have and record.validator:
        headers["If-Range"] = record.validator
    with opened(wanted.address, headers, accept={416} if have else ()) as answer:
        if have and answer.status in (206, 416) and not _continues(answer, have, record):
            part.discard()
            return _receive(wanted, part, 0, Record(part.source))
        if answer.status == 206 and not have:
            raise wanted.refusal("the server sent a part of the file without being asked to")
        have = have if answer.status == 206 else 0
        pieces = _pieces(wanted, answer, have)
        if not have:
            record = part.begin(answer)
        digest = _digest_of(part.path) if have else hashlib.sha256()
        with part.path.open("ab" if have else "wb") as file, progress(wanted.name, record.size, have) as advance:
            for piece in pieces:
                file.write(piece)
                digest.update(piece)
                advance(len(piece))
            file.flush()
            os.fsync(file.fileno())
    return have, digest, record


def _pieces(wanted: Wanted, answer: Answer, have: int) -> Iterator[bytes]:
    """The bytes of an answer that begins with byte `have` of the file.

    What shows at once that it is not the file, or that there is no room for it, is refused before anything is written.
    """
    beginning, broken = (b"", None) if have else _beginning(answer)
    if not (have or broken):
        check_beginning(answer, beginning, wanted.kind)
    if answer.length is not None:
        _check_size(wanted, have + answer.length)
        if answer.length > shutil.disk_usage(wanted.target.parent).free:
            problem = f"the disk has no room for its {size_of(have + answer.length)}"
            raise OSError(errno.ENOSPC, problem)
    return _bounded(wanted, answer, have, beginning, broken)


def _beginning(answer: Answer) -> tuple[bytes, AddressError | None]:
    """Enough bytes to judge by, and the error that ended them before."""
    data = b""
    try:
        while len(data) < BEGINNING and (piece := answer.read(_PIECE)):
            data += piece
    except AddressError as error:
        return data, error
    return data, None


def _bounded(
    wanted: Wanted, answer: Answer, have: int, beginning: bytes, broken: AddressError | None
) -> Iterator[bytes]:
    """`beginning` and the rest of the answer, whose length is what the server announced, or one that is allowed."""
    count, most = have + len(beginning), max(wanted.sizes, default=wanted.limit)
    yield beginning
    if broken:
        raise broken
    while piece := answer.read(_PIECE):
        count += len(piece)
        if count > most:
            raise wanted.refusal(f"it gives more than {most} bytes")
        yield piece
    if wanted.sizes and count not in wanted.sizes:  # a server that announced no length: it may have been cut off
        raise AddressError(wanted.address, f"the connection ended after {count} bytes", transient=True)


def _check_size(wanted: Wanted, size: int) -> None:
    if wanted.sizes and size not in wanted.sizes:
        allowed = " or ".join(map(str, sorted(wanted.sizes)))
        raise wanted.refusal(f"it gives {size} bytes, not the {allowed} of {wanted.origin}")
    if size > wanted.limit:
        raise wanted.refusal(f"it gives {size_of(size)}; no {wanted.kind} is larger than {size_of(wanted.limit)}")


def _continues(answer: Answer, have: int, record: Record) -> bool:
    """Whether an answer is the rest of the same version."""
    begins = (answer.header("Content-Range") or "").startswith(f"bytes {have}-")
    same_tag = answer.header("ETag") in (None, record.etag)
    same_size = None in (record.size, answer.length) or have + (answer.length or 0) == record.size
    return answer.status == 206 and begins and same_tag and same_size


def _with_hint(error: AddressError, wanted: Wanted, part: Partial) -> AddressError:
    """The error, and what becomes of the bytes that have arrived."""
    have = 0 if error.status and not error.transient else part.state()[0]
    hint = f"; the {size_of(have)} that came are kept, and the same command goes on from there" if have else ""
    return AddressError(wanted.address, error.problem + hint, status=error.status)


def _digest_of(path: Path) -> _Hash:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256")
