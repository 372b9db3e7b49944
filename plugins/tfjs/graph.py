"""A frozen graph as TensorFlow.js wants it: nothing that is not used, convolutions with their bias inside."""

from __future__ import annotations

from collections import Counter
from typing import Any

INPUT = "images"

FUSED = {"Conv2D": "_FusedConv2D", "DepthwiseConv2dNative": "FusedDepthwiseConv2dNative"}
"""Operators that TensorFlow.js has with a bias inside: XNNPACK then adds it while it convolves."""

_WEIGHED = {"Conv2DBackpropInput", "MatMul", *FUSED, *FUSED.values()}
"""Operators whose second input are weights by the thousand."""

KERNELS = {
    *("AddV2", "BiasAdd", "BroadcastTo", "Cast", "ConcatV2", "Const", "Conv2D", "Conv2DBackpropInput"),
    *("DepthwiseConv2dNative", "ExpandDims", "Fill", "FloorDiv", "FusedDepthwiseConv2dNative"),
    *("Identity", "MatMul", "MaxPool", "Mul", "Pack", "Pad", "PadV2", "Placeholder", "Range", "RealDiv"),
    *("Relu", "Relu6", "Reshape", "ResizeNearestNeighbor", "Shape", "Sigmoid", "Softmax", "Split"),
    *("SplitV", "StridedSlice", "Sub", "Tanh", "Transpose", "_FusedConv2D"),
}
"""Operators that segkit's graphs may have and that TensorFlow.js runs in WebAssembly, seen there."""


def pruned(graph: Any, outputs: list[str]) -> Any:
    """The nodes that `outputs` need, in their order; those that only pass a tensor on are left out."""
    nodes = {node.name: node for node in graph.node}

    def source(name: str) -> str:
        """Where a tensor ("name" or "name:1") comes from."""
        while (node := nodes[name.partition(":")[0]]).op == "Identity":
            name = node.input[0]
        return name.removesuffix(":0")

    needed, waiting = set(outputs), list(outputs)
    for name in outputs:
        nodes[name].input[0] = source(nodes[name].input[0])
    while waiting:
        node = nodes[waiting.pop()]
        for place, name in enumerate(node.input):
            node.input[place] = source(name)
            origin = node.input[place].partition(":")[0]
            if origin not in needed:
                needed.add(origin)
                waiting.append(origin)
    kept = type(graph)(versions=graph.versions)
    kept.node.extend(node for node in graph.node if node.name in needed)
    return kept


def fused(graph: Any) -> Any:
    """The graph with each bias, where nothing else uses what it is added to, inside its convolution."""
    nodes = {node.name: node for node in graph.node}
    taken = Counter(name.partition(":")[0] for node in graph.node for name in node.input)
    made = type(graph)(versions=graph.versions)
    swallowed = set()
    for node in graph.node:
        inner = nodes.get(node.input[0]) if node.op == "BiasAdd" else None
        if inner is None or inner.op not in FUSED or taken[inner.name] > 1:
            continue
        swallowed.add(inner.name)
        node.op = FUSED[inner.op]
        bias = node.input[1]
        del node.input[:]
        node.input.extend([*inner.input, bias])
        for key, value in inner.attr.items():
            node.attr[key].CopyFrom(value)
        node.attr["fused_ops"].list.s.append(b"BiasAdd")
        node.attr["num_args"].i = 1
    made.node.extend(node for node in graph.node if node.name not in swallowed)
    return made


def kernels(graph: Any) -> set[str]:
    """Names of the constants that are the weights of layers."""
    return {node.input[1] for node in graph.node if node.op in _WEIGHED}
