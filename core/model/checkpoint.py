"""What a weights file holds: names, configuration, training arguments, and its tensors when asked for them.

Whoever wrote it. Everything but the tensors is read without torch.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from segkit.core.backend.metadata import data_name
from segkit.core.errors import ModelFileError, UnsafeCheckpointError
from segkit.core.model.archive import MAX_PICKLE, Archive
from segkit.core.model.config import ModelConfig, first_problem
from segkit.core.model.identify import check_readable, describe, is_safetensors
from segkit.core.model.infer import NotSegmentation, Shapes, infer_config
from segkit.core.model.pickles import DamagedPickle, Inert, RefusedGlobal, TensorRef, read_pickle
from segkit.core.model.yaml_file import parse_config

if TYPE_CHECKING:
    from torch import Tensor

MARK = "segkit"
"""Key of the block that our own files carry: {"schema": 1, "config": …, "names": …, "train_args": …}."""

T = TypeVar("T")

_MAX_DEPTH = 16
_MAX_TENSORS = 20_000
_MAX_NAME = 256


@dataclass(frozen=True)
class Checkpoint:
    """A weights file.

    Attributes:
        path: the file.
        shapes: names as in `SegmentationNetwork.state_dict()`, and shapes as the file claims them.
        names: class index to name; empty where the file has none.
        config: the network they belong to; None when it is not YOLOv8-seg.
        problem: then what it is instead, as the end of a sentence that begins "it is".
        origin: who wrote it, as far as the file says, e.g. "segkit" or "8.0.40".
        train_args: plain training arguments that the file carries; of `data` the name alone, not somebody's path.
    """

    path: Path
    shapes: Shapes
    names: dict[int, str]
    config: ModelConfig | None
    problem: str
    origin: str
    train_args: dict[str, Any] = field(default_factory=dict)
    _load: Callable[[], dict[str, Tensor]] = field(default=dict, repr=False)

    @cached_property
    def state(self) -> dict[str, Tensor]:
        """The tensors by name, in the type they were stored in; read from the file at the first use. Needs torch.

        Raises:
            ModelFileError: the file holds less than it claims.
        """
        return self._load()

    def require_config(self) -> ModelConfig:
        """The configuration.

        Raises:
            ModelFileError: it is not YOLOv8-seg; the message says what it is.
        """
        if self.config is None:
            raise ModelFileError(self.path, f"it is {self.problem}")
        return self.config


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Open a `.pt` or `.safetensors` file; nothing in it is executed. The content decides, not the suffix.

    Raises:
        ModelFileError: missing, damaged, or not a weights file; it says what it is.
        UnsafeCheckpointError: its pickle names something outside the safe list.
    """
    path = Path(path)
    head = check_readable(path)
    if head.startswith(b"PK\x03\x04"):
        return _read_archive(path)
    if is_safetensors(head, path.stat().st_size):
        return _read_safetensors(path)
    what = describe(head)
    if "pickle" in what:
        _name_dangers(path)
    raise ModelFileError(path, f"it is {what}")


def _name_dangers(path: Path) -> None:
    """Raise UnsafeCheckpointError for a bare pickle that is hostile; any other is just no checkpoint."""
    with path.open("rb") as file, contextlib.suppress(DamagedPickle):
        try:
            read_pickle(file.read(MAX_PICKLE))
        except RefusedGlobal as error:
            raise UnsafeCheckpointError(path, str(error)) from None


def _read_archive(path: Path) -> Checkpoint:
    with contextlib.closing(Archive(path)) as archive:
        tree = archive.tree()
    refs, owner = _find_state(path, tree)

    def load() -> dict[str, Tensor]:
        from segkit.core.model.tensors import read_archive_tensors

        return read_archive_tensors(path, refs)

    shapes = {name: ref.size for name, ref in refs.items()}
    facts = tree if isinstance(tree, dict) else {}
    if isinstance(own := facts.get(MARK), dict):
        return _own(path, shapes, own, load)
    return _foreign(
        path,
        shapes,
        load,
        names=_names(owner.get("names")) or _names(facts.get("names")),
        template=_template(owner.get("yaml")),
        origin=version if isinstance(version := facts.get("version"), str) and version else "another tool",
        train_args=_plain_args(facts.get("train_args", owner.get("args"))),
    )


def _read_safetensors(path: Path) -> Checkpoint:
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, MAX_PICKLE)))
        metadata = header.pop("__metadata__", {})
        shapes = {name: tuple(int(side) for side in entry["shape"]) for name, entry in header.items()}
        own = json.loads(metadata[MARK]) if MARK in metadata else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise ModelFileError(path, "it is a damaged safetensors file: its header cannot be read") from None

    def load() -> dict[str, Tensor]:
        from segkit.core.model.tensors import read_safetensors

        return _without_prefix(read_safetensors(path))

    shapes = _without_prefix(shapes)
    return _own(path, shapes, own, load) if isinstance(own, dict) else _foreign(path, shapes, load)


