"""What a file of TensorFlow Lite takes, gives and calls, read with nothing but Python.

Numbers of fields are those of TensorFlow Lite's `schema.fbs`.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from segkit.core.backend import TensorInfo
from segkit.plugins.shared.flatbuffer import Content, Table
from segkit.plugins.shared.sizes import volume

T = TypeVar("T")

MAGIC = b"TFL3"
"""At byte 4."""

TYPES = ("float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8", "float64")
"""`TensorType`."""

_OPERATORS = (
    "0=ADD 1=AVERAGE_POOL_2D 2=CONCATENATION 3=CONV_2D 4=DEPTHWISE_CONV_2D 6=DEQUANTIZE 9=FULLY_CONNECTED "
    "14=LOGISTIC 17=MAX_POOL_2D 18=MUL 19=RELU 21=RELU6 22=RESHAPE 23=RESIZE_BILINEAR 25=SOFTMAX 28=TANH "
    "32=CUSTOM 34=PAD 36=GATHER 39=TRANSPOSE 40=MEAN 41=SUB 42=DIV 43=SQUEEZE 45=STRIDED_SLICE 47=EXP "
    "49=SPLIT 53=CAST 55=MAXIMUM 56=ARG_MAX 57=MINIMUM 60=PADV2 65=SLICE 67=TRANSPOSE_CONV 69=TILE "
    "70=EXPAND_DIMS 74=SUM 77=SHAPE 82=REDUCE_MAX 83=PACK 88=UNPACK 97=RESIZE_NEAREST_NEIGHBOR "
    "102=SPLIT_V 107=GATHER_ND 114=QUANTIZE 117=HARD_SWISH 119=WHILE 121=NON_MAX_SUPPRESSION_V5 "
    "126=BATCH_MATMUL 130=BROADCAST_TO 150=GELU "
)

OPERATORS = {int(number): name for number, _, name in (each.partition("=") for each in _OPERATORS.split())}
"""`BuiltinOperator`, as far as networks of this kind have them."""

_CUSTOM = 32


class Port(NamedTuple):
    """An input or output: number of the tensor, and what it is."""

    tensor: int
    info: TensorInfo


@dataclass(frozen=True)
class Outline:
    """A file from outside.

    Attributes:
        inputs, outputs: named by the signature where there is one, else as the tensors are.
        operators: how often each one occurs.
        weights: how many numbers of each type are constants.
        description: what its writer says of itself.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    operators: Counter[str]
    weights: Counter[str]
    description: str


def read_outline(content: Content) -> Outline:
    """Of a file, or the beginning of it.

    Raises:
        ValueError: it is none, or is damaged; why, as a clause.
    """
    if bytes(content[4:8]) != MAGIC:
        raise ValueError("it is no file of TensorFlow Lite" if len(content) else "it is empty")
    model = Table.root(content)  # Model: operator_codes (1), subgraphs (2), description (3), buffers (4)
    graphs, codes, buffers = model.tables(2), [_operator(code) for code in model.tables(1)], model.tables(4)
    if not graphs:
        raise ValueError("it holds no graph")
    graph = graphs[0]  # SubGraph: tensors (0), inputs (1), outputs (2), operators (3)
    tensors = graph.tables(0)
    operators: Counter[str] = Counter()
    for each in graphs:
        for operator in each.tables(3):  # Operator: opcode_index (0)
            operators[_at(codes, operator.number(0, "<I"))] += 1
    weights: Counter[str] = Counter()
    for tensor in tensors:  # Tensor: shape (0), type (1), buffer (2), name (3), shape_signature (7)
        # Buffer: data (0), or offset (1) and size (2) where it lies behind the tables of a large file
        buffer = _at(buffers, tensor.number(2, "<I"))
        if buffer.length(0) or buffer.number(2, "<Q"):
            weights[_type(tensor)] += volume(tensor.numbers(0))
    names = _signature(model)
    inputs, outputs = (
        tuple(Port(number, _info(_at(tensors, number), names[place].get(number))) for number in graph.numbers(field))
        for place, field in enumerate((1, 2))
    )
    return Outline(inputs, outputs, operators, weights, model.text(3))


class Call(NamedTuple):
    """An operator of the graph, with the names of the tensors that it takes and gives."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read_calls(content: Content) -> list[Call]:
    """The operators of the first graph, in order.

    Raises:
        ValueError: the file is damaged.
    """
    model = Table.root(content)
    codes, graph = [_operator(code) for code in model.tables(1)], _at(model.tables(2), 0)
    names = [tensor.text(3) for tensor in graph.tables(0)]
    return [
        Call(
            _at(codes, operator.number(0, "<I")),
            *(tuple(_at(names, number) for number in operator.numbers(field) if number >= 0) for field in (1, 2)),
        )
        for operator in graph.tables(3)
    ]


Range = tuple[float, float]
"""Least and greatest number of a tensor."""


def with_ranges(content: bytes, ranges: Mapping[str, Range | None]) -> bytes:
    """A file that was observed, with these ranges of tensors in place of those that were seen. A tensor without one
    (None) stays in float32: the converter's own list of operators to leave alone passes over those with several
    outputs.
    """
    changed = bytearray(content)
    for tensor in _at(Table.root(content).tables(2), 0).tables(0):
        name = tensor.text(3)
        observed = tensor.table(4) if name in ranges else None
        if observed is None:
            continue
        wanted = ranges[name]
        for field in (0, 1):  # QuantizationParameters: min (0), max (1), vectors of one number
            place = observed.vector(field)
            if place and wanted is None:
                changed[place : place + 4] = bytes(4)  # none, by its length
            elif place and wanted is not None:
                struct.pack_into("<f", changed, place + 4, wanted[field])
    return bytes(changed)


def _signature(model: Table) -> tuple[dict[int, str], dict[int, str]]:
    """Names of inputs and of outputs by the number of the tensor: signature_defs (7), inputs (0) and outputs (1) with
    name (0) and tensor_index (1).
    """
    for signature in model.tables(7)[:1]:
        inputs, outputs = (
            {entry.number(1, "<I"): entry.text(0) for entry in signature.tables(field)} for field in (0, 1)
        )
        return inputs, outputs
    return {}, {}


def _operator(code: Table) -> str:
    """OperatorCode: deprecated_builtin_code (0), custom_code (1), builtin_code (3)."""
    number = max(code.number(0, "<b"), code.number(3))
    return code.text(1) or "CUSTOM" if number == _CUSTOM else OPERATORS.get(number, f"operator {number}")


def _info(tensor: Table, name: str | None) -> TensorInfo:
    free = tensor.numbers(7)
    sides = free if free else tensor.numbers(0)
    return TensorInfo(name or tensor.text(3), _type(tensor), tuple(side if side >= 0 else None for side in sides))


def _type(tensor: Table) -> str:
    number = tensor.number(1, "<b")
    return TYPES[number] if 0 <= number < len(TYPES) else f"type {number}"


def _at(items: Sequence[T], number: int) -> T:
    if not 0 <= number < len(items):
        raise ValueError(f"it names entry {number} of a list of {len(items)}")
    return items[number]
