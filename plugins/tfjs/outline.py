"""What a graph model takes, gives, calls and stores, as its `model.json` says it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from segkit.core.backend import TensorInfo
from segkit.plugins.shared.sizes import volume

FORMAT_NAME = "graph-model"

_TYPES = {1: "float32", 3: "int32", 9: "int64", 10: "bool", 19: "float16"}
_TYPES_BY_NAME = {"DT_FLOAT": "float32", "DT_INT32": "int32", "DT_INT64": "int64", "DT_BOOL": "bool"}
_TYPES_BY_NAME |= {"DT_HALF": "float16"}

_WIDTHS = {"float32": 4, "int32": 4, "bool": 1, "float16": 2, "uint16": 2, "uint8": 1, "complex64": 8}
"""Bytes of a number in the shards."""

_HOLDING = {"Const", "Identity", "NoOp", "Placeholder"}
"""Operators that only hold numbers, or pass them on."""


class Group(NamedTuple):
    """Weights that are stored together: the files that hold them one after the other, and their bytes in all."""

    files: tuple[str, ...]
    size: int


@dataclass(frozen=True)
class Outline:
    """A graph model from outside.

    Attributes:
        inputs, outputs: of the signature, or, without one, the placeholders and the nodes that nothing takes from;
            named as TensorFlow.js is asked for them.
        operators: how often each one occurs that computes something.
        weights: how many numbers are stored in each type.
        groups: where they are.
        producer: who wrote it.
    """

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    operators: Counter[str]
    weights: Counter[str]
    groups: tuple[Group, ...]
    producer: str | None


def read_outline(program: Any) -> Outline:
    """Of the content of a `model.json`.

    Raises:
        ValueError: it is none, or is damaged; why, as a clause.
    """
    if not isinstance(program, dict) or "modelTopology" not in program or "weightsManifest" not in program:
        raise ValueError("it is no model of TensorFlow.js")
    if program.get("format", FORMAT_NAME) != FORMAT_NAME:
        raise ValueError(f"it is a {program['format']} of TensorFlow.js, and only a {FORMAT_NAME} can be run")
    try:
        nodes = program["modelTopology"]["node"]
        operators = Counter(str(node["op"]) for node in nodes)
        inputs, outputs = _ends(program, nodes)
        groups = tuple(map(_group, program["weightsManifest"]))
        stored = Counter[str]()
        for group in program["weightsManifest"]:
            for weight in group["weights"]:
                stored[_stored_type(weight)] += volume(weight["shape"])
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"it is no graph of TensorFlow.js, or damaged ({error!r})"[:200]) from None
    producer = program.get("convertedBy") or program.get("generatedBy")
    return Outline(
        inputs,
        outputs,
        Counter({name: count for name, count in operators.items() if name not in _HOLDING}),
        stored,
        groups,
        str(producer) if producer else None,
    )


def _ends(program: Mapping[str, Any], nodes: list[Any]) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
    """Inputs and outputs."""
    signature = program.get("signature") or {}
    given = {node["name"]: node for node in nodes if node["op"] == "Placeholder"}
    told = {info["name"].partition(":")[0]: info for info in signature.get("inputs", {}).values()}
    inputs = tuple(_placeholder(name, told.get(name, {}), node) for name, node in given.items())
    named = [_info(info["name"].removesuffix(":0"), info) for info in signature.get("outputs", {}).values()]
    if not named:
        taken = {name.lstrip("^").partition(":")[0] for node in nodes for name in node.get("input", ())}
        ends = [
            node["name"] for node in nodes if node["name"] not in taken and node["op"] not in _HOLDING - {"Identity"}
        ]
        named = [TensorInfo(name, "float32", ()) for name in sorted(ends)]
    return inputs, tuple(named)


def _placeholder(name: str, told: Mapping[str, Any], node: Mapping[str, Any]) -> TensorInfo:
    """An input, by its signature or the node itself."""
    attributes = node.get("attr", {})
    shape = told.get("tensorShape") or attributes.get("shape", {}).get("shape", {})
    return TensorInfo(name, _type(told.get("dtype", attributes.get("dtype", {}).get("type"))), _sides(shape))


def _info(name: str, told: Mapping[str, Any]) -> TensorInfo:
    return TensorInfo(name, _type(told.get("dtype")), _sides(told.get("tensorShape") or {}))


def _type(told: object) -> str:
    """A data type by its number in `types.proto`, or its name there."""
    name = str(told)
    return _TYPES_BY_NAME.get(name) or _TYPES.get(int(name) if name.isdecimal() else 0) or name


def _sides(shape: Mapping[str, Any]) -> tuple[int | None, ...]:
    """A TensorShapeProto; sizes are texts, as JSON has 64 bits."""
    sizes = (int(side.get("size", 0)) for side in shape.get("dim", ()))
    return tuple(size if size >= 0 else None for size in sizes)


def _group(group: Mapping[str, Any]) -> Group:
    files = tuple(group["paths"])
    for name in files:
        if not isinstance(name, str) or name in ("", ".", "..") or set(name) & set("/\\:\0"):
            raise ValueError(f"it names {name!r} as a file of weights, which is no name of a file: hostile?")
    return Group(files, sum(_sizes(group["weights"])))


def _sizes(weights: list[Any]) -> Iterator[int]:
    """Bytes of each tensor."""
    for weight in weights:
        kind = _stored_type(weight)
        if kind not in _WIDTHS or any(not isinstance(side, int) or side < 0 for side in weight["shape"]):
            raise ValueError(f"its weights '{weight['name']}' are {kind} {weight['shape']}, which cannot be read")
        yield _WIDTHS[kind] * volume(weight["shape"])


def _stored_type(weight: Mapping[str, Any]) -> str:
    """The type in the shards, which a quantisation may make another one."""
    return str((weight.get("quantization") or weight)["dtype"])
