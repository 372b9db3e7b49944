"""The files of an ncnn model: the graph as text, the weights beside it, and what the model says about itself.

    yolov8n-seg_ncnn_model/
        model.ncnn.param    graph
        model.ncnn.bin      weights
        metadata.yaml       metadata; in files of segkit also a digest of each of the others

ncnn itself checks nothing: weights that are cut off or changed load, and give other objects. So they are held against
the graph, and against the digests where there are some.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.core.backend import Metadata
from segkit.core.backend.described import METADATA, check_sums, read_described, write_described
from segkit.core.backend.layouts import anchor_count
from segkit.core.errors import ModelFileError
from segkit.core.images import Size
from segkit.plugins.ncnn.graph import MAGIC, Graph, Layer, parse
from segkit.plugins.ncnn.weights import Data, Stored, locate, numbers

PARAM, BIN = "model.ncnn.param", "model.ncnn.bin"

LARGEST_GRAPH = 16 << 20
"""Bytes; the largest scale has 40 KB."""

STRIDES = (8, 16, 32)


@dataclass(frozen=True)
class Files:
    """Where the parts of a model are; only the graph is sure to exist.

    Attributes:
        path: what the user gave, for errors.
        param: the graph.
        weights: the .bin.
        described: the metadata.
    """

    path: Path
    param: Path
    weights: Path
    described: Path

    @classmethod
    def of(cls, path: Path) -> Files:
        """The files of a folder, or those around a graph or weights.

        Raises:
            ModelFileError: there is no graph, or there are several.
        """
        if path.is_dir():
            graphs = _graphs_in(path)
            if not graphs:
                raise ModelFileError(path, f"no ncnn graph ({PARAM}) is in this folder")
            if len(graphs) > 1 and path / PARAM not in graphs:
                names = ", ".join(sorted(graph.name for graph in graphs))
                raise ModelFileError(path, f"several ncnn graphs are in this folder ({names}); name one of them")
            param = path / PARAM if path / PARAM in graphs else graphs[0]
        else:
            param = path.with_suffix(".param") if path.suffix == ".bin" and not _is_graph(path) else path
            if not param.is_file():
                raise ModelFileError(path, f"these would be weights, and their graph {param.name} is not beside them")
        return cls(path, param, param.with_suffix(".bin"), param.with_name(METADATA))

    def graph(self) -> Graph:
        """The graph.

        Raises:
            ModelFileError: it is damaged, or something else.
        """
        try:
            if self.param.stat().st_size > LARGEST_GRAPH:
                raise ModelFileError(self.path, f"{self.param.name} is too large for a graph")
            content = self.param.read_bytes()
            return parse(content.decode())
        except OSError as error:
            raise ModelFileError(self.path, (error.strerror or str(error)).lower()) from None
        except UnicodeDecodeError:
            raise ModelFileError(self.path, f"{self.param.name} is not a text, so no ncnn graph") from None
        except ValueError as error:
            kind = _other_kind(content)
            raise ModelFileError(
                self.path, kind or f"{self.param.name} is no ncnn graph, or is damaged: {error}"
            ) from None

    def metadata(self) -> Metadata:
        """What `metadata.yaml` says, or what the graph shows where there is none.

        Raises:
            ModelFileError: one of the two is damaged, or they contradict each other.
        """
        graph, raw = self.graph(), self.keys()
        fixed = fixed_anchors(graph)
        metadata = Metadata.parse(raw, self.path)
        strides = metadata.segkit.strides if metadata.segkit else STRIDES
        made_for = self._size(graph, strides) if fixed else None
        if not raw:
            return Metadata(imgsz=made_for) if made_for else _guessed(fixed)
        if (made_for and metadata.imgsz != made_for) or (fixed and anchor_count(metadata.imgsz, strides) != fixed):
            height, width = metadata.imgsz
            other = f"{made_for[0]}x{made_for[1]}" if made_for else "another one"
            raise ModelFileError(
                self.path, f"{METADATA} says imgsz {height}x{width}, and its graph was made for {other}"
            )
        return metadata

    def verify(self, graph: Graph) -> None:
        """Hold the weights against the graph, and both against their digests.

        Raises:
            ModelFileError: they are missing, damaged, or have been changed.
        """
        if self.weights.is_file():
            check_sums(self.keys(), (self.param, self.weights), self.path)
        self.located(graph)

    def located(self, graph: Graph) -> tuple[list[Stored], bool]:
        """Where the weights lie, and whether that is all of them; see `weights.locate`.

        Raises:
            ModelFileError: they are missing, or do not fit the graph.
        """
        try:
            with self._data() as data:
                return locate(graph, data)
        except FileNotFoundError:
            raise ModelFileError(
                self.path, f"its weights {self.weights.name} are not beside it: a graph alone cannot run"
            ) from None
        except OSError as error:
            raise ModelFileError(self.path, f"{self.weights.name}: {(error.strerror or str(error)).lower()}") from None
        except ValueError as error:
            raise ModelFileError(self.path, f"{self.weights.name} is damaged: {error}") from None

    def _size(self, graph: Graph, strides: tuple[int, ...]) -> Size | None:
        """The input that a graph was made for, told by the centres of its anchors; None where they cannot be read."""
        try:
            with self._data() as data:
                found = [each for each in locate(graph, data)[0] if _shape(each.block.layer)[0] == 2]
                centres = numbers(found[0], data).reshape(2, -1).astype(np.float32) if len(found) == 1 else None
        except (OSError, ValueError):  # what is wrong with the weights is told when they are to be run
            return None
        return None if centres is None else _size_of(centres, strides)

    @contextmanager
    def _data(self) -> Iterator[Data]:
        """What is in the weights' file."""
        with self.weights.open("rb") as stream:
            if self.weights.stat().st_size == 0:  # which cannot be mapped
                yield b""
                return
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                yield data

    def keys(self) -> dict[str, Any]:
        """What stands in `metadata.yaml`, as it is; nothing where there is no such file.

        Raises:
            ModelFileError: it is no YAML of keys and values.
        """
        return read_described(self.described, self.path)


