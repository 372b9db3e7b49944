"""Published weights by their name."""

from __future__ import annotations

from pathlib import Path

from segkit.core.errors import ModelFileError
from segkit.core.http import AddressError, is_offline, masked
from segkit.core.hub.cache import WEIGHTS, Record, beside, cache_folder, locked, read_record, whole
from segkit.core.hub.download import Wanted, download
from segkit.core.hub.known import Identity, addresses_of, known
from segkit.core.notices import notice


def from_name(name: str) -> Path:
    """The file of known weights in the cache, downloaded if it is not there.

    Raises:
        ModelFileError: it cannot be downloaded, or what came is not what it should be.
        OutputError: the cache cannot be written to.
        OptionError: a variable of the environment makes no sense.
    """
    target = cache_folder() / WEIGHTS / name
    if whole(target):
        return target
    if is_offline():
        problem = "it is neither in the working folder nor in the cache, and SEGKIT_OFFLINE forbids to download it"
        raise ModelFileError(name, f"{problem}; put the file at '{target}' or into the working folder")
    addresses = addresses_of(name)
    with locked(target, name):
        if whole(target):  # another process was faster
            return target
        record = _from_first(name, target, addresses)
        if not known().weights[name]:
            words = "its SHA-256 could not be checked, because none is on record; what came has"
            notice(f"{name}: {words} {record.sha256}, and a later download must have the same")
    return target


def _from_first(name: str, target: Path, addresses: list[str]) -> Record:
    """Download from the first address that has the file."""
    table = known()
    identities, origin = _expected(name, target)
    notice(f"{name}: not here yet; downloading {masked(addresses[0])} into '{target.parent}'")
    terms = f"by {table.owner} under {table.licence}, and so is what is exported from it"
    notice(f"{name}: {terms}; segkit itself is Apache-2.0")
    for address in addresses:
        try:
            return download(Wanted(name, address, target, identities, origin))
        except AddressError as error:
            if error.status in (404, 410) and address != addresses[-1]:
                continue
            way_out = f"the file can also be put into the working folder or at '{target}' by hand"
            raise ModelFileError(name, f"{error.problem} (from {masked(address)}); {way_out}") from error
    raise AssertionError("there is always an address")


def _expected(name: str, target: Path) -> tuple[tuple[Identity, ...], str]:
    """What the file must be, and who says so: the table, else an earlier download."""
    if identities := known().weights[name]:
        return identities, f"a known release of {name}"
    note = beside(target, ".json")
    earlier = read_record(note)
    if earlier is None or earlier.sha256 is None:
        return (), ""
    origin = f"the file that was downloaded on {earlier.fetched}; delete '{note}' if the new one is right"
    return (Identity(earlier.sha256, earlier.size),), origin
