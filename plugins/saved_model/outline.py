"""What a SavedModel takes, gives and calls, read with nothing but Python.

Numbers of fields are those of TensorFlow's `saved_model.proto`, `meta_graph.proto`, `graph.proto`, `node_def.proto`,
`attr_value.proto` and `tensor.proto`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from segkit.core.backend import TensorInfo
from segkit.core.protobuf import Content, Field, fields, signed
from segkit.plugins.saved_model.reach import Node, Reach
from segkit.plugins.shared.sizes import volume

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


@dataclass(frozen=True)
class Outline:
    """A SavedModel from outside.

    Attributes:
        signature: name of the one that is run.
        inputs, outputs: of it, sorted by name as TensorFlow does.
        operators: how often each one occurs that computes something, functions included.
        weights: how many numbers of each type are constants of the graph.
        version: of the TensorFlow that wrote it; "" where it does not say.
        touching: operators of all its graphs that no network has any business with, see `shared/operators.py`; those
            that keep weights in files are among them where something else than the saver comes to them.
    """

    signature: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    operators: Counter[str] = field(default_factory=Counter)
    weights: Counter[str] = field(default_factory=Counter)
    version: str = ""
    touching: tuple[str, ...] = ()


def read_outline(content: Content) -> Outline:
    """Of the content of a `saved_model.pb`.

    Raises:
        ValueError: it is none, is damaged, or has no signature to run; why, as a clause.
    """
    graphs = [_MetaGraph(part) for part in fields(content) if part.number == 2]
    serving = [graph for graph in graphs if {*graph.tags} == {SERVE}]  # the one that TensorFlow looks for
    if not serving:
        raise ValueError("it holds no graph that is for running (with the tag 'serve' and no other)")
    graph = serving[0]
    name = _chosen(list(graph.signatures))
    inputs, outputs = _ports(graph.signatures[name])
    hostile = sorted({operator for each in graphs for operator in each.reach.touching()})
    return Outline(name, inputs, outputs, graph.operators, graph.weights, graph.version, tuple(hostile))


def _chosen(names: list[str]) -> str:
    """The signature to run."""
    usual = [name for name in names if name == SIGNATURE] or [name for name in names if name != _INITIAL]
    if len(usual) == 1:
        return usual[0]
    found = f"its signatures are {', '.join(sorted(usual))}" if usual else "it has none"
    raise ValueError(f"it has no signature '{SIGNATURE}': {found}")


class _MetaGraph:
    """A MetaGraphDef: meta_info_def (1), graph_def (2), saver_def (3), collection_def (4), signature_def (5)."""

    def __init__(self, message: Iterable[Field]) -> None:
        self.tags: list[str] = []
        self.version = ""
        self.signatures: dict[str, Field] = {}
        self.operators: Counter[str] = Counter()
        self.weights: Counter[str] = Counter()
        self.reach = Reach()
        for part in message:
            if part.number == 1:  # MetaInfoDef: tags (4), tensorflow_version (5)
                self.tags += [inner.text for inner in part if inner.number == 4]
                self.version = "".join(inner.text for inner in part if inner.number == 5)
            elif part.number == 2:
                self._count(part)
            elif part.number == 3:  # SaverDef: restore_op_name (3)
                self.reach.restoring |= {inner.text for inner in part if inner.number == 3}
            elif part.number == 4:  # CollectionDef: node_list (1) with value (1)
                lists = [inner for inner in entry(part)[1] if inner.number == 1]
                self.reach.running |= {inner.text for each in lists for inner in each if inner.number == 1}
            elif part.number == 5:  # SignatureDef: outputs (2)
                key, value = entry(part)
                self.signatures[key] = value
                ends = [entry(inner)[1] for inner in value if inner.number == 2]
                self.reach.running |= {inner.text for end in ends for inner in end if inner.number == 1}

    def _count(self, graph: Field) -> None:
        for function, node in _nodes(graph):
            name, operator, inputs, calls, value = "", "", list[str](), list[str](), None
            for part in node:  # NodeDef: name (1), op (2), input (3), attr (5)
                if part.number == 1:
                    name = part.text
                elif part.number == 2:
                    operator = part.text
                elif part.number == 3:
                    inputs.append(part.text)
                elif part.number == 5:
                    attribute = entry(part)[1]
                    calls += _called(attribute)
                    if bytes(part.data[:7]) == b"\n\x05value":  # its attribute of that name
                        value = attribute
            self.reach.add(Node(name, operator, tuple(inputs), tuple(calls)), function)
            if operator not in _COMPUTES_NOT:
                self.operators[operator] += 1
            elif operator == "Const" and value is not None:
                kind, numbers = _size(value)
                self.weights[kind] += numbers


def _nodes(graph: Field) -> Iterator[tuple[str | None, Field]]:
    """Nodes of a GraphDef: node (1); of the functions (1) in its library (2), node_def (3), with the function's name
    (1) from its signature (1).
    """
    for part in graph:
        if part.number == 1:
            yield None, part
        elif part.number == 2:
            for function in (inner for inner in part if inner.number == 1):
                told = [inner.text for each in function if each.number == 1 for inner in each if inner.number == 1]
                yield from ((told[-1] if told else "", node) for node in function if node.number == 3)


def _called(value: Field) -> Iterator[str]:
    """Names (1) of the functions that an AttrValue holds: func (10), or list (1) of func (9)."""
    for part in value:
        functions = [part] if part.number == 10 else []
        if part.number == 1:
            functions = [inner for inner in part if inner.number == 9]
        yield from (inner.text for function in functions for inner in function if inner.number == 1)


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
                numbers = volume(side or 0 for side in shape(part) or ())
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
