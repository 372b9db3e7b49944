"""Where to train, as users say it. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BeforeValidator

from segkit.core.errors import OptionError


def _devices(value: Any) -> Any:
    """0, "0,1", [0, 1], "cuda:0,cuda:1", "cpu" or a torch.device as names of torch's devices; None for the default."""
    if value is None or (isinstance(value, str) and value.strip().lower() in ("", "none")):
        return None
    given = value.strip("[]() ").split(",") if isinstance(value, str) else value
    parts = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    names = [str(part).strip().lower() for part in parts if str(part).strip()]
    devices = tuple(f"cuda:{name}" if name.isdigit() else name for name in names)
    if len(devices) > 1 and set(devices) != {"cpu"} and not _different_cards(devices):
        raise OptionError.invalid("device", value, "several devices are different GPUs, e.g. 0,1, or cpu as many times")
    return devices or None


def _different_cards(names: tuple[str, ...]) -> bool:
    return len(set(names)) == len(names) and all(name.startswith("cuda:") for name in names)


Devices = Annotated[tuple[str, ...] | None, BeforeValidator(_devices)]
"""Names of devices, one a process; None: a GPU where there is one, else the CPU."""
