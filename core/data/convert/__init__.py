"""Labels of other tools made a data set of ours, and ours made COCO's."""

from typing import TYPE_CHECKING

from segkit.core.lazy import lazy_names

if TYPE_CHECKING:
    from segkit.core.data.convert.arguments import Kind
    from segkit.core.data.convert.conversion import convert
    from segkit.core.data.convert.records import Report

__all__ = ["Kind", "Report", "convert"]

__getattr__ = lazy_names(__name__, {"arguments": ("Kind",), "conversion": ("convert",), "records": ("Report",)})
