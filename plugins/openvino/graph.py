"""The outside of an OpenVINO graph, read with nothing but Python's XML parser.

Names and input size are wanted before a file runs, and every plugin is asked whether a file is its own: neither should
wait for a runtime to start. The weights are in a file of their own, of which the graph tells how long it must be.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as Xml

from segkit.core.backend import TensorInfo
from segkit.core.errors import ModelFileError

LARGEST = 64 << 20
"""Bytes of a graph; fifty times that of the largest scale."""

_BEGINNING = re.compile(rb"\s*(<\?xml[^>]*>\s*)?<net\s[^>]*version=")
_SAMPLE = 4096

_LETTERS = {"FP": "float", "F": "float", "BF": "bfloat", "I": "int", "U": "uint"}
_TYPE = re.compile(r"(fp|f|bf|i|u)(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Graph:
    """What an OpenVINO graph says without its weights.

    Attributes:
        version: of the way it is written down.
        inputs: what it takes; free sides are None.
        outputs: what it gives.
        operators: how often it has each, constants and ends left out.
        numbers: how many of each type its constants hold.
        constants: number of constants.
        extent: bytes that the file of weights must have.
        runtime: version of OpenVINO that wrote it; "" where it is not told.
        info: what it says for OpenVINO's Model API.
    """

    version: str
    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()
    operators: Counter[str] = field(default_factory=Counter)
    numbers: Counter[str] = field(default_factory=Counter)
    constants: int = 0
    extent: int = 0
    runtime: str = ""
    info: dict[str, str] = field(default_factory=dict)


def begins_like_one(path: Path) -> bool:
    """Whether the first bytes of `path` are those of an OpenVINO graph."""
    try:
        with path.open("rb") as stream:
            return _BEGINNING.match(stream.read(_SAMPLE)) is not None
    except OSError:
        return False


def read_graph(path: Path) -> Graph:
    """Read an `.xml` file.

    Raises:
        ModelFileError: it is something else (and what), or it is damaged (and where).
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ModelFileError(path, f"its graph is larger than {LARGEST >> 20} MB: no network's is")
        text = path.read_bytes()
    except OSError as error:
        raise ModelFileError(path, (error.strerror or str(error)).lower()) from None
    if not _BEGINNING.match(text[:_SAMPLE]):
        raise ModelFileError(path, _other_kind(text))
    if b"<!" in text:  # what a hostile file has its entities in
        raise ModelFileError(path, "it is damaged: it declares a type of document, which no OpenVINO graph does")
    try:
        return _graph(Xml.fromstring(text))
    except (Xml.ParseError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        words = f"'{error.args[0]}' is missing" if isinstance(error, KeyError) else str(error)
        raise ModelFileError(path, f"it is damaged: {words}. Download or export it again") from None


def _graph(root: Xml.Element) -> Graph:
    layers = {layer.attrib["id"]: layer for layer in root.iterfind("layers/layer")}
    sources = {
        (edge.attrib["to-layer"], edge.attrib["to-port"]): (edge.attrib["from-layer"], edge.attrib["from-port"])
        for edge in root.iterfind("edges/edge")
    }
    operators: Counter[str] = Counter()
    numbers: Counter[str] = Counter()
    extent = 0
    for layer in root.iter("layer"):  # those inside loops, too
        kind = layer.attrib["type"]
        if kind != "Const":
            operators[kind] += kind not in ("Parameter", "Result")
            continue
        data = _only(layer, "data").attrib
        count = 1
        for side in _whole(data["shape"]):
            count *= side
        numbers[_type(data["element_type"])] += count
        offset, size = int(data["offset"]), int(data["size"])
        if min(offset, size, count) < 0:
            raise ValueError(f"its constant '{layer.attrib['name']}' has no place")
        extent = max(extent, offset + size)
    return Graph(
        version=root.attrib["version"],
        inputs=tuple(_input(layer) for layer in layers.values() if layer.attrib["type"] == "Parameter"),
        outputs=tuple(_output(layer, layers, sources) for layer in layers.values() if layer.attrib["type"] == "Result"),
        operators=+operators,
        numbers=numbers,
        constants=sum(layer.attrib["type"] == "Const" for layer in root.iter("layer")),
        extent=extent,
        runtime=_said(root, "rt_info/info[@name='OpenVINO Runtime']") or _said(root, "rt_info/Runtime_version"),
        info={entry.tag: entry.attrib.get("value", "") for entry in root.iterfind("rt_info/model_info/*")},
    )


def _input(layer: Xml.Element) -> TensorInfo:
    port = _only(layer, "output/port")
    return TensorInfo(_name(port, layer), _type(port.attrib["precision"]), tuple(_sides(port)))


def _output(
    result: Xml.Element, layers: dict[str, Xml.Element], sources: dict[tuple[str, str], tuple[str, str]]
) -> TensorInfo:
    """A result is named after what it is the result of."""
    port = _only(result, "input/port")
    layer, place = sources[result.attrib["id"], port.attrib["id"]]
    source = layers[layer]
    named = next((found for found in source.iterfind("output/port") if found.attrib["id"] == place), port)
    return TensorInfo(_name(named, source), _type(named.attrib["precision"]), tuple(_sides(port)))


def _name(port: Xml.Element, layer: Xml.Element) -> str:
    """The first name of a tensor; names are parted by commas, and those inside them have a backslash."""
    names = port.attrib.get("names") or layer.attrib["name"]
    return re.split(r"(?<!\\),", names)[0].replace("\\,", ",")


def _sides(port: Xml.Element) -> Iterator[int | None]:
    for side in port.iterfind("dim"):
        size = int(side.text or "")
        yield size if size >= 0 else None


def _whole(text: str) -> Iterator[int]:
    return (int(part) for part in text.split(",") if part.strip())


def _type(name: str) -> str:
    """The name of an element type in two spellings, "FP32" and "f32", as numpy has it."""
    found = _TYPE.fullmatch(name)
    return f"{_LETTERS[found[1].upper()]}{found[2]}" if found else name.lower()


def _only(parent: Xml.Element, path: str) -> Xml.Element:
    found = parent.find(path)
    if found is None:
        raise ValueError(f"its layer '{parent.attrib.get('name')}' has no {path.replace('/', ' ')}")
    return found


def _said(root: Xml.Element, path: str) -> str:
    found = root.find(path)
    return "" if found is None else found.attrib.get("value", "")


def _other_kind(text: bytes) -> str:
    """What a file that is no OpenVINO graph is, where its first bytes tell."""
    head = text[:_SAMPLE].lstrip().lower()
    if not head:
        return "the file is empty"
    if head.startswith((b"<!doctype html", b"<html")):
        return "it is an HTML page, not an OpenVINO graph (a download that failed?)"
    if head.startswith(b"<"):
        return "it is XML, but not an OpenVINO graph"
    return "it is not an OpenVINO graph, which is XML"
