"""Reads a network description: our YAML, a user's, or the layout of layer lists that is widespread in this field."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from segkit.core import yamls
from segkit.core.backend.described import METADATA
from segkit.core.errors import ModelFileError, did_you_mean
from segkit.core.model.config import Head, Layer, ModelConfig, first_problem

BUILT_IN = Path(__file__).with_name("yolov8-seg.yaml")
PUBLISHED = "nsmlx"
"""The five sizes that everybody knows."""
SCALES = PUBLISHED + "t"
"""Those, and a tiny one of ours."""
# Not every name that goes on with a t means ours: yolov8test.yaml is somebody's file.
_SCALED_NAME = re.compile(rf"^(?P<family>yolov\d+)(?P<scale>[{PUBLISHED}]|t(?=[-.]))(?P<rest>.*)$")

_shown = reprlib.Repr()
_shown.maxlevel, _shown.maxother = 3, 60
# A value inside an error is shown in short: YAML aliases and pickles can hold a tree that has no end when printed.
_brief = _shown.repr


def load_config(name: str | Path, nc: int | None = None) -> ModelConfig:
    """The network that a YAML file describes.

    Args:
        name: a file, or a built-in name: `yolov8n-seg.yaml` … `yolov8x-seg.yaml`, or the tiny `yolov8t-seg.yaml`. The
            scale letter in a file's name chooses among its `scales`, and a file that exists without the letter is
            found too.
        nc: number of classes, instead of the file's.

    Raises:
        ModelFileError: no such file or built-in name, no YAML, or not a YOLOv8-seg description.
    """
    path, scale = _resolve(Path(name))
    raw = read_yaml(path)
    return parse_config(raw | {"nc": nc} if nc is not None else raw, name, scale)


def parse_config(raw: Mapping[str, Any], origin: str | Path, scale: str | None = None) -> ModelConfig:
    """The network of a description that is parsed; `origin` is named in errors, `scale` picks one of its scales.

    Raises:
        ModelFileError: it does not describe a YOLOv8-seg network.
    """
    if Path(origin).name == METADATA and "backbone" not in raw:
        raise ModelFileError(
            origin, f"it describes the model in its folder: give the folder, model={Path(origin).parent}"
        )
    try:
        return _build(raw, scale)
    except ValidationError as error:
        problem = first_problem(error)
    except (KeyError, IndexError, TypeError, ValueError, OverflowError, AttributeError) as error:
        problem = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
    raise ModelFileError(origin, f"it does not describe a YOLOv8-seg network ({problem})")


@lru_cache(maxsize=8)
def built_in(scale: str) -> ModelConfig:
    """One of the built-in sizes with 80 classes."""
    return load_config(f"yolov8{scale}-seg.yaml")


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping, parsed safely.

    Raises:
        ModelFileError: unreadable, too large, not YAML, or not a mapping.
    """
    try:
        raw = yamls.read_yaml(path)
    except OSError as error:
        raise ModelFileError(path, error.strerror or str(error)) from None
    except ValueError as error:
        raise ModelFileError(path, str(error)) from None
    if not isinstance(raw, dict):
        raise ModelFileError(path, "it is not a YAML mapping with nc, backbone and head")
    return raw


def _resolve(path: Path) -> tuple[Path, str | None]:
    match = _SCALED_NAME.match(path.name)
    scale = match["scale"] if match else None
    plain = path.with_name(f"{match['family']}{match['rest']}") if match else path
    if path.is_dir():
        raise ModelFileError(path, "it is a folder")
    for candidate in (path, plain):
        if candidate.is_file():
            return candidate, scale
    if str(plain) == BUILT_IN.name:
        return BUILT_IN, scale or PUBLISHED[0]
    *known, ours = [f"yolov8{letter}-seg.yaml" for letter in SCALES]
    guess = did_you_mean(path.name, [*known, ours])
    raise ModelFileError(
        path, f"there is no such file.{guess} Built in are {known[0]} … {known[-1]}, and {ours}, a tiny one of ours"
    )


