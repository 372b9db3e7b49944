"""An installation with few formats: what goes through all of them stays quick, and does not change with what comes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from segkit.core.backend import registry
from segkit.core.backend.registry import default_registry

OF_TORCH = ("pytorch", "torchscript")


@contextmanager
def formats_of_torch_and(fakes: Mapping[str, str], folder: Path) -> Iterator[None]:
    """Installed are PyTorch, TorchScript and these fakes, by name and module; `folder` is the working one."""
    own = registry.metadata.entry_points

    def few(group: str) -> Any:
        return [point for point in own(group=group) if point.name in OF_TORCH]

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(Path(__file__).parent))
        patch.setattr(registry.metadata, "entry_points", few)
        default_registry.cache_clear()
        for name, module in fakes.items():
            default_registry().register(name, module)
        yield
    default_registry.cache_clear()
