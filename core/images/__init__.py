"""Pictures in: reading, letterbox geometry, and the batch that every backend sees."""

from segkit.core.images.batch import ImageBatch, Picture
from segkit.core.images.geometry import PAD_VALUE, STRIDE, Letterbox, Size, parse_imgsz, round_up

__all__ = ["PAD_VALUE", "STRIDE", "ImageBatch", "Letterbox", "Picture", "Size", "parse_imgsz", "round_up"]
