"""What a frozen graph of TensorFlow takes, gives and calls, read with nothing but Python.

A file is one GraphDef: nodes, and the functions that they call. Numbers of fields are those of TensorFlow's
`graph.proto`, `node_def.proto`, `attr_value.proto` and `tensor.proto`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from segkit.core.backend import TensorInfo
from segkit.core.protobuf import Content, Field, fields, signed
from segkit.plugins.shared.sizes import volume

TYPES = {1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "string", 9: "int64"}
TYPES |= {10: "bool", 11: "qint8", 12: "quint8", 13: "qint32", 14: "bfloat16", 17: "uint16", 19: "float16"}
TYPES |= {20: "resource", 21: "variant", 22: "uint32", 23: "uint64"}
"""`DataType` of types.proto."""

NOTES = "segkit/metadata"
"""Name of the node that says what segkit knows of the file. Nothing is computed with it."""

_HOLDING = {"Const", "Identity", "IdentityN", "NoOp", "Placeholder"}
"""Operators that only hold numbers, or pass them on."""


@dataclass(frozen=True)
class Outline:
    """A graph from outside.

    Attributes:
        inputs: its placeholders.
        outputs: the nodes that no other node takes anything from, by name; without a shape where none is told.
        operators: how often each one occurs that computes something, functions included.
        weights: how many numbers of each type are constants of the graph.
        notes: the text of the node `NOTES`, None where there is none.
        body: how many bytes of the file come before that node.
    """

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    operators: Counter[str]
    weights: Counter[str]
    notes: str | None
    body: int


@dataclass
class _Node:
    """A NodeDef: name (1), op (2), input (3), attr (5)."""

    name: str = ""
    operator: str = ""
    inputs: list[str] = field(default_factory=list)
    attributes: dict[str, Field] = field(default_factory=dict)

    @classmethod
    def of(cls, message: Iterable[Field]) -> _Node:
        node = cls()
        for part in message:
            if part.number == 1:
                node.name = part.text
            elif part.number == 2:
                node.operator = part.text
            elif part.number == 3:
                node.inputs.append(part.text)
            elif part.number == 5:
                key, value = _entry(part)
                node.attributes[key] = value
        if not node.name or not node.operator:
            raise ValueError("it has a node without a name or an operator")
        return node

    def sides(self) -> tuple[int | None, ...]:
        """Of a placeholder's `shape` (7), or of the first of `_output_shapes` (list, 1)."""
        if "shape" in self.attributes:
            return next((_shape(part) for part in self.attributes["shape"] if part.number == 7), ())
        lists = [part for part in self.attributes.get("_output_shapes", ()) if part.number == 1]
        return next((_shape(part) for found in lists for part in found if part.number == 7), ())

    def kind(self) -> str:
        """The type (6) that is `dtype` or `T`."""
        found = self.attributes.get("dtype") or self.attributes.get("T") or ()
        number = next((part.whole for part in found if part.number == 6), 0)
        return TYPES.get(number, f"type {number}")

    def info(self) -> TensorInfo:
        """As a tensor."""
        return TensorInfo(self.name, self.kind(), self.sides())


def read_outline(content: Content) -> Outline:
    """Of the content of a file.

    Raises:
        ValueError: it is no graph, or is damaged; why, as a clause.
    """
    nodes: list[_Node] = []
    called: Counter[str] = Counter()
    notes, body, at = None, len(content), 0
    weights: Counter[str] = Counter()
    for part in fields(content):
        if part.number == 1:
            node = _Node.of(part)
            if node.name == NOTES and node.operator == "Const":
                notes, body = _text(node), at
            else:
                nodes.append(node)
        elif part.number == 2:  # FunctionDefLibrary: function (1) with node_def (3)
            functions = [inner for inner in part if inner.number == 1]
            called.update(_Node.of(inner).operator for each in functions for inner in each if inner.number == 3)
        elif part.number not in (3, 4):
            raise ValueError(f"it has a field {part.number}, which no graph of TensorFlow has")
        at = part.stop
    if not nodes:
        raise ValueError("it has no nodes")
    for node in nodes:
        if node.operator == "Const" and "value" in node.attributes:
            kind, numbers = _size(node.attributes["value"])
            weights[kind] += numbers
    called.update(node.operator for node in nodes)
    taken = {name.lstrip("^").partition(":")[0] for node in nodes for name in node.inputs}
    inputs = [node for node in nodes if node.operator == "Placeholder"]
    outputs = [
        node for node in nodes if node.name not in taken and node.operator not in ("Const", "NoOp", "Placeholder")
    ]
    operators = Counter({name: count for name, count in called.items() if name not in _HOLDING})
    return Outline(
        tuple(node.info() for node in inputs),
        tuple(sorted((node.info() for node in outputs), key=lambda info: info.name)),
        operators,
        weights,
        notes,
        body,
    )


def _entry(part: Field) -> tuple[str, Field]:
    """Key and value of an entry of a map."""
    found = {inner.number: inner for inner in part}
    if 2 not in found:
        raise ValueError("a map has an entry without a value")
    return found[1].text if 1 in found else "", found[2]


def _text(node: _Node) -> str:
    """The string_val (8) of the tensor (8) that is the `value` of a node."""
    tensors = [part for part in node.attributes.get("value", ()) if part.number == 8]
    return next((part.text for tensor in tensors for part in tensor if part.number == 8), "")


def _size(value: Field) -> tuple[str, int]:
    """Type and number of elements of an AttrValue that is a tensor (8): dtype (1), tensor_shape (2)."""
    kind, numbers = 0, 1
    for tensor in (part for part in value if part.number == 8):
        for part in tensor:
            if part.number == 1:
                kind = part.whole
            elif part.number == 2:
                numbers = volume(side or 0 for side in _shape(part))
    return TYPES.get(kind, f"type {kind}"), numbers


def _shape(message: Field) -> tuple[int | None, ...]:
    """A TensorShapeProto: dim (2) with size (1); a free side is None."""
    sides = []
    for part in message:
        if part.number == 2:
            size = next((signed(inner.whole) for inner in part if inner.number == 1), 0)
            sides.append(size if size >= 0 else None)
    return tuple(sides)
