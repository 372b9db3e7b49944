"""Pictures in: reading, letterbox geometry, and the batch that every backend sees."""

from typing import TYPE_CHECKING

from segkit.core.lazy import lazy_names

if TYPE_CHECKING:
    from segkit.core.images.batch import ImageBatch, Picture
    from segkit.core.images.geometry import PAD_VALUE, Letterbox
    from segkit.core.images.size import STRIDE, Size, parse_imgsz, round_up

__all__ = ["PAD_VALUE", "STRIDE", "ImageBatch", "Letterbox", "Picture", "Size", "parse_imgsz", "round_up"]

__getattr__ = lazy_names(
    __name__,
    {
        "batch": ("ImageBatch", "Picture"),
        "geometry": ("PAD_VALUE", "Letterbox"),
        "size": ("STRIDE", "Size", "parse_imgsz", "round_up"),
    },
)
