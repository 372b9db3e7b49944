"""The folder: a program, its parameters, and what segkit says about them; read with nothing but Python.

Paddle trusts its files: it checks no sums, and ends the process over some that are damaged. So they are looked through
here before it sees them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from segkit.core.backend import Metadata, TensorInfo
from segkit.core.backend.described import METADATA, check_sums, read_described
from segkit.core.errors import ModelFileError
from segkit.core.protobuf import fields
from segkit.plugins.paddle.outline import Outline, from_json, from_protobuf, tensor_desc

STEM = "inference"
"""Name of the files that segkit writes, before their endings; Paddle's own tools use it, too."""

PROGRAMS = (".json", ".pdmodel")
PARAMETERS = ".pdiparams"

LARGEST = 64 << 20
"""Bytes of a program; the largest scale has 0.4 MB."""

MAGIC = b'"magic":"pir"'

_LARGEST_SIDE = 1 << 15
_TOUCHES_FILES = {"save", "save_combine", "load", "load_combine", "py_func"}
"""Operators that write or read files, or call back into Python. A network has no business with either."""


@dataclass(frozen=True)
class Folder:
    """A program and its parameters.

    Attributes:
        path: as the user gave it.
        program: `.json` or `.pdmodel`.
        parameters: `.pdiparams`.
    """

    path: Path
    program: Path
    parameters: Path

    @classmethod
    def find(cls, path: Path) -> Folder:
        """Of a folder, or of a program inside it.

        Raises:
            ModelFileError: it has no such files, or more than one pair of them.
        """
        folder = path if path.is_dir() else path.parent
        stems = [path.with_suffix("")] if path.is_file() and path.suffix in (*PROGRAMS, PARAMETERS) else None
        if stems is None:
            if not path.is_dir():
                raise ModelFileError(path, "it is no folder with a program of Paddle")
            stems = [item.with_suffix("") for item in sorted(folder.glob(f"*{PARAMETERS}"))]
        pairs = [
            (program, stem.with_name(stem.name + PARAMETERS))
            for stem in stems
            for program in (stem.with_name(stem.name + ending) for ending in PROGRAMS)
            if _is_program(program) and stem.with_name(stem.name + PARAMETERS).is_file()
        ]
        if not pairs:
            raise ModelFileError(path, _missing(folder, stems))
        if len(pairs) > 1:
            names = ", ".join(program.name for program, _ in pairs)
            raise ModelFileError(path, f"it holds several programs: {names}; give one of them")
        return cls(path, *pairs[0])

    @cached_property
    def outline(self) -> Outline:
        """The program from outside.

        Raises:
            ModelFileError: it is damaged.
        """
        try:
            if self.program.stat().st_size > LARGEST:
                raise ValueError(f"a program of more than {LARGEST >> 20} MB")
            content = self.program.read_bytes()
            return from_json(content) if self.program.suffix == ".json" else from_protobuf(content)
        except OSError as error:
            raise ModelFileError(self.path, (error.strerror or str(error)).lower()) from None
        except ValueError as error:
            raise ModelFileError(self.path, f"its {self.program.name} is damaged: {error}") from None

    def notes(self) -> dict[str, Any]:
        """The keys of `metadata.yaml` as they are; none where there is no such file.

        Raises:
            ModelFileError: it cannot be understood.
        """
        return read_described(self.program.with_name(METADATA), self.path)

    def metadata(self) -> Metadata | None:
        """What `metadata.yaml` says, None where there is nothing; sizes that the program fixes win over it.

        Raises:
            ModelFileError: it is not understood, or the program is damaged.
        """
        notes, inputs = self.notes(), self.outline.inputs
        metadata = Metadata.parse(notes, self.path)
        shape = inputs[0].shape if inputs else ()
        if len(shape) != 4:
            return metadata if notes else None
        if any(isinstance(side, int) and side > _LARGEST_SIDE for side in shape):
            raise ModelFileError(self.path, f"its input of {words(inputs[0])} is larger than any picture")
        batch, _, height, width = shape
        facts: dict[str, Any] = {"batch": batch} if batch else {}
        if height and width:
            facts["imgsz"] = (height, width)
        if metadata.segkit is None:
            facts["args"] = metadata.args | {"dynamic": not (height and width)}
        return metadata.model_copy(update=facts)

    def verify(self) -> None:
        """Hold program and parameters against each other, and against the sums where there are some.

        Raises:
            ModelFileError: one is damaged, or they do not belong together.
        """
        touching = sorted(_TOUCHES_FILES & self.outline.operators.keys())
        if touching:
            raise ModelFileError(self.path, f"its program calls '{touching[0]}', which no network does: hostile?")
        try:
            if not self.parameters.stat().st_size:
                raise ValueError("it is empty (an interrupted copy?)")
            with self.parameters.open("rb") as stream:
                found = [(tensor.dtype, tensor.shape) for tensor in _tensors(stream)]
        except OSError as error:
            raise ModelFileError(self.path, (error.strerror or str(error)).lower()) from None
        except ValueError as error:
            raise ModelFileError(self.path, f"its {self.parameters.name} is damaged: {error}") from None
        wanted = self.outline.parameters
        if len(found) != len(wanted):
            raise ModelFileError(
                self.path,
                f"its {self.parameters.name} holds {len(found)} tensors, and {self.program.name} asks for "
                f"{len(wanted)}: they are not of one model",
            )
        for tensor, has in zip(wanted, found, strict=True):
            asked = tensor.dtype, tensor.shape
            if has != asked:
                is_, wants = (f"{dtype} {'x'.join(map(str, shape))}" for dtype, shape in (has, asked))
                raise ModelFileError(
                    self.path,
                    f"its {self.parameters.name} holds '{tensor.name}' as {is_}, and {self.program.name} asks for "
                    f"{wants}: they are not of one model",
                )
        check_sums(self.notes(), (self.program, self.parameters), self.path)


