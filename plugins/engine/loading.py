"""From a file to a predictor: everything that can be told without the runtime is told first."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from segkit.core.backend import Feature, Format, LoadOptions, Predictor
from segkit.plugins.engine.container import read_engine
from segkit.plugins.engine.cuda import Gpu
from segkit.plugins.engine.devices import dla_core, gpu_index
from segkit.plugins.engine.fitting import check_core, check_device, check_platform, runtime_for
from segkit.plugins.engine.predictor import EnginePredictor
from segkit.plugins.engine.runtimes import imported


def load(fmt: Format, path: Path, options: LoadOptions) -> Predictor:
    """A plan on `options.device`.

    Raises:
        ModelFileError: the file is damaged, or for another runtime, version, platform or device.
        MissingDependencyError: its runtime, or what calls the driver, is not installed.
        UnsupportedError: this machine has no GPU.
        OptionError: it has not the one that was asked for.
        RuntimeFailure: driver or runtime do not work.
    """
    file = read_engine(path)
    metadata, plan = file.metadata(), file.read_plan()
    check_platform(path, file.built)
    check_core(file, core := dla_core(options.device))
    runtime = runtime_for(file)
    fmt.require(Feature.PREDICT)
    with ExitStack() as undo:
        gpu = undo.enter_context(Gpu.open(gpu_index(options.device)))
        check_device(path, file.built, gpu.device)
        predictor = EnginePredictor(path, plan, metadata, imported(runtime), gpu, core)
        undo.pop_all()  # from here on the predictor closes it
    return predictor
