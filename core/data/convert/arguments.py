"""What `convert` may be told: the kinds of labels that it reads, and what it makes. Showing them needs no numpy."""

from __future__ import annotations

from enum import StrEnum

AUTO = "auto"
"""In the place of a kind: it is told by what is in the source."""

TARGETS = ("yolo", "coco")


class Kind(StrEnum):
    """What a source is, in the words of `kind=`."""

    COCO = "coco"
    MASKS = "masks"
    INSTANCES = "instances"
    LABELME = "labelme"
    CVAT = "cvat"
    VOC = "voc"
    YOLO = "yolo"
