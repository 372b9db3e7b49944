"""Pascal VOC: an XML file a picture with boxes, and pictures in which a pixel's value is the number of its object.

    Annotations/2007_000032.xml  JPEGImages/2007_000032.jpg  SegmentationObject/2007_000032.png

Value k of SegmentationObject is the k-th object of the XML file, 0 background, 255 an edge that counts as none.
Source: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from segkit.core.data.convert.drafts import Draft, Drawn, material_of, split_of
from segkit.core.data.convert.files import name_of, number, read_xml, side
from segkit.core.data.convert.places import FOLDERS, safe_name
from segkit.core.data.convert.pngs import IGNORED, read_indices, regions
from segkit.core.data.convert.records import Material
from segkit.core.data.description import SPLITS
from segkit.core.errors import SourceError
from segkit.core.images.files import PICTURE_SUFFIXES

BOXES, OBJECTS = "Annotations", "SegmentationObject"
SETS = ("ImageSets/Main", "ImageSets/Segmentation")
"""Folders of the lists of splits: those of the later count."""


def read_voc(source: Path, images: Path | None, names: Sequence[str] | None) -> Material:
    """The material of a folder. Where it has SegmentationObject, pictures without a mask there are left out.

    Raises:
        SourceError: none of its files is Pascal VOC's, a mask is of another size, or there is not one object.
    """
    folder = source / BOXES if (source / BOXES).is_dir() else source
    masks = source / OBJECTS if (source / OBJECTS).is_dir() else None
    skipped: Counter[str] = Counter()
    splits = _splits(source)
    drafts = []
    for file in sorted(folder.glob("*.xml")) or sorted(folder.rglob("*.xml")):
        try:
            root = read_xml(file)
        except SourceError:
            skipped["files that are not usable XML"] += 1
            continue
        draft = _draft(file, root, source, images, splits)
        if draft is None:
            skipped["XML files that are not Pascal VOC's"] += 1
        elif masks and not (masks / f"{file.stem}.png").is_file():
            skipped["pictures without a mask"] += 1
        else:
            named = [name_of(element.findtext("name")) for element in root.findall("object")]
            mask = masks / f"{file.stem}.png" if masks else None
            draft.objects = list(_outlined(mask, draft, named, skipped) if mask else _boxes(root, skipped))
            drafts.append(draft)
    if not drafts:
        raise SourceError(source, "it holds no annotations of Pascal VOC")
    return material_of(source, drafts, names, skipped)


def is_voc(root: Element) -> bool:
    """Whether an XML tree is Pascal VOC's of a picture."""
    return root.tag == "annotation" and root.find("size") is not None


def _splits(source: Path) -> dict[str, str]:
    """The split of each picture's stem, as the lists of the set say."""
    found: dict[str, str] = {}
    folders = [source / each for each in SETS if (source / each).is_dir()][-1:]
    for split in SPLITS:
        for file in (folder / f"{split}.txt" for folder in folders):
            if file.is_file():
                found.update(dict.fromkeys(file.read_text(encoding="utf-8", errors="replace").split(), split))
    return found


def _draft(file: Path, root: Element, source: Path, images: Path | None, splits: dict[str, str]) -> Draft | None:
    """What is said of a picture, and the picture: its name there may lack the suffix, or have another."""
    height, width = (side(number(root.findtext(f"size/{key}"))) for key in ("height", "width"))
    name = safe_name((root.findtext("filename") or "").replace("\\", "/").rpartition("/")[2])
    if not is_voc(root) or height is None or width is None or name is None:
        return None
    folders = [root_folder / each for root_folder in (source, file.parent, source.parent) for each in FOLDERS]
    names = [name, *(f"{file.stem}{suffix}" for suffix in PICTURE_SUFFIXES)]
    places = (folder / each for each in names for folder in ([images] if images else folders))
    path = next((place for place in places if place.is_file()), None)
    parent = file.parent.relative_to(source).as_posix().removeprefix(BOXES).lstrip("/.")
    split, name = split_of(f"{parent}/{path.name if path else name}".lstrip("/"))
    return Draft(name, (height, width), path, splits.get(file.stem, split))


def _boxes(root: Element, skipped: Counter[str]) -> Iterator[Drawn]:
    for element in root.findall("object"):
        label = name_of(element.findtext("name"))
        x1, y1, x2, y2 = (number(element.findtext(f"bndbox/{key}")) for key in ("xmin", "ymin", "xmax", "ymax"))
        if not label or not np.isfinite([x1, y1, x2, y2]).all():
            skipped["objects without a name or a box"] += 1
        else:
            yield Drawn(label, (), (x1 - 1, y1 - 1, x2, y2))  # pixels are counted from 1, the last one included


def _outlined(mask: Path, draft: Draft, named: Sequence[str], skipped: Counter[str]) -> Iterator[Drawn]:
    values = read_indices(mask, draft.size, draft.path)
    for value, parts in regions(values, connected=False):
        if value == IGNORED:
            continue
        if value > len(named) or not named[value - 1]:
            skipped["objects without a name"] += 1
        else:
            yield Drawn(named[value - 1], parts)
