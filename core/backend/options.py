"""Options as closed pydantic models: the only list of what a format accepts.

Help texts, validation, `segkit formats NAME` and the documentation are generated from these models. A field that
switches a Feature on is annotated with it, so that options and declared support cannot disagree:

    dynamic: Annotated[bool, Switches({True: (Feature.DYNAMIC_BATCH, Feature.DYNAMIC_SIZE)})] = Field(False,
    description="…")
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, cast, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic.fields import FieldInfo

from segkit.core.backend.capability import Feature
from segkit.core.errors import OptionError, SegkitError
from segkit.core.images.size import Size, parse_imgsz


class Precision(StrEnum):
    """Numbers that a network computes with."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


SHORT = {"half": Precision.FP16, "int8": Precision.INT8}
"""Flags that users know, folded into `precision`."""

BY_PRECISION = {Precision.FP16: Feature.HALF, Precision.INT8: Feature.INT8}
"""The feature that a precision asks for."""

ALIASED = {flag: BY_PRECISION[precision] for flag, precision in SHORT.items()}
"""The features that these flags ask for."""


class Switches:
    """Marks a field: which of its values switch which features on."""

    def __init__(self, values: Mapping[Any, Feature | tuple[Feature, ...]]) -> None:
        """Map each switching value to its feature or features."""
        self.values = {
            value: (features,) if isinstance(features, Feature) else features for value, features in values.items()
        }

    def features(self, value: object) -> tuple[Feature, ...]:
        """Features that `value` asks for."""
        return self.values.get(value, ())


MAX_CANDIDATES = 30_000
"""Boxes that compete for being a detection, best first: bounds the work on noise at very low thresholds."""


class HeadLayout(BaseModel):
    """How the outputs of an artefact are arranged: a closed choice, sealed in its metadata.

    `outputs`: joined (one tensor of boxes, scores and coefficients) or split (one tensor each);
    `boxes`: in input pixels, in units of the input's sides (0..1), or as distributions of the distances of their sides
    from their anchors, which the predictor decodes, as it does the logits of scores;
    `nms`: selection happens inside the graph.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    outputs: Literal["joined", "split"] = "joined"
    boxes: Literal["pixels", "unit", "distances"] = "pixels"
    nms: bool = False


class Selection(BaseModel):
    """Limits of a selection of detections inside a graph, sealed in its metadata: nothing beyond them comes out.

    `conf` is the least score, `iou` the overlap above which the lower of two boxes falls, `max_det` the most detections
    a picture, `agnostic` whether boxes of different classes compete.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    conf: float = 0.25
    iou: float = 0.7
    max_det: int = 300
    agnostic: bool = False


def _device(value: Any) -> Any:
    """A bare number means that CUDA device, as users write device=0; a torch.device is known by its text."""
    text = value if value is None else str(value)
    return f"cuda:{text}" if text and text.isdigit() else text


def _size(value: Any, info: ValidationInfo) -> Size:
    """A size, of which an error speaks by the name of the option that it was given for."""
    return parse_imgsz(value, info.field_name or "imgsz")


Device = Annotated[str, BeforeValidator(_device)]
ImgSize = Annotated[Size, BeforeValidator(_size)]
Threads = Annotated[int, Field(ge=1, le=1024)]
"""CPU threads: a runtime starts as many as it is told to, and a hundred thousand of them take the machine with them."""


def internal(default: Any, description: str) -> Any:
    """A field for `Backend.source_options` to set: never shown to users and refused when they give it."""
    return Field(default=default, description=description, json_schema_extra={"internal": True})