def write(folder: Path, graph: Graph, weights: bytes, metadata: Metadata) -> None:
    """Make `folder` a model."""
    folder.mkdir()
    (folder / PARAM).write_bytes(str(graph).encode())
    (folder / BIN).write_bytes(weights)
    write_described(folder, metadata)


def is_ncnn(path: Path) -> bool:
    """Whether `path` is a graph, or a folder with one in it."""
    try:
        return bool(_graphs_in(path)) if path.is_dir() else _is_graph(path)
    except OSError:
        return False


def fixed_anchors(graph: Graph) -> int | None:
    """Number of anchors that a graph was made for, told from the constant with their centres; None: any."""
    try:
        shapes = [_shape(layer) for layer in graph.layers]
    except ValueError:
        return None
    return max((columns for rows, columns in shapes if rows == 2), default=None)


def _shape(layer: Layer) -> tuple[int, int]:
    """Rows and columns of a constant that is a table; none of what is something else."""
    is_table = layer.type == "MemoryData" and layer.number(2) <= 1
    return (layer.number(1), layer.number(0)) if is_table else (0, 0)


def _size_of(centres: NDArray[np.float32], strides: tuple[int, ...]) -> Size | None:
    """(height, width) of an input by the centres (x and y, anchors) of its cells, row by row, finest level first."""
    x, y = centres
    back, up = np.flatnonzero(np.diff(x) < 0), np.flatnonzero(np.diff(y) < 0)
    columns = int(back[0]) + 1 if len(back) else 0
    cells = int(up[0]) + 1 if len(up) else 0
    if not columns or cells % columns:
        return None
    size = cells // columns * strides[0], columns * strides[0]
    return size if anchor_count(size, strides) == len(x) else None


def _guessed(anchors: int | None) -> Metadata:
    """Metadata from a graph alone: of a square input, as most are made for, or of any."""
    if anchors is None:
        return Metadata(args={"dynamic": True})
    side = math.isqrt(anchors * 1024 // 21)  # a cell of 8, of 16 and of 32 pixels: 21 anchors on each 32x32
    if anchor_count((side, side)) != anchors:
        return Metadata(args={"dynamic": True})
    return Metadata(imgsz=(side, side))


def _graphs_in(folder: Path) -> list[Path]:
    return [item for item in sorted(folder.iterdir()) if item.suffix == ".param" and _is_graph(item)]


def _is_graph(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.readline(64).strip() == MAGIC.encode()


def _other_kind(content: bytes) -> str | None:
    """What a file that is no graph is, where its first bytes tell."""
    head = content[:512].lstrip().lower()
    if not head:
        return "the file is empty"
    if head.startswith((b"<!doctype html", b"<html")):
        return "it is an HTML page, not an ncnn graph (a download that failed?)"
    return None
