"""8-bit integers: the layers of the network compute in them, its arithmetic on pixels stays in float32.

The file says where a value is rounded with pairs of QuantizeLinear and DequantizeLinear, the form that runtimes read:
values in unsigned 8 bits with a zero point, weights in signed 8 bits with a scale for each output channel, biases in 32
bits in units of what is summed up (with biases in float32, onnxruntime before 1.21 computes everything in float32).

Three parts stay in float32, since they cost little and lose much: the stem, whose values have the widest ranges; the
last layer of each branch, whose outputs are logits; and the arithmetic behind it. Values that are only moved (split,
joined, pooled, enlarged) keep the numbers they have, so all of them share one range.

Rounded weights shift what a channel sums up, by the same at every pixel: where a picture is flat nothing averages it
out. What they add in the mean over the calibration pictures is taken off the bias (Nagel et al., Data-Free Quantization
Through Weight Equalization and Bias Correction, ICCV 2019).

Runtimes that compute in signed 8 bits alone take no zero points and want the bias in float32. They merge a layer with
the SiLU behind it, which then computes on exact sums: there the file rounds what layers take, and nothing between a
layer and the end of its SiLU. The symmetric form is for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from segkit.core.backend import Calibration
from segkit.core.backend.ranges import STEPS, Seen, best_range, best_reach, scale_and_zero, symmetric_scale
from segkit.core.errors import ExportError
from segkit.plugins.onnx.observing import observe
from segkit.plugins.onnx.structure import LAYERS, tail

Numbers = tuple[np.float32, np.uint8 | np.int8]
"""Scale and zero point."""

_MOVING = {"Concat", "MaxPool", "Resize", "Split"}
_FLOWING = LAYERS | _MOVING | {"Add", "Mul", "Sigmoid"}
_STEM_STRIDE = 4
_LARGEST_BIAS = 1 << 30
_ROUNDED = "_dequantized"
_CORRECTED = "_corrected"
_SIGMOID: Numbers = (np.float32(1 / STEPS), np.uint8(0))


def to_int8(
    model: ModelProto, calibration: Calibration, report: Callable[[str], None], *, symmetric: bool = False
) -> None:
    """Quantise a float32 model in place, with ranges measured on pictures; `symmetric` as told above.

    Raises:
        ExportError: there is nothing to quantise, or the network computes no finite numbers.
    """
    plan = Plan.of(model.graph, symmetric=symmetric)
    if not plan.layers:
        raise ExportError("onnx", "no layer was found that could compute in 8 bits")
    inputs = [node.input[0] for node in plan.layers]
    histograms, means = observe(model, plan.nodes, plan.observed(), inputs, calibration, report)
    report("choosing ranges")
    seen: dict[str, list[Seen]] = {}
    for name, histogram in histograms.items():
        gated = plan.gated.get(name)
        if not (gated and symmetric):
            seen.setdefault(plan.shared(name), []).append((Seen.before_silu if gated else Seen.plain)(histogram))
        if gated:
            seen.setdefault(plan.shared(gated.product), []).append(Seen.behind_silu(histogram))
    numbers = {name: _numbers(group, symmetric=symmetric) for name, group in seen.items()}
    gates = {gate.sigmoid for gate in plan.gated.values()}
    rounded = {name: _SIGMOID if name in gates else numbers[plan.shared(name)] for name in plan.rounded()}
    _rewrite(model.graph, plan, rounded, means)


def _numbers(seen: list[Seen], *, symmetric: bool) -> Numbers:
    return symmetric_scale(best_reach(seen)) if symmetric else scale_and_zero(*best_range(seen))


@dataclass(frozen=True)
class Gate:
    """SiLU behind a layer: the outputs of its Sigmoid and of its Mul."""

    sigmoid: str
    product: str


@dataclass(frozen=True)
class Plan:
    """What of a graph computes in 8 bits.

    Attributes:
        nodes: from the input to the last layers, in order.
        deep: those of them behind the stem.
        layers: convolutions that compute in 8 bits.
        gated: SiLU by the output of the layer in front of it, of the stem too.
        outputs: of the graph.
        symmetric: nothing is rounded between a layer and the end of its SiLU, and biases stay in float32.
    """

    nodes: tuple[NodeProto, ...]
    deep: tuple[NodeProto, ...]
    layers: tuple[NodeProto, ...]
    gated: Mapping[str, Gate]
    outputs: frozenset[str]
    _leader: Mapping[str, str]
    symmetric: bool = False

    @classmethod
    def of(cls, graph: GraphProto, *, symmetric: bool = False) -> Plan:
        """Look at a float32 graph."""
        behind, strides, gated = tail(graph), _strides(graph), _gates(graph)
        nodes = [node for node in graph.node if node.output[0] not in behind]
        pixels = graph.input[0].name
        deep = [node for node in nodes if strides.get(node.output[0], 0) > _STEM_STRIDE and pixels not in node.input]
        layers = [node for node in deep if node.op_type == "Conv" and node.output[0] in gated]
        outputs = frozenset(entry.name for entry in graph.output)
        return cls(tuple(nodes), tuple(deep), tuple(layers), gated, outputs, _leaders(deep), symmetric)

    def shared(self, name: str) -> str:
        """The value whose range `name` has: its own, unless it is moved."""
        while name in self._leader:
            name = self._leader[name]
        return name

    def rounded(self) -> dict[str, None]:
        """Values that are rounded to 8 bits, in order."""
        found: dict[str, None] = {}
        for node in self.deep:
            if node in self.layers:
                gate = self.gated[node.output[0]]
                inner = [] if self.symmetric else [node.output[0], gate.sigmoid]
                names = [node.input[0], *inner, gate.product]
            elif node.op_type in _MOVING | {"Add"}:
                names = [*_data(node), *node.output]
            else:
                continue
            found |= dict.fromkeys(names)
        return {name: None for name in found if name not in self.outputs}

    def observed(self) -> dict[str, None]:
        """Values whose numbers must be counted to know the ranges of the rounded ones, in order.

        What SiLU gives follows from what it takes, what is moved from where it comes from.
        """
        wanted = {self.shared(name) for name in self.rounded()}
        behind_gate = {gate.product: name for name, gate in self.gated.items()}
        made = [name for node in self.nodes if node.op_type in LAYERS | {"Add", "Mul"} for name in node.output]
        # A layer's SiLU may be outside of these nodes: behind it there may be nothing but arithmetic.
        gives = {name: gate.product for name, gate in self.gated.items()}
        return {
            behind_gate.get(name, name): None
            for name in made
            if self.shared(name) in wanted or self.shared(gives.get(name, name)) in wanted
        }


def _strides(graph: GraphProto) -> dict[str, int]:
    """How far the values that come from the picture have been reduced at most, on their way."""
    found = {graph.input[0].name: 1}
    for node in graph.node:
        reached = [found[name] for name in node.input if name in found]
        if reached and node.op_type in _FLOWING:
            step = next((item.ints[0] for item in node.attribute if item.name == "strides"), 1)
            reduction = step if node.op_type in ("Conv", "MaxPool") else 1
            found |= dict.fromkeys(node.output, max(reached) * reduction)
    return found


def _gates(graph: GraphProto) -> dict[str, Gate]:
    takers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            takers.setdefault(name, []).append(node)
    found = {}
    for layer in graph.node:
        if layer.op_type != "Conv":
            continue
        for sigmoid in takers.get(layer.output[0], []):
            for product in takers.get(sigmoid.output[0], []) if sigmoid.op_type == "Sigmoid" else []:
                if product.op_type == "Mul" and {*product.input} == {layer.output[0], sigmoid.output[0]}:
                    found[layer.output[0]] = Gate(sigmoid.output[0], product.output[0])
    return found


def _leaders(nodes: list[NodeProto]) -> dict[str, str]:
    """Joins values that are moved into each other: name → another one of its group, without a ring."""
    leader: dict[str, str] = {}

    def first(name: str) -> str:
        while name in leader:
            name = leader[name]
        return name

    for node in nodes:
        if node.op_type in _MOVING:
            for name in (*_data(node), *node.output[1:]):
                if first(name) != first(node.output[0]):
                    leader[first(name)] = first(node.output[0])
    return leader


def _data(node: NodeProto) -> list[str]:
    """Inputs that hold values, not sizes."""
    return list(node.input) if node.op_type in ("Add", "Concat") else [node.input[0]]


def _rewrite(
    graph: GraphProto, plan: Plan, numbers: Mapping[str, Numbers], means: Mapping[str, NDArray[np.float64]]
) -> None:
    """Round the values that have numbers, and store the layers' weights in 8 bits; `means` of inputs' channels."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    layers = {node.output[0] for node in plan.layers}
    nodes: list[NodeProto] = []
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name in numbers:
                node.input[place] = f"{name}{_ROUNDED}"
        if node.output[0] in layers:
            taken = node.input[0].removesuffix(_ROUNDED)
            kernel, bias = node.input[1:]
            rounded = (kernel,) if plan.symmetric else (kernel, bias)
            graph.initializer.extend(
                _whole_weights(
                    weights[kernel], weights[bias], numbers[taken][0], means[taken], with_bias=bias in rounded
                )
            )
            if plan.symmetric:
                node.input[2] = f"{bias}{_CORRECTED}"
            for place, name in enumerate(rounded, 1):
                nodes.append(_dequantize(name, axis=0))
                node.input[place] = f"{name}{_ROUNDED}"
        nodes.append(node)
        for name in node.output:
            if name in numbers:
                graph.initializer.extend(_constants(name, *numbers[name]))
                nodes += [_quantize(name), _dequantize(name)]
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    del graph.value_info[:]


