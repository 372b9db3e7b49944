"""Where data sets are on this machine: the folders that names are looked for in, and what is found there.

A name ("coco128-seg.yaml", or "coco128-seg") is looked for in the folders of `SEGKIT_DATASETS` (several are divided as
those of PATH are), the working folder, its folder `datasets`, and the cache, in this order. In each it is
`coco128-seg/coco128-seg.yaml`, `coco128-seg.yaml` or `coco128-seg/data.yaml`.
"""

from __future__ import annotations

import os
from pathlib import Path

from segkit.core.data.description import SUFFIXES
from segkit.core.hub import cache_folder

FOLDER = "datasets"
"""Folder for data sets, below the working folder and in the cache."""

VARIABLE = "SEGKIT_DATASETS"


def dataset_folders() -> list[Path]:
    """Folders of data sets as the user's SEGKIT_DATASETS says; empty without it."""
    given = os.environ.get(VARIABLE, "")
    return [Path(os.path.abspath(os.path.expanduser(each))) for each in given.split(os.pathsep) if each.strip()]  # noqa: PTH100, PTH111 - never raises


def home() -> Path:
    """The folder that a data set is put into: the first of SEGKIT_DATASETS, else the one in the cache."""
    return next(iter(dataset_folders()), cache_folder() / FOLDER)


def find(name: str) -> Path | None:
    """The description of that name on this machine; None if it is nowhere."""
    stem = Path(name).stem if name.lower().endswith(SUFFIXES) else name
    for folder in searched():
        for place in (folder / stem / f"{stem}.yaml", folder / f"{stem}.yaml", folder / stem / "data.yaml"):
            if _is_file(place):
                return place
    return None


def searched() -> list[Path]:
    """Folders in which names are looked for; the working folder as it is now."""
    return list(dict.fromkeys([*dataset_folders(), Path(), Path(FOLDER), cache_folder() / FOLDER]))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