def _build(raw: Mapping[str, Any], asked: str | None) -> ModelConfig:
    nc = _whole(raw.get("nc", 80), "nc")
    rows = [*_rows(raw, "backbone"), *_rows(raw, "head")]
    scale, depth, width, limit = _scaling(raw, asked)

    def scaled(channels: Any, what: str) -> int:
        return math.ceil(min(_whole(channels, what), limit) * width / 8) * 8

    layers = []
    for index, row in enumerate(rows[:-1]):
        repeats = max(round(_whole(row[1], f"repeats of layer {index}") * depth), 1)
        layers.append(_layer(index, row, repeats, scaled))
    source, _, block, args = rows[-1]
    if _block(block) != "Segment":
        raise ValueError(f"its last layer is {_block(block)}, not Segment")
    sources = tuple(len(layers) + i if i < 0 else i for i in _sources(source))
    masks = _whole(args[1] if len(args) > 1 else 32, "masks")
    prototypes = scaled(args[2] if len(args) > 2 else 256, "prototype width")
    # The head's width follows from its finest input, so the layers are checked once without a real head.
    channels = ModelConfig(nc=nc, layers=tuple(layers), head=Head.for_width(sources, 8, nc, masks, prototypes)).channels
    head = Head.for_width(sources, channels[sources[0]], nc, masks, prototypes)
    return ModelConfig(nc=nc, layers=tuple(layers), head=head, scale=scale)


def _layer(index: int, row: Sequence[Any], repeats: int, scaled: Any) -> Layer:
    source, _, name, args = row
    block, sources = _block(name), _sources(source)
    what = f"layer {index}"
    match block:
        case "Conv":
            kernel, stride = ([_whole(arg, what) for arg in args[1:3]] + [1, 1][len(args[1:3]) :])[:2]
            return Layer(block="Conv", source=sources, channels=scaled(args[0], what), kernel=kernel, stride=stride)
        case "C2f":
            shortcut = bool(args[1]) if len(args) > 1 else False
            return Layer(
                block="C2f", source=sources, channels=scaled(args[0], what), repeats=repeats, shortcut=shortcut
            )
        case "SPPF":
            kernel = _whole(args[1], what) if len(args) > 1 else 5
            return Layer(block="SPPF", source=sources, channels=scaled(args[0], what), kernel=kernel)
        case "Upsample":
            if list(args[1:3]) != [2, "nearest"]:
                raise ValueError(f"{what} up-samples by {_brief(args)}; only nearest by 2 is known")
            return Layer(block="Upsample", source=sources)
        case "Concat":
            return Layer(block="Concat", source=sources)
    raise ValueError(f"{what} is a {block}; known are Conv, C2f, SPPF, Upsample, Concat and a last Segment")


def _rows(raw: Mapping[str, Any], section: str) -> list[Any]:
    rows = raw.get(section)
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"there is no list '{section}'")
    for row in rows:
        if not (isinstance(row, list | tuple) and len(row) == 4 and isinstance(row[3], list | tuple)):
            raise ValueError(f"{section} holds {_brief(row):.80}, a layer is [from, repeats, block, [arguments]]")
    return rows


def _scaling(raw: Mapping[str, Any], asked: str | None) -> tuple[str, float, float, int]:
    """(scale letter or "", depth, width, largest width before scaling)."""
    scales = raw.get("scales")
    if not scales:
        depth, width = raw.get("depth_multiple", 1.0), raw.get("width_multiple", 1.0)
        return "", _factor(depth), _factor(width), _whole(raw.get("max_channels", 1 << 16), "max_channels")
    if not isinstance(scales, Mapping):
        raise ValueError("'scales' is not a mapping of [depth, width, max_channels]")
    letter = asked or raw.get("scale") or next(iter(scales))
    if not isinstance(letter, str) or letter not in scales:
        raise ValueError(f"it has no scale {_brief(letter)}; its scales are {', '.join(map(str, scales))}")
    depth, width, limit = scales[letter]
    return letter, _factor(depth), _factor(width), _whole(limit, "max_channels")


def _block(name: Any) -> str:
    return (name if isinstance(name, str) else _brief(name)).removeprefix("nn.")


def _sources(source: Any) -> tuple[int, ...]:
    return tuple(_whole(item, "from") for item in (source if isinstance(source, list | tuple) else [source]))


def _whole(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{what} is {_brief(value):.40}, not a whole number")
    return value


def _factor(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 16:
        raise ValueError(f"a depth or width factor is {_brief(value):.40}")
    return float(value)
