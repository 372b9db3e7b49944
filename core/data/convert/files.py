"""Reading the small files that labels come in, none of which is trusted: JSON and XML."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn
from xml.etree import ElementTree
from xml.parsers import expat

from segkit.core.errors import SourceError

MAX_JSON = 4 << 30
"""Bytes. The largest annotation file of COCO has half a gigabyte."""

MAX_XML = 1 << 30


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        SourceError: it cannot be read, is no JSON, or nests too deeply.
    """
    data = _bytes(path, MAX_JSON)
    try:
        return json.loads(data, parse_constant=_refuse)
    except RecursionError:
        raise SourceError(path, "it nests too deeply for annotations") from None
    except ValueError as error:
        raise SourceError(path, f"it is not JSON ({str(error)[:120]})") from None


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


def read_xml(path: Path) -> ElementTree.Element:
    """The root of an XML file. A document type is refused: with one come entities, which can grow without bounds.

    Raises:
        SourceError: it cannot be read, is no XML, or declares a document type.
    """
    data = _bytes(path, MAX_XML)
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    depth = 0

    def begin(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > 100:
            raise SourceError(path, "it nests too deeply for annotations")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse(*_: object) -> None:
        raise SourceError(path, "it declares a document type, which annotations have no use for")

    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = builder.data, refuse
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise SourceError(path, f"it is not XML ({error})") from None
    return builder.close()


def head_of(path: Path, count: int = 1 << 16) -> bytes:
    """The first bytes of a file; none if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError:
        return b""


def _bytes(path: Path, most: int) -> bytes:
    try:
        if path.stat().st_size > most:
            raise SourceError(path, "it is too large for annotations")
        return path.read_bytes()
    except OSError as error:
        raise SourceError(path, (error.strerror or str(error)).lower()) from None


def whole(value: object) -> int | None:
    """A whole number as JSON gives it: 3 or 3.0, not true and not "3"."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        return None
    return int(value)


def side(value: object) -> int | None:
    """A picture's side in pixels: 1 to 1,000,000."""
    found = whole(value)
    return found if found is not None and 0 < found <= 1_000_000 else None


def number(text: str | None) -> float:
    """A number of at most nine digits before its point, as XML has it; nan for anything else."""
    try:
        value = float(text) if text else math.nan
    except ValueError:
        return math.nan
    return value if abs(value) < 1e9 else math.nan


def text_at(values: Mapping[str, Any], key: str) -> str:
    """A text of a mapping; empty where it is missing or no text."""
    found = values.get(key)
    return found if isinstance(found, str) else ""


def name_of(text: str | None) -> str:
    """The name of a class: on one line, single spaces between its words, of characters that can be written."""
    return " ".join((text or "").encode("utf-8", "replace").decode("utf-8").split())
