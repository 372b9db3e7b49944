"""What the graph itself says for OpenVINO's Model API, which then needs no settings: `rt_info/model_info`."""

from __future__ import annotations

from segkit.core.backend import Metadata
from segkit.plugins.openvino.runtime import ov

_PLACE = "model_info"


def seal(model: ov.Model, metadata: Metadata) -> None:
    """Name the wrapper, its thresholds, and how it must prepare pictures (RGB).

    Where detections are selected in the graph no wrapper is named: Model API has none for that.
    """
    labels = [name for _, name in sorted(metadata.names.items())]
    facts = {
        "labels": " ".join("_".join(name.split()) or "_" for name in labels),
        "resize_type": "fit_to_window_letterbox",
        "pad_value": "114",
        "mean_values": "0 0 0",
        "scale_values": "255 255 255",
        "reverse_input_channels": "False",
    }
    if metadata.selection is None:
        facts |= {"model_type": "YOLO-seg", "confidence_threshold": "0.25"}
        facts |= {"nms_execute": "True", "iou_threshold": "0.7", "nms_max_predictions": "300"}
    for key, value in facts.items():
        model.set_rt_info(value, [_PLACE, key])
