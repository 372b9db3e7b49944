"""Models at an http(s) address."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

from segkit.core.errors import ModelFileError, SegkitError
from segkit.core.http import AddressError, is_offline, masked, name_in, opened
from segkit.core.hub.cache import ADDRESSES, Record, beside, cache_folder, locked, read_record, whole
from segkit.core.hub.download import Wanted, download
from segkit.core.hub.known import Identity
from segkit.core.notices import notice

_DIGEST = re.compile(r"sha256=([0-9a-fA-F]{64})")


def from_address(given: str) -> Path:
    """The file at an address, from the cache unless the server says that it changed; offline always from the cache.

    Args:
        given: an http(s) address. `#sha256=` with 64 hex digits at its end says what the file must be; such a file
            cannot change, and the server is asked no more once it is here.

    Raises:
        ModelFileError: it is not in the cache and cannot be downloaded, or is not what it should be.
        OutputError: the cache cannot be written to.
    """
    address, digest = _split(given)
    target = _place(address)
    record = _kept(target)
    if record and digest in (None, record.sha256) and (digest or is_offline() or _is_current(address, record)):
        return target
    if is_offline():
        problem = f"it is not in the cache '{cache_folder()}', and SEGKIT_OFFLINE forbids to download it"
        raise ModelFileError(masked(given), f"{problem}; download it yourself and give the file")
    try:
        with locked(target, target.name):
            now = _kept(target)
            if now and now != record and digest in (None, now.sha256):  # another process was faster
                return target
            return _download(given, address, target, digest)
    except SegkitError as error:
        if record is None or digest is not None:
            raise
        notice(f"{error} The one downloaded on {record.fetched} is used.")
        return target


def _download(given: str, address: str, target: Path, digest: str | None) -> Path:
    identities = (Identity(digest),) if digest else ()
    notice(f"{target.name}: downloading {masked(address)} into '{target.parent}'")
    try:
        record = download(Wanted(target.name, address, target, identities, "the digest in its address"))
    except AddressError as error:
        raise ModelFileError(masked(given), error.problem) from error
    if not digest and address.lower().startswith("http:"):
        words = "it came over plain http, where anybody on the way can change it; to have it checked, add"
        notice(f"{target.name}: {words} #sha256={record.sha256} to its address")
    return target


def _is_current(address: str, record: Record) -> bool:
    """Whether the server still has the version that is here; one that cannot be asked is taken to have it."""
    headers = {"If-None-Match": record.etag, "If-Modified-Since": record.modified}
    try:
        given = {name: value for name, value in headers.items() if value}
        with opened(address, given, accept={304}) as answer:
            same_tag = record.etag is not None and answer.header("ETag") == record.etag
            return answer.status == 304 or same_tag or (not given and answer.length in (None, record.size))
    except AddressError as error:
        notice(f"{name_in(address)}: {error.problem}; the one downloaded on {record.fetched} is used")
        return True


def _kept(target: Path) -> Record | None:
    return read_record(beside(target, ".json")) if whole(target) else None


def _place(address: str) -> Path:
    """A folder for the address as a whole, and in it the name it ends with: results are called after that."""
    name = re.sub(r"[^\w.+() -]", "_", name_in(address))
    # A name may have 255 bytes, and those of the files beside it are longer.
    name = name.encode()[-150:].decode(errors="ignore").strip(". ") or "model"
    return cache_folder() / ADDRESSES / sha256(address.encode()).hexdigest()[:16] / name


def _split(given: str) -> tuple[str, str | None]:
    """Address and digest.

    Raises:
        ModelFileError: something else than a digest follows the '#'.
    """
    address, _, fragment = given.partition("#")
    if not fragment:
        return address, None
    found = _DIGEST.fullmatch(fragment)
    if not found:
        raise ModelFileError(masked(given), "after '#' only sha256= with 64 hex digits is understood")
    return address, found[1].lower()
