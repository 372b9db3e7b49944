"""Writes the folder: the captured network in TensorFlow's operators as one function, and the metadata beside it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor as Weight

from segkit.core.backend import ExportJob, Feature, Precision
from segkit.core.errors import ExportError
from segkit.core.graph import Program, capture
from segkit.plugins.saved_model import SavedModelExportOptions
from segkit.plugins.saved_model.folder import write_notes
from segkit.plugins.saved_model.lowering import OPERATORS
from segkit.plugins.saved_model.outline import SIGNATURE
from segkit.plugins.saved_model.selection import select
from segkit.plugins.saved_model.values import NHWC, NWC, Array, Tensor
from segkit.plugins.shared.tensorflow import silent, tf

_LAST = {3: NWC, 4: NHWC}
"""Channels at the end, by the number of dimensions."""

KERAS = "model.keras"

_DEBUGGING = "debug"
"""Folder for positions in the source code of whoever exported: of no use to others."""


def export(job: ExportJob) -> None:
    """Write `job.target`: a folder with a SavedModel and metadata.

    Raises:
        ExportError: an operator has no counterpart in TensorFlow, or the weights exceed half precision.
    """
    options = job.options
    assert isinstance(options, SavedModelExportOptions)
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
    half = options.precision is Precision.FP16

    def network(images: Any) -> dict[str, Any]:
        """(B, H, W, 3) float32 RGB 0..1 → outputs by name."""
        return _outputs(program, images, options, half=half)

    free = program.free[0] or {}
    batch, channels, height, width = (None if dim in free else side for dim, side in enumerate(program.example.shape))
    with silent():
        given = tf.TensorSpec([batch, height, width, channels], tf.float32, program.input_name)
        function = tf.function(network, input_signature=[given], autograph=False)
        module = tf.Module()
        module.network = function
        tf.saved_model.save(module, str(job.target), signatures={SIGNATURE: function})
        if options.keras:
            _save_keras(program, job.target / KERAS, half=half)
    shutil.rmtree(job.target / _DEBUGGING, ignore_errors=True)
    write_notes(job.target, job.metadata)


def _save_keras(program: Program, target: Path, *, half: bool) -> None:
    """The same network as a model of Keras; it takes any number of pictures."""
    from segkit.plugins.saved_model.lowering.layers import LAYERS, Symbol, keras

    _, channels, height, width = program.example.shape
    images = keras.Input((height, width, channels), name=program.input_name)
    made = LAYERS.run(program, Symbol(images, NHWC), _weights(program, half=half))
    outputs = {name: (value.natural() if value.rank == 3 else value.to(NHWC)).data for name, value in made.items()}
    keras.Model(images, outputs).save(str(target))


def _outputs(program: Program, images: Any, options: SavedModelExportOptions, *, half: bool) -> dict[str, Any]:
    """The network's outputs, named: those with an entry for each pixel or, where they are split, for each anchor end in
    their channels; joined they are (B, channels, anchors), as in every format.
    """
    made = OPERATORS.run(program, Tensor(images, NHWC), _weights(program, half=half))
    outputs: dict[str, Tensor] = {name: value for name, value in made.items() if isinstance(value, Tensor)}
    limits = options.selection()
    found = {}
    for name, value in outputs.items():
        last = value.to(_LAST[value.rank]).data
        if value.rank == 3 and limits is not None:
            last = select(last, outputs[program.output_names[-1]].to(NHWC).data.shape[3], limits)
        elif value.rank == 3 and options.outputs == "joined":
            last = value.natural().data
        found[name] = tf.identity(last, name)
    return found


def _weights(program: Program, *, half: bool) -> Callable[[str, Weight], Array]:
    """Makes arrays: with `half` those of layers in float16. On a CPU they are made float32 again when the file is
    loaded: it has no layers in float16.
    """
    layers = set(program.exported.graph_signature.inputs_to_parameters)

    def make(name: str, weight: Weight) -> Array:
        array = weight.numpy()
        return _halved(name, array) if half and name in layers else array

    return make


def _halved(name: str, array: Array) -> Array:
    with np.errstate(over="ignore"):
        halved = array.astype(np.float16)
    if not np.isfinite(halved).all():
        raise ExportError("saved_model", f"weights of '{name}' exceed half precision (65504); export without half")
    return halved
