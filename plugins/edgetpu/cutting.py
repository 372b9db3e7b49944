"""Takes off the end of a network what the Edge TPU cannot run, or would round to death: how boxes and scores come out
of its last layers. A program decodes that with 256 numbers for each output, see `decoding.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from segkit.plugins.edgetpu.graph import Call, Graph, read_graph, rewired

DISTANCES, LOGITS = "distances", "logits"
"""(1, A, 4 · bins), how likely each side of a box is how far from its anchor; and (1, A, classes)."""


class Cut(NamedTuple):
    """A network without its end; `outputs` says what its tensors hold, by their own names."""

    content: bytes
    outputs: Mapping[str, str]


def cut(content: bytes) -> Cut:
    """The network up to the logits of its heads.

    Raises:
        ValueError: it is another one; why, as a clause.
    """
    graph = read_graph(content)
    ends = {info.name: number for number, info in graph.outputs}
    makers = {number: call for call in graph.calls for number in call.outputs}
    raw = {_before(graph, makers, "SOFTMAX", ends["boxes"]): DISTANCES} if "boxes" in ends else {}
    raw |= {_before(graph, makers, "LOGISTIC", ends["scores"]): LOGITS} if "scores" in ends else {}
    raw |= {ends[name]: name for name in ("coefficients", "prototypes") if name in ends}
    if {*raw.values()} != {DISTANCES, LOGITS, "coefficients", "prototypes"}:
        raise ValueError(f"its outputs are {', '.join(ends)}, not boxes, scores, coefficients and prototypes")
    needed = _needed(graph, {*raw})
    kept = [number for number, call in enumerate(graph.calls) if {*call.outputs} & needed]
    outputs = {graph.tensors[number].info.name: name for number, name in raw.items()}
    return Cut(rewired(content, kept, list(raw)), outputs)


def _before(graph: Graph, makers: Mapping[int, Call], operator: str, end: int) -> int:
    """The tensor of three sides that the nearest such operator above `end` is given, whatever shapes it in between."""
    waiting = [end]
    for number in waiting:
        call = makers.get(number)
        if call is None:
            continue
        if call.operator == operator:
            given = call.inputs[0]
            while given in makers and makers[given].operator == "RESHAPE" and len(graph.tensors[given].sides) != 3:
                given = makers[given].inputs[0]
            return given
        waiting += [each for each in call.inputs if each not in waiting]
    raise ValueError(f"it has no {operator} before its end")


def _needed(graph: Graph, ends: set[int]) -> set[int]:
    """Tensors that these are computed from, and themselves."""
    for call in reversed(graph.calls):
        if ends & {*call.outputs}:
            ends = ends | {*call.inputs}
    return ends
