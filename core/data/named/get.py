"""Fetching data sets of the catalogue: downloaded in parts that are continued, unpacked aside, put in place as a whole.

What is on its way lies in one hidden folder beside the data set's own: whenever the process is killed, the data set is
there complete or not at all, and the next attempt goes on. `SEGKIT_DATASETS_URL` is a mirror: an address with `{name}`
in it, or one that ends before the name of the zip file.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence, Set
from pathlib import Path

from segkit.core.data.describing import description_text
from segkit.core.data.description import read_description
from segkit.core.data.named.entries import Entry, Part, entry
from segkit.core.data.named.places import VARIABLE, find, home
from segkit.core.data.named.unpack import unpack
from segkit.core.errors import ModelFileError, OptionError, OutputError, SourceError
from segkit.core.files import atomic_write, merge, output_error
from segkit.core.http import AddressError, is_address, is_offline, masked
from segkit.core.hub.cache import beside, locked, whole
from segkit.core.hub.download import Wanted, download
from segkit.core.hub.known import Identity
from segkit.core.notices import notice, size_of


def get(name: str, *, splits: Sequence[str] = ()) -> Path:
    """A data set of the catalogue on this machine, fetched or generated where it is not here; its description.

    It goes into the first folder of SEGKIT_DATASETS, else into the cache.

    Args:
        name: as in the catalogue, with or without ".yaml".
        splits: those that are wanted, e.g. only "val" of coco.yaml; all unless given.

    Raises:
        SourceError: no such data set, offline, or what came is not it.
        OptionError: it has no such split; or SEGKIT_DATASETS_URL is no address.
        OutputError: it cannot be written, or something else is in its place.
    """
    wanted = entry(name)
    _check_splits(wanted, splits)
    target = home() / wanted.stem
    description = target / wanted.name
    if found := _complete(wanted, splits, description):
        notice(f"{wanted.name}: it is here already, '{found}'")
        return found
    if wanted.parts and is_offline():
        problem = f"SEGKIT_OFFLINE forbids to download it; set {VARIABLE} to the folder that it is in"
        raise SourceError(wanted.name, problem)
    if os.path.lexists(target) and not description.is_file():
        raise OutputError(target, f"it is in the way, and is not {wanted.name}: move it, or choose another {VARIABLE}")
    try:
        with locked(target.with_name(f".{wanted.stem}"), wanted.name):
            if not _complete(wanted, splits, description):  # another process may have been faster
                _fetch(wanted, splits, target)
    except OSError as error:
        raise output_error(target, error) from error
    except ModelFileError as error:  # the lock's
        raise SourceError(wanted.name, error.problem) from None
    notice(f"{wanted.name}: it is in '{target}'")
    return description


def _check_splits(wanted: Entry, splits: Sequence[str]) -> None:
    for split in splits:
        if split not in wanted.splits:
            raise OptionError.invalid("split", split, f"{wanted.name} has {', '.join(wanted.splits)}")


def _complete(wanted: Entry, splits: Sequence[str], description: Path) -> Path | None:
    """The description that is here, if nothing is missing.

    One that lies elsewhere, or says something else than ours, is the user's own and is taken as it is, unless a split
    is asked for that it lacks.
    """
    found = description if description.is_file() else find(wanted.name)
    if found is None:
        return None
    here = read_description(found).splits
    ours = found == description and all(places == (wanted.splits.get(split),) for split, places in here.items())
    missing = [split for split in splits or wanted.splits if split not in here]
    if not missing or not (ours or splits):
        return found
    if not ours:
        raise SourceError(found, f"it has no split {', '.join(missing)}, and {wanted.name} is looked for there first")
    return None


def _fetch(wanted: Entry, splits: Sequence[str], target: Path) -> None:
    """Make the data set aside, then move it to `target`, or beside the splits that are there already."""
    description = target / wanted.name
    here = read_description(description).splits if description.is_file() else {}
    chosen = [split for split in wanted.splits if split in here or split in (splits or wanted.splits)]
    work = target.with_name(f".{wanted.stem}.download")
    made = work / "set"
    try:
        if not made.exists():  # what parts gave was moved away, or there are none yet
            _forget(work, made)
        made.mkdir(parents=True, exist_ok=True)
        if wanted.parts:
            _assemble(wanted, chosen, set(here), work, target)
        else:
            _generate(wanted, [split for split in chosen if split not in here], made)
        about = (f"{wanted.title}.", f"Source: {wanted.source}. Terms: {wanted.licence}.")
        text = description_text({split: wanted.splits[split] for split in chosen}, wanted.names, about)
        if here:
            merge(made, target)
            with atomic_write(description) as partial:  # last: until now it named what was there before
                partial.write_text(text, encoding="utf-8", newline="\n")
        else:
            (made / wanted.name).write_text(text, encoding="utf-8", newline="\n")
            made.replace(target)
        shutil.rmtree(work, ignore_errors=True)
    finally:
        if not any(work.glob("*.zip*")):  # nothing that the next attempt could go on with
            shutil.rmtree(work, ignore_errors=True)


def _assemble(wanted: Entry, chosen: Sequence[str], here: Set[str], work: Path, target: Path) -> None:
    """Download and unpack what the chosen splits need beside those that are here."""
    parts = [part for part in wanted.parts if set(part.splits) & set(chosen) and not set(part.splits) & here]
    _announce(wanted, parts, chosen, target)
    for part in parts:
        _add(wanted, part, work, work / "set")
    for split in chosen:
        place = wanted.splits[split]
        if split not in here and not any(_is_filled(folder / place) for folder in (work / "set", target)):
            _forget(work, work / "set")
            raise SourceError(wanted.name, f"what came is not this data set: it has no '{place}'")


def _forget(work: Path, made: Path) -> None:
    """Begin with unpacking again; what is downloaded stays."""
    shutil.rmtree(made, ignore_errors=True)
    for note in work.glob("*.done"):
        note.unlink()


def _announce(wanted: Entry, parts: Sequence[Part], chosen: Sequence[str], target: Path) -> None:
    size, unpacked = sum(part.bytes for part in parts), sum(part.unpacked for part in parts)
    notice(f"{wanted.name}: {wanted.title}; from {wanted.source}")
    notice(f"{wanted.name}: {wanted.licence}; segkit itself is Apache-2.0")
    splits = f", of it {' and '.join(chosen)}" if len(chosen) < len(wanted.splits) else ""
    notice(f"{wanted.name}: about {size_of(size)} in {len(parts)} file(s){splits} come into '{target}'")
    # A zip is removed when it is unpacked: only the largest one is there beside its contents.
    needed = unpacked + max(part.bytes for part in parts)
    if size and needed > (free := shutil.disk_usage(target.parent).free):
        raise OutputError(target, f"about {size_of(needed)} are needed there, and the disk has {size_of(free)} free")


def _add(wanted: Entry, part: Part, work: Path, made: Path) -> None:
    """Download and unpack one part. What it gave is moved into `made` when it is complete, and noted."""
    done, archive, aside = work / f"{part.name}.done", work / part.name, work / "unpacked"
    if done.exists():
        return
    if not whole(archive):
        _download(wanted, part, archive)
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        unpack(archive, aside, limit=2 * part.unpacked + (64 << 20), strip=part.strip)
    except SourceError as error:
        _remove(archive)
        raise SourceError(wanted.name, f"what came as {part.name} is thrown away: {error.problem}") from None
    (made / part.into).mkdir(parents=True, exist_ok=True)
    merge(aside, made / part.into)
    done.touch()
    _remove(archive)


def _remove(archive: Path) -> None:
    """A download and its record."""
    archive.unlink()
    beside(archive, ".json").unlink(missing_ok=True)


def _download(wanted: Entry, part: Part, archive: Path) -> None:
    address = _address(part)
    try:
        identities = (Identity(part.sha256, part.bytes),) if part.sha256 else ()
        origin = f"the published {part.name}"
        record = download(Wanted(part.name, address, archive, identities, origin, part.limit, "zip file"))
    except AddressError as error:
        way_out = f"or put the data set into a folder of {VARIABLE} by hand"
        raise SourceError(wanted.name, f"{error.problem} (from {masked(address)}); {way_out}") from error
    if not identities:
        notice(f"{part.name}: there is no SHA-256 on record to check it by; what came has {record.sha256}")


def _address(part: Part) -> str:
    """Where a part is; SEGKIT_DATASETS_URL stands for all others."""
    mirror = os.environ.get("SEGKIT_DATASETS_URL")
    if not mirror:
        return part.url
    if not is_address(mirror):
        words = "give an http(s) address, with {name} where the file's name belongs"
        raise OptionError.invalid("SEGKIT_DATASETS_URL", mirror, words)
    return mirror.replace("{name}", part.name) if "{name}" in mirror else f"{mirror.rstrip('/')}/{part.name}"


def _is_filled(place: Path) -> bool:
    return place.is_file() or (place.is_dir() and any(place.iterdir()))


def _generate(wanted: Entry, splits: Sequence[str], made: Path) -> None:
    from segkit.core.data.shapes.files import generate

    shutil.rmtree(made)  # what an attempt that was ended left
    made.mkdir()
    generate(made, {split: wanted.pictures[split] for split in splits})