def holds_part(folder: Path) -> bool:
    """Whether a folder has a program or parameters, if not both."""
    if not folder.is_dir():
        return False
    programs = (file for ending in PROGRAMS for file in folder.glob(f"*{ending}"))
    return any(folder.glob(f"*{PARAMETERS}")) or any(map(_is_program, programs))


def words(tensor: TensorInfo) -> str:
    """A shape for messages: "1x3xanyxany"."""
    return "x".join("any" if side is None else str(side) for side in tensor.shape)


def _tensors(stream: BinaryIO) -> Iterator[TensorInfo]:
    """The tensors of a file of parameters, their numbers stepped over.

    Each is: version (4 bytes), levels of detail (8, and what they hold), version (4), length of a TensorDesc (4), that
    message, numbers.

    Raises:
        ValueError: it is none, or is cut off.
    """
    size = stream.seek(0, 2)
    stream.seek(0)
    while stream.tell() < size:
        place = stream.tell()
        head = stream.read(20)
        if len(head) < 20 or any(head[:16]):  # both versions are 0, and weights have no levels of detail
            raise ValueError(f"byte {place} begins no tensor")
        dtype, shape = tensor_desc(fields(stream.read(int.from_bytes(head[16:], "little"))))
        try:
            width = 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize
        except TypeError:
            raise ValueError(f"the tensor at byte {place} is of {dtype}") from None
        if None in shape:
            raise ValueError(f"the tensor at byte {place} has no size")
        end = stream.tell() + width * prod(side or 0 for side in shape)
        if end > size:
            raise ValueError(f"it should have {end} bytes and ends at {size} (an interrupted copy?)")
        yield TensorInfo("", dtype, shape)
        stream.seek(end)


def _is_program(file: Path) -> bool:
    if not file.is_file():
        return False
    if file.suffix != ".json":
        return True
    with file.open("rb") as stream:
        return MAGIC in stream.read(256)


def _missing(folder: Path, stems: list[Path]) -> str:
    """Why there is no pair of files."""
    for stem in stems:
        for ending in PROGRAMS:
            program = stem.with_name(stem.name + ending)
            if program.is_file() and not _is_program(program):
                return f"its {program.name} is no program of Paddle" + (
                    "" if program.stat().st_size else ": it is empty"
                )
    endings = {item.suffix for item in folder.iterdir()}
    if endings & {*PROGRAMS} and PARAMETERS not in endings:
        return f"it has no parameters (*{PARAMETERS})"
    return f"it has no program of Paddle: *{' or *'.join(PROGRAMS)} with *{PARAMETERS} of the same name"
