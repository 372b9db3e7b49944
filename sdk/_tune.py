"""The search for the arguments of a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit._train import train_options
from segkit.core.backend.metadata import Metadata
from segkit.core.backend.options import OptionRow, describe, validate
from segkit.core.errors import OptionError
from segkit.core.training.arguments import TrainArguments, model_in
from segkit.core.training.tuning.arguments import TuneArguments

if TYPE_CHECKING:
    from segkit.core.training.events import Callback
    from segkit.core.training.tuning.searching import Tuned
    from segkit.core.training.tuning.space import Space

OF_ONE_RUN = ("resume", "exist_ok")
"""Options of a training that a search has no use for: it always goes on, in its own folder."""


def tune(
    model: Path,
    metadata: Callable[[], Metadata] | None,
    data: str | None,
    options: Mapping[str, Any],
    space: Space | None,
    callbacks: Mapping[str, Sequence[Callback]],
) -> Tuned:
    """Search with trainings of `model`; `data` and `metadata` as for training."""
    from segkit.core.training.tuning.searching import tune

    own = TuneArguments.public_fields()
    known = [*own, *TrainArguments.public_fields(), "cfg"]
    for name in options:
        if name not in known:
            raise OptionError.unknown(name, known, "tune")
    args = validate(TuneArguments, {name: value for name, value in options.items() if name in own}, "tune")
    rest = {name: value for name, value in options.items() if name not in own}
    if data is None and metadata is not None and "data" not in rest:
        data = metadata().data
    return tune(model, rest, args, data, space, callbacks)


def search_options() -> list[OptionRow]:
    """Name, type, default and help of what only a search accepts."""
    return describe(TuneArguments)


def trial_options() -> list[OptionRow]:
    """The same of every training that it makes."""
    return [row for row in train_options() if row.name not in OF_ONE_RUN]


def model_of(options: dict[str, Any]) -> str:
    """The model that a command line means: given, or named by `cfg`; taken out of the options.

    Raises:
        OptionError: none of them names one.
        SourceError: `cfg` cannot be read.
    """
    if (given := options.pop("model", None)) is not None:
        return str(given)
    if (cfg := options.get("cfg")) is not None and (named := model_in(cfg)) is not None:
        return named
    raise OptionError("tune needs a model: yolov8n-seg.yaml for a new one, yolov8n-seg.pt, or weights of your own.")
