"""What a program of Paddle takes, gives and calls, read with nothing but Python.

A program is one JSON document (`.json`, since Paddle 3) or one protobuf message (`.pdmodel`, before). Only its outside
is read here; parameters are in a file of their own.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from segkit.core.backend import TensorInfo
from segkit.core.protobuf import Field, fields

JSON_TYPES = {"t_f32": "float32", "t_f16": "float16", "t_bf16": "bfloat16", "t_f64": "float64", "t_bool": "bool"}
JSON_TYPES |= {"t_i8": "int8", "t_ui8": "uint8", "t_i16": "int16", "t_i32": "int32", "t_i64": "int64"}
"""Types of elements as a JSON document names them, behind the number of their dialect."""

PROTOBUF_TYPES = {0: "bool", 1: "int16", 2: "int32", 3: "int64", 4: "float16", 5: "float32", 6: "float64"}
PROTOBUF_TYPES |= {20: "uint8", 21: "int8", 22: "bfloat16"}
"""`VarType.Type` of framework.proto."""

_CONSTANTS = {"full", "full_int_array"}
"""Operators of a JSON document that only stand for numbers."""


@dataclass(frozen=True)
class Outline:
    """A program from outside.

    Attributes:
        kind: "program (JSON)" or "program (protobuf)".
        inputs: what it takes; a free side is None.
        outputs: what it gives, in order.
        operators: how often each one occurs that computes something.
        parameters: names, types and shapes, in the order in which the other file holds them.
    """

    kind: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    operators: Counter[str]
    parameters: tuple[TensorInfo, ...]


def from_json(content: bytes) -> Outline:
    """Of a document that Paddle 3 wrote.

    Raises:
        ValueError: it is none, or is damaged.
    """
    try:
        document = json.loads(content)
        if document["base_code"]["magic"] != "pir":
            raise ValueError("it is a JSON document of something else")
        return _of_operations(list(_operations(document["program"])))
    except (KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"a part of the program is missing or misplaced ({type(error).__name__}: {error})") from None


def _operations(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Those of a program or of a branch, with what is inside them, in order."""
    for region in part["regions"]:
        for block in region["blocks"]:
            for operation in block["ops"]:
                yield operation
                if "regions" in operation:
                    yield from _operations(operation)


def _of_operations(operations: list[dict[str, Any]]) -> Outline:
    inputs, outputs, parameters = [], [], []
    called: Counter[str] = Counter()
    for operation in operations:
        dialect, _, name = operation["#"].rpartition(".")
        if operation["#"] == "p":
            parameters.append(_tensor(operation["A"][3], operation["O"]))
        elif name in ("data", "feed"):
            inputs.append(_tensor(_name(operation), operation["O"][0]))
        elif name == "fetch":
            outputs.append(_tensor(_name(operation), operation["O"][0]))
        elif dialect != "0" and name not in _CONSTANTS:  # 0: the language's own, which arranges values
            called[name.rstrip("_")] += 1
    parameters.sort(key=lambda tensor: tensor.name)
    return Outline("program (JSON)", tuple(inputs), tuple(outputs), called, tuple(parameters))


def _name(operation: dict[str, Any]) -> str:
    return next(str(item["AT"]["D"]) for item in operation["A"] if item["N"] == "name")


def _tensor(name: str, value: dict[str, Any]) -> TensorInfo:
    kind, sides, *_ = value["TT"]["D"]
    element = str(kind["#"]).rpartition(".")[2]
    return TensorInfo(str(name), JSON_TYPES.get(element, element), _sides(sides))


def from_protobuf(content: bytes) -> Outline:
    """Of a `ProgramDesc` that an earlier Paddle wrote; numbers of fields are those of framework.proto.

    Raises:
        ValueError: it is none, or is damaged.
    """
    variables: dict[str, TensorInfo] = {}
    persistent, called = set(), Counter[str]()
    fed, fetched = [], []
    blocks = [field for field in fields(content) if field.number == 1]  # ProgramDesc.blocks
    if not blocks:
        raise ValueError("no block was found in it")
    for field in (field for block in blocks for field in block):
        if field.number == 3:  # BlockDesc.vars
            variable, stays = _variable(field)
            variables.setdefault(variable.name, variable)
            if stays and variable.dtype:
                persistent.add(variable.name)
        elif field.number == 4:  # BlockDesc.ops
            name, takes, gives = _operation(field)
            if name == "feed":
                fed += gives
            elif name == "fetch":
                fetched += takes
            else:
                called[name] += 1
    unknown = TensorInfo("", "", ())
    return Outline(
        "program (protobuf)",
        tuple(variables.get(name, unknown) for name in fed),
        tuple(variables.get(name, unknown) for name in fetched),
        called,
        tuple(variables[name] for name in sorted(persistent)),
    )


def _variable(message: Field) -> tuple[TensorInfo, bool]:
    """A VarDesc: name (1), type (2) → lod_tensor (3) → tensor (1), persistable (3); no dtype where it is no tensor."""
    name, dtype, persistable = "", "", False
    shape: tuple[int | None, ...] = ()
    for field in message:
        if field.number == 1:
            name = field.text
        elif field.number == 3:
            persistable = bool(field.value)
        elif field.number == 2:
            for inner in _inside(_inside([field], 3), 1):
                dtype, shape = tensor_desc(inner)
    return TensorInfo(name, dtype, shape), persistable


def _operation(message: Field) -> tuple[str, list[str], list[str]]:
    """An OpDesc: inputs (1), outputs (2), type (3); of an input or output the arguments (2)."""
    name = ""
    sides: dict[int, list[str]] = {1: [], 2: []}
    for field in message:
        if field.number == 3:
            name = field.text
        elif field.number in sides:
            sides[field.number] += [argument.text for argument in _inside([field], 2)]
    return name, sides[1], sides[2]


def tensor_desc(message: Iterable[Field]) -> tuple[str, tuple[int | None, ...]]:
    """Type and shape of a TensorDesc: data_type (1), dims (2).

    Raises:
        ValueError: it is no such message.
    """
    kind: int | None = None
    sides: list[int] = []
    for field in message:
        if field.number == 1:
            kind = field.value
        elif field.number == 2:
            sides += field.integers()
    return PROTOBUF_TYPES.get(kind or 0, f"type {kind}"), _sides(sides)


def _sides(sides: list[Any]) -> tuple[int | None, ...]:
    return tuple(side if side >= 0 else None for side in map(int, sides))


def _inside(messages: Iterable[Field], number: int) -> Iterator[Field]:
    """The fields of this number inside of messages."""
    return (inner for message in messages for inner in message if inner.number == number)
