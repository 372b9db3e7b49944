"""How good detections are: box and mask AP as COCO counts them, curves, confusion matrix."""

from typing import TYPE_CHECKING

from segkit.core.lazy import lazy_names

if TYPE_CHECKING:
    from segkit.core.metrics.confusion import ConfusionMatrix as ConfusionMatrix
    from segkit.core.metrics.evaluator import Evaluator as Evaluator
    from segkit.core.metrics.plots import save_plots as save_plots
    from segkit.core.metrics.records import Found as Found
    from segkit.core.metrics.records import Truth as Truth
    from segkit.core.metrics.results import Average as Average
    from segkit.core.metrics.results import SegmentationMetrics as SegmentationMetrics

__all__ = ["Average", "ConfusionMatrix", "Evaluator", "Found", "SegmentationMetrics", "Truth", "save_plots"]

__getattr__ = lazy_names(
    __name__,
    {
        "confusion": ["ConfusionMatrix"],
        "evaluator": ["Evaluator"],
        "plots": ["save_plots"],
        "records": ["Found", "Truth"],
        "results": ["Average", "SegmentationMetrics"],
    },
)
