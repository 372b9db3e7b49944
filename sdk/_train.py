"""Training: the run, and the model that it leaves."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit.core.backend.metadata import Metadata
from segkit.core.backend.options import OptionRow, describe
from segkit.core.data.augment.arguments import AugmentArguments
from segkit.core.errors import OptionError
from segkit.core.inference.output import PROJECT
from segkit.core.training.arguments import TrainArguments, model_in

if TYPE_CHECKING:
    from segkit.core.training.events import Callback
    from segkit.core.training.request import Trained


def train(
    model: Path,
    metadata: Callable[[], Metadata] | None,
    data: str | None,
    options: Mapping[str, Any],
    callbacks: Mapping[str, Sequence[Callback]],
) -> Trained:
    """Train `model`. Where the options name no data set it is `data`, or else the one that `metadata` names."""
    from segkit.core.training.starting import asked, train

    if data is None and metadata is not None and "data" not in options:
        data = metadata().data
    return train(asked(model, options, data), callbacks)


def train_options() -> list[OptionRow]:
    """Name, type, default and help of everything that `train` accepts."""
    return [
        *describe(TrainArguments),
        OptionRow("cfg", "str", "", "a file with any of these, such as a run's args.yaml"),
    ]


def change_options() -> list[str]:
    """Those of them that change samples."""
    return list(AugmentArguments.model_fields)


def speaks() -> bool:
    """Whether this process is to show results: of several that torchrun started, the first does."""
    from segkit.core.training.processes import several

    return not several() or os.environ["RANK"] == "0"


def model_of(options: dict[str, Any]) -> str:
    """The model that a command line means: given, or named by `resume` or by `cfg`; taken out of the options.

    Raises:
        OptionError: none of them names one.
        SourceError: `cfg` cannot be read.
    """
    if (given := options.pop("model", None)) is not None:
        return str(given)
    resume = str(options.get("resume", ""))
    if resume.lower() not in ("", "false", "true", "none"):
        return resume
    if resume.lower() == "true" and (latest := _latest(options)) is not None:
        return str(latest)
    if (cfg := options.get("cfg")) is not None and (named := model_in(cfg)) is not None:
        return named
    raise OptionError("train needs a model: yolov8n-seg.yaml for a new one, yolov8n-seg.pt, or weights of your own.")


def _latest(options: Mapping[str, Any]) -> Path | None:
    """The checkpoint that was written last in the folder of runs."""
    project = Path(options.get("project") or PROJECT)
    found = sorted(project.glob("*/weights/last.pt"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else None
