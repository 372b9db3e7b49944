"""Changing pictures and their labels together, at random but repeatably."""

from typing import TYPE_CHECKING

from segkit.core.lazy import lazy_names

if TYPE_CHECKING:
    from segkit.core.data.augment.arguments import AugmentArguments, ShowArguments
    from segkit.core.data.augment.pipeline import TrainingSamples
    from segkit.core.data.augment.sample import TrainingSample
    from segkit.core.data.augment.show import show_samples
    from segkit.core.data.augment.sizes import draw_side

__all__ = [
    "AugmentArguments",
    "ShowArguments",
    "TrainingSample",
    "TrainingSamples",
    "draw_side",
    "show_samples",
]

__getattr__ = lazy_names(
    __name__,
    {
        "arguments": ("AugmentArguments", "ShowArguments"),
        "pipeline": ("TrainingSamples",),
        "sample": ("TrainingSample",),
        "show": ("show_samples",),
        "sizes": ("draw_side",),
    },
)
