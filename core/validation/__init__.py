"""A model of any format over a labelled data set. Needs no torch."""

from typing import TYPE_CHECKING

from segkit.core.lazy import lazy_names

if TYPE_CHECKING:
    from segkit.core.validation.arguments import ValArguments
    from segkit.core.validation.validating import validate_model

__all__ = ["ValArguments", "validate_model"]

__getattr__ = lazy_names(__name__, {"arguments": ("ValArguments",), "validating": ("validate_model",)})
