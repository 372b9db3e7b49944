"""The scores of a validation as plain values, for JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segkit.core.metrics import SegmentationMetrics


def to_plain(metrics: SegmentationMetrics) -> dict[str, Any]:
    """Means, COCO's twelve numbers, a row for each class, speed and folder; nothing of numpy."""
    from segkit.core.metrics.results import STATS

    kinds = zip(("box", "mask"), metrics.averages, strict=False)
    return {
        "images": metrics.pictures,
        "instances": int(metrics.objects.sum()),
        "results": metrics.results_dict,
        "coco": {kind: dict(zip(STATS, average.stats.tolist(), strict=True)) for kind, average in kinds},
        "classes": metrics.summary(),
        "speed": dict(metrics.speed),
        "left_out": dict(metrics.left_out),
        "save_dir": None if metrics.save_dir is None else str(metrics.save_dir),
    }
