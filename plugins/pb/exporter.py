"""Writes the file: the function of a SavedModel as one flat graph of constants, with the metadata in a node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segkit.core.backend import ExportJob
from segkit.core.errors import ExportError
from segkit.plugins.pb.file import notes_of
from segkit.plugins.pb.outline import NOTES
from segkit.plugins.shared.tensorflow import silent, tf


def export(job: ExportJob) -> None:
    """Write `job.target` from the SavedModel `job.upstream`.

    Raises:
        ExportError: the SavedModel is not as it should be.
    """
    assert job.upstream is not None
    with silent():
        body = _frozen(job.upstream).SerializeToString(deterministic=True)
    # Messages that follow each other are one: what was serialised stays as it is, and can be summed.
    job.target.write_bytes(body + _noted(notes_of(job.metadata, body)).SerializeToString())


def _frozen(folder: Path) -> Any:
    """The GraphDef of a SavedModel's function: input and outputs have the names that it gives them."""
    # As it was written: TensorFlow's own way to freeze also computes with constants, those in half precision too.
    (function,) = tf.saved_model.load(str(folder)).network.concrete_functions
    names = sorted(function.structured_outputs)  # as its outputs are
    if len(names) != len(function.outputs) or len(function.inputs) != 1:
        raise ExportError("pb", f"the SavedModel has {len(function.inputs)} inputs and {len(function.outputs)} outputs")
    graph = function.graph.as_graph_def()
    _set_aside(graph, names)
    for name, tensor in zip(names, function.outputs, strict=True):
        node = graph.node.add(name=name, op="Identity", input=[_aside(tensor.name, names)])
        node.attr["T"].type = tensor.dtype.as_datatype_enum
        node.attr["_output_shapes"].list.shape.add().CopyFrom(tensor.shape.as_proto())
    return tf.compat.v1.graph_util.extract_sub_graph(graph, names)


def _set_aside(graph: Any, names: list[str]) -> None:
    """Nodes that have the names of outputs get others."""
    for node in graph.node:
        node.name = _aside(node.name, names)
        for place, taken in enumerate(node.input):
            node.input[place] = _aside(taken, names)


def _aside(name: str, names: list[str]) -> str:
    """A name of a node, a tensor ("name:0") or a dependency ("^name"), changed if it is one of `names`."""
    node, colon, number = name.lstrip("^").partition(":")
    caret = "^" if name.startswith("^") else ""
    return f"{caret}inner/{node}{colon}{number}" if node in names else name


def _noted(text: str) -> Any:
    """A GraphDef of one node that holds a text."""
    graph = tf.compat.v1.GraphDef()
    node = graph.node.add(name=NOTES, op="Const")
    node.attr["dtype"].type = tf.string.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(text.encode(), tf.string, []))
    return graph
