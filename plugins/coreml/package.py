"""The outside of an `.mlpackage`, read with nothing but Python: its table of contents and the model's description.

A package is a folder. `Manifest.json` lists what is in it and which item is the model: a protobuf message
(`Model.proto` of Core ML's specification, whose field numbers these are) with the description in front of the program.
Weights are in a file of their own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segkit.core.backend import Metadata
from segkit.core.errors import ModelFileError
from segkit.core.protobuf import Field, fields

MANIFEST = "Manifest.json"
ML_PROGRAM = 502
KINDS = {ML_PROGRAM: "ML Program", 500: "neural network", 202: "pipeline"}
KINDS |= {403: "neural network classifier", 303: "neural network regressor"}
COLORS = {10: "grey", 20: "RGB", 30: "BGR"}
ARRAYS = {65568: "float32", 65552: "float16", 65600: "float64", 131104: "int32"}

_LARGEST_MANIFEST = 1 << 20
_LARGEST_MODEL = 1 << 30
_LARGEST_SIDE = 1 << 15


@dataclass(frozen=True)
class Feature:
    """An input or output as Core ML's description has it.

    Attributes:
        name: of the value.
        kind: "image", "array", or what else it is.
        shape: as a tensor: (1, 3, height, width) for an image; None for a side that is free.
        dtype: of its numbers; for an image its order of colours.
    """

    name: str
    kind: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass
class Description:
    """What stands outside of the program.

    Attributes:
        version: of the specification; Core ML of iOS 16 and macOS 13 reads up to 7.
        kind: field number of what the model is: `ML_PROGRAM`, or something else.
        function: name of the program's function that is run.
        texts: short description, version, author and licence, where they are.
        properties: what others call user-defined metadata.
        program: the bytes of an ML Program.
    """

    version: int = 0
    kind: int = 0
    function: str = "main"
    inputs: list[Feature] = field(default_factory=list)
    outputs: list[Feature] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    program: memoryview = field(default_factory=lambda: memoryview(b""), repr=False)

    def metadata(self, path: Path) -> Metadata | None:
        """The properties as metadata, None where there is nothing; sizes that the input fixes win over them.

        Raises:
            ModelFileError: a property has an impossible value.
        """
        shape = self.inputs[0].shape if len(self.inputs) == 1 else ()
        if not self.properties and len(shape) != 4:
            return None
        metadata = Metadata.parse(self.properties, path)
        if len(shape) != 4:
            return metadata
        batch, _, height, width = shape
        if any(side is not None and not 1 <= side <= _LARGEST_SIDE for side in shape):
            raise ModelFileError(path, f"its input of {words(shape)} is no size of pictures")
        facts: dict[str, Any] = {} if batch is None else {"batch": batch}
        if height is not None and width is not None:
            facts["imgsz"] = (height, width)
        if metadata.segkit is None:
            facts["args"] = metadata.args | {"dynamic": None in (height, width)}
        return metadata.model_copy(update=facts)


def words(shape: tuple[int | None, ...]) -> str:
    """A shape for messages: "1x3x640x640"."""
    return "x".join("any" if side is None else str(side) for side in shape)


def is_package(path: Path) -> bool:
    """Whether `path` is a folder whose table of contents names a Core ML model."""
    try:
        model_file(path)
    except ModelFileError:
        return False
    return True


def model_file(path: Path) -> Path:
    """The model's own file inside a package.

    Raises:
        ModelFileError: it is something else (and what), or parts are missing.
    """
    if not path.is_dir():
        raise ModelFileError(path, _no_folder(path))
    try:
        raw = _bytes(path / MANIFEST, _LARGEST_MANIFEST)
    except FileNotFoundError:
        raise ModelFileError(path, f"it is a folder without {MANIFEST}, no Core ML package") from None
    except (OSError, ValueError) as error:
        raise ModelFileError(path, f"its {MANIFEST} cannot be read ({error})") from None
    try:
        table = json.loads(raw)
        item = table["itemInfoEntries"][table["rootModelIdentifier"]]
        inner = Path("Data") / str(item["path"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ModelFileError(path, f"its {MANIFEST} is damaged: it does not say which item is the model") from None
    if inner.is_absolute() or ".." in inner.parts:
        raise ModelFileError(path, f"its {MANIFEST} points outside of the package: a hostile file?")
    if not (path / inner).is_file():
        raise ModelFileError(path, f"it is incomplete: {inner.as_posix()} is missing")
    return path / inner


def read_description(path: Path) -> Description:
    """What a package says about itself, weights and program left aside.

    Raises:
        ModelFileError: it is something else (and what), or it is damaged.
    """
    inner = model_file(path)
    try:
        return _description(memoryview(_bytes(inner, _LARGEST_MODEL)))
    except OSError as error:
        raise ModelFileError(path, f"{inner.name}: {(error.strerror or str(error)).lower()}") from None
    except ValueError as error:
        raise ModelFileError(path, f"its {inner.name} is damaged: {error}") from None


def _bytes(path: Path, limit: int) -> bytes:
    if path.stat().st_size > limit:
        raise ValueError(f"it is larger than {limit >> 20} MB")
    return path.read_bytes()


def _description(data: memoryview) -> Description:
    found = Description()
    for part in fields(data):
        if part.number == 1:  # Model.specificationVersion
            found.version = part.whole
        elif part.number == 2:  # Model.description
            _describe(found, part)
        elif part.number >= 200:  # Model.Type, a choice of one
            found.kind = part.number
            if part.number == ML_PROGRAM:
                found.program = memoryview(part.data)
    if not 1 <= found.version <= 1000 or not found.kind:
        raise ValueError("no model was found in it")
    return found


def _describe(found: Description, description: Field) -> None:
    """ModelDescription: input (1), output (10), functions (20), defaultFunctionName (21), metadata (100)."""
    functions: dict[str, Field] = {}
    for part in description:
        if part.number == 1:
            found.inputs.append(_feature(part))
        elif part.number == 10:
            found.outputs.append(_feature(part))
        elif part.number == 20:
            functions[next((item.text for item in part if item.number == 1), "")] = part
        elif part.number == 21:
            found.function = part.text or found.function
        elif part.number == 100:
            _say(found, part)
    if function := functions.get(found.function):  # FunctionDescription: name (1), input (2), output (3)
        found.inputs = [_feature(part) for part in function if part.number == 2]
        found.outputs = [_feature(part) for part in function if part.number == 3]


def _say(found: Description, metadata: Field) -> None:
    """Metadata: shortDescription (1), versionString (2), author (3), license (4), userDefined (100)."""
    names = {1: "description", 2: "version", 3: "author", 4: "license"}
    for part in metadata:
        if part.number in names:
            found.texts[names[part.number]] = part.text
        elif part.number == 100:
            pair = {item.number: item.text for item in part}
            found.properties[pair.get(1, "")] = pair.get(2, "")


def _feature(description: Field) -> Feature:
    """FeatureDescription: name (1), type (3) → FeatureType: imageType (4), multiArrayType (5)."""
    name, kind, dtype = "", "value", ""
    shape: tuple[int | None, ...] = ()
    for part in description:
        if part.number == 1:
            name = part.text
        elif part.number == 3:
            for item in part:
                if item.number == 4:
                    kind, (shape, dtype) = "image", _image(item)
                elif item.number == 5:
                    kind, (shape, dtype) = "array", _array(item)
    return Feature(name, kind, shape, dtype)


def _image(kind: Field) -> tuple[tuple[int | None, ...], str]:
    """ImageFeatureType: width (1), height (2), colorSpace (3), and free sizes (21, 31)."""
    sizes: dict[int, int | None] = {}
    color, free = 0, False
    for part in kind:
        if part.number in (1, 2):
            sizes[part.number] = part.whole
        elif part.number == 3:
            color = part.whole
        else:
            free |= part.number in (21, 31)
    name = COLORS.get(color, f"colours {color}")
    sides = (None, None) if free else (sizes.get(2), sizes.get(1))
    return (1, 1 if name == "grey" else 3, *sides), name


def _array(kind: Field) -> tuple[tuple[int | None, ...], str]:
    """ArrayFeatureType: shape (1), dataType (2), shapeRange (31); a side is free where its range has two ends."""
    shape: list[int | None] = []
    dtype = ""
    ranges: list[bool] = []
    for part in kind:
        if part.number == 1:
            shape += part.integers()
        elif part.number == 2:
            dtype = ARRAYS.get(part.whole, f"type {part.whole}")
        elif part.number == 21:  # EnumeratedShapes → shapes (1) → shape (1)
            listed = [[side for item in entry for side in item.integers()] for entry in part]
            ranges = [len(set(sides)) > 1 for sides in zip(*listed, strict=False)]
        elif part.number == 31:
            ranges = [_is_free(entry) for entry in part]
    if len(ranges) == len(shape):
        shape = [None if free else side for side, free in zip(shape, ranges, strict=True)]
    return tuple(shape), dtype


def _is_free(entry: Field) -> bool:
    """SizeRange: lowerBound (1), upperBound (2, negative for none)."""
    bounds = {part.number: part.whole for part in entry}
    return bounds.get(1, 0) != bounds.get(2, 0)


def _no_folder(path: Path) -> str:
    """What a path that is no folder is, where its first bytes tell."""
    try:
        with path.open("rb") as stream:
            head = stream.read(512).lstrip().lower()
    except OSError as error:
        return (error.strerror or str(error)).lower()
    if not head:
        return "the file is empty; a Core ML package is a folder"
    if head.startswith((b"<!doctype html", b"<html")):
        return "it is an HTML page, not a Core ML package (a download that failed?)"
    if head.startswith(b"pk\x03\x04"):
        return "it is a zip archive; a Core ML package is a folder: unpack it first"
    if path.suffix == ".mlmodel":
        return "it is a single model file of the older kind; only packages (.mlpackage) are read"
    return "it is a file, and a Core ML package is a folder"
