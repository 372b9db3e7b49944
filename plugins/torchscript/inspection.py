"""What a TorchScript file holds, read with nothing but Python: signature, operators, weights, and who wrote it.

Code is read as text and pickles as a list of instructions; neither is executed.
"""

from __future__ import annotations

import pickletools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segkit.core.backend import Inspection, Metadata, Precision, TensorInfo
from segkit.core.backend.layouts import anchor_count
from segkit.plugins.torchscript.archive import Archive, open_archive

TYPES = {"Float": "float32", "Half": "float16", "BFloat16": "bfloat16", "Double": "float64", "Long": "int64"}
TYPES |= {"Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool"}
PRECISIONS = {"float32": Precision.FP32, "float16": Precision.FP16, "int8": Precision.INT8}

TELLING = ("author", "version", "license")
"""Keys that other tools write and that metadata leave out."""

MOST = 4 << 20
"""Bytes of a pickle that is looked through; the largest scale has 60 KB."""

_OPERATOR = re.compile(r"\b(?:torch|ops\.\w+)\.([A-Za-z_]\w*)\(")
_FORWARD = re.compile(r"def forward\(self[^,)]*,\s*(.*?)\)\s*->\s*(.*?):\n", re.DOTALL)
_LONGEST = 2000
"""Characters of a signature: the pattern is tried on the first one only, for its time grows with the square."""


def inspect(path: Path) -> Inspection:
    """Signature, operators, weights and writer of a TorchScript file of any tool.

    Raises:
        ModelFileError: it is something else (and what), or it is damaged.
    """
    with open_archive(path) as archive:
        config, metadata = archive.config(), archive.metadata()
        facts = dict(_code_facts(archive)) | dict(_weight_facts(archive))
    facts |= {key: str(config[key]) for key in TELLING if config.get(key)}
    if metadata.segkit is None:
        return Inspection(facts=facts)
    tools = metadata.segkit.toolchain
    producer = ", ".join(f"{name} {tools[name]}" for name in ("segkit", "torch") if name in tools)
    return Inspection(*_tensors(metadata), producer or None, facts)


def _code_facts(archive: Archive) -> Iterator[tuple[str, str]]:
    operators: Counter[str] = Counter()
    signature = ""
    main = _main_module(archive)
    for name in archive.names:
        if name.startswith("code/") and name.endswith(".py"):
            text = archive.read(name).decode(errors="replace")
            operators.update(_OPERATOR.findall(text))
            start = text.find("def forward(self")
            if name == main and start >= 0 and (found := _FORWARD.match(text[start : start + _LONGEST])):
                signature = " ".join(f"({found[1]}) -> {found[2]}".split())
    if signature:
        yield "signature", signature
    common = ", ".join(f"{count} {name}" for name, count in operators.most_common(4))
    yield "operators", f"{operators.total():,} ({common})" if common else "none"


def _main_module(archive: Archive) -> str | None:
    """The part with the code of the outermost module: the first class that the pickle of the module names."""
    for name, argument, _ in _instructions(archive, "data.pkl"):
        if name == "GLOBAL" and str(argument).startswith("__torch__."):
            module = str(argument).split()[0]
            return f"code/{module.replace('.', '/')}.py"
    return None


def _weight_facts(archive: Archive) -> Iterator[tuple[str, str]]:
    numbers: Counter[str] = Counter()
    tensors = 0
    for part in ("data.pkl", "constants.pkl"):
        for kind, count in _storages(archive, part):
            numbers[kind] += count
            tensors += 1
    weighing = [kind for kind, _ in numbers.most_common() if kind in PRECISIONS]
    if weighing:
        yield "precision", PRECISIONS[weighing[0]]
    if numbers:
        listed = ", ".join(f"{count:,} {kind}" for kind, count in numbers.most_common())
        yield "weights", f"{listed} in {tensors} tensors"


def _storages(archive: Archive, part: str) -> Iterator[tuple[str, int]]:
    """(type, length) of every block of numbers that a pickle refers to: ("storage", type, key, device, length)."""
    kinds: dict[object, str] = {}
    kind, last, length = "", "", 0
    for name, argument, _ in _instructions(archive, part):
        if name == "GLOBAL":
            last = str(argument)
            kind = last.removeprefix("torch ").removesuffix("Storage") if last.endswith("Storage") else kind
        elif name in ("BINPUT", "LONG_BINPUT") and last.endswith("Storage"):
            kinds[argument], last = kind, ""
        elif name in ("BINGET", "LONG_BINGET"):
            kind = kinds.get(argument, kind)
        elif name.startswith(("BININT", "LONG1")):
            length = int(argument or 0)
        elif name == "BINPERSID":
            yield TYPES.get(kind, kind.lower()), length


def _instructions(archive: Archive, part: str) -> Iterator[tuple[str, Any, int | None]]:
    """The pickle's instructions as (name, argument, place), up to where it makes no sense."""
    if part not in archive.names or archive.size(part) > MOST:
        return
    try:
        for code, argument, place in pickletools.genops(archive.read(part)):
            yield code.name, argument, place
    except ValueError:
        return


def _tensors(metadata: Metadata) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
    """Inputs and outputs of a file of ours: sealed, because traced code does not name its shapes."""
    seal = metadata.segkit
    assert seal is not None
    batch = "batch" if seal.dynamic_batch else metadata.batch
    height, width = metadata.imgsz
    low: tuple[int | str, ...] = (height // 4, width // 4)
    size: tuple[int | str, ...] = (height, width)
    anchors: int | str = anchor_count(metadata.imgsz, seal.strides)
    if seal.dynamic_size:
        size, low, anchors = ("height", "width"), ("mask_height", "mask_width"), "anchors"
    masks = seal.coefficients
    head: tuple[int | str | None, ...] = (batch, 4 + len(metadata.names) + masks if metadata.names else None, anchors)
    if seal.selection:
        head = (batch, seal.selection.max_det, 6 + masks)
    outputs = TensorInfo("output0", "float32", head), TensorInfo("output1", "float32", (batch, masks, *low))
    return (TensorInfo("images", "float32", (batch, 3, *size)),), outputs
