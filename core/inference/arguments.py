"""Arguments of prediction: the only list of what `predict` accepts, its types, ranges, defaults and help."""

from __future__ import annotations

import os
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from segkit.core.backend.capability import Feature
from segkit.core.backend.options import Device, ImgSize, Options, Precision, Switches, Threads, precision_aliases
from segkit.core.errors import OptionError
from segkit.core.images.size import STRIDE


class MaskFiles(StrEnum):
    """What `save_masks` writes."""

    INSTANCES = "instances"
    INDEX = "index"
    COCO = "coco"


def _mask_files(value: Any) -> Any:
    """True and False as flags are written; the name of a kind as it is."""
    text = str(value).lower()
    if text in ("true", "false", "none", ""):
        return MaskFiles.INSTANCES if text == "true" else None
    return text


def _class_list(value: Any) -> Any:
    """Class indices from 0, [0, 2], "0,2" or "[0, 2]"; None for no filter."""
    if isinstance(value, str):
        value = [part for part in value.strip(" []()").replace(" ", ",").split(",") if part]
    if value is None or isinstance(value, list | tuple | set):
        return None if value is None else list(value)
    return list(value) if isinstance(value, Iterable) else [value]


def _empty_as_none(value: Any) -> Any:
    return None if isinstance(value, str) and value in ("", "None", "none") else value


def _folder(value: Any) -> Any:
    """A place as text or as a Path; "~" is the home folder, which a shell does not put into project=~/x."""
    return os.path.expanduser(os.fspath(value)) if isinstance(value, str | os.PathLike) else value  # noqa: PTH111


Folder = Annotated[str | None, BeforeValidator(_folder)]
Classes = Annotated[list[int] | None, BeforeValidator(_class_list), BeforeValidator(_empty_as_none)]


class PredictArguments(Options):
    """What `predict` accepts. Names and defaults are those that users of this field know."""

    conf: float = Field(0.25, ge=0, le=1, description="lowest confidence of a detection")
    iou: float = Field(0.7, ge=0, le=1, description="overlap above which NMS drops the weaker of two boxes")
    imgsz: Annotated[ImgSize | None, BeforeValidator(_empty_as_none)] = Field(
        None, description="input size: one number, or height,width; default: the model's own"
    )
    batch: int = Field(1, ge=1, description="pictures in one run")
    max_det: int = Field(300, ge=1, description="most detections in one picture")
    classes: Classes = Field(None, description="keep only these class indices, e.g. 0,2")
    data: Folder = Field(
        None, description="data set (.yaml, or its name) that names the classes, for a file that carries no names"
    )
    agnostic_nms: bool = Field(False, description="NMS across classes")
    retina_masks: bool = Field(False, description="masks in the picture's own resolution instead of the network's")
    rect: bool | None = Field(
        None,
        description="pad a picture to the least multiples of 32, not to a square, where the model takes any size; "
        "default: the model's own policy, which is square",
    )
    precision: Annotated[Precision, Switches({Precision.FP16: Feature.HALF})] = Field(
        Precision.FP32, description="fp32 or fp16 (also: half=True), where the format decides at run time"
    )
    device: Device | None = Field(None, description="cpu, cuda:1, … as the model's format knows it (default: cpu)")
    threads: Threads | None = Field(None, description="CPU threads of the runtime (default: its own choice)")
    augment: bool = Field(False, description="also look at mirrored and smaller copies of a picture, and merge")
    tile: Annotated[ImgSize | None, BeforeValidator(_empty_as_none)] = Field(
        None, description="cut large pictures into overlapping tiles of this size: one number, or height,width"
    )
    overlap: float = Field(0.2, ge=0, le=0.9, description="share of a tile that it has in common with the next one")
    vid_stride: int = Field(1, ge=1, description="use every n-th frame of a video or stream")
    stream_buffer: bool = Field(False, description="queue all frames of a live stream (default: newest frame only)")
    stream: bool = Field(False, description="give results one by one instead of a list (Python)")
    show: bool = Field(False, description="show each picture in a window or notebook")
    save: bool = Field(False, description="save pictures and videos with the detections drawn in (command line: on)")
    save_frames: bool = Field(False, description="save the drawn frames of a video as pictures too")
    save_txt: bool = Field(False, description="save one label file a picture: class and normalised polygon")
    save_conf: bool = Field(False, description="add the confidence to the rows of save_txt")
    save_crop: bool = Field(False, description="save a cut-out of every detection")
    save_masks: Annotated[MaskFiles | None, BeforeValidator(_mask_files)] = Field(
        None,
        description="save masks: 'instances' (or True) one PNG an object, 'index' one PNG a picture whose pixels "
        "number the objects, 'coco' one COCO file a run",
    )
    show_labels: bool = Field(True, description="draw class names")
    show_conf: bool = Field(True, description="draw confidences")
    show_boxes: bool = Field(True, description="draw boxes")
    line_width: int | None = Field(None, ge=1, description="width of drawn lines in pixels (default: by picture size)")
    project: Folder = Field(None, description="folder for results (default: runs/segment)")
    name: str | None = Field(None, description="sub-folder for this run (default: predict, predict2, …)")
    exist_ok: bool = Field(False, description="write into the sub-folder even if it exists")
    verbose: bool = Field(False, description="print a line for every picture and frame (command line: pictures only)")

    @model_validator(mode="before")
    @classmethod
    def _aliases(cls, given: Any) -> Any:
        return precision_aliases(given)

    @model_validator(mode="after")
    def _consistent(self) -> PredictArguments:
        if self.precision is Precision.INT8:
            raise OptionError("Option int8 belongs to export: an int8 artefact is predicted with as it is.")
        if self.save_conf and not self.save_txt:
            raise OptionError("Option save_conf=True adds to the rows of save_txt: give save_txt=True too.")
        if self.tile and min(self.tile) < STRIDE:
            raise OptionError.invalid("tile", ",".join(map(str, self.tile)), f"give sides of {STRIDE} pixels or more")
        if self.tile is None and "overlap" in self.model_fields_set:
            raise OptionError("Option overlap is of tiles: give tile too, e.g. tile=640.")
        return self

    @property
    def saves(self) -> bool:
        """Whether anything is to be written."""
        return self.save or self.save_frames or self.save_txt or self.save_crop or self.save_masks is not None
