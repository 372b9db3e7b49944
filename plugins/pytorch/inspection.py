"""What a weights file holds, read without torch: tensors, how they were stored, training arguments, who wrote it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from math import prod
from pathlib import Path
from typing import Any

from segkit.core.backend import Inspection, TensorInfo
from segkit.core.model import Checkpoint
from segkit.core.model.archive import MAX_PICKLE, Archive
from segkit.core.model.pickles import Inert, StorageRef, TensorRef
from segkit.plugins.pytorch.predictor import opened

PRECISIONS = {"Float": "fp32", "Half": "fp16", "BFloat16": "bf16", "Double": "fp64"}
PRECISIONS |= {"F32": "fp32", "F16": "fp16", "BF16": "bf16", "F64": "fp64"}
"""How torch and safetensors call the types that weights are stored in."""

BUFFERS = (".running_mean", ".running_var", ".num_batches_tracked")
"""Ends of the names of tensors that are no parameters: statistics of batch normalisation."""

TRAINING = ("data", "epochs", "imgsz", "batch", "optimizer", "lr0", "seed", "single_cls", "overlap_mask", "mask_ratio")
"""Training arguments that tell what weights are; the others tell how one machine was used."""

TELLING = ("date", "license")
"""Entries of a checkpoint that say where it comes from."""


def inspect(path: Path) -> Inspection:
    """Tensors, stored types, training arguments, version, date and licence of a weights file; nothing is executed.

    Raises:
        ModelFileError, UnsafeCheckpointError: it is no weights file, damaged, or hostile.
    """
    checkpoint = opened(path)
    with path.open("rb") as file:
        zipped = file.read(2) == b"PK"
    about, stored = _archive(path) if zipped else _safetensors(path)
    facts = dict(_network(checkpoint)) | dict(_stored(stored)) | about
    if args := {name: checkpoint.train_args[name] for name in TRAINING if checkpoint.train_args.get(name) is not None}:
        facts["trained with"] = ", ".join(f"{name}={value}" for name, value in args.items())
    inputs, outputs = _signature(checkpoint)
    return Inspection(inputs, outputs, _writer(checkpoint), facts)


def _network(checkpoint: Checkpoint) -> Iterator[tuple[str, str]]:
    if config := checkpoint.config:
        fused = not any(".bn." in name for name in checkpoint.shapes)
        scale = f"scale {config.scale}, " if config.scale else ""
        yield "network", f"YOLOv8-seg, {scale}{config.nc} classes" + (", batch norms folded in" if fused else "")
    else:
        yield "network", checkpoint.problem
    counts = {name: prod(shape) for name, shape in checkpoint.shapes.items()}
    parameters = sum(count for name, count in counts.items() if not name.endswith(BUFFERS))
    yield "parameters", f"{parameters:,} in {sum(not name.endswith(BUFFERS) for name in counts)} tensors"


def _stored(numbers: Counter[str]) -> Iterator[tuple[str, str]]:
    """How the numbers of the file are stored, by the names that torch or safetensors have for types."""
    listed = [(PRECISIONS.get(kind, kind.lower()), count) for kind, count in numbers.most_common() if count]
    if listed:
        yield "precision", f"{listed[0][0]} on disk, fp32 when it runs unless told otherwise"
        yield "stored", ", ".join(f"{count:,} {kind}" for kind, count in listed)


def _archive(path: Path) -> tuple[dict[str, str], Counter[str]]:
    """Telling entries of a torch archive, and the number of elements stored in each type."""
    with closing(Archive(path)) as archive:
        tree = archive.tree()
    entries: Mapping[Any, Any] = tree if isinstance(tree, dict) else {}
    told = {name: str(entries[name])[:200] for name in TELLING if isinstance(entries.get(name), str | int | float)}
    blocks = {storage.key: storage for storage in _storages(tree)}
    stored: Counter[str] = Counter()
    for block in blocks.values():
        stored[block.kind.removesuffix("Storage")] += block.count
    return told, stored


def _storages(tree: Any) -> Iterator[StorageRef]:
    """Every block of numbers that a pickle's tree refers to; a part that it shares is entered once."""
    waiting, seen = [tree], set()
    while waiting:
        part = waiting.pop()
        if isinstance(part, TensorRef):
            yield part.storage
        elif isinstance(part, dict | list | tuple | Inert) and id(part) not in seen:
            seen.add(id(part))
            inside = part.state if isinstance(part, Inert) else part
            waiting += inside.values() if isinstance(inside, dict) else inside


def _safetensors(path: Path) -> tuple[dict[str, str], Counter[str]]:
    """The same of a safetensors file, whose header `read_checkpoint` has found to be in order."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(min(length, MAX_PICKLE)))
    metadata = header.pop("__metadata__", {})
    told = {name: str(metadata[name])[:200] for name in TELLING if name in metadata}
    stored: Counter[str] = Counter()
    for entry in header.values():
        stored[str(entry.get("dtype"))] += prod(int(side) for side in entry["shape"])
    return told, stored


def _writer(checkpoint: Checkpoint) -> str:
    """Our own name; or what a version number in a checkpoint of this layout tells."""
    return f"a trainer of version {checkpoint.origin}" if checkpoint.origin[:1].isdecimal() else checkpoint.origin


def _signature(checkpoint: Checkpoint) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
    """What the network takes and gives, of any size; nothing where it is another network."""
    if (config := checkpoint.config) is None:
        return (), ()
    rows, masks = 4 + config.nc + config.head.masks, config.head.masks
    return (
        (TensorInfo("images", "float32", ("batch", 3, "height", "width")),),
        (
            TensorInfo("output0", "float32", ("batch", rows, "anchors")),
            TensorInfo("output1", "float32", ("batch", masks, "height/4", "width/4")),
        ),
    )
