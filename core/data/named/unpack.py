"""Unpacking a zip file that a stranger made: only plain files, only below the folder, only as much as was expected."""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from segkit.core.errors import SourceError
from segkit.core.files import file_name_of
from segkit.core.notices import progress, size_of

MEMBERS = 500_000
"""Files that a zip may hold."""

_PIECE = 1 << 20
_IGNORED = {"__MACOSX", ".DS_Store", "Thumbs.db"}
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_ENCRYPTED = 0x1


def unpack(archive: Path, folder: Path, *, limit: int, strip: str = "", label: str = "") -> int:
    """Unpack a zip file into an existing folder and give the number of files. All members are judged before the first
    is written; permissions and links of the archive are not taken over.

    Args:
        archive: the file.
        folder: where to; files that are there already are replaced.
        limit: bytes that all members may have together; what is really written counts, not what the archive claims.
        strip: folder at the top of the archive that is left out.
        label: name of the file for the user.

    Raises:
        SourceError: it is no zip file, damaged, larger than expected, or a member has no place in the folder.
        OSError: a file cannot be written.
    """
    label = label or archive.name
    try:
        with zipfile.ZipFile(archive) as opened:
            members = list(_judged(opened, strip, label, limit))
            with progress(f"unpacking {label}", len(members), unit="files") as advance:
                for member, place in members:
                    limit -= _write(opened, member, folder / place, limit, label)
                    advance(1)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeError) as error:
        raise SourceError(label, f"it is no whole zip file ({' '.join(str(error).split())[:120]})") from None
    return len(members)


def _judged(opened: zipfile.ZipFile, strip: str, label: str, limit: int) -> Iterator[tuple[zipfile.ZipInfo, str]]:
    """Files and their places."""
    members = opened.infolist()
    if len(members) > MEMBERS:
        raise SourceError(label, f"it holds {len(members)} files, more than any data set with a name")
    if (total := sum(member.file_size for member in members)) > limit:
        raise _too_large(label, total, limit)
    seen: set[str] = set()
    for member in members:
        parts = member.filename.rstrip("/").split("/")
        if _IGNORED & set(parts):
            continue
        problem = _problem(member, parts)
        place = "/".join(parts[1:] if strip and parts[0] == strip else parts)
        if not (problem or member.is_dir()) and place.lower() in seen:
            problem = "is there twice"
        if problem:
            raise SourceError(label, f"its member {member.filename[:120]!r} {problem}; nothing was unpacked")
        if place and not member.is_dir():
            seen.add(place.lower())
            yield member, place


def _problem(member: zipfile.ZipInfo, parts: list[str]) -> str | None:
    """What speaks against a member, as the end of a sentence."""
    mode = member.external_attr >> 16
    if any(part != file_name_of(part) for part in parts):  # "..", "", "C:", backslashes and names of devices among them
        return "has a name that leads elsewhere or that not every system has"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if member.flag_bits & _ENCRYPTED:
        return "is encrypted"
    return None if member.compress_type in _METHODS else "is compressed in a way that is not known here"


def _write(opened: zipfile.ZipFile, member: zipfile.ZipInfo, place: Path, limit: int, label: str) -> int:
    """Write one file, and give its size."""
    place.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with opened.open(member) as source, place.open("wb") as file:
        while piece := source.read(_PIECE):
            count += len(piece)
            if count > limit:
                raise _too_large(label, count, limit)
            file.write(piece)
    return count


def _too_large(label: str, total: int, limit: int) -> SourceError:
    return SourceError(label, f"unpacked it has {size_of(total)} or more, where {size_of(limit)} at most were expected")
