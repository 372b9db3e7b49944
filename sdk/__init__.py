"""segkit: instance segmentation that runs anywhere and proves it.

    from segkit import YOLO

    model = YOLO("yolov8n-seg.pt")
    for result in model("bus.jpg"):
        print(result.verbose(), result.masks.xy)
    model.export(format="onnx")

Importing this package loads neither torch nor any runtime.

PYTEST_DONT_REWRITE: no assert stands here, and pytest may be started after this was imported, in a notebook say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segkit.core import errors
from segkit.core.errors import SegkitError

if TYPE_CHECKING:
    from segkit._benchmark import benchmark
    from segkit._benchmark_report import BenchmarkReport
    from segkit._formats import formats
    from segkit._yolo import YOLO
    from segkit.core.inference.coco import save_coco_results
    from segkit.core.inference.results import Results
    from segkit.core.metrics import SegmentationMetrics

__all__ = [
    "YOLO",
    "BenchmarkReport",
    "Results",
    "SegkitError",
    "SegmentationMetrics",
    "__version__",
    "benchmark",
    "errors",
    "formats",
    "save_coco_results",
]

_LAZY = {
    "YOLO": "segkit._yolo",
    "BenchmarkReport": "segkit._benchmark_report",
    "SegmentationMetrics": "segkit.core.metrics",
    "benchmark": "segkit._benchmark",
    "formats": "segkit._formats",
    "Results": "segkit.core.inference.results",
    "save_coco_results": "segkit.core.inference.coco",
}


def __getattr__(name: str) -> Any:
    """Load a public name at its first use."""
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("segkit")
    raise AttributeError(f"module 'segkit' has no attribute '{name}'")


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
