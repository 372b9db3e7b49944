"""The outside of an ONNX file, read with nothing but Python.

Names and input size are wanted before a file runs, and every plugin is asked whether a file is its own: neither should
wait for a runtime to start. An ONNX file is one protobuf message, in which every long value has its length in front, so
weights and nodes are stepped over and a file of any size is read in about a millisecond. The walk also finds where a
file is cut off. Field numbers are those of `onnx.proto3` in the ONNX specification.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path

from segkit.core.backend import Metadata
from segkit.core.errors import ModelFileError
from segkit.core.protobuf import Field, fields

_LARGEST = 1 << 15

Shape = tuple[int | str, ...]
"""Sizes of a tensor; a name where the size is free ("" where it has no name)."""


@dataclass(frozen=True)
class Header:
    """What stands outside of nodes and weights: the properties and the shape of the first input (None: not stated)."""

    properties: dict[str, str]
    input_shape: Shape | None

    def metadata(self, path: Path) -> Metadata | None:
        """The properties as metadata, None where there is nothing; sizes that the graph fixes win over the properties.

        Raises:
            ModelFileError: a property has an impossible value.
        """
        shape = self.input_shape
        if shape is None or len(shape) != 4:
            return Metadata.parse(self.properties, path) if self.properties else None
        metadata = Metadata.parse(self.properties, path)
        batch, _, height, width = shape
        if any(isinstance(side, int) and side > _LARGEST for side in shape):
            raise ModelFileError(path, f"its input of {'x'.join(map(str, shape))} is larger than any picture")
        facts: dict[str, object] = {"batch": batch} if isinstance(batch, int) else {}
        fixed = isinstance(height, int) and isinstance(width, int)
        if fixed:
            facts["imgsz"] = (height, width)
        if metadata.segkit is None:
            facts["args"] = metadata.args | {"dynamic": not fixed}
        return metadata.model_copy(update=facts)


def read_header(path: Path) -> Header:
    """Properties and input shape of an ONNX file.

    Raises:
        ModelFileError: it is something else (and what), or it is damaged (and where).
    """
    try:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _model(data)
    except OSError as error:
        problem = "it is a folder, not an ONNX file" if path.is_dir() else (error.strerror or str(error)).lower()
        raise ModelFileError(path, problem) from None
    except ValueError as error:
        problem = _other_kind(path) or f"it is not an ONNX model, or is damaged: {error}"
        raise ModelFileError(path, problem) from None


def _model(data: mmap.mmap) -> Header:
    version, graph, properties = 0, None, {}
    for field in fields(data):
        if field.number == 1:  # ModelProto.ir_version
            version = field.whole
        elif field.number == 7:  # ModelProto.graph
            graph = field
        elif field.number == 14:  # ModelProto.metadata_props
            entry = {part.number: part.text for part in field}
            properties[entry.get(1, "")] = entry.get(2, "")
    if graph is None or not 1 <= version <= 1000:
        raise ValueError("no graph was found in it")
    for field in graph:
        if field.number == 11:  # GraphProto.input, in the order of the network's signature
            return Header(properties, shape_of(field))
    return Header(properties, None)


def shape_of(value_info: Field) -> Shape | None:
    """ValueInfoProto.type (2) → TypeProto.tensor_type (1) → shape (2) → dim (1) → dim_value (1) or dim_param (2)."""
    place = value_info
    for number in (2, 1, 2):
        found = [field for field in place if field.number == number]
        if not found:
            return None
        place = found[-1]
    sizes: list[int | str] = []
    for dimension in place:
        size: int | str = ""
        for part in dimension:
            # Not above zero (as a negative number is written, above 63 bits) is how some tools write "free".
            fixed = part.whole if 0 < part.whole < 1 << 63 else ""
            size = fixed if part.number == 1 else part.text
        sizes.append(size)
    return tuple(sizes)


def _other_kind(path: Path) -> str | None:
    """What a file that is no ONNX model is, where its first bytes tell."""
    with path.open("rb") as stream:
        head = stream.read(512)
    text = head.lstrip().lower()
    if not head:
        return "the file is empty"
    if text.startswith((b"<!doctype html", b"<html")):
        return "it is an HTML page, not an ONNX model (a download that failed?)"
    if head.startswith(b"PK\x03\x04"):
        return "it is a zip archive (a PyTorch file?), not an ONNX model"
    if text and all(byte >= 9 for byte in head) and _is_text(head):
        return "it is a text file, not an ONNX model"
    return None


def _is_text(head: bytes) -> bool:
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4  # a character cut at the end of the sample
    return True
