"""`cache=ram` and `cache=disk`: all pictures of a data set read and brought to size once, for all workers together."""

from __future__ import annotations

from segkit.core.data.augment.labelled import Labelled
from segkit.core.data.loading.fitting import SHARE, free_disk, free_memory
from segkit.core.data.loading.keeping import Kept, Layout, fill
from segkit.core.data.loading.on_disk import kept_on_disk, place_of
from segkit.core.data.loading.shared import Block
from segkit.core.errors import OptionError, OutputError
from segkit.core.hub.cache import writing
from segkit.core.images.batch import Picture
from segkit.core.notices import notice, size_of

KINDS = ("off", "ram", "disk")


def open_cache(kind: str, labelled: Labelled, side: int, processes: int = 1) -> Kept | None:
    """All pictures with their long sides at `side` pixels, exactly as they would be read from their files.

    Args:
        kind: off, ram or disk. The file of the latter is in segkit's cache folder; what is used of it stays in the
            system's memory as long as there is room, for all processes together.
        labelled: the pictures.
        side: in pixels.
        processes: of this machine that do the same: each of them takes the memory of `ram`.

    Returns:
        None for off, and, with a notice, where there is not enough room.

    Raises:
        OptionError: another kind.
        SourceError: a picture cannot be read any more.
    """
    if kind not in KINDS:
        raise OptionError.invalid("cache", kind, f"give one of {', '.join(KINDS)}")
    layout = Layout.of(labelled, side) if kind != "off" else None
    if layout is None:
        return None
    return _in_memory(labelled, layout, processes) if kind == "ram" else _on_disk(labelled, layout)


def _in_memory(labelled: Labelled, layout: Layout, processes: int) -> Kept | None:
    free = free_memory()
    if free is not None and layout.total * processes > SHARE * free:
        needs = size_of(layout.total) + (f" in each of {processes} processes" if processes > 1 else "")
        _declined("ram", needs, free, "of memory", "; cache=disk may")
        return None
    block = Block(layout.total)
    pixels = block.array("u1", (layout.total,))

    def keep(index: int, picture: Picture) -> None:
        start, end = layout.starts[index : index + 2].tolist()
        pixels[start:end] = picture.reshape(-1)

    present = fill(labelled, layout, keep, f"pictures to memory ({size_of(layout.total)})")
    return Kept(layout, present, block)


def _on_disk(labelled: Labelled, layout: Layout) -> Kept | None:
    path = place_of(labelled, layout.side)
    try:
        with writing(path):
            free = free_disk(path.parent)
            if not path.exists() and layout.total > SHARE * free:
                advice = "; SEGKIT_CACHE names another folder"
                _declined("disk", size_of(layout.total), free, f"at '{path.parent}'", advice)
                return None
        return kept_on_disk(labelled, layout, path)
    except OutputError as error:
        notice(f"cache=disk: {error} Pictures come from their files")
        return None


def _declined(kind: str, needs: str, free: int, where: str, advice: str) -> None:
    notice(f"cache={kind} needs {needs}, {size_of(free)} are free {where}: pictures come from their files{advice}")
