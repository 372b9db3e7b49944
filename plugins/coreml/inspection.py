"""What a package holds, for `segkit inspect`: tensors, operations, weights, and who wrote it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np

from segkit.core.backend import Inspection, TensorInfo
from segkit.plugins.coreml.operators import CONSTANTS
from segkit.plugins.coreml.package import KINDS, ML_PROGRAM, Description, Feature, read_description
from segkit.plugins.coreml.program import Operation, Program, read_program

TOOL = "com.github.apple.coremltools.version"
PRECISIONS = {"float32": "fp32", "float16": "fp16"}


def inspect(path: Path) -> Inspection:
    """Inputs, outputs, writer, operations and weights of a package of any tool.

    Raises:
        ModelFileError: it is something else (and what), or it is damaged.
    """
    description = read_description(path)
    found = {"kind": KINDS.get(description.kind, f"type {description.kind}")}
    found["specification"] = str(description.version)
    if licence := description.texts.get("license"):
        found["license"] = licence
    shapes: dict[str, tuple[int | None, ...]] = {}
    if description.kind == ML_PROGRAM:
        program = read_program(path, description)
        found |= dict(_contents(program))
        shapes = {name: kind.shape for operation in program.operations for name, kind in operation.outputs}
    return Inspection(
        tuple(_tensor(feature, {}) for feature in description.inputs),
        tuple(_tensor(feature, shapes) for feature in description.outputs),
        _producer(description),
        found,
    )


def _contents(program: Program) -> Iterator[tuple[str, str]]:
    """Operations and weights in words."""
    made = [operation for operation in program.operations if operation.type not in {"const", *CONSTANTS}]
    operators = Counter(operation.type for operation in made)
    common = ", ".join(f"{count} {name}" for name, count in operators.most_common(4))
    yield "operators", f"{operators.total():,} ({common})" if common else "none"
    numbers: Counter[str] = Counter()
    tensors = 0
    for array in _weights(program.operations):
        numbers[str(array.dtype)] += array.size
        tensors += 1
    if numbers:
        yield "precision", _precision(program, numbers)
        yield (
            "weights",
            ", ".join(f"{count:,} {kind}" for kind, count in numbers.most_common()) + f" in {tensors} tensors",
        )


def _weights(operations: list[Operation]) -> Iterator[np.ndarray]:
    """Constants that are numbers with a fraction, or that stand for such."""
    for operation in operations:
        packed = operation.type in CONSTANTS
        arguments = [argument.constant for argument in operation.inputs.values()] if packed else []
        for value in (*operation.attributes.values(), *arguments):
            if (
                isinstance(value, np.ndarray)
                and value.ndim
                and (value.dtype.kind == "f" or value.size > 16 * packed > 0)
            ):
                yield value


def _precision(program: Program, numbers: Counter[str]) -> str:
    """Int8 where most weights are bytes; else what most layers compute in."""
    if numbers.most_common(1)[0][0] in ("int8", "uint8"):
        return "int8"
    kinds = Counter(
        kind.dtype for operation in program.operations if operation.type == "conv" for _, kind in operation.outputs
    )
    most = kinds.most_common(1)[0][0] if kinds else numbers.most_common(1)[0][0]
    return PRECISIONS.get(most, most)


def _tensor(feature: Feature, shapes: dict[str, tuple[int | None, ...]]) -> TensorInfo:
    """A description of arrays may leave their shape out; the program has it."""
    dtype = f"{feature.dtype} image of bytes" if feature.kind == "image" else feature.dtype or feature.kind
    shape = (
        feature.shape if prod(map(bool, feature.shape)) and feature.shape else shapes.get(feature.name, feature.shape)
    )
    return TensorInfo(feature.name, dtype, shape)


def _producer(description: Description) -> str | None:
    properties = description.properties
    tool = f"coremltools {properties[TOOL]}" if TOOL in properties else ""
    author = " ".join(filter(None, (description.texts.get("author", ""), description.texts.get("version", ""))))
    return ", ".join(filter(None, (author, tool))) or None
