"""Where a network's layers end and its arithmetic on pixels begins, told from the graph alone."""

from __future__ import annotations

from onnx import GraphProto

LAYERS = {"Conv", "ConvTranspose"}


def tail(graph: GraphProto) -> set[str]:
    """First outputs of the nodes behind the last layers: distances, boxes, sigmoid, joining.

    Those are reached from the end without passing a convolution that has a bias: every layer of a fused network has
    one, the fixed projection inside the box arithmetic has none.
    """
    makers = {name: node for node in graph.node for name in node.output}
    found: set[str] = set()
    ahead = [entry.name for entry in graph.output]
    while ahead:
        node = makers.get(ahead.pop())
        if node is None or node.output[0] in found or (node.op_type in LAYERS and len(node.input) > 2):
            continue
        found.add(node.output[0])
        ahead.extend(node.input)
    return found
