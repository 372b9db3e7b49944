"""The outside of an engine file, read with nothing but Python: metadata in front of a plan, or a plan alone.

In front stand four bytes, little-endian: the length of the JSON document that follows; then comes the plan. Other tools
write plans without it; their metadata may be in a file beside them. Of a plan itself
only its first bytes are looked at: a mark that tells the runtime, and the version that built it (both runtimes have
them where TensorRT's own tools look), and for TensorRT-RTX the length of the whole.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from segkit.core.backend import Metadata
from segkit.core.errors import ModelFileError
from segkit.plugins.engine.runtimes import RUNTIMES, RuntimeName

KEY = "engine"
"""Of the metadata: what segkit says about the plan itself, for those who want to run it."""

DIGEST = "sha256"
"""Of the plan, in what is said about it."""

_SAID = {"names", "imgsz"}
"""Keys that tell metadata of a model from any other JSON file."""

MARKS = {b"ftrt": RuntimeName.STANDARD, b"vtrt": RuntimeName.RTX}
"""First bytes of a plan."""

LARGEST_HEADER = 16 << 20
"""Bytes; a thousand class names in any script need a hundredth of it."""

_PREFIX = struct.Struct("<I")
_PLAN = struct.Struct("<4sI8xQ4B")
"""Mark, layout of what follows, length of the whole, version."""


class Tensor(BaseModel):
    """An input or output of a plan; -1 where a side is free."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    dtype: str
    shape: tuple[int, ...] = Field(max_length=8)


class Built(BaseModel):
    """How a plan was built, and for what: it runs there and nowhere else.

    Attributes:
        runtime, version: what built it, and what must run it.
        targets: compute capabilities that it is for, as sm89; sm80+ is that one and every newer one.
        gpu: the GPU that it was built on, where it was built on one.
        dla: the DLA core that it is for.
        platform: system and processor, as linux-x86_64.
        size, sha256: of the plan.
        inputs, outputs: of the network.
        profiles: (least, best, largest) shape of the input, for each optimisation profile; none where nothing is free.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    runtime: RuntimeName
    version: str
    targets: tuple[str, ...] = ()
    gpu: str | None = None
    dla: int | None = None
    platform: str
    size: int
    sha256: str
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    profiles: tuple[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]], ...] = ()


@dataclass(frozen=True)
class Plan:
    """What the first bytes of a plan tell.

    Attributes:
        runtime: that it is for.
        version: that built it, as (10, 13, 3, 9); None where they are laid out in a way that is not known.
        size: its length as it says itself; None where it does not.
    """

    runtime: RuntimeName
    version: tuple[int, int, int, int] | None
    size: int | None


@dataclass(frozen=True)
class EngineFile:
    """An engine file: `raw` are its metadata as they are, None where there are none; the plan begins at `start`."""

    path: Path
    raw: dict[str, Any] | None
    start: int
    plan: Plan

    def metadata(self) -> Metadata | None:
        """The metadata, if it carries any.

        Raises:
            ModelFileError: they are not understood, or the plan is not the one that they are of.
        """
        if self.raw is None:
            return None
        if self.built and self.built.size != (there := self.path.stat().st_size - self.start):
            raise ModelFileError(
                self.path, f"it is cut off or damaged: its plan has {there:,} of {self.built.size:,} bytes"
            )
        return Metadata.parse(self.raw, self.path)

    @cached_property
    def built(self) -> Built | None:
        """How the plan was built; None in files of other tools.

        Raises:
            ModelFileError: it is not understood.
        """
        found = (self.raw or {}).get(KEY)
        if found is None or (isinstance(found, dict) and found.keys() == {DIGEST}):
            return None
        try:
            return Built.model_validate(found)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, (KEY, *first["loc"])))
            raise ModelFileError(self.path, f"its metadata cannot be understood ({where}: {first['msg']})") from None

    def read_plan(self) -> bytes:
        """The plan, whole.

        Raises:
            ModelFileError: it is damaged.
        """
        with self.path.open("rb") as stream:
            stream.seek(self.start)
            plan = stream.read()
        if self.built and hashlib.sha256(plan).hexdigest() != self.built.sha256:
            raise ModelFileError(self.path, "it is damaged: its plan has changed since it was built. Export it again")
        return plan


def pack(metadata: Metadata, built: Built, plan: bytes) -> bytes:
    """A whole file."""
    document = metadata.to_plain() | {KEY: built.model_dump(mode="json", exclude_none=True)}
    header = json.dumps(document, ensure_ascii=False).encode()
    return _PREFIX.pack(len(header)) + header + plan


def holds_plan(path: Path) -> bool:
    """Whether it is an engine file by its content, damaged or not."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_PREFIX.size)
            if head in MARKS:
                return True
            if len(head) < _PREFIX.size or (length := _PREFIX.unpack(head)[0]) > LARGEST_HEADER:
                return False
            begins = stream.read(1)
            stream.seek(_PREFIX.size + length)
            return begins == b"{" and stream.read(4) in MARKS
    except OSError:
        return False


