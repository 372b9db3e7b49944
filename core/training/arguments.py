"""What `train` accepts: the names, ranges and defaults that users of this field know. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator, model_validator

from segkit.core.backend.options import ImgSize
from segkit.core.data.augment.arguments import AugmentArguments
from segkit.core.errors import OptionError, SourceError, nearest
from segkit.core.files import expanded
from segkit.core.images.size import STRIDE, Size
from segkit.core.inference.arguments import Classes, Folder
from segkit.core.notices import notice
from segkit.core.training.devices import Devices
from segkit.core.yamls import read_yaml


class OptimizerName(StrEnum):
    """Optimizers by the names that users know."""

    AUTO = "auto"
    SGD = "SGD"
    ADAM = "Adam"
    ADAMW = "AdamW"
    NADAM = "NAdam"
    RADAM = "RAdam"
    RMSPROP = "RMSProp"


class Cache(StrEnum):
    """Where decoded pictures are kept."""

    OFF = "off"
    RAM = "ram"
    DISK = "disk"


class Amp(StrEnum):
    """Numbers that the network computes with in training."""

    OFF = "off"
    AUTO = "auto"
    FP16 = "fp16"
    BF16 = "bf16"


def _switch(on: str, off: str) -> BeforeValidator:
    """True and False of an option that is more than a switch."""
    words = {"true": on, "false": off, "yes": on, "no": off, "1": on, "0": off, "none": off, "": off}

    def read(value: Any) -> Any:
        return words.get(str(value).lower(), str(value).lower() if isinstance(value, str) else value)

    return BeforeValidator(read)


def _optimizer(value: Any) -> Any:
    known = {name.value.lower(): name for name in OptimizerName}
    if str(value).lower() in known:
        return known[str(value).lower()]
    guess = nearest(str(value), [name.value for name in OptimizerName])
    names = ", ".join(name.value for name in OptimizerName)
    raise OptionError.invalid("optimizer", value, f"known are {names}" + (f"; did you mean {guess}?" if guess else ""))


def _path_or_switch(value: Any) -> Any:
    word = str(value).lower()
    return {"true": True, "false": False, "none": False, "": False}.get(word, value)


def _none(value: Any) -> Any:
    return None if isinstance(value, str) and value.lower() in ("", "none") else value


def _freeze(value: Any) -> Any:
    """A number of layers, or the layers themselves by number or name; None for none."""
    value = _none(value)
    if isinstance(value, str):
        found = [_number(part.strip()) for part in value.strip("[]()").split(",") if part.strip()]
        return found[0] if len(found) == 1 and isinstance(found[0], int) else found
    return [_number(part) for part in value] if isinstance(value, Sequence) else value


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.lstrip("-").isdigit() else value


PathOrSwitch = Annotated[bool | str, BeforeValidator(_path_or_switch)]


class TrainArguments(AugmentArguments):
    """What `train` accepts besides the model."""

    data: str | None = Field(None, description="data.yaml, a COCO .json, a folder with one, or a known name")
    epochs: int = Field(100, ge=1, description="how often the whole data set is seen")
    time: Annotated[float | None, BeforeValidator(_none)] = Field(
        None, gt=0, description="hours of training instead of epochs"
    )
    patience: int = Field(100, ge=0, description="stop after so many epochs without a better result (0: never)")
    batch: int | float = Field(
        16, description="pictures in a batch over all devices; -1 or 0.7: as many as take that share of a GPU's memory"
    )
    imgsz: ImgSize = Field(
        (640, 640), description="size of the training pictures: one number, or height,width; to the next multiple of 32"
    )
    save: bool = Field(True, description="save checkpoints: weights/last.pt and weights/best.pt")
    save_period: int = Field(-1, description="save also every so many epochs, as weights/epoch10.pt (-1: do not)")
    device: Devices = Field(None, description="cpu, 0, 0,1 (several processes), mps; default: a GPU where there is one")
    workers: Annotated[int | None, BeforeValidator(_none)] = Field(
        None, ge=0, le=256, description="processes that make samples, for each device (default: by the processor)"
    )
    project: Folder = Field(None, description="folder for runs (default: runs/segment)")
    name: str | None = Field(None, description="sub-folder of this run (default: train, train2, …)")
    exist_ok: bool = Field(False, description="write into the sub-folder even if it exists")
    pretrained: PathOrSwitch = Field(
        True, description="weights to begin with: a file, or False for random ones; True: those of the model"
    )
    optimizer: Annotated[OptimizerName, BeforeValidator(_optimizer)] = Field(
        OptimizerName.AUTO, description="auto, SGD, Adam, AdamW, NAdam, RAdam or RMSProp"
    )
    seed: int = Field(0, ge=0, description="another number gives another run")
    deterministic: bool = Field(True, description="the same run twice gives the same weights")
    single_cls: bool = Field(False, description="take all classes for one")
    classes: Classes = Field(None, description="learn only these class indices, e.g. 0,2")
    fraction: float = Field(1.0, gt=0, le=1, description="share of the training pictures that is used")
    cos_lr: bool = Field(False, description="let the learning rate fall along a cosine, not a line")
    resume: PathOrSwitch = Field(False, description="go on with an interrupted run: True, or its weights/last.pt")
    amp: Annotated[Amp, _switch("auto", "off")] = Field(
        Amp.AUTO, description="mixed precision: auto (fp16 on CUDA), fp16, bf16 (also on a CPU), or False"
    )
    freeze: Annotated[int | list[int | str] | None, BeforeValidator(_freeze)] = Field(
        None, description="leave the first so many layers, or the layers named, as they are"
    )
    lr0: float = Field(0.01, gt=0, description="learning rate at the beginning")
    lrf: float = Field(0.01, gt=0, le=1, description="share of it at the end")
    momentum: float = Field(0.937, ge=0, lt=1, description="momentum of SGD, beta1 of Adam")
    weight_decay: float = Field(0.0005, ge=0, description="weight decay, for a batch of nbs")
    warmup_epochs: float = Field(3.0, ge=0, description="epochs in which the learning rate rises")
    warmup_momentum: float = Field(0.8, ge=0, lt=1, description="momentum at the beginning of these")
    warmup_bias_lr: float = Field(0.1, ge=0, description="learning rate of biases at the beginning of these")
    box: float = Field(7.5, ge=0, description="weight of the box loss, and of the mask loss")
    cls: float = Field(0.5, ge=0, description="weight of the class loss")
    dfl: float = Field(1.5, ge=0, description="weight of the distance loss")
    nbs: int = Field(64, ge=1, description="nominal batch: gradients of smaller batches are added up to it")
    val: bool = Field(True, description="validate after every epoch")
    plots: bool = Field(True, description="save curves, the confusion matrix and pictures")
    cache: Annotated[Cache, _switch("ram", "off")] = Field(
        Cache.OFF, description="keep decoded pictures: ram (also: True), disk, or False"
    )
    profile: bool = Field(False, description="save a trace of the first steps: profile.json, for chrome://tracing")
    compile: bool = Field(False, description="compile the network with torch.compile")
    channels_last: Annotated[bool | None, BeforeValidator(_none)] = Field(
        None, description="keep tensors in the channels-last layout (default: where that is faster)"
    )
    loggers: Annotated[tuple[str, ...] | None, BeforeValidator(_none)] = Field(
        None, description="where figures go besides results.csv: tensorboard, mlflow, wandb (default: see docs)"
    )
    download: bool = Field(False, description="fetch the data set if it has a known name and is not here")
    verbose: bool = Field(True, description="show a row for every class in the end (command line)")

    @field_validator("imgsz")
    @classmethod
    def _imgsz(cls, value: Size) -> Size:
        height, width = (-(-side // STRIDE) * STRIDE for side in value)
        if (height, width) != value:
            notice(f"imgsz: sides are multiples of {STRIDE} in training: {height}x{width}, not {value[0]}x{value[1]}")
        return height, width

    @field_validator("batch")
    @classmethod
    def _batch(cls, value: float) -> float:
        if value == -1 or 0 < value < 1 or (value >= 1 and value == int(value)):
            return value
        raise OptionError.invalid("batch", value, "give a whole number, -1, or a share of a GPU's memory such as 0.7")

    @field_validator("save_period")
    @classmethod
    def _period(cls, value: int) -> int:
        if value < -1:
            raise OptionError.invalid("save_period", value, "give a number of epochs, or -1")
        return value

    @field_validator("loggers", mode="before")
    @classmethod
    def _loggers(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _together(self) -> TrainArguments:
        if self.rect and self.multi_scale:
            raise OptionError("Options rect=True and multi_scale exclude each other: both choose the size of a batch.")
        if self.rect and self.imgsz[0] != self.imgsz[1]:
            raise OptionError("Option rect=True chooses the shapes itself: give imgsz as one number, the long side.")
        return self


NOT_SAVED = frozenset({"resume", "exist_ok", "download"})
"""What belongs to one call and not to a run."""


OF_OTHERS = frozenset(
    {
        *("task", "mode", "model", "cfg", "tracker", "split", "save_json", "save_hybrid", "conf", "iou", "max_det"),
        *("half", "dnn", "source", "vid_stride", "stream_buffer", "visualize", "augment", "agnostic_nms", "embed"),
        *("retina_masks", "show", "save_frames", "save_txt", "save_conf", "save_crop", "show_labels", "show_conf"),
        *("show_boxes", "line_width", "format", "keras", "optimize", "int8", "dynamic", "simplify", "opset"),
        *("workspace", "nms", "pose", "kobj", "rle", "angle", "dropout", "label_smoothing", "erasing", "auto_augment"),
        *("crop_fraction", "save_dir", "end2end", "max_epochs", "distill_model", "dis", "augmentations"),
    }
)
"""Keys of other commands, tasks and tools that a settings file may have beside those of training."""


TAKEN_UP = frozenset({"task", "mode", "model", "cfg"})
"""Those of them that are no settings of anything: there is nothing to say about them."""


def read_settings(path: str | Path) -> tuple[dict[str, Any], list[str]]:
    """Training arguments from a settings file, ours (`args.yaml`) or another tool's.

    Returns:
        Those that are known, and the names of those that were left out because they belong to something else.

    Raises:
        SourceError: it cannot be read, or is no mapping.
        OptionError: a key that nobody knows.
    """
    found = _mapping(path)
    known = TrainArguments.public_fields()
    left_out = []
    given: dict[str, Any] = {}
    for name, value in found.items():
        if name in known:
            given[name] = value
        elif name in OF_OTHERS:
            left_out.append(str(name))
        else:
            raise OptionError.unknown(str(name), known, f"train in {path}")
    # An unset value of another tool means its default, which is ours.
    return {name: value for name, value in given.items() if value is not None}, left_out


def model_in(path: str | Path) -> str | None:
    """The model that a settings file names, if it does.

    Raises:
        SourceError: it cannot be read, or is no mapping.
    """
    named = _mapping(path).get("model")
    return named if isinstance(named, str) and named else None


def _mapping(path: str | Path) -> dict[Any, Any]:
    try:
        found = read_yaml(expanded(path))
    except FileNotFoundError:
        raise SourceError(path, "there is no such file") from None
    except OSError as error:
        raise SourceError(path, (error.strerror or str(error)).lower()) from None
    except ValueError as error:
        raise SourceError(path, str(error)) from None
    if not isinstance(found, dict):
        raise SourceError(path, "a settings file is a list of names with values, such as 'epochs: 100'")
    return found
