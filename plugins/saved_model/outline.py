"""What a SavedModel takes, gives and calls, read with nothing but Python.

Numbers of fields are those of TensorFlow's `saved_model.proto`, `meta_graph.proto`, `graph.proto`, `node_def.proto`,
`attr_value.proto` and `tensor.proto`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import prod
from typing import NamedTuple

from segkit.core.backend import TensorInfo
from segkit.core.protobuf import Content, Field, fields, signed

SERVE = "serve"
"""Tag of the graph that is for running."""

SIGNATURE = "serving_default"
"""The function that is called when none is named."""

TYPES = {1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "string", 9: "int64"}
TYPES |= {10: "bool", 11: "qint8", 12: "quint8", 13: "qint32", 14: "bfloat16", 17: "uint16", 19: "float16"}
TYPES |= {20: "resource", 21: "variant", 22: "uint32", 23: "uint64"}
"""`DataType` of types.proto."""

_INITIAL = "__saved_model_init_op"
"""A signature that is none: it prepares a graph of TensorFlow 1."""

_ARRANGING = {"Const", "Identity", "IdentityN", "NoOp", "PartitionedCall", "Placeholder", "StatefulPartitionedCall"}
_KEEPING = {"MergeV2Checkpoints", "ReadVariableOp", "RestoreV2", "SaveV2", "ShardedFilename", "StaticRegexFullMatch"}
_KEEPING |= {"StringJoin", "VarHandleOp", "VariableV2", "AssignVariableOp"}
_COMPUTES_NOT = _ARRANGING | _KEEPING
"""Operators that hold numbers, call functions, or keep weights in files."""


class Port(NamedTuple):
    """An input or output of a signature, and the tensor of the graph that it is, such as "serving_default_images:0"."""

    tensor: str
    info: TensorInfo


class Pictures(NamedTuple):
    """How an input takes pictures; a side that is free is None."""

    batch: int | None
    height: int | None
    width: int | None
    channels_last: bool

    @classmethod
    def of(cls, info: TensorInfo) -> Pictures | None:
        """From its shape: NHWC, as TensorFlow has it, or NCHW, as some converters leave it; None: it takes none."""
        if len(info.shape) != 4 or 3 not in (info.shape[1], info.shape[3]):
            return None
        batch, *sides = (side if isinstance(side, int) else None for side in info.shape)
        last = info.shape[3] == 3
        height, width = sides[:2] if last else sides[1:]
        return cls(batch, height, width, last)


@dataclass(frozen=True)
class Outline:
    """A SavedModel from outside.

    Attributes:
        signature: name of the one that is run.
        inputs, outputs: of it, sorted by name as TensorFlow does.
        operators: how often each one occurs that computes something, functions included.
        weights: how many numbers of each type are constants of the graph.
        version: of the TensorFlow that wrote it; "" where it does not say.
    """

    signature: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    operators: Counter[str] = field(default_factory=Counter)
    weights: Counter[str] = field(default_factory=Counter)
    version: str = ""


def read_outline(content: Content) -> Outline:
    """Of the content of a `saved_model.pb`.

    Raises:
        ValueError: it is none, is damaged, or has no signature to run; why, as a clause.
    """
    graphs = [_MetaGraph(part) for part in fields(content) if part.number == 2]
    serving = [graph for graph in graphs if SERVE in graph.tags]
    if not serving:
        raise ValueError("it holds no graph that is for running (with the tag 'serve')")
    graph = serving[0]
    name = _chosen(list(graph.signatures))
    inputs, outputs = _ports(graph.signatures[name])
    return Outline(name, inputs, outputs, graph.operators, graph.weights, graph.version)


def _chosen(names: list[str]) -> str:
    """The signature to run."""
    usual = [name for name in names if name == SIGNATURE] or [name for name in names if name != _INITIAL]
    if len(usual) == 1:
        return usual[0]
    found = f"its signatures are {', '.join(sorted(usual))}" if usual else "it has none"
    raise ValueError(f"it has no signature '{SIGNATURE}': {found}")


class _MetaGraph:
    """A MetaGraphDef: meta_info_def (1), graph_def (2), signature_def (5)."""

    def __init__(self, message: Iterable[Field]) -> None:
        self.tags: list[str] = []
        self.version = ""
        self.signatures: dict[str, Field] = {}
        self.operators: Counter[str] = Counter()
        self.weights: Counter[str] = Counter()
        for part in message:
            if part.number == 1:  # MetaInfoDef: tags (4), tensorflow_version (5)
                self.tags += [inner.text for inner in part if inner.number == 4]
                self.version = "".join(inner.text for inner in part if inner.number == 5)
            elif part.number == 2:
                self._count(part)
            elif part.number == 5:
                key, value = entry(part)
                self.signatures[key] = value

    def _count(self, graph: Field) -> None:
        for node in _nodes(graph):
            operator, value = "", None
            for part in node:
                if part.number == 2:
                    operator = part.text
                elif part.number == 5 and bytes(part.data[:7]) == b"\n\x05value":  # its attribute of that name
                    value = part
            if operator not in _COMPUTES_NOT:
                self.operators[operator] += 1
            elif operator == "Const" and value is not None:
                kind, numbers = _size(entry(value)[1])
                self.weights[kind] += numbers


def _nodes(graph: Field) -> Iterator[Field]:
    """Nodes of a GraphDef: node (1); of the functions (1) in its library (2), node_def (3)."""
    for part in graph:
        if part.number == 1:
            yield part
        elif part.number == 2:
            for function in part:
                if function.number == 1:
                    yield from (node for node in function if node.number == 3)


def entry(part: Field) -> tuple[str, Field]:
    """Key and value of an entry of a map.

    Raises:
        ValueError: it is none.
    """
    found = {inner.number: inner for inner in part}
    if 2 not in found:
        raise ValueError("a map has an entry without a value")
    return found[1].text if 1 in found else "", found[2]


def _size(value: Field) -> tuple[str, int]:
    """Type and number of elements of an AttrValue that is a tensor (8): dtype (1), tensor_shape (2)."""
    kind, numbers = 0, 1
    for tensor in (part for part in value if part.number == 8):
        for part in tensor:
            if part.number == 1:
                kind = part.whole
            elif part.number == 2:
                numbers = prod(side or 0 for side in shape(part) or ())
    return TYPES.get(kind, f"type {kind}"), numbers


def _ports(signature: Field) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    """Of a SignatureDef: inputs (1) and outputs (2), maps from a name to a TensorInfo."""
    found: dict[int, list[Port]] = {1: [], 2: []}
    for part in signature:
        if part.number in found:
            found[part.number].append(_port(*entry(part)))
    inputs, outputs = (tuple(sorted(ports, key=lambda port: port.info.name)) for ports in found.values())
    return inputs, outputs


def _port(name: str, message: Field) -> Port:
    """A TensorInfo: name (1), dtype (2), tensor_shape (3)."""
    tensor, kind = "", 0
    sides: tuple[int | None, ...] = ()
    for part in message:
        if part.number == 1:
            tensor = part.text
        elif part.number == 2:
            kind = part.whole
        elif part.number == 3:
            sides = shape(part) or ()
    return Port(tensor, TensorInfo(name, TYPES.get(kind, f"type {kind}"), sides))


def shape(message: Field) -> tuple[int | None, ...] | None:
    """A TensorShapeProto: dim (2) with size (1), unknown_rank (3). A free side is None; None: nothing is known."""
    sides: list[int | None] = []
    for part in message:
        if part.number == 3 and part.value:
            return None
        if part.number == 2:
            size = next((signed(inner.whole) for inner in part if inner.number == 1), 0)
            sides.append(size if size >= 0 else None)
    return tuple(sides)
