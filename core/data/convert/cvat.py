"""CVAT's XML "for images 1.1": polygons, boxes and masks of many pictures in one file.

Source: https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from segkit.core.data.convert.drafts import Draft, Drawn, material_of, split_called
from segkit.core.data.convert.files import name_of, number, read_xml, side
from segkit.core.data.convert.places import FOLDERS, safe_name
from segkit.core.data.convert.records import Material
from segkit.core.data.convert.shapes import ellipse, rotated
from segkit.core.data.description import SPLITS
from segkit.core.data.tracing import Points, trace
from segkit.core.errors import SourceError

_SHAPELESS = ("skeleton", "points", "polyline", "tag", "cuboid")

_META = {"tag"}
"""Children of a picture that are no objects."""


def read_cvat(source: Path, images: Path | None, names: Sequence[str] | None) -> Material:
    """The material of such a file. Without `names` the classes are those of its list of labels, in its order.

    Raises:
        SourceError: it is no such file, or holds no object that can be converted.
    """
    root = read_xml(source)
    if not is_cvat(root):
        raise SourceError(source, "it is no CVAT file for images: annotations with images are expected")
    skipped: Counter[str] = Counter()
    drafts = []
    for element in root.iter("image"):
        draft = _draft(element, source, images)
        if draft is None:
            skipped["pictures without a usable name, width and height"] += 1
        else:
            draft.objects = list(_objects(element, skipped))
            drafts.append(draft)
    if not drafts and root.find("track") is not None:
        raise SourceError(source, "it is of a video; export the task as 'CVAT for images 1.1'")
    labels = [name_of(label.findtext("name")) for label in root.findall("meta//label") if _is_class(label)]
    return material_of(source, drafts, names or list(dict.fromkeys(filter(None, labels))) or None, skipped)


def _is_class(label: Element) -> bool:
    """Whether objects with an outline or a box can have a label: those of a skeleton's points cannot."""
    return label.find("parent") is None and label.findtext("type") not in _SHAPELESS


def is_cvat(root: Element) -> bool:
    """Whether an XML tree is CVAT's, for images: that for videos has tracks."""
    return root.tag == "annotations" and (root.find("image") is not None or root.find("meta") is not None)


def _draft(element: Element, source: Path, images: Path | None) -> Draft | None:
    name = safe_name(element.get("name", ""))
    height, width = (side(number(element.get(key))) for key in ("height", "width"))
    if name is None or height is None or width is None:
        return None
    folders = [images] if images else [source.parent / each for each in FOLDERS]
    path = next((folder / name for folder in folders if (folder / name).is_file()), None)
    return Draft(name, (height, width), path, split_called(element.get("subset") or "") or SPLITS[0])


def _objects(picture: Element, skipped: Counter[str]) -> Iterator[Drawn]:
    groups: dict[tuple[str, str], list[Points]] = {}
    for place, shape in enumerate(picture):
        if shape.tag in _META:
            continue
        label, group = name_of(shape.get("label")), shape.get("group_id", "0")
        if not label:
            skipped["shapes without a label"] += 1
        elif shape.tag == "box" and not number(shape.get("rotation", "0")):
            box = [number(shape.get(key)) for key in ("xtl", "ytl", "xbr", "ybr")]
            if np.isfinite(box).all():
                yield Drawn(label, (), box)
            else:
                skipped["shapes with damaged points"] += 1
        else:
            parts = _parts(shape)
            if isinstance(parts, str):
                skipped[parts] += 1
            else:
                key = group if group not in ("", "0") else f"alone {place}"
                groups.setdefault((label, key), []).extend(parts)
    yield from (Drawn(label, parts) for (label, _), parts in groups.items())


def _parts(shape: Element) -> Sequence[Points] | str:
    """The outlines of a shape, or what to call it where it has none."""
    if shape.tag == "polygon":
        pairs = [pair.split(",") for pair in shape.get("points", "").split(";")]
        points = np.array([[number(x) for x in pair] for pair in pairs if len(pair) == 2]).reshape(-1, 2)
        return (points,) if len(points) == len(pairs) and np.isfinite(points).all() else "shapes with damaged points"
    if shape.tag == "mask":
        return _mask(shape)
    if shape.tag == "box":
        x1, y1, x2, y2 = (number(shape.get(key)) for key in ("xtl", "ytl", "xbr", "ybr"))
        return _turned(np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]]), ((x1 + x2) / 2, (y1 + y2) / 2), shape)
    if shape.tag == "ellipse":
        x, y, across, down = (number(shape.get(key)) for key in ("cx", "cy", "rx", "ry"))
        return _turned(ellipse((x, y), (across, down)), (x, y), shape)
    return f"shapes of the type {shape.tag}"[:60]


def _turned(points: Points, centre: tuple[float, float], shape: Element) -> Sequence[Points] | str:
    """The outline as the shape is turned about its centre: in degrees, clockwise."""
    points = rotated(points, centre, number(shape.get("rotation", "0")))
    return (points,) if np.isfinite(points).all() else "shapes with damaged points"


def _mask(shape: Element) -> Sequence[Points] | str:
    """Run lengths along the rows of a box, off ones first."""
    left, top, width, height = (number(shape.get(key)) for key in ("left", "top", "width", "height"))
    lengths = np.array([number(word) for word in shape.get("rle", "").split(",")])
    size = side(height), side(width)
    if size[0] is None or size[1] is None or not np.isfinite([left, top, *lengths]).all():
        return "masks with damaged run lengths"
    if (lengths < 0).any() or lengths.sum() != size[0] * size[1] or size[0] * size[1] > 1 << 30:
        return "masks with damaged run lengths"
    runs = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths.astype(np.int64))
    if len(runs) != size[0] * size[1]:
        return "masks with damaged run lengths"
    return trace(runs.reshape(size[0], size[1]), int(top), int(left))
