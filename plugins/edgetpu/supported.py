"""What the Edge TPU runs: the list of operators that Google publishes for its compiler, with their limits, and a look
at a network before it is compiled.

Source: "TensorFlow models on the Edge TPU", section "Supported operations", for runtime version 14 (compiler 16), and
"Model requirements" there: https://coral.ai/docs/edgetpu/models-intro/#supported-operations
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from segkit.plugins.edgetpu.graph import Call, Graph

Limit = Callable[[Call, Graph], bool]
"""Whether an operator is beyond a limit."""

LARGEST_SOFTMAX = 16_000

INNERMOST = 3
"""Only that many of the last sides of a tensor may be more than 1."""

WHOLE = {"int8", "uint8"}
"""Types that tensors between operators may have."""


class Rule(NamedTuple):
    """What the list says of an operator: its limit in words, "" where it has none, and how that is seen."""

    words: str = ""
    beyond: Limit = lambda call, graph: False


def _number(call: Call, field: int, kind: str = "<b", default: int = 0) -> int:
    return call.options.number(field, kind, default) if call.options else default


def _activates(field: int) -> Rule:
    return Rule("no fused activation function", lambda call, graph: _number(call, field) != 0)


def _dilates(across: int, along: int) -> Rule:
    return Rule(
        "the same dilation in x and y",
        lambda call, graph: _number(call, across, "<i", 1) != _number(call, along, "<i", 1),
    )


def _joins(call: Call, graph: Graph) -> bool:
    constants = [graph.tensors[number].data for number in call.inputs if graph.tensors[number].data]
    return _number(call, 1) != 0 or (bool(constants) and (len(call.inputs) != 2 or any(map(any, constants))))


def _along_batch(place: int) -> Limit:
    """For operators whose axes are a constant input."""
    return lambda call, graph: any(
        axis % max(len(graph.tensors[call.inputs[1 - place]].sides), 1) == 0
        for axis in graph.tensors[call.inputs[place]].numbers
    )


def _pads_batch(call: Call, graph: Graph) -> bool:
    return any(graph.tensors[call.inputs[1]].numbers[:2])


def _is_long(call: Call, graph: Graph) -> bool:
    *others, last = (1, *graph.tensors[call.inputs[0]].sides)
    return any(side != 1 for side in others) or last > LARGEST_SOFTMAX


def _strides(call: Call, graph: Graph) -> bool:
    return any(step != 1 for step in graph.tensors[call.inputs[3]].numbers) or any(
        _number(call, field, "<i") for field in (2, 3)
    )


_NOT_ALONG_BATCH = "not along the batch"
_REDUCES = Rule(_NOT_ALONG_BATCH, _along_batch(1))
_PER_CHANNEL = Rule(
    "one factor a channel", lambda call, graph: any(side != 1 for side in graph.tensors[call.inputs[1]].sides[:-1])
)

OPERATORS: Mapping[str, Rule] = {
    "ADD": Rule(),
    "AVERAGE_POOL_2D": _activates(5),
    "CONCATENATION": Rule("no fused activation function, and no constant but one of zeros beside one tensor", _joins),
    "CONV_2D": _dilates(4, 5),
    "DEPTHWISE_CONV_2D": _dilates(5, 6),
    "EXPAND_DIMS": Rule(),
    "FULLY_CONNECTED": Rule("weights in the default format", lambda call, graph: _number(call, 1) != 0),
    "L2_NORMALIZATION": Rule(),
    "LOGISTIC": Rule(),
    "MAXIMUM": Rule(),
    "MAX_POOL_2D": _activates(5),
    "MEAN": _REDUCES,
    "MINIMUM": Rule(),
    "MUL": Rule(),
    "PACK": Rule(_NOT_ALONG_BATCH, lambda call, graph: _number(call, 1, "<i") == 0),
    "PAD": Rule(_NOT_ALONG_BATCH, _pads_batch),
    "PRELU": _PER_CHANNEL,
    "QUANTIZE": Rule(),
    "REDUCE_MAX": _REDUCES,
    "REDUCE_MIN": _REDUCES,
    "RELU": Rule(),
    "RELU6": Rule(),
    "RELU_N1_TO_1": Rule(),
    "RESHAPE": Rule(),  # "certain reshapes might not be mapped for large tensor sizes"
    "RESIZE_BILINEAR": Rule(),  # "depending on input/output size, might not be mapped to avoid loss in precision"
    "RESIZE_NEAREST_NEIGHBOR": Rule(),  # the same
    "RSQRT": Rule(),
    "SLICE": Rule(),
    "SOFTMAX": Rule(f"of one row, of {LARGEST_SOFTMAX:,} numbers at most", _is_long),
    "SPACE_TO_DEPTH": Rule(),
    "SPLIT": Rule(_NOT_ALONG_BATCH, _along_batch(0)),
    "SQUARED_DIFFERENCE": Rule(),
    "SQUEEZE": Rule(),
    "STRIDED_SLICE": Rule("strides of 1, no ellipsis and no new axis", _strides),
    "SUB": Rule(),
    "SUM": _REDUCES,
    "TANH": Rule(),
    "TRANSPOSE": Rule(),
    "TRANSPOSE_CONV": Rule(),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": Rule(),
}
"""Operator as TensorFlow Lite names it → its limit."""


class Left(NamedTuple):
    """Operators that will run on the CPU, of one kind and for one reason."""

    operator: str
    times: int
    why: str

    def __str__(self) -> str:
        """For messages: "2 MUL (behind one that does)"."""
        return f"{self.times} {self.operator} ({self.why})"


BEHIND = "behind another one that does"


def reasons(graph: Graph) -> Iterator[str | None]:
    """Of each operator, in order: why the Edge TPU does not run it; None where it does.

    The compiler maps one piece of a network, so what comes behind an operator that is left on the CPU stays there too.
    """
    ours: set[int] = set()  # tensors that the CPU gives
    for call in graph.calls:
        why = _own_reason(call, graph) or (BEHIND if ours & {*call.inputs} else None)
        if why:
            ours |= {*call.outputs}
        yield why


def left_on_cpu(graph: Graph) -> list[Left]:
    """What the CPU will run, in the order in which it comes."""
    found = Counter((call.operator, why) for call, why in zip(graph.calls, reasons(graph), strict=True) if why)
    return [Left(operator, count, why) for (operator, why), count in found.items()]


def _own_reason(call: Call, graph: Graph) -> str | None:
    rule = OPERATORS.get(call.operator)
    if rule is None:
        return "it is not among the operators of the Edge TPU"
    moving = [graph.tensors[number] for number in (*call.inputs, *call.outputs) if not graph.tensors[number].data]
    for tensor in moving:
        if tensor.info.dtype not in WHOLE:
            return f"it computes in {tensor.info.dtype}"
        if -1 in tensor.sides:
            return "its size is free"
        if any(side > 1 for side in tensor.sides[:-INNERMOST]):
            return f"of a tensor only the last {INNERMOST} sides may be more than 1"
    return f"it must be {rule.words}" if rule.beyond(call, graph) else None
