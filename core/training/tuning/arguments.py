"""What `tune` accepts besides the arguments of each training. Needs neither torch nor Optuna."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from segkit.core.backend.options import Options
from segkit.core.validation.benchmark_arguments import names_of


class TuneArguments(Options):
    """Of the search itself."""

    iterations: int = Field(default=30, ge=1, description="trainings to try, those of an interrupted search included")
    search: Annotated[list[str] | None, BeforeValidator(names_of)] = Field(
        default=None, description="arguments to search, e.g. lr0,degrees (default: optimizer, losses and changes, 23)"
    )
    prune: bool = Field(default=True, description="end trainings early that fall behind the median of the others")