class Options(BaseModel):
    """Base of every options model: frozen, closed, described."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False
    )

    @classmethod
    def public_fields(cls) -> dict[str, FieldInfo]:
        """The fields that users may set, in order."""
        return {name: field for name, field in cls.model_fields.items() if not _is_internal(field)}

    @classmethod
    def switches(cls) -> Iterator[tuple[str, Switches]]:
        """(field name, switch) of every field that switches features on."""
        for name, field in cls.model_fields.items():
            for mark in field.metadata:
                if isinstance(mark, Switches):
                    yield name, mark

    def features(self) -> set[Feature]:
        """Features that these values ask for."""
        return {feature for name, switch in self.switches() for feature in switch.features(getattr(self, name))}


class ExportOptions(Options):
    """What every exporter understands. A format adds the fields it understands, and only those."""

    imgsz: ImgSize = Field(default=(640, 640), description="input size: one number, or height,width (multiples of 32)")
    batch: PositiveInt = Field(default=1, description="pictures in one run")
    precision: Annotated[Precision, Switches(BY_PRECISION)] = Field(
        default=Precision.FP32, description="numbers that the file computes with"
    )

    def recorded(self) -> dict[str, Any]:
        """What the artefact says it was exported with, as plain values: the public options."""
        return self.model_dump(mode="json", include=set(self.public_fields()))

    def head_layout(self) -> HeadLayout:
        """The arrangement of the outputs that these options lead to."""
        return HeadLayout(nms=bool(getattr(self, "nms", False)))

    def selection(self) -> Selection | None:
        """The limits that are built into the graph, if detections are selected there. Default: they are not."""
        return None

    def needs_calibration(self) -> bool:
        """Whether the exporter must see pictures. Default: for int8; a format that quantises weights alone says no."""
        return self.precision is Precision.INT8

    @model_validator(mode="before")
    @classmethod
    def _aliases(cls, given: Any) -> Any:
        return precision_aliases(given)


_LIMITS = ("conf", "iou", "max_det", "agnostic_nms")


class SelectingExportOptions(ExportOptions):
    """For formats that can select the detections inside the graph (nms=True)."""

    nms: Annotated[bool, Switches({True: Feature.NMS})] = Field(
        default=False, description="select detections inside the file, with the four limits below built in"
    )
    conf: float = Field(default=0.25, ge=0, le=1, description="with nms: lowest confidence of a detection")
    iou: float = Field(default=0.7, ge=0, le=1, description="with nms: overlap above which the weaker box is dropped")
    max_det: int = Field(default=300, ge=1, le=MAX_CANDIDATES, description="with nms: most detections in one picture")
    agnostic_nms: bool = Field(default=False, description="with nms: boxes of different classes compete too")

    def recorded(self) -> dict[str, Any]:
        """The public options; limits only where they are built in, for a reader takes them for those of the file."""
        return {name: value for name, value in super().recorded().items() if self.nms or name not in _LIMITS}

    def selection(self) -> Selection | None:
        """The limits built into the graph."""
        if not self.nms:
            return None
        return Selection(conf=self.conf, iou=self.iou, max_det=self.max_det, agnostic=self.agnostic_nms)

    @model_validator(mode="after")
    def _limits_need_nms(self) -> SelectingExportOptions:
        given = [name for name in _LIMITS if name in self.model_fields_set]
        if given and not self.nms:
            raise OptionError(f"Option {given[0]} of an export is built into the file: it needs nms=True.")
        return self


class LoadOptions(Options):
    """What every predictor understands when it loads a file. A format whose precision is chosen then, not fixed in the
    file, adds a `precision` annotated as that of `ExportOptions` is.
    """

    device: Device = Field(default="cpu", description="where to run: cpu, cuda, cuda:1, mps, … as the runtime knows it")
    threads: Threads | None = Field(default=None, description="CPU threads of the runtime (default: its own choice)")

    @model_validator(mode="before")
    @classmethod
    def _aliases(cls, given: Any) -> Any:
        return precision_aliases(given)


def precision_aliases(given: Any) -> Any:
    """Fold half=True and int8=True, the names that users know, into `precision`.

    Raises:
        OptionError: they contradict each other or `precision`.
    """
    if not isinstance(given, Mapping) or not ({"half", "int8"} & given.keys()):
        return given
    values = dict(given)
    asked = []
    for name, precision in SHORT.items():
        flag = values.pop(name, None)
        if flag in (True, "true", "True", "1", 1):
            asked.append((name, precision))
        elif flag not in (None, False, "false", "False", "0", 0):
            raise OptionError.invalid(name, flag, "give true or false")
    if len(asked) > 1:
        raise OptionError("Options half=True and int8=True exclude each other: choose one precision.")
    for name, precision in asked:
        if str(values.get("precision", precision)) != precision:
            raise OptionError(f"Options {name}=True and precision={values['precision']} contradict each other.")
        values["precision"] = precision
    return values


T = TypeVar("T", bound=Options)


def validate(model: type[T], given: Mapping[str, Any], where: str) -> T:
    """Make options from what a user gave, or raise one clear line.

    Args:
        model: the options model of a format.
        given: option names and values; values may be strings from a command line.
        where: for messages, e.g. "export to onnx".

    Raises:
        OptionError: unknown option, wrong type or range, contradiction.
    """
    accepted = accepted_names(model)
    for name in given:
        if name not in accepted:
            raise OptionError.unknown(name, accepted, where)
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        raise _explain(error, where) from None


@cache
def accepted_names(model: type[Options]) -> tuple[str, ...]:
    """Option names that a user may give, the aliases half and int8 included where the model offers them."""
    names = tuple(model.public_fields())
    if "precision" not in names:
        return names
    return (*names, *(name for name, feature in ALIASED.items() if feature in offered_features(model)))


def offered_features(model: type[Options]) -> set[Feature]:
    """Features that some value of some option switches on."""
    return {feature for _, switch in model.switches() for features in switch.values.values() for feature in features}


class OptionRow(NamedTuple):
    """An option in words, for tables and command lines; `default` is empty where there is none."""

    name: str
    type: str
    default: str
    help: str


def describe(model: type[Options]) -> list[OptionRow]:
    """Every public option of a model, and the flags short for one of its precisions."""
    rows = []
    for name, field in model.public_fields().items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, StrEnum):
            default = default.value
        rows.append(OptionRow(name, _choices(field), _as_typed(default), field.description or ""))
    accepted = accepted_names(model)
    short = [(name, precision) for name, precision in SHORT.items() if name in accepted]
    return rows + [OptionRow(name, "bool", "False", f"short for precision={precision}") for name, precision in short]


def _choices(field: FieldInfo) -> str:
    """The type of an option; of a precision only what it can be switched to."""
    switched = {value for mark in field.metadata if isinstance(mark, Switches) for value in mark.values}
    if switched and isinstance(field.default, StrEnum):
        return "|".join(member for member in type(field.default) if member in switched or member is field.default)
    return type_name(field.annotation)


def type_name(annotation: Any) -> str:
    """A short name of an option's type for tables and help; that None is allowed goes without saying."""
    if get_origin(annotation) is Annotated:
        return type_name(get_args(annotation)[0])
    if type(None) in (parts := get_args(annotation)):
        return " or ".join(type_name(part) for part in parts if part is not type(None))
    if str(annotation) == str(Size):
        return "int or h,w"
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(type_name(part) for part in parts)
    if get_origin(annotation) is tuple:
        return f"{type_name(parts[0])},…"
    if parts or not isinstance(annotation, type):
        return str(annotation).replace("typing.", "")
    return "|".join(member.value for member in annotation) if issubclass(annotation, StrEnum) else annotation.__name__


def _as_typed(default: Any) -> str:
    """A default as a user would type it: "640" for (640, 640), nothing for None."""
    if isinstance(default, tuple):
        return ",".join(map(str, default if len(set(default)) > 1 else default[:1]))
    return "" if default is None else str(default)


def _is_internal(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    return isinstance(extra, dict) and bool(cast("dict[str, Any]", extra).get("internal"))


def _explain(error: ValidationError, where: str) -> SegkitError:
    """The first complaint of pydantic as one line in the user's terms."""
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"][:1]) or where
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, SegkitError):
        return cause
    problem = first["msg"].removeprefix("Value error, ").removeprefix("Input ").lower()
    return OptionError.invalid(name, first.get("input"), problem)
