"""LabelMe: a JSON file a picture, with shapes that have a label and points in pixels.

Source: https://github.com/wkentaro/labelme, the files that it writes.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segkit.core.data.convert.drafts import Draft, Drawn, material_of, split_of
from segkit.core.data.convert.files import name_of, read_json, side, text_at
from segkit.core.data.convert.places import FOLDERS, safe_name
from segkit.core.data.convert.records import Material
from segkit.core.data.convert.shapes import ellipse
from segkit.core.data.tracing import Points, trace
from segkit.core.errors import SourceError
from segkit.core.images.reading import read_picture

TURNED = ("rotation", "rectangle")
"""Types of four corners, in files of tools that write LabelMe's format too."""


def read_labelme(source: Path, images: Path | None, names: Sequence[str] | None) -> Material:
    """The material of a folder of such files, or of one file. Files that are not LabelMe's are counted.

    Raises:
        SourceError: none of the files is LabelMe's, or not one object has a shape that can be converted.
    """
    root = source if source.is_dir() else source.parent
    files = sorted(source.rglob("*.json")) if source.is_dir() else [source]
    skipped: Counter[str] = Counter()
    drafts = []
    for file in files:
        try:
            document = read_json(file)
        except SourceError:
            skipped["files that are not JSON"] += 1
            continue
        if is_labelme(document):
            drafts.append(_draft(file, document, root, images, skipped))
        else:
            skipped["JSON files that are not LabelMe's"] += 1
    if not drafts:
        raise SourceError(source, "none of its JSON files is LabelMe's, with a list of shapes")
    return material_of(source, drafts, names, skipped)


def is_labelme(document: object) -> bool:
    """Whether a JSON value is what LabelMe writes for a picture."""
    return isinstance(document, dict) and isinstance(document.get("shapes"), list)


def _draft(file: Path, document: Mapping[str, Any], root: Path, images: Path | None, skipped: Counter[str]) -> Draft:
    height, width = side(document.get("imageHeight")), side(document.get("imageWidth"))
    path = _picture(file, text_at(document, "imagePath"), root, images)
    suffix = (path or Path(text_at(document, "imagePath"))).suffix or ".jpg"
    split, name = split_of(file.relative_to(root).with_suffix("").as_posix() + suffix)
    draft = Draft(name, (height, width) if height and width else None, path, split)
    groups: dict[tuple[str, object], list[Points]] = {}
    for number, shape in enumerate(document["shapes"]):
        label = name_of(text_at(shape, "label")) if isinstance(shape, dict) else ""
        outlines = _outlines(shape) if label else "shapes without a label"
        if isinstance(outlines, str):
            skipped[outlines] += 1
            continue
        group = shape.get("group_id")
        # Shapes of one group and label are parts of one object; without a group, each is its own.
        groups.setdefault((label, str(group) if group is not None else number), []).extend(outlines)
    draft.objects = [Drawn(label, parts) for (label, _), parts in groups.items()]
    return draft


def _picture(file: Path, name: str, root: Path, images: Path | None) -> Path | None:
    base = name.replace("\\", "/").rpartition("/")[2]
    if safe_name(base) is None:
        return None
    folders = (
        [images]
        if images
        else [file.parent, *(root / each for each in FOLDERS), *(root.parent / each for each in FOLDERS)]
    )
    near = [file.parent / name] if safe_name(name.replace("\\", "/").removeprefix("../")) and not images else []
    return next((each for each in (*near, *(folder / base for folder in folders)) if each.is_file()), None)


def _outlines(shape: Mapping[str, Any]) -> Sequence[Points] | str:
    """The outlines of a shape, or what to call it where it has none."""
    try:
        points = np.array(shape.get("points"), np.float64)
    except (TypeError, ValueError, OverflowError):
        return "shapes with damaged points"
    if points.ndim != 2 or points.shape[1] != 2 or not (np.abs(points) < 1e9).all():
        return "shapes with damaged points"
    kind = shape.get("shape_type") or "polygon"
    if kind == "polygon" or (kind in TURNED and len(points) == 4):
        return (points,)
    if kind == "rectangle" and len(points) == 2:
        (x1, y1), (x2, y2) = points
        return (np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]]),)
    if kind == "circle" and len(points) == 2:
        radius = float(np.hypot(*(points[1] - points[0])))
        return (ellipse(points[0], (radius, radius)),)
    if kind == "mask" and len(points) == 2:
        return _mask(text_at(shape, "mask"), points)
    return f"shapes of the type {kind if isinstance(kind, str) else 'unknown'}"[:60]


def _mask(text: str, points: Points) -> Sequence[Points] | str:
    """The outlines of a PNG file as text, whose first and last pixels lie at the two points."""
    try:
        mask = read_picture(base64.b64decode(text, validate=True)).any(axis=2)
    except (SourceError, ValueError):
        return "shapes with damaged masks"
    (left, top), (right, bottom) = points.round().astype(np.int64).tolist()
    if mask.shape != (bottom - top + 1, right - left + 1):
        return "shapes with damaged masks"
    return trace(mask, top, left) or "shapes with damaged masks"
