"""The kinds of labels that can be converted, and how each is told by what is in it."""

from __future__ import annotations

from pathlib import Path

from segkit.core.data.convert.arguments import Kind
from segkit.core.data.convert.coco import is_coco
from segkit.core.data.convert.cvat import is_cvat
from segkit.core.data.convert.files import read_json, read_xml
from segkit.core.data.convert.labelme import is_labelme
from segkit.core.data.convert.masks import LOSSLESS, MASKS
from segkit.core.data.convert.places import by_stem
from segkit.core.data.convert.voc import BOXES, is_voc
from segkit.core.data.description import SUFFIXES, is_description
from segkit.core.errors import SourceError

KNOWN = (
    "a COCO JSON file or a folder with some, a folder of mask pictures, LabelMe's JSON files, CVAT's XML file for "
    "images, Pascal VOC's XML files, or a data.yaml"
)


def kind_of(source: Path, to: str | None = None) -> Kind:
    """What a file or folder is. Of two kinds in one folder, it is that which is not what is to be made.

    Raises:
        SourceError: it is not there, of no kind that is known, or of two.
    """
    if not source.exists():
        raise SourceError(source, "there is no such file or folder")
    found = _kind_of_folder(source, to) if source.is_dir() else _kind_of_file(source)
    if found is None:
        for path in sorted(path for suffix in ("json", "xml") for path in source.rglob(f"*.{suffix}"))[:3]:
            _kind_of_file(path)  # raises if that is why
        raise SourceError(source, f"it is nothing that can be converted: {KNOWN}")
    return found


def _kind_of_file(path: Path) -> Kind | None:
    suffix = path.suffix.lower()
    if is_description(path):
        return Kind.YOLO
    if suffix == ".json":
        document = read_json(path)
        return Kind.COCO if is_coco(document) else Kind.LABELME if is_labelme(document) else None
    if suffix == ".xml":
        root = read_xml(path)
        return Kind.CVAT if is_cvat(root) else Kind.VOC if is_voc(root) else None
    return None


def _kind_of_folder(folder: Path, to: str | None) -> Kind | None:
    told = [kind for test in (_described, _annotated) if (kind := test(folder)) and kind != to]
    if len(told) > 1:
        raise SourceError(folder, f"it holds labels of two kinds, {told[0]} and {told[1]}; say from which to convert")
    return told[0] if told else _masked(folder)


def _described(folder: Path) -> Kind | None:
    return Kind.YOLO if any(each.suffix.lower() in SUFFIXES for each in folder.iterdir()) else None


def _annotated(folder: Path) -> Kind | None:
    """By the first JSON or XML file that says it."""
    if (folder / BOXES).is_dir() and any((folder / BOXES).glob("*.xml")):
        return Kind.VOC
    for place in (folder, folder / "annotations", folder / BOXES):
        for pattern in ("*.json", "*.xml"):
            for path in sorted(place.glob(pattern))[:3]:
                if kind := _quietly(path):
                    return kind
    deeper = (path for suffix in ("json", "xml") for path in sorted(folder.rglob(f"*.{suffix}"))[:3])
    return next((kind for path in deeper if (kind := _quietly(path))), None)


def _quietly(path: Path) -> Kind | None:
    try:
        return _kind_of_file(path)
    except SourceError:
        return None


def _masked(folder: Path) -> Kind | None:
    """Mask pictures; one folder of them a picture where they are nested and pictures of those names are beside them."""
    root = next((folder / each for each in MASKS if (folder / each).is_dir()), folder)
    masks = by_stem(root, LOSSLESS)
    if not masks:
        return Kind.MASKS if root != folder and by_stem(root, (".jpg", ".jpeg")) else None
    beside = folder if root != folder else folder.parent
    pictures = by_stem(beside / "images") if (beside / "images").is_dir() else {}
    nested = [stem.rpartition("/")[0] for stem in masks]
    return Kind.INSTANCES if pictures and all(parent in pictures for parent in nested) else Kind.MASKS
