"""What an ONNX file holds, read with nothing but Python: tensors, operators, weights, and who wrote it.

The walk is that of `header`; weights are stepped over, not read. Field numbers are those of `onnx.proto3` in the ONNX
specification, as are the numbers of the element types.
"""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Iterator
from math import prod
from pathlib import Path

from segkit.core.backend import Inspection, TensorInfo
from segkit.core.errors import ModelFileError
from segkit.core.protobuf import Field, fields
from segkit.plugins.onnx.header import read_header, shape_of

TYPES = {1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string"}
TYPES |= {9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128"}
TYPES |= {16: "bfloat16", 17: "float8e4m3fn", 19: "float8e5m2", 21: "uint4", 22: "int4", 23: "float4e2m1"}

PRECISIONS = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "int8": "int8", "uint8": "int8"}
"""Element type of most weights → what the file is said to compute in."""

MOST_SIDES = 64
"""Of a tensor; the product of more could take minutes to compute."""

TELLING = ("author", "version", "license")
"""Properties that other tools write and that metadata leave out."""


class _Graph:
    """The graph's parts, gathered in one walk."""

    def __init__(self, graph: Field) -> None:
        self.operators: Counter[str] = Counter()
        self.numbers: Counter[str] = Counter()
        self.tensors = 0
        self.external = False
        inputs: list[TensorInfo] = []
        outputs: list[TensorInfo] = []
        weights: set[str] = set()
        for field in graph:
            if field.number == 1:  # GraphProto.node; its op_type is 4
                self.operators.update(part.text for part in field if part.number == 4)
            elif field.number == 5:  # GraphProto.initializer
                weights.add(self._weigh(field))
            elif field.number in (11, 12):  # GraphProto.input and output
                (inputs if field.number == 11 else outputs).append(_tensor(field))
        # Files of older tools list their weights among the inputs.
        self.inputs = tuple(tensor for tensor in inputs if tensor.name not in weights)
        self.outputs = tuple(outputs)

    def _weigh(self, tensor: Field) -> str:
        """Count one TensorProto: dims (1), data_type (2), name (8), data_location (14). Gives its name."""
        sides: list[int] = []
        kind, name = 0, ""
        for part in tensor:
            if part.number == 1:
                sides += part.integers()
            elif part.number == 2:
                kind = part.whole
            elif part.number == 8:
                name = part.text
            elif part.number == 14:
                self.external |= part.value == 1
        if len(sides) > MOST_SIDES:
            raise ValueError(f"its tensor '{name}' has {len(sides)} sides")
        self.tensors += 1
        self.numbers[_type(kind)] += prod(sides)
        return name

    def facts(self) -> Iterator[tuple[str, str]]:
        """Operators and weights in words."""
        common = ", ".join(f"{count} {name}" for name, count in self.operators.most_common(4))
        yield "operators", f"{self.operators.total():,} ({common})" if common else "none"
        # Shapes and indices are whole numbers, too: only types that weights have tell the precision.
        weighing = Counter({kind: count for kind, count in self.numbers.items() if kind in PRECISIONS})
        if weighing:
            yield "precision", PRECISIONS[weighing.most_common(1)[0][0]]
        listed = ", ".join(f"{count:,} {kind}" for kind, count in self.numbers.most_common())
        if listed:
            yield "weights", f"{listed} in {self.tensors} tensors"
        if self.external:
            yield "note", "weights are in a file of their own beside it: keep both together"


def inspect(path: Path) -> Inspection:
    """Inputs, outputs, writer, operators and weights of an ONNX file of any tool.

    Raises:
        ModelFileError: it is something else (and what), or it is damaged (and where).
    """
    properties = read_header(path).properties
    try:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _model(data, properties)
    except OSError as error:
        raise ModelFileError(path, (error.strerror or str(error)).lower()) from None
    except ValueError as error:
        raise ModelFileError(path, f"it is damaged: {error}") from None


def _model(data: mmap.mmap, properties: dict[str, str]) -> Inspection:
    facts: dict[str, str] = {}
    producer = ["", ""]
    graph = None
    for field in fields(data):
        if field.number == 1:
            facts["IR version"] = str(field.value)
        elif field.number in (2, 3):  # ModelProto.producer_name and producer_version
            producer[field.number - 2] = field.text
        elif field.number == 7:
            graph = _Graph(field)
        elif field.number == 8:  # ModelProto.opset_import: domain (1), version (2)
            domain, version = "", 0
            for part in field:
                domain, version = (part.text, version) if part.number == 1 else (domain, part.whole)
            facts["opset"] = ", ".join(filter(None, [facts.get("opset"), f"{domain} {version}".strip()]))
    assert graph is not None  # read_header has found it
    facts |= dict(graph.facts()) | {name: properties[name] for name in TELLING if properties.get(name)}
    return Inspection(graph.inputs, graph.outputs, " ".join(filter(None, producer)) or None, facts)


def _tensor(value_info: Field) -> TensorInfo:
    """ValueInfoProto: name (1), type (2) → TypeProto.tensor_type (1) → elem_type (1)."""
    name, kind = "", 0
    for part in value_info:
        if part.number == 1:
            name = part.text
        elif part.number == 2:
            for tensor in part:
                kind = next((item.whole for item in tensor if item.number == 1), 0)
    shape = shape_of(value_info) or ()
    return TensorInfo(name, _type(kind), tuple(side if side != "" else None for side in shape))


def _type(number: int) -> str:
    return TYPES.get(number, f"type {number}")
