"""The program inside a package, read into plain Python and numpy: operations, constants, weights.

Field numbers are those of `MIL.proto` in Core ML's specification. Everything is checked that evaluation relies on:
numbers are where they are said to be, every name that is read has been written before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.core.errors import ModelFileError
from segkit.core.protobuf import Field, fields
from segkit.plugins.coreml.package import ML_PROGRAM, Description, model_file
from segkit.plugins.coreml.weights import Weights, unpacked

TYPES = {1: "bool", 2: "string", 10: "float16", 11: "float32", 12: "float64", 13: "bfloat16"}
TYPES |= {21: "int8", 22: "int16", 23: "int32", 24: "int64", 25: "int4"}
TYPES |= {31: "uint8", 32: "uint16", 33: "uint32", 34: "uint64", 35: "uint4", 36: "uint2", 37: "uint1"}
TYPES |= {38: "uint6", 39: "uint3"}

Array = NDArray[Any]
Constant = Array | str | list[Any]


@dataclass(frozen=True)
class Kind:
    """Type and shape of a value; None for a side that is free."""

    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Argument:
    """What an operation takes under one name: the names of values, or a constant written in place.

    `several` says that the operation wants a list (`concat` of one value, too).
    """

    names: tuple[str, ...] = ()
    constant: Constant | None = None


@dataclass(frozen=True)
class Operation:
    """One step of a program.

    Attributes:
        type: its operator.
        inputs: by the names of the operator's parameters.
        outputs: names and types of what it makes.
        attributes: constants that belong to it.
    """

    type: str
    inputs: dict[str, Argument]
    outputs: list[tuple[str, Kind]]
    attributes: dict[str, Constant] = field(repr=False)
    nested: bool = False


@dataclass(frozen=True)
class Program:
    """A function of a package: what it takes, its operations in order, names of what it gives."""

    inputs: list[tuple[str, Kind]]
    operations: list[Operation]
    outputs: list[str]


def read_program(path: Path, description: Description) -> Program:
    """The function that a package runs, weights included.

    Raises:
        ModelFileError: it is no ML Program, or it is damaged.
    """
    if description.kind != ML_PROGRAM:
        raise ModelFileError(path, f"it is a Core ML model without a program (type {description.kind} of Model.proto)")
    folder = model_file(path).parent
    weights = Weights(folder)
    try:
        program = _Reader(weights).program(description)
        _check(program)
    except OSError as error:
        raise ModelFileError(path, f"its weights cannot be read ({(error.strerror or str(error)).lower()})") from None
    except (ValueError, KeyError, IndexError, TypeError, OverflowError, RecursionError) as error:
        raise ModelFileError(path, f"it is damaged: {error}") from None
    return program


def _check(program: Program) -> None:
    """Every name is written once and before it is read."""
    known = {name for name, _ in program.inputs}
    for operation in program.operations:
        for argument in operation.inputs.values():
            if lost := set(argument.names) - known:
                raise ValueError(f"{operation.type} reads '{min(lost)}', which nothing has made")
        known |= {name for name, _ in operation.outputs}
    if lost := set(program.outputs) - known:
        raise ValueError(f"its output '{min(lost)}' is made by nothing")


class _Reader:
    """Walks the messages of a program; `weights` are looked up as they are named."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights

    def program(self, description: Description) -> Program:
        """Program: functions (2), a map of name (1) to Function (2)."""
        found: list[str] = []
        for part in fields(description.program):
            if part.number == 2:
                name, function = _pair(part)
                found.append(name)
                if name == description.function and function:
                    return self._function(function)
        raise ValueError(f"its program has no function '{description.function}', but {', '.join(found) or 'none'}")

    def _function(self, function: Field) -> Program:
        """Function: inputs (1), opset (2), block_specializations (3), a map of operator set to Block."""
        inputs, opset, blocks = [], "", {}
        for part in function:
            if part.number == 1:
                inputs.append(_named(part))
            elif part.number == 2:
                opset = part.text
            elif part.number == 3:
                name, block = _pair(part)
                blocks[name] = block
        block = blocks.get(opset)
        if block is None:
            raise ValueError(f"its function has no block for the operator set '{opset}'")
        operations: list[Operation] = []
        outputs: list[str] = []
        for part in block:  # Block: outputs (2), operations (3)
            if part.number == 2:
                outputs.append(part.text)
            elif part.number == 3:
                operations.append(self._operation(part))
        if not outputs:
            raise ValueError("its program gives nothing")
        return Program(inputs, operations, outputs)

    def _operation(self, operation: Field) -> Operation:
        """Operation: type (1), inputs (2), outputs (3), blocks (4), attributes (5)."""
        kind, nested = "", False
        inputs: dict[str, Argument] = {}
        outputs: list[tuple[str, Kind]] = []
        attributes: dict[str, Constant] = {}
        for part in operation:
            if part.number == 1:
                kind = part.text
            elif part.number == 2:
                name, argument = _pair(part)
                inputs[name] = self._argument(argument)
            elif part.number == 3:
                outputs.append(_named(part))
            elif part.number == 4:
                nested = True
            elif part.number == 5:
                name, value = _pair(part)
                if name != "name":
                    attributes[name] = self._value(value)
        return Operation(kind, inputs, outputs, attributes, nested)

    def _argument(self, argument: Field | None) -> Argument:
        """Argument: arguments (1) → Binding: name (1) or value (2)."""
        names: list[str] = []
        for binding in argument or ():
            for part in binding:
                if part.number == 2:
                    return Argument(constant=self._value(part))
                names.append(part.text)
        return Argument(tuple(names))

    def _value(self, value: Field | None) -> Constant:
        """Value: type (2), immediateValue (3) or blobFileValue (5)."""
        kind, content, blob = None, None, None
        for part in value or ():
            if part.number == 2:
                kind = _kind(part)
            elif part.number == 3:
                content = part
            elif part.number == 5:
                blob = part
        if kind is None:
            raise ValueError("a constant without a type")
        if blob is not None:  # BlobFileValue: fileName (1), offset (2)
            file, offset = "", 0
            for part in blob:
                file, offset = (part.text, offset) if part.number == 1 else (file, part.whole)
            return self._weights.tensor(file, offset, kind.dtype, fixed(kind.shape))
        return self._immediate(kind, content)

    def _immediate(self, kind: Kind, content: Field | None) -> Constant:
        """ImmediateValue: tensor (1), list (3) → values (1)."""
        for part in content or ():
            if part.number == 1:
                return _tensor(kind, part)
            if part.number == 3:
                return [self._value(item) for item in part if item.number == 1]
        raise ValueError("a constant without a value")