def read_engine(path: Path) -> EngineFile:
    """Look at an engine file.

    Raises:
        ModelFileError: it is something else (and what), or it is damaged.
    """
    try:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[:4] in MARKS:
                return EngineFile(path, _beside(path, data), 0, _plan(path, data, 0))
            raw, start = _header(path, data)
            return EngineFile(path, raw, start, _plan(path, data, start))
    except OSError as error:
        problem = "it is a folder, not an engine file" if path.is_dir() else (error.strerror or str(error)).lower()
        raise ModelFileError(path, problem) from None
    except ValueError:  # nothing to map
        raise ModelFileError(path, "the file is empty") from None


def _header(path: Path, data: mmap.mmap) -> tuple[dict[str, Any], int]:
    """The document in front of a plan, and where that begins."""
    length = _PREFIX.unpack(data[: _PREFIX.size])[0] if len(data) > _PREFIX.size else 0
    start = _PREFIX.size + length
    if data[_PREFIX.size : _PREFIX.size + 1] != b"{" or length > LARGEST_HEADER:
        raise ModelFileError(path, _other_kind(data))
    if start >= len(data):
        raise ModelFileError(path, "it is cut off in its metadata: there is no plan in it")
    found = _object(data[_PREFIX.size : start])
    if found is None:
        raise ModelFileError(path, "its metadata cannot be understood: no JSON object")
    return found, start


def _beside(path: Path, plan: mmap.mmap) -> dict[str, Any] | None:
    """Metadata of a plan that has none in front: model.engine.json or model.json. Files of that name may be anybody's:
    it is one that says what every tool says of a model, and names no other plan by its digest.
    """
    for place in (path.with_name(f"{path.name}.json"), path.with_suffix(".json")):
        if not place.is_file() or place.stat().st_size > LARGEST_HEADER:
            continue
        found = _object(place.read_bytes())
        if found is None or not found.keys() >= _SAID:
            continue
        said = found.get(KEY)
        if not isinstance(said, dict) or DIGEST not in said or said[DIGEST] == hashlib.sha256(plan).hexdigest():
            return found
    return None


def _object(text: bytes) -> dict[str, Any] | None:
    """A JSON object; None where it is none."""
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _plan(path: Path, data: mmap.mmap, start: int) -> Plan:
    head = data[start : start + _PLAN.size]
    if len(head) < _PLAN.size or head[:4] not in MARKS:
        raise ModelFileError(path, "it is damaged: what follows its metadata is no plan of TensorRT")
    mark, layout, size, *version = _PLAN.unpack(head)
    plan = Plan(
        MARKS[mark],
        (version[0], version[1], version[2], version[3]) if layout == 0 else None,
        size if MARKS[mark] is RuntimeName.RTX and layout == 0 else None,
    )
    if plan.size and plan.size > len(data) - start:
        raise ModelFileError(
            path,
            f"it is cut off: its plan has {len(data) - start:,} of {plan.size:,} bytes. Download or export it again",
        )
    return plan


def _other_kind(data: mmap.mmap) -> str:
    head = data[:512].lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html")):
        return "it is an HTML page, not an engine file (a download that failed?)"
    if head.startswith(b"pk\x03\x04"):
        return "it is a zip archive (a PyTorch file?), not an engine file"
    return "it is neither a plan of TensorRT nor one with metadata in front"


def title(runtime: RuntimeName, version: str) -> str:
    """In words: TensorRT-RTX 1.7.1.116."""
    return f"{RUNTIMES[runtime].title} {version}"
