"""Half precision: the network's layers compute in float16, its arithmetic on pixels stays in float32.

Input and outputs stay float32, so the file is used exactly as a full-precision one. A coordinate of 600 in float16 is
rounded to half a pixel; what stands behind the last layers (distances, boxes, sigmoid, joining) costs next to nothing
and keeps float32.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableSequence

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from segkit.core.errors import ExportError
from segkit.plugins.onnx.structure import tail

_FLOAT32_INPUTS = {"Resize": (1, 2)}
"""Inputs that the ONNX specification wants in float32 whatever the data is: the region and the scales."""


def to_half(model: ModelProto) -> None:
    """Convert a float32 model in place.

    Raises:
        ExportError: a weight is too large for float16.
    """
    graph = model.graph
    behind = tail(graph)
    body = [node for node in graph.node if node.output[0] not in behind]
    pixels = {entry.name for entry in graph.input}
    wide = {entry.name for entry in graph.output} | {
        name for node in graph.node if node.output[0] in behind for name in node.input
    }
    # A value that both precisions need gets a second name; a Cast leads from one to the other.
    entering = {name: f"{name}_fp16" for node in body for name in node.input if name in pixels}
    leaving = {name: f"{name}_fp16" for node in body for name in node.output if name in wide}

    _halve_weights(graph, body)
    nodes = [_cast(name, half, TensorProto.FLOAT16) for name, half in entering.items()]
    for node in graph.node:
        nodes.append(node)
        if node.output[0] not in behind:
            casts = [_cast(leaving[name], name, TensorProto.FLOAT) for name in node.output if name in leaving]
            _rename(node.input, entering | leaving)
            _rename(node.output, leaving)
            nodes += casts
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]  # it tells of types that have changed


def _halve_weights(graph: GraphProto, body: Iterable[NodeProto]) -> None:
    wanted = {
        name
        for node in body
        for place, name in enumerate(node.input)
        if place not in _FLOAT32_INPUTS.get(node.op_type, ())
    }
    for tensor in graph.initializer:
        if tensor.name in wanted and tensor.data_type == TensorProto.FLOAT:
            with np.errstate(over="ignore"):
                halved = numpy_helper.to_array(tensor).astype(np.float16)
            if not np.isfinite(halved).all():
                raise ExportError(
                    "onnx", f"weights of '{tensor.name}' exceed half precision (65504); export without half"
                )
            tensor.CopyFrom(numpy_helper.from_array(halved, tensor.name))


def _cast(source: str, target: str, kind: int) -> NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"cast_{target}", to=kind)


def _rename(names: MutableSequence[str], renamed: Mapping[str, str]) -> None:
    for place, name in enumerate(names):
        names[place] = renamed.get(name, name)