def fixed(shape: tuple[int | None, ...]) -> tuple[int, ...]:
    """A shape without free sides.

    Raises:
        ValueError: it has one.
    """
    if any(side is None for side in shape):
        raise ValueError("a constant whose size is not said")
    return tuple(int(side) for side in shape if side is not None)


def _pair(entry: Field) -> tuple[str, Field | None]:
    """Key (1) and value (2) of an entry of a map."""
    name, value = "", None
    for part in entry:
        if part.number == 1:
            name = part.text
        elif part.number == 2:
            value = part
    return name, value


def _named(entry: Field) -> tuple[str, Kind]:
    """NamedValueType: name (1), type (2)."""
    name, value = _pair(entry)
    return name, _kind(value) if value else Kind("", ())


def _kind(value_type: Field) -> Kind:
    """ValueType.tensorType (1) → TensorType: dataType (1), dimensions (3) → constant (1) → size (1)."""
    for tensor in value_type:
        if tensor.number != 1:
            return Kind("list", ())
        dtype = ""
        shape: list[int | None] = []
        for part in tensor:
            if part.number == 1:
                dtype = TYPES.get(part.whole, f"type {part.whole}")
            elif part.number == 3:
                shape.append(_side(part))
        return Kind(dtype, tuple(shape))
    return Kind("", ())


def _side(dimension: Field) -> int | None:
    for part in dimension:
        if part.number == 1:
            return next((item.whole for item in part if item.number == 1), 0)
    return None


def _tensor(kind: Kind, value: Field) -> Constant:
    """TensorValue: a choice of repeated floats (1), ints (2), bools (3), strings (4), longs (5), doubles (6), bytes
    (7); each holds its values in field 1.
    """
    shape = fixed(kind.shape)
    for choice in value:
        if choice.number == 4:
            texts = [part.text for part in choice]
            return texts[0] if texts and not shape else texts
        raw = b"".join(bytes(part.data) for part in choice)
        if choice.number in (1, 6):
            array = np.frombuffer(raw, np.float32 if choice.number == 1 else np.float64)
        elif choice.number == 7:
            array = unpacked(raw, kind.dtype, int(np.prod(shape)))
        else:
            array = np.array([number for part in choice for number in part.integers()], np.int64)
        return array.astype(plain(kind.dtype), copy=False).reshape(shape)
    return np.zeros(shape, plain(kind.dtype))  # protobuf leaves out what is zero


def plain(dtype: str) -> str:
    """The numpy type that holds a type of Core ML.

    Raises:
        ValueError: there is none.
    """
    small = {"int4": "int8", "uint1": "uint8", "uint2": "uint8", "uint3": "uint8", "uint4": "uint8", "uint6": "uint8"}
    name = small.get(dtype, dtype)
    if name not in set(TYPES.values()) - {"string", "bfloat16"}:
        raise ValueError(f"numbers of {dtype or 'no type'}")
    return name
