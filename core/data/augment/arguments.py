"""What users say about augmentation: the names, ranges and defaults that they know from YOLO training."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator

from segkit.core.backend.options import ImgSize, Options
from segkit.core.errors import OptionError

TOGETHER = ("mosaic", "mixup", "cutmix", "copy_paste")
"""What `close_mosaic` ends: everything that puts several pictures together."""

MASK_RATIOS = (1, 2, 4, 8, 16, 32)


class PasteMode(StrEnum):
    """Where the objects that copy-paste adds come from."""

    FLIP = "flip"
    MIXUP = "mixup"


def _share(value: object) -> object:
    """A bare switch means one half."""
    return {"true": 0.5, "false": 0.0}.get(str(value).lower(), value)


class SampleChanges(Options):
    """How samples are changed for training. Chances are 0 to 1; `degrees` to `perspective` go both ways from none."""

    mosaic: float = Field(default=1.0, ge=0, le=1, description="chance that four pictures are put together as one")
    degrees: float = Field(default=0.0, ge=0, le=180, description="largest turn, in degrees")
    translate: float = Field(default=0.1, ge=0, le=1, description="largest shift, as a share of the side")
    scale: float = Field(default=0.5, ge=0, lt=1, description="largest change of size: 0.5 is from half to 1.5 times")
    shear: float = Field(default=0.0, ge=0, lt=90, description="largest shear along each side, in degrees")
    perspective: float = Field(default=0.0, ge=0, le=0.001, description="largest tilt, 0 to 0.001 a pixel")
    hsv_h: float = Field(default=0.015, ge=0, le=1, description="largest shift of the hue, as a share of the circle")
    hsv_s: float = Field(default=0.7, ge=0, le=1, description="largest change of the saturation, as a share of it")
    hsv_v: float = Field(default=0.4, ge=0, le=1, description="largest change of the brightness, as a share of it")
    flipud: float = Field(default=0.0, ge=0, le=1, description="chance of turning the picture upside down")
    fliplr: float = Field(default=0.5, ge=0, le=1, description="chance of mirroring the picture")
    bgr: float = Field(default=0.0, ge=0, le=1, description="chance of swapping red and blue")
    mixup: float = Field(default=0.0, ge=0, le=1, description="chance of blending with another sample")
    cutmix: float = Field(default=0.0, ge=0, le=1, description="chance of replacing a rectangle by another sample's")
    copy_paste: float = Field(default=0.0, ge=0, le=1, description="chance of each object to be pasted once more")
    copy_paste_mode: PasteMode = Field(
        default=PasteMode.FLIP, description="paste objects of the mirrored sample (flip), or of another one (mixup)"
    )
    overlap_mask: bool = Field(default=True, description="one map for all masks of a picture, small objects above")
    mask_ratio: int = Field(default=4, description="how much smaller than the picture masks are: 1, 2, 4, 8, 16, 32")

    @field_validator("mask_ratio")
    @classmethod
    def _ratio(cls, value: int) -> int:
        if value not in MASK_RATIOS:
            raise OptionError.invalid("mask_ratio", value, f"give one of {', '.join(map(str, MASK_RATIOS))}")
        return value


class AugmentArguments(SampleChanges):
    """How samples are changed in the course of a run."""

    close_mosaic: int = Field(
        default=10, ge=0, description="last epochs without mosaic, mixup, cutmix and copy_paste (0: none)"
    )
    multi_scale: Annotated[float, BeforeValidator(_share)] = Field(
        default=0.0, ge=0, lt=1, description="largest change of imgsz from batch to batch, as a share of it"
    )
    rect: bool = Field(default=False, description="batches of like shapes with the least border; no mosaic then")

    def at(self, epoch: int, epochs: int | None = None) -> AugmentArguments:
        """What holds in an epoch (from 0) of a run of so many; of an endless one if `epochs` is None."""
        closed = epochs is not None and epoch >= epochs - self.close_mosaic
        off = TOGETHER if closed else ("mosaic",) if self.rect else ()
        return self.model_copy(update=dict.fromkeys(off, 0.0))


class ShowArguments(SampleChanges):
    """What `segkit data show` accepts."""

    split: str = Field(default="train", description="train, val or test")
    augment: bool = Field(
        default=False, description="change samples as training does (so says any change that is given)"
    )
    count: int = Field(default=16, ge=1, le=64, description="samples on the sheet")
    imgsz: ImgSize = Field(default=(640, 640), description="size of a sample: one number, or height,width")
    seed: int = Field(default=0, ge=0, description="another number gives other samples")
    epoch: int = Field(default=0, ge=0, description="the epoch that the changes are drawn for")
    output: str | None = Field(default=None, description="the sheet, .jpg or .png (default: in runs/data/show)")

    @classmethod
    def own_fields(cls) -> set[str]:
        """Those that no sample is changed by."""
        return cls.model_fields.keys() - SampleChanges.model_fields.keys()

    def changes(self) -> AugmentArguments | None:
        """How the samples are changed; None where they are shown as they are."""
        drawn = SampleChanges.model_fields.keys() - {"overlap_mask", "mask_ratio"}
        if not self.augment and not drawn & self.model_fields_set:
            return None
        return self.run()

    def run(self) -> AugmentArguments:
        """The same as the arguments of a run."""
        return AugmentArguments(**self.model_dump(include=set(SampleChanges.model_fields)))
