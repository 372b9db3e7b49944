"""The configuration of a network from its state dict, so that foreign scales, widths and class counts load."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from segkit.core.model.config import Head, Layer, ModelConfig, first_problem
from segkit.core.model.yaml_file import SCALES, built_in

Shapes = Mapping[str, tuple[int, ...]]


class NotSegmentation(ValueError):  # noqa: N818 - read as "raise NotSegmentation"
    """These weights are of something else; the text says what, as the end of a sentence that begins "it is"."""


def infer_config(shapes: Shapes, template: ModelConfig | None = None) -> ModelConfig:
    """Sizes read off the shapes; what shapes cannot tell (strides, which layer reads which) comes from `template`.

    Args:
        shapes: state-dict names (`model.0.conv.weight` …) and shapes.
        template: a network of the same layers; default YOLOv8-seg.

    Raises:
        NotSegmentation: the weights do not fit YOLOv8-seg.
    """
    template = template or built_in("n")
    _refuse_relatives(shapes, len(template.layers))
    try:
        layers = tuple(_layer(shapes, index, layer) for index, layer in enumerate(template.layers))
        nc, head = _head(shapes, f"model.{len(layers)}", template.head)
        config = ModelConfig(nc=nc, layers=layers, head=head)
    except KeyError as error:
        raise NotSegmentation(f"not a YOLOv8-seg network: it has no {error.args[0]}") from None
    except ValidationError as error:
        raise NotSegmentation(f"not a YOLOv8-seg network ({first_problem(error)})") from None
    except IndexError:
        raise NotSegmentation("not a YOLOv8-seg network: a tensor has too few dimensions") from None
    scale = next((s for s in SCALES if _same_layers(config, built_in(s))), "")
    return config.model_copy(update={"scale": scale}) if scale else config


def _layer(shapes: Shapes, index: int, layer: Layer) -> Layer:
    prefix = f"model.{index}."
    changes: dict[str, Any] = {}
    if layer.block == "Conv":
        weight = shapes[f"{prefix}conv.weight"]
        changes = {"channels": weight[0], "kernel": weight[2]}
    elif layer.block in ("C2f", "SPPF"):
        changes = {"channels": shapes[f"{prefix}cv2.conv.weight"][0]}
    if layer.block == "C2f":
        changes["repeats"] = _count(shapes, f"{prefix}m.")
    return Layer(**(layer.model_dump() | changes))


def _head(shapes: Shapes, prefix: str, template: Head) -> tuple[int, Head]:
    depthwise = f"{prefix}.cv3.0.0.0.conv.weight" in shapes
    head = Head(
        source=template.source,
        boxes=shapes[f"{prefix}.cv2.0.0.conv.weight"][0],
        scores=shapes[f"{prefix}.cv3.0.0.1.conv.weight" if depthwise else f"{prefix}.cv3.0.0.conv.weight"][0],
        coefficients=shapes[f"{prefix}.cv4.0.0.conv.weight"][0],
        prototypes=shapes[f"{prefix}.proto.cv1.conv.weight"][0],
        masks=shapes[f"{prefix}.cv4.0.2.weight"][0],
        bins=shapes[f"{prefix}.cv2.0.2.weight"][0] // 4,
        depthwise=depthwise,
    )
    return shapes[f"{prefix}.cv3.0.2.weight"][0], head


def _refuse_relatives(shapes: Shapes, head: int) -> None:
    """Name the models that users most often confuse with this one."""
    if not shapes:
        raise NotSegmentation("a file without weights")
    if any(".attn." in name or ".one2one_cv" in name for name in shapes):
        raise NotSegmentation("a newer YOLO model (YOLO10, YOLO11 or later), not YOLOv8-seg")
    numbered = [re.match(r"model\.(\d{1,4})\.", name) for name in shapes]
    last = max((int(match[1]) for match in numbered if match), default=-1)
    if last < 0:
        raise NotSegmentation("not a YOLOv8 network: its weights are not named model.0 …")
    prefix = f"model.{last}"
    if any(name.startswith(f"{prefix}.proto.") for name in shapes):
        if last != head:
            raise NotSegmentation(f"a segmentation model of {last + 1} layers, not YOLOv8-seg")
        return
    if any(name.startswith(f"{prefix}.linear.") for name in shapes):
        raise NotSegmentation("a classification model, not segmentation")
    if any(name.startswith(f"{prefix}.cv4.") for name in shapes):
        raise NotSegmentation("a pose or oriented-box model, not segmentation")
    if any(name.startswith(f"{prefix}.cv3.") for name in shapes):
        raise NotSegmentation("a detection model, not segmentation")
    raise NotSegmentation("not a YOLOv8-seg network")


def _count(shapes: Shapes, prefix: str) -> int:
    """How many numbered parts lie under `prefix`."""
    return len({name[len(prefix) :].split(".", 1)[0] for name in shapes if name.startswith(prefix)})


def _same_layers(one: ModelConfig, other: ModelConfig) -> bool:
    return one.layers == other.layers and one.head.prototypes == other.head.prototypes
