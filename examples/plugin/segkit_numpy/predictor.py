"""Runs the archive: one function call a node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.core.backend import Anchors, LoadOptions, Predictor
from segkit.core.backend.batching import run_in_chunks
from segkit.core.errors import OptionError
from segkit.core.images import ImageBatch
from segkit_numpy.archive import read_archive
from segkit_numpy.ops import OPS


class NumpyPredictor(Predictor):
    """The graph as a list of calls."""

    def __init__(self, path: Path, options: LoadOptions) -> None:
        """Read the whole archive.

        Raises:
            ModelFileError: it is damaged.
            OptionError: another device than the CPU is asked for.
        """
        if options.device != "cpu":
            raise OptionError.invalid("device", options.device, "numpy runs on the cpu only")
        content = read_archive(path)
        self._graph, self._weights = content["graph"], content["weights"]
        self._batch, self._size = content["metadata"]["batch"], tuple(content["metadata"]["imgsz"])

    def run(self, batch: ImageBatch) -> Anchors:
        """Compute, in portions of the batch that the graph was captured with."""
        if batch.size != self._size:
            raise OptionError.invalid("imgsz", batch.size, f"this file takes {self._size} only")
        return Anchors.from_joined(*run_in_chunks(batch.f32_nchw, self._batch, self._compute))

    def _compute(self, images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        values: dict[str, Any] = {**self._weights, self._graph["input"]: images}
        for name, op, args, kwargs in self._graph["nodes"]:
            values[name] = OPS[op](*_filled(args, values), **_filled(kwargs, values))
        outputs: list[NDArray[np.float32]] = _filled(self._graph["outputs"], values)
        return outputs


def _filled(value: Any, values: dict[str, Any]) -> Any:
    """Arguments with every {"node": name} replaced by that node's value."""
    if isinstance(value, list):
        return [_filled(item, values) for item in value]
    if isinstance(value, dict):
        return values[value["node"]] if value.keys() == {"node"} else {k: _filled(v, values) for k, v in value.items()}
    return value