def _own(path: Path, shapes: Shapes, block: Mapping[str, Any], load: Callable[[], dict[str, Tensor]]) -> Checkpoint:
    try:
        config = ModelConfig.model_validate(block["config"])
        names = _names({int(key): name for key, name in block["names"].items()})
    except ValidationError as error:
        raise ModelFileError(path, f"its segkit block is damaged ({first_problem(error)})") from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ModelFileError(path, f"its segkit block is damaged ({' '.join(str(error).split())[:160]})") from None
    return Checkpoint(path, shapes, names, config, "", "segkit", _plain_args(block.get("train_args")), load)


def _foreign(
    path: Path,
    shapes: Shapes,
    load: Callable[[], dict[str, Tensor]],
    *,
    names: Mapping[int, str] | None = None,
    template: ModelConfig | None = None,
    origin: str = "another tool",
    train_args: dict[str, Any] | None = None,
) -> Checkpoint:
    names, config, problem = dict(names or {}), None, ""
    try:
        config = infer_config(shapes, template)
        names = {index: names.get(index, f"class {index}") for index in range(config.nc)}
    except NotSegmentation as error:
        problem = str(error)
    return Checkpoint(path, shapes, names, config, problem, origin, train_args or {}, load)


def _find_state(path: Path, tree: Any) -> tuple[dict[str, TensorRef], dict[Any, Any]]:
    """Tensor references by state-dict name, and the attributes of their module (empty for a plain dict)."""
    candidates = [tree]
    if isinstance(tree, dict):
        # The averaged weights are the ones a trainer validates and ships.
        candidates = [tree.get(key) for key in ("ema", "model", "state_dict", "model_state_dict")] + [tree]
    for candidate in candidates:
        if isinstance(candidate, Inert) and "_modules" in candidate.state:
            return _without_prefix(dict(_module_tensors(path, candidate))), candidate.state
        if isinstance(candidate, dict) and (refs := dict(_tensors(candidate))):
            return _without_prefix(refs), {}
    raise ModelFileError(path, "it is a torch archive without the weights of a model")


def _module_tensors(path: Path, root: Inert) -> Iterator[tuple[str, TensorRef]]:
    """State-dict names and tensors of a stand-in module, in state-dict order."""
    found = 0
    waiting = [("", root, 0)]
    while waiting:
        prefix, module, depth = waiting.pop()
        found += 1
        for kind in ("_parameters", "_buffers"):
            for name, ref in _tensors(module.state.get(kind)):
                found += 1
                yield f"{prefix}{name}", ref
        children = [item for item in _items(module.state.get("_modules")) if isinstance(item[1], Inert)]
        # A hostile file may nest one module in itself, or share it so often that the tree has no end.
        if depth > _MAX_DEPTH or len(prefix) > _MAX_NAME or found + len(waiting) + len(children) > _MAX_TENSORS:
            raise ModelFileError(path, "it is damaged: its modules are nested without end")
        waiting += [(f"{prefix}{name}.", child, depth + 1) for name, child in reversed(children)]


def _tensors(part: Any) -> Iterator[tuple[str, TensorRef]]:
    """The tensors in a dict that have a name such as a network's could be."""
    for name, ref in _items(part):
        if isinstance(ref, TensorRef) and isinstance(name, str) and len(name) <= _MAX_NAME:
            yield name, ref


def _items(part: Any) -> list[tuple[Any, Any]]:
    return list(part.items()) if isinstance(part, dict) else []


def _without_prefix(state: Mapping[str, T]) -> dict[str, T]:
    """Drop what wrappers (DataParallel, a trainer's own class) put before `model.0`."""
    first = next((name for name in state if "model.0." in name), "")
    prefix = first[: first.rindex("model.0.")] if first else ""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items()}


def _template(raw: Any) -> ModelConfig | None:
    """The description that some trainers leave inside the module: it knows the connections that shapes do not show."""
    if not isinstance(raw, dict):
        return None
    try:
        return parse_config(raw, "yaml")
    except ModelFileError:
        return None


def _names(raw: Any) -> dict[int, str]:
    items = enumerate(raw) if isinstance(raw, list | tuple) else _items(raw)
    return {key: str(name) for key, name in items if isinstance(key, int) and isinstance(name, str | int | float)}


def _plain_args(raw: Any) -> dict[str, Any]:
    source = raw.state if isinstance(raw, Inert) else raw
    plain = {str(key): value for key, value in _items(source) if isinstance(value, str | int | float | bool | None)}
    return plain | {"data": data_name(plain["data"])} if "data" in plain else plain