def _whole_weights(
    kernel: TensorProto, bias: TensorProto, step: np.float32, mean: NDArray[np.float64], *, with_bias: bool
) -> Iterator[TensorProto]:
    """Weights (out, in, h, w) in -127..127 with a scale for each output channel, and the bias (out,) less what rounding
    them adds where the inputs' channels have this `mean` (channels,). `with_bias` it is in steps of the sums: those of
    the weights times `step`, that of the inputs.
    """
    weights, offsets = numpy_helper.to_array(kernel), numpy_helper.to_array(bias)
    # Tiny weights beside a large bias: its steps must not be so small that it has no place in 32 bits.
    least = np.maximum(np.abs(offsets) / (step * _LARGEST_BIAS), np.finfo(np.float32).tiny / np.minimum(step, 1))
    scales = np.maximum(np.abs(weights).max((1, 2, 3)) / 127, least).astype(np.float32)
    whole = np.clip(np.rint(weights / scales[:, None, None, None]), -127, 127).astype(np.int8)
    yield numpy_helper.from_array(whole, f"{kernel.name}_quantized")
    yield from _constants(kernel.name, scales, np.zeros(len(scales), np.int8))
    corrected = offsets - _shift(whole * scales.astype(np.float64)[:, None, None, None] - weights, mean)
    if not with_bias:
        yield numpy_helper.from_array(corrected.astype(np.float32), f"{bias.name}{_CORRECTED}")
        return
    steps = (scales * step).astype(np.float32)
    yield numpy_helper.from_array(np.rint(corrected / steps).astype(np.int32), f"{bias.name}_quantized")
    yield from _constants(bias.name, steps, np.zeros(len(steps), np.int32))


def _shift(errors: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """(out,) what errors of weights (out, in, h, w) add to sums in the mean; a group of outputs has its own inputs."""
    groups = mean.reshape(-1, errors.shape[1])
    seen = np.repeat(groups, len(errors) // len(groups), axis=0)
    return np.asarray((errors.sum((2, 3)) * seen).sum(1))


def _constants(
    name: str, scale: np.float32 | NDArray[np.float32], zero: np.integer[Any] | NDArray[np.int8] | NDArray[np.int32]
) -> Iterator[TensorProto]:
    yield numpy_helper.from_array(np.asarray(scale), f"{name}_scale")
    yield numpy_helper.from_array(np.asarray(zero), f"{name}_zero")


def _quantize(name: str) -> NodeProto:
    inputs = [name, f"{name}_scale", f"{name}_zero"]
    return helper.make_node("QuantizeLinear", inputs, [f"{name}_quantized"], name=f"{name}_quantize")


def _dequantize(name: str, axis: int | None = None) -> NodeProto:
    inputs = [f"{name}_quantized", f"{name}_scale", f"{name}_zero"]
    return helper.make_node("DequantizeLinear", inputs, [f"{name}{_ROUNDED}"], name=f"{name}_dequantize", axis=axis)
