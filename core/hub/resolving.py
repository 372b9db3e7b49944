"""What a user gave as a model, as a file on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from segkit.core.errors import ModelFileError, did_you_mean, nearest
from segkit.core.files import expanded
from segkit.core.http import is_address


def resolve(model: str | Path) -> Path:
    """The file that `model` means: one that exists, else named weights or an address, from the cache or downloaded.

    Any other path is given back as it is, also if nothing is there: who opens it says so.

    Args:
        model: a path; the bare name of published weights such as "yolov8n-seg.pt"; an http(s) address.

    Raises:
        ModelFileError: it cannot be downloaded, is not what it should be, or its name is nearly that of known weights.
        OutputError: the cache cannot be written to.
        OptionError: a variable of the environment makes no sense.
    """
    text = str(model)
    if isinstance(model, str) and is_address(model):
        from segkit.core.hub.addresses import from_address

        return from_address(model)
    path = expanded(text)
    if "\0" in text or os.path.lexists(path) or path.suffix.lower() in (".yaml", ".yml"):
        return path
    return _named(path, text)


def _named(path: Path, text: str) -> Path:
    """Known weights; else `path`, where nothing is."""
    if text.lower().startswith(("http:", "https:")):
        raise ModelFileError(text, "give an address as text: as a Path it has lost a '/'")
    from segkit.core.hub.known import known

    names = known().weights
    bare = text == path.name
    if path.name in names:
        if not bare:
            raise ModelFileError(text, f"no such file or folder; '{path.name}' alone means the published weights")
        from segkit.core.hub.named import from_name

        return from_name(path.name)
    if bare and nearest(path.name, [*names, *_neighbours()]) in names:
        problem = "no such file or folder, nor published weights of that name."
        raise ModelFileError(text, problem + did_you_mean(path.name, names))
    return path


def _neighbours() -> list[str]:
    """Names in the working folder, one of which may be what was meant."""
    try:
        return [item.name for item in Path().iterdir()]
    except OSError:
        return []
