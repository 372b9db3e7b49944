"""What every artefact says about itself, in the carrier native to its format.

The outer keys are those that readers in this field know; segkit's own facts are in the `segkit` block. Values are
stored typed (JSON, YAML) or as Python-literal strings, whichever the carrier allows; both are read, never with eval.
"""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from segkit.core.backend.options import HeadLayout, Precision, Selection
from segkit.core.errors import ModelFileError

SCHEMA = 1
"""Version of the `segkit` block."""

MAX_NAME = 200
"""Letters that the name of a data set may have."""


_MOST_CLASSES = 1 << 16


def _names(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return dict(enumerate(value))
    if isinstance(value, Mapping):
        names = {int(key): str(name) for key, name in value.items()}
        if any(not 0 <= index < _MOST_CLASSES for index in names):
            odd = next(index for index in names if not 0 <= index < _MOST_CLASSES)
            raise ValueError(f"a class has an index from 0 to {_MOST_CLASSES - 1}, not {odd}")
        return names
    return value


def _size(value: Any) -> Any:
    if isinstance(value, int):
        return (value, value)
    return tuple(value) if isinstance(value, list) else value


def _stride(value: Any) -> Any:
    return max(int(item) for item in value) if isinstance(value, list | tuple) and value else value


def data_name(value: object) -> str | None:
    r"""What a training's data set is remembered by: the name of its description, never somebody's path to it.

    "/home/x/sets/coco8-seg.yaml" and "C:\sets\coco8-seg.yaml" → "coco8-seg.yaml"; None where nothing can be a name.
    """
    text = value.partition("?")[0] if isinstance(value, str) else ""
    name = re.split(r"[/\\]", text.rstrip("/\\"))[-1].strip()
    return name if name.strip(".~") and ":" not in name and name.isprintable() and len(name) <= MAX_NAME else None


Side = Annotated[int, Field(ge=1, le=32768)]


class Seal(BaseModel):
    """segkit's own block: how the artefact was made and how to talk to it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: int = SCHEMA
    letterbox: Literal["square", "minimal"] = "square"
    head: HeadLayout = HeadLayout()
    selection: Selection | None = None
    precision: Precision = Precision.FP32
    dynamic_batch: bool = False
    dynamic_size: bool = False
    coefficients: int = 32
    strides: tuple[int, ...] = (8, 16, 32)
    toolchain: dict[str, str] = Field(default_factory=dict)
    calibration: str | None = None
    target: str | None = None
    data: Annotated[str | None, BeforeValidator(data_name)] = None


class Metadata(BaseModel):
    """Facts that travel with an artefact.

    `names` maps class index to name; `imgsz` is (height, width); `args` are the export arguments; `segkit` is None in
    files of other tools.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    task: str = "segment"
    stride: Annotated[int, BeforeValidator(_stride), Field(ge=1, le=1024)] = 32
    batch: int = Field(default=1, ge=1)
    imgsz: Annotated[tuple[Side, Side], BeforeValidator(_size)] = (640, 640)
    names: Annotated[dict[int, str], BeforeValidator(_names)] = Field(default_factory=dict)
    channels: int = 3
    args: dict[str, Any] = Field(default_factory=dict)
    description: str | None = None
    date: str | None = None
    segkit: Seal | None = None

    @property
    def dynamic_size(self) -> bool:
        """Whether inputs of other sizes than `imgsz` are accepted. Files of other tools say so in their export
        arguments.
        """
        return self.segkit.dynamic_size if self.segkit else bool(self.args.get("dynamic"))

    @property
    def dynamic_batch(self) -> bool:
        """Whether other batches than `batch` are accepted."""
        return self.segkit.dynamic_batch if self.segkit else bool(self.args.get("dynamic"))

    @property
    def letterbox(self) -> Literal["square", "minimal"]:
        """How pictures are brought to the input's size unless a call says otherwise."""
        return self.segkit.letterbox if self.segkit else "square"

    @property
    def precision(self) -> Precision:
        """What the file computes in."""
        if self.segkit:
            return self.segkit.precision
        flags = {"half": Precision.FP16, "int8": Precision.INT8}
        return next((precision for flag, precision in flags.items() if self.args.get(flag) is True), Precision.FP32)

    @property
    def data(self) -> str | None:
        """Name of the data set that the model was trained on, such as "coco.yaml"; None where nothing says it."""
        return self.segkit.data if self.segkit else None

    @property
    def selection(self) -> Selection | None:
        """The limits built into a graph that selects detections; None where it does not, or does not say."""
        return self.segkit.selection if self.segkit else None

    def to_plain(self) -> dict[str, Any]:
        """Typed values for JSON or YAML carriers."""
        return self.model_dump(mode="json", exclude_none=True)

    def to_text(self) -> dict[str, str]:
        """One string a key, as carriers of string pairs hold it: Python's `str()` of the value, JSON for the segkit
        block.
        """
        plain = self.to_plain()
        plain["names"] = self.names
        block = plain.pop("segkit", None)
        text = {key: str(value) for key, value in plain.items()}
        return text | ({"segkit": json.dumps(block, ensure_ascii=False)} if block is not None else {})

    @classmethod
    def parse(cls, raw: Mapping[str, Any], path: object) -> Metadata:
        """Metadata from a carrier, whoever wrote it; string values are read as JSON or Python literals.

        Raises:
            ModelFileError: a key has an impossible value; `path` is named.
        """
        values = {key: _literal(value) if key in _TYPED else value for key, value in raw.items()}
        try:
            return cls.model_validate({key: value for key, value in values.items() if value is not None})
        except (ValidationError, ValueError, TypeError) as error:
            detail = error.errors(include_url=False)[0] if isinstance(error, ValidationError) else None
            problem = f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" if detail else str(error)
            raise ModelFileError(str(path), f"its metadata cannot be understood ({problem})") from None


_TYPED = {"stride", "batch", "imgsz", "names", "channels", "args", "segkit"}


def _literal(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return value


def now() -> str:
    """The date that goes into an artefact: ISO 8601, UTC, to the second; SOURCE_DATE_EPOCH is honoured."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch and epoch.isdigit() else datetime.now(UTC)
    return moment.isoformat(timespec="seconds")
