"""Writes the folder: the captured network in Paddle's operators, its parameters, and the metadata beside them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from segkit.core.backend import ExportJob, Feature, Precision
from segkit.core.backend.described import write_described
from segkit.core.errors import ExportError
from segkit.core.graph import Program, capture
from segkit.plugins.paddle import PaddleExportOptions
from segkit.plugins.paddle.folder import STEM
from segkit.plugins.paddle.importing import paddle
from segkit.plugins.paddle.lowering import OPERATORS

_FREE = -1
"""A free side, as Paddle writes it."""


def export(job: ExportJob) -> None:
    """Write `job.target`: a folder of three files.

    Raises:
        ExportError: an operator has no counterpart in Paddle, or the weights exceed half precision.
    """
    options = job.options
    assert isinstance(options, PaddleExportOptions)
    assert job.model is not None
    asked = options.features()
    program = capture(
        job.model,
        head=options.head_layout(),
        imgsz=options.imgsz,
        batch=options.batch,
        dynamic_batch=Feature.DYNAMIC_BATCH in asked,
        dynamic_size=Feature.DYNAMIC_SIZE in asked,
    )
    job.target.mkdir()
    with _static() as executor, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Paddle tells everybody how its functions differ from torch's
        _write(program, job.target / STEM, executor, half=options.precision is Precision.FP16)
    _name_outputs((job.target / STEM).with_suffix(".json"), program.output_names)
    write_described(job.target, job.metadata)


def _write(program: Program, prefix: Path, executor: Any, *, half: bool) -> None:
    module = paddle()
    # Held here, so that it outlives an error: whoever shows the values of a traceback whose program is gone crashes.
    graph = module.static.default_main_program()
    sides = [_FREE if place in (program.free[0] or {}) else side for place, side in enumerate(program.example.shape)]
    images = module.static.data(program.input_name, sides, "float32")
    outputs = OPERATORS.run(program, images, _weights(program, half=half))
    module.static.save_inference_model(str(prefix), [images], list(outputs.values()), executor, program=graph)


def _weights(program: Program, *, half: bool) -> Callable[[str, Tensor], Any]:
    """Makes parameters: those of layers in float16 with `half`, where the first thing that is done to them is to make
    them float32 again. The runtime does so once, when it loads the file: on a CPU it has no layers in float16.
    """
    module = paddle()
    layers = set(program.exported.graph_signature.inputs_to_parameters)

    def make(name: str, tensor: Tensor) -> Any:
        array = tensor.numpy()
        if half and name in layers:
            array = _halved(name, array)
        # The initial value is never computed: the array takes its place.
        start = module.nn.initializer.Constant(0)
        made = module.static.create_parameter(list(array.shape), str(array.dtype), name, default_initializer=start)
        module.static.global_scope().var(name).get_tensor().set(array, module.CPUPlace())
        return module.cast(made, "float32") if array.dtype == np.float16 else made

    return make


def _halved(name: str, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    with np.errstate(over="ignore"):
        halved = array.astype(np.float16)
    if not np.isfinite(halved).all():
        raise ExportError("paddle", f"weights of '{name}' exceed half precision (65504); export without half")
    return halved


@contextmanager
def _static() -> Iterator[Any]:
    """A program, values and an executor of our own; Paddle's mode, which is one for the process, is left as it was."""
    module = paddle()
    eager = module.in_dynamic_mode()
    module.enable_static()
    try:
        programs = module.static.Program(), module.static.Program()
        with (
            module.static.scope_guard(module.static.Scope()),
            module.static.program_guard(*programs),
            module.utils.unique_name.guard(),
        ):
            yield module.static.Executor(module.CPUPlace())
    finally:
        if eager:
            module.disable_static()


def _name_outputs(file: Path, names: tuple[str, ...]) -> None:
    """Paddle numbers the outputs; users and other readers go by their names."""
    text = file.read_text(encoding="utf-8")
    for number, name in enumerate(names):
        numbered = f'"fetch_name_{number}"'
        if text.count(numbered) != 1:
            raise ExportError("paddle", f"this version of Paddle has not named its outputs {numbered}")
        text = text.replace(numbered, f'"{name}"')
    file.write_text(text, encoding="utf-8")
