"""Results as the objects of other libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segkit.core.errors import MissingDependencyError

if TYPE_CHECKING:
    from segkit.core.inference.masks import InstanceMasks
    from segkit.core.inference.results import Results


def to_supervision(result: Results, *, compact: bool = False) -> Any:
    """`supervision.Detections` with xyxy, confidence, class_id, data["class_name"], tracker_id, and masks.

    Args:
        result: the objects of one picture.
        compact: masks as supervision's CompactMask, which is as small as ours, instead of (N, H, W) bool.

    Raises:
        MissingDependencyError: supervision is not installed, or too old for `compact`.
    """
    try:
        import supervision
    except ImportError:
        raise MissingDependencyError(["supervision"], "Results.to_supervision()") from None
    boxes = result.boxes
    masks = result.masks.instances.native() if result.masks is not None else None
    return supervision.Detections(
        xyxy=boxes.xyxy.numpy().copy(),
        mask=None if masks is None else _compact(masks) if compact else masks.dense(),
        confidence=boxes.conf.numpy().copy(),
        class_id=boxes.cls.numpy().astype(np.int64),
        tracker_id=None if boxes.id is None else boxes.id.numpy().astype(np.int64),
        data={"class_name": np.array([result.class_name(index) for index in boxes.cls.tolist()], dtype=np.str_)},
    )


def _compact(masks: InstanceMasks) -> Any:
    """The masks by their run lengths; no picture of them is made."""
    try:
        from supervision.detection.compact_mask import CompactMask
    except ImportError:
        raise MissingDependencyError(["supervision>=0.30"], "Results.to_supervision(compact=True)") from None
    numbers = range(len(masks))
    extents = np.array([_extent(masks, index) for index in numbers], np.float32).reshape(-1, 4)
    return CompactMask.from_coco_rle([masks.rle(index) for index in numbers], extents, masks.letterbox.source)


def _extent(masks: InstanceMasks, index: int) -> NDArray[np.float32]:
    """x1, y1, x2, y2 of the pixels that may be on, the far sides inclusive."""
    crop, top, left = masks.native_crop(index)
    return np.array([left, top, left + crop.shape[1] - 1, top + crop.shape[0] - 1], np.float32)
