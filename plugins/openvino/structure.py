"""Where a network's layers end and its arithmetic on pixels begins, told from the graph alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from segkit.plugins.openvino.runtime import ov

_STEM_STRIDE = 4

LAYERS = ("Convolution", "GroupConvolution", "ConvolutionBackpropData")


def tail(model: ov.Model) -> list[ov.Node]:
    """The operators behind the last layers: distances, boxes, sigmoid, joining.

    Those are reached from the end without passing a convolution that has a bias: every layer of a fused network has
    one, the fixed projection inside the box arithmetic has none.
    """
    found: dict[str, ov.Node] = {}
    ahead = [result.input_value(0).get_node() for result in model.get_results()]
    while ahead:
        node = ahead.pop()
        name = node.get_friendly_name()
        if name in found or node.get_type_name() == "Constant" or _is_biased_layer(node):
            continue
        found[name] = node
        ahead.extend(value.get_node() for value in node.input_values())
    return list(found.values())


def ends(behind: Iterable[ov.Node]) -> Iterator[ov.Node]:
    """The last layers, whose outputs go straight into the tail: their convolutions."""
    for node in behind:
        for value in node.input_values():
            if _is_biased_layer(value.get_node()):
                yield from (each for each in _inputs(value.get_node()) if each.get_type_name() in LAYERS)


def stem(model: ov.Model) -> list[ov.Node]:
    """The convolutions that reduce the picture to a quarter of its sides at most, or work at that size."""
    reached: dict[str, int] = {}
    found = []
    for node in model.get_ordered_ops():
        before = max((reached.get(each.get_name(), 1) for each in _inputs(node)), default=1)
        layer = node.get_type_name() in ("Convolution", "GroupConvolution")
        # What is enlarged again has been further down: it does not count back.
        reached[node.get_name()] = before * (node.get_attributes()["strides"][0] if layer else 1)
        if layer and reached[node.get_name()] <= _STEM_STRIDE:
            found.append(node)
    return found


def kernels(model: ov.Model) -> Iterator[ov.Input]:
    """The inputs of layers that take their weights."""
    for node in model.get_ordered_ops():
        if node.get_type_name() in LAYERS and node.input_value(1).get_node().get_type_name() == "Constant":
            yield node.input(1)


def _is_biased_layer(node: ov.Node) -> bool:
    """An addition of a constant to what a convolution gives: OpenVINO's form of a layer with a bias."""
    if node.get_type_name() != "Add":
        return False
    kinds = {each.get_type_name() for each in _inputs(node)}
    return "Constant" in kinds and not kinds.isdisjoint(LAYERS)


def _inputs(node: ov.Node) -> Iterator[ov.Node]:
    return (value.get_node() for value in node.input_values())
