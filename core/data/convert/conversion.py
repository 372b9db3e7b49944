"""One function from labels of any known kind to a YOLO data set or to COCO's JSON: whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from segkit.core.data.convert.arguments import AUTO, TARGETS, Kind
from segkit.core.data.convert.coco import read_coco
from segkit.core.data.convert.cvat import read_cvat
from segkit.core.data.convert.kinds import kind_of
from segkit.core.data.convert.labelme import read_labelme
from segkit.core.data.convert.masks import read_masks
from segkit.core.data.convert.places import given_folder
from segkit.core.data.convert.records import Material, Report
from segkit.core.data.convert.voc import read_voc
from segkit.core.data.convert.write_coco import write_coco
from segkit.core.data.convert.write_yolo import Written, write_yolo
from segkit.core.data.convert.yolo import read_yolo
from segkit.core.data.description import SUFFIXES
from segkit.core.errors import OptionError, OutputError, SourceError, did_you_mean
from segkit.core.files import atomic_write, expanded, new_folder

_ADVICE = "choose another name, or give exist_ok to write into it"


def convert(
    source: str | Path,
    target: str | Path,
    *,
    to: str | None = None,
    kind: str = AUTO,
    images: str | Path | None = None,
    names: Sequence[str] | None = None,
    label: str | None = None,
    least: int = 1,
    copy: bool = False,
    exist_ok: bool = False,
) -> Report:
    """Convert labels. Pictures are linked into the target, unless they are to be copied; the source is never changed.

    Args:
        source: COCO's JSON or a folder with some, a folder of mask pictures, LabelMe's JSON files, CVAT's XML file for
            images, Pascal VOC's folder, or a data.yaml or its folder.
        target: the folder to make. For COCO it gets annotations/instances_<split>.json and images/<split>; or a .json
            file, for one split, which gets no pictures.
        to: "yolo" or "coco"; by itself coco for a data.yaml, and yolo for everything else.
        kind: "coco", "masks" (pixels are classes), "instances" (pixels are objects), "labelme", "cvat", "voc", "yolo";
            or "auto", by content. Nothing in them tells classes from objects: masks are taken for classes.
        images: folder of the pictures, where they are not beside the labels.
        names: class names in the order of their indices; what has none of these is left out.
        label: the class of all objects (instances).
        least: pixels that a region of a mask must have.
        copy: copy pictures instead of linking to them.
        exist_ok: write into a folder that is not empty, or over a file.

    Returns:
        What was written and what was left out, with reasons.

    Raises:
        SourceError: the source is missing, damaged, of no known kind, or has nothing in it to convert; a mask is of
            another size than its picture.
        OptionError: an option is unknown, or does not go with that kind.
        OutputError: the target exists, or cannot be written; nothing is left half-written then.
    """
    source, target = expanded(source), expanded(target)
    _check(kind, to, names, least)
    found = kind_of(source, to) if kind == AUTO else Kind(kind)
    if not source.exists():
        raise SourceError(source, "there is no such file or folder")
    if label is not None and found != Kind.INSTANCES:
        raise OptionError.invalid("class", label, f"only objects of instance masks are given one, not of {found}")
    if least != 1 and found not in (Kind.MASKS, Kind.INSTANCES):
        raise OptionError.invalid("least", least, f"only regions of masks are left out by their size, not of {found}")
    to = to or ("coco" if found == Kind.YOLO else "yolo")
    if to == found:
        raise OptionError.invalid("to", to, "the source is that already")
    material = _read(source, found, given_folder(images), names, label, least)
    written = _write(material, source, target, to, copy=copy, exist_ok=exist_ok)
    objects = {material.names[index]: count for index, count in sorted(written.objects.items())}
    skipped = dict(sorted(material.skipped.items()))
    pictures = dict(written.pictures)
    return Report(source, target, found, to, material.names, pictures, objects, written.empty, written.linked, skipped)


def _check(kind: str, to: str | None, names: Sequence[str] | None, least: int) -> None:
    if kind != AUTO and kind not in list(Kind):
        known = [AUTO, *Kind]
        raise OptionError(f"Unknown kind of labels '{kind}'.{did_you_mean(kind, known)} Known: {', '.join(known)}.")
    if to is not None and to not in TARGETS:
        raise OptionError.invalid("to", to, "yolo or coco is wanted")
    if names is not None and (not names or len(set(names)) < len(names) or not all(names)):
        raise OptionError.invalid("names", list(names), "class names, each of them once, are wanted")
    if least < 1:
        raise OptionError.invalid("least", least, "a number of pixels from 1 on is wanted")


def _read(
    source: Path, kind: Kind, images: Path | None, names: Sequence[str] | None, label: str | None, least: int
) -> Material:
    if names is not None and kind in (Kind.COCO, Kind.YOLO):
        raise OptionError.invalid("names", list(names), f"labels of the kind {kind} have names of their own")
    match kind:
        case Kind.COCO:
            return read_coco(_coco_files(source), images)
        case Kind.LABELME:
            return read_labelme(source, images, names)
        case Kind.CVAT:
            return read_cvat(_only(source, "*.xml"), images, names)
        case Kind.VOC:
            return read_voc(source if source.is_dir() else source.parent, images, names)
        case Kind.YOLO:
            return read_yolo(_only(source, *(f"*{suffix}" for suffix in SUFFIXES)))
    return read_masks(source, images, names, instances=kind == Kind.INSTANCES, label=label, least=least)


def _coco_files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    for folder in (source / "annotations", source):
        files = sorted(folder.glob("instances*.json")) or sorted(folder.glob("*.json"))
        if files:
            return files
    if files := sorted(source.glob("*/*.json")):  # train/_annotations.coco.json
        return files
    raise SourceError(source, "there is no JSON file in it")


def _only(source: Path, *patterns: str) -> Path:
    """The one file of its kind in a folder."""
    if source.is_file():
        return source
    found = sorted(path for pattern in patterns for path in source.glob(pattern))
    if len(found) != 1:
        listed = f"{len(found)}: {', '.join(path.name for path in found[:3])}" if found else "none"
        raise SourceError(source, f"one file {' or '.join(patterns)} is expected in it; there are {listed}")
    return found[0]


def _write(material: Material, source: Path, target: Path, to: str, *, copy: bool, exist_ok: bool) -> Written:
    if target.suffix.lower() == ".json":
        return _write_file(material, source, target, to, copy=copy, exist_ok=exist_ok)
    with new_folder(target, exist_ok=exist_ok, advice=_ADVICE) as folder:
        if to == "yolo":
            return _filled(write_yolo(material, folder, copy=copy), material, source)
        (folder / "annotations").mkdir()
        files = {s: folder / "annotations" / f"instances_{s}.json" for s in material.splits}
        folders = {split: folder / "images" / split for split in material.splits}
        return _filled(write_coco(material, files, folders, copy=copy), material, source)


def _filled(written: Written, material: Material, source: Path) -> Written:
    """The same, unless nothing was written: which is an error as long as the target can be taken back."""
    if not written.pictures:
        left_out = f" ({', '.join(f'{count} {reason}' for reason, count in material.skipped.items())})"
        raise SourceError(source, f"it has no picture that can be converted{left_out if material.skipped else ''}")
    return written


def _write_file(material: Material, source: Path, target: Path, to: str, *, copy: bool, exist_ok: bool) -> Written:
    if copy:
        raise OptionError.invalid("copy", copy, "a JSON file has no room for pictures; give a folder")
    if to == "yolo":
        raise OutputError(target, "a folder is made, and this is the name of a JSON file; give to=coco for one")
    if len(material.splits) > 1:
        raise OutputError(target, f"there are {len(material.splits)} splits; give a folder for a file of each")
    if os.path.lexists(target) and not exist_ok:
        raise OutputError(target, f"it exists; {_ADVICE}")
    with atomic_write(target) as partial:
        return _filled(write_coco(material, dict.fromkeys(material.splits, partial)), material, source)
