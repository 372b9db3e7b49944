"""From a file to a predictor: everything that can be told without the runtime is told first."""

from __future__ import annotations

from pathlib import Path

from segkit.core.backend import Feature, Format, LoadOptions, Predictor
from segkit.core.errors import ModelFileError
from segkit.plugins.edgetpu import COMPILER
from segkit.plugins.edgetpu.file import EdgeFile
from segkit.plugins.edgetpu.predictor import EdgeTpuPredictor
from segkit.plugins.edgetpu.running import delegate


def load(fmt: Format, path: Path, options: LoadOptions) -> Predictor:
    """A compiled file on the Edge TPU `options.device`.

    Raises:
        ModelFileError: the file is damaged, or not compiled.
        UnsupportedError: this machine has no Edge TPU, or not its runtime.
        RuntimeFailure: the device does not answer.
    """
    file = EdgeFile(path)
    file.verify()  # before the runtime sees it, which computes with whatever is there
    metadata = file.metadata()
    if not file.compiled:
        raise ModelFileError(path, f"it is not compiled yet: '{COMPILER} {path.name}' makes of it what runs")
    fmt.require(Feature.PREDICT)
    return EdgeTpuPredictor(file, options, metadata, [delegate(options.device)])
