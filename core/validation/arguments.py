"""Arguments of validation: the only list of what `val` accepts, its types, ranges, defaults and help."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from segkit.core.backend.capability import Feature
from segkit.core.backend.options import Device, ImgSize, Options, Precision, Switches, Threads, precision_aliases
from segkit.core.errors import OptionError
from segkit.core.inference.arguments import Classes, Folder, PredictArguments

LIMITS = ("conf", "iou", "max_det", "agnostic_nms")
"""Limits of a selection, which a file may have built in."""


def _as_given(value: Any) -> Any:
    return None if isinstance(value, str) and value in ("", "None", "none") else value


class ValArguments(Options):
    """What `val` accepts. Names and defaults are those that users of this field know."""

    split: str = Field("val", description="which pictures of the data set: train, val or test")
    imgsz: Annotated[ImgSize | None, BeforeValidator(_as_given)] = Field(
        None, description="input size: one number, or height,width; default: the model's own"
    )
    batch: int = Field(16, ge=1, description="pictures that share one input shape (rect), and most in one run")
    conf: float = Field(0.001, ge=0, le=1, description="lowest confidence of a detection that is scored")
    iou: float = Field(0.7, ge=0, le=1, description="overlap above which NMS drops the weaker of two boxes")
    max_det: int = Field(300, ge=1, description="most detections in one picture")
    classes: Classes = Field(None, description="score only these class indices, e.g. 0,2")
    single_cls: bool = Field(False, description="take all classes for one: is it found, whatever it is called?")
    agnostic_nms: bool = Field(False, description="NMS across classes")
    augment: bool = Field(False, description="also look at mirrored and smaller copies of a picture, and merge")
    rect: bool | None = Field(
        None,
        description="pictures of like shapes share an input no larger than they need, instead of a square; "
        "default: where the model takes any size",
    )
    precision: Annotated[Precision, Switches({Precision.FP16: Feature.HALF})] = Field(
        Precision.FP32, description="fp32 or fp16 (also: half=True), where the format decides at run time"
    )
    device: Device | None = Field(None, description="cpu, cuda, cuda:1, mps, … (default: cpu)")
    threads: Threads | None = Field(None, description="CPU threads of the runtime (default: its own choice)")
    plots: bool = Field(True, description="save curves, the confusion matrix, and predictions beside the labels")
    save_json: bool = Field(False, description="save the detections as COCO results: predictions.json")
    save_txt: bool = Field(False, description="save one label file a picture: class and normalised polygon")
    save_conf: bool = Field(False, description="add the confidence to the rows of save_txt")
    project: Folder = Field(None, description="folder for results (default: runs/segment)")
    name: str | None = Field(None, description="sub-folder for this run (default: val, val2, …)")
    exist_ok: bool = Field(False, description="write into the sub-folder even if it exists")
    download: bool = Field(False, description="fetch this split if the data set has a known name and is not here")
    verbose: bool = Field(True, description="show a row for every class, not only for all of them (command line)")

    @model_validator(mode="before")
    @classmethod
    def _aliases(cls, given: Any) -> Any:
        return precision_aliases(given)

    @model_validator(mode="after")
    def _consistent(self) -> ValArguments:
        if self.precision is Precision.INT8:
            raise OptionError("Option int8 belongs to export: an int8 artefact is validated as it is.")
        if self.save_conf and not self.save_txt:
            raise OptionError("Option save_conf=True adds to the rows of save_txt: give save_txt=True too.")
        if self.rect and self.augment:
            raise OptionError("Options rect=True and augment=True exclude each other: a mirrored copy is square.")
        if self.rect and self.imgsz is not None and len(set(self.imgsz)) > 1:
            raise OptionError("Option rect=True chooses the shape itself: give imgsz as one number, the long side.")
        return self

    @property
    def saves(self) -> bool:
        """Whether anything is to be written."""
        return self.plots or self.save_json or self.save_txt

    def prediction(self, *, built_in: bool) -> PredictArguments:
        """The same for a session, masks in the picture's own resolution.

        Args:
            built_in: the file selects by limits of its own; only those that the user gave are asked of it.
        """
        limits = {name: getattr(self, name) for name in LIMITS if not built_in or name in self.model_fields_set}
        return PredictArguments(
            **limits,
            imgsz=self.imgsz,
            classes=self.classes,
            augment=self.augment,
            retina_masks=True,
            rect=True if self.rect else None,
        )
