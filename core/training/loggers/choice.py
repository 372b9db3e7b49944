"""Which loggers a run has. segkit sends nothing anywhere unless it is asked to, by an option or by the environment."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from typing import NamedTuple

from segkit.core.errors import MissingDependencyError, OptionError, nearest
from segkit.core.notices import notice
from segkit.core.training.arguments import TrainArguments
from segkit.core.training.loggers.csv import CsvLogger
from segkit.core.training.loggers.mlflow import MlflowLogger
from segkit.core.training.loggers.tensorboard import TensorboardLogger
from segkit.core.training.loggers.wandb import WandbLogger

ALWAYS = "csv"
"""The one that every run has; it may be named."""


class _Known(NamedTuple):
    """A logger that can be chosen.

    Attributes:
        make: it, from the environment.
        package: what it needs, also as pip knows it.
        reason: what asks for it where the option does not say; empty: nothing does.
    """

    make: Callable[[Mapping[str, str]], object]
    package: str
    reason: Callable[[Mapping[str, str]], str]


def _mlflow_reason(environ: Mapping[str, str]) -> str:
    return "MLFLOW_TRACKING_URI" if environ.get("MLFLOW_TRACKING_URI") else ""


def _wandb_reason(environ: Mapping[str, str]) -> str:
    if environ.get("WANDB_DISABLED", "").lower() in ("1", "true", "yes", "on"):
        return ""
    if environ.get("WANDB_MODE", "").lower() == "disabled":
        return ""
    return next((name for name in ("WANDB_PROJECT", "WANDB_MODE") if environ.get(name)), "")


_KNOWN = {
    "tensorboard": _Known(lambda environ: TensorboardLogger(), "tensorboard", lambda environ: ""),
    "mlflow": _Known(MlflowLogger, "mlflow", _mlflow_reason),
    "wandb": _Known(WandbLogger, "wandb", _wandb_reason),
}


def choose_loggers(args: TrainArguments, environ: Mapping[str, str]) -> list[object]:
    """The loggers of a run, results.csv first.

    With `args.loggers` None: TensorBoard, which writes files alone, if it is installed; MLflow and Weights & Biases if
    variables of their own ask for them. Else those that are named, and no other.

    Args:
        args: of the run.
        environ: the environment.

    Raises:
        OptionError: a name that nobody knows.
        MissingDependencyError: one that is named is not installed.
    """
    chosen = _by_environment(environ) if args.loggers is None else _by_name(args.loggers)
    return [CsvLogger(), *(_KNOWN[name].make(environ) for name in chosen)]


def _by_name(names: tuple[str, ...]) -> list[str]:
    wanted = dict.fromkeys(name.lower() for name in names)
    for name in wanted:
        if name not in _KNOWN and name != ALWAYS:
            guess = nearest(name, [*_KNOWN, ALWAYS])
            problem = f"'{name}' is unknown" + (f", did you mean '{guess}'?" if guess else "")
            raise OptionError.invalid("loggers", ",".join(names), f"{problem}; known are {', '.join(_KNOWN)}")
    missing = [_KNOWN[name].package for name in wanted if name != ALWAYS and not _is_installed(name)]
    if missing:
        raise MissingDependencyError(missing, f"Option loggers={','.join(names)}")
    return [name for name in _KNOWN if name in wanted]


def _by_environment(environ: Mapping[str, str]) -> list[str]:
    chosen = ["tensorboard"] if _is_installed("tensorboard") else []
    for name, known in _KNOWN.items():
        if reason := known.reason(environ):
            if _is_installed(name):
                chosen.append(name)
            else:
                notice(f"{reason} is set, but {name} is not installed and gets no figures: pip install {known.package}")
    return chosen


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(_KNOWN[name].package) is not None
    except ValueError:  # a module that was put there by hand has no spec
        return True
