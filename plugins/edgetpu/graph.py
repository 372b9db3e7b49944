"""The network in a file of TensorFlow Lite: operators, and the tensors between them.

Numbers of fields are those of TensorFlow Lite's `schema.fbs`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from segkit.core.backend import TensorInfo
from segkit.plugins.shared.flatbuffer import Table

T = TypeVar("T")

MAGIC = b"TFL3"
"""At byte 4."""

COMPILED = "edgetpu-custom-op"
"""The operator that the compiler puts in the place of all that the Edge TPU runs."""

_TYPES = ("float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8", "float64")
"""`TensorType`."""

_OPERATORS = (
    "0=ADD 1=AVERAGE_POOL_2D 2=CONCATENATION 3=CONV_2D 4=DEPTHWISE_CONV_2D 6=DEQUANTIZE 9=FULLY_CONNECTED "
    "11=L2_NORMALIZATION 14=LOGISTIC 16=LSTM 17=MAX_POOL_2D 18=MUL 19=RELU 20=RELU_N1_TO_1 21=RELU6 22=RESHAPE "
    "23=RESIZE_BILINEAR 25=SOFTMAX 26=SPACE_TO_DEPTH 28=TANH 34=PAD 36=GATHER 39=TRANSPOSE 40=MEAN 41=SUB 42=DIV "
    "43=SQUEEZE 44=UNIDIRECTIONAL_SEQUENCE_LSTM 45=STRIDED_SLICE 47=EXP 49=SPLIT 53=CAST 54=PRELU 55=MAXIMUM "
    "56=ARG_MAX 57=MINIMUM 60=PADV2 65=SLICE 67=TRANSPOSE_CONV 69=TILE 70=EXPAND_DIMS 74=SUM 76=RSQRT 82=REDUCE_MAX "
    "83=PACK 88=UNPACK 89=REDUCE_MIN 97=RESIZE_NEAREST_NEIGHBOR 98=LEAKY_RELU 99=SQUARED_DIFFERENCE 102=SPLIT_V "
    "114=QUANTIZE 117=HARD_SWISH 126=BATCH_MATMUL 130=BROADCAST_TO 150=GELU"
)
"""`BuiltinOperator`: those that the Edge TPU knows, and others that networks of this kind have."""

_NAMES = {int(number): name for number, _, name in (each.partition("=") for each in _OPERATORS.split())}

_CUSTOM = 32


@dataclass(frozen=True)
class Tensor:
    """Something that operators take or give; `data`: its bytes, where it is a constant of the file."""

    info: TensorInfo
    data: bytes | memoryview

    @property
    def sides(self) -> tuple[int, ...]:
        """Its shape; a side that is free is -1."""
        return tuple(side if isinstance(side, int) else -1 for side in self.info.shape)

    @property
    def numbers(self) -> tuple[int, ...]:
        """A constant of int32, as axes are."""
        return struct.unpack(f"<{len(self.data) // 4}i", self.data[: len(self.data) // 4 * 4])


@dataclass(frozen=True)
class Call:
    """An operator of the graph; inputs that are left out are not among `inputs`."""

    operator: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Table | None


@dataclass(frozen=True)
class Graph:
    """The first graph of a file.

    Attributes:
        inputs, outputs: numbers of tensors, with what the signature calls them, else the tensor's own name.
    """

    tensors: tuple[Tensor, ...]
    calls: tuple[Call, ...]
    inputs: tuple[tuple[int, TensorInfo], ...]
    outputs: tuple[tuple[int, TensorInfo], ...]


def is_lite(content: bytes) -> bool:
    """Whether it begins as files of TensorFlow Lite do."""
    return content[4:8] == MAGIC


def read_graph(content: bytes) -> Graph:
    """Of a whole file.

    Raises:
        ValueError: it is none, or is damaged; why, as a clause.
    """
    model = _model(content)  # Model: operator_codes (1), subgraphs (2), buffers (4), signature_defs (7)
    codes, buffers = [_operator(code) for code in model.tables(1)], model.tables(4)
    graph = _at(model.tables(2), 0)  # SubGraph: tensors (0), inputs (1), outputs (2), operators (3)
    tensors = tuple(_tensor(table, buffers) for table in graph.tables(0))
    calls = tuple(
        # Operator: opcode_index (0), inputs (1), outputs (2), builtin_options (4)
        Call(_at(codes, operator.number(0, "<I")), _present(operator, 1), _present(operator, 2), operator.table(4))
        for operator in graph.tables(3)
    )
    for call in calls:
        for number in (*call.inputs, *call.outputs):
            _at(tensors, number)
    inputs, outputs = (
        tuple((number, _named(_at(tensors, number).info, names.get(number))) for number in graph.numbers(field))
        for field, names in zip((1, 2), _signature(model), strict=True)
    )
    return Graph(tensors, calls, inputs, outputs)


def rewired(content: bytes, calls: Sequence[int], outputs: Sequence[int]) -> bytes:
    """The same file with some of its operators (their numbers, in order) and other tensors for its outputs, as many as
    before. It has no signature any more, whose names would be those of the old ones.

    Raises:
        ValueError: it is damaged.
    """
    model = _model(content)
    graph = _at(model.tables(2), 0)
    changed = bytearray(content)
    entries, tables = graph.places(3), [table.place for table in graph.tables(3)]
    for place, number in zip(entries, calls, strict=False):
        struct.pack_into("<I", changed, place, tables[number] - place)  # an entry says how far behind it its table is
    for place, number in zip(graph.places(2), outputs, strict=True):
        struct.pack_into("<i", changed, place, number)
    for first, count in ((entries[0], len(calls)), *((place, 0) for place in model.places(7)[:1])):
        struct.pack_into("<I", changed, first - 4, count)  # before the entries of a list stands how many they are
    return bytes(changed)


def _model(content: bytes) -> Table:
    if not is_lite(content):
        raise ValueError("it is no file of TensorFlow Lite" if len(content) else "it is empty")
    return Table.root(content)


def _tensor(table: Table, buffers: Sequence[Table]) -> Tensor:
    # Tensor: shape (0), type (1), buffer (2), name (3), shape_signature (7); Buffer: data (0)
    number, sides = table.number(1, "<b"), table.numbers(7) or table.numbers(0)
    kind = _TYPES[number] if 0 <= number < len(_TYPES) else f"type {number}"
    shape = tuple(side if side >= 0 else None for side in sides)
    return Tensor(TensorInfo(table.text(3), kind, shape), _at(buffers, table.number(2, "<I")).stored(0))


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
    return code.text(1) or "CUSTOM" if number == _CUSTOM else _NAMES.get(number, f"operator {number}")


def _present(operator: Table, field: int) -> tuple[int, ...]:
    return tuple(number for number in operator.numbers(field) if number >= 0)


def _named(info: TensorInfo, name: str | None) -> TensorInfo:
    return TensorInfo(name, info.dtype, info.shape) if name else info


def _at(items: Sequence[T], number: int) -> T:
    if not 0 <= number < len(items):
        raise ValueError(f"it names entry {number} of a list of {len(items)}")
    return items[number]
