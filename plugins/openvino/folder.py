"""What belongs to an OpenVINO model on disk: `NAME.xml` (graph), `NAME.bin` (weights), `metadata.yaml` beside them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from segkit.core.backend import Metadata
from segkit.core.backend.described import METADATA, SUMS, check_sums, read_described
from segkit.core.errors import ModelFileError
from segkit.plugins.openvino.graph import Graph, begins_like_one, read_graph

_LARGEST = 1 << 15


@dataclass(frozen=True)
class Folder:
    """A model on disk.

    Attributes:
        path: as it was given, for errors.
        graph_file: the `.xml`.
    """

    path: Path
    graph_file: Path

    @property
    def weights_file(self) -> Path:
        """The `.bin`."""
        return self.graph_file.with_suffix(".bin")

    @cached_property
    def graph(self) -> Graph:
        """What the `.xml` says.

        Raises:
            ModelFileError: it is something else, or damaged.
        """
        return read_graph(self.graph_file)

    @cached_property
    def described(self) -> dict[str, Any]:
        """The keys of `metadata.yaml`; none where there is no such file.

        Raises:
            ModelFileError: it cannot be read, or is no description.
        """
        return read_described(self.graph_file.with_name(METADATA), self.path)

    def metadata(self) -> Metadata:
        """What `metadata.yaml` says, or failing that the graph; sizes that the graph fixes win.

        Raises:
            ModelFileError: either cannot be understood.
        """
        raw = dict(self.described)
        labels = self.graph.info.get("labels", "").split()
        if not raw and labels:
            raw["names"] = labels
        metadata = Metadata.parse(raw, self.path)
        shape = self.graph.inputs[0].shape if self.graph.inputs else ()
        if len(shape) != 4:
            return metadata
        batch, _, height, width = shape
        if any(isinstance(side, int) and side > _LARGEST for side in shape):
            raise ModelFileError(self.path, f"its input of {'x'.join(map(str, shape))} is larger than any picture")
        facts: dict[str, object] = {"batch": batch} if isinstance(batch, int) and batch else {}
        fixed = isinstance(height, int) and isinstance(width, int)
        if fixed:
            facts["imgsz"] = (height, width)
        if metadata.segkit is None:
            facts["args"] = metadata.args | {"dynamic": not fixed}
        return metadata.model_copy(update=facts)

    def verify(self) -> None:
        """Graph and weights are whole, as far as can be told without running them.

        Raises:
            ModelFileError: one is damaged or missing.
        """
        extent = self.graph.extent
        try:
            held = self.weights_file.stat().st_size
        except OSError:
            raise ModelFileError(
                self.path, f"its weights are missing: {self.weights_file.name} belongs beside {self.graph_file.name}"
            ) from None
        if held < extent:
            raise ModelFileError(
                self.path,
                f"{self.weights_file.name} is cut off: it has {held:,} bytes of {extent:,}. Export it again",
            )
        check_sums(self.described, (self.graph_file, self.weights_file), self.path)


def open_folder(path: Path) -> Folder:
    """The model in a folder, or that of an `.xml` file or of the `.bin` beside one.

    Raises:
        ModelFileError: the folder holds no graph, or several.
    """
    if not path.is_dir():
        return Folder(path, _graph_of(path) or path)
    graphs = sorted(file for file in path.glob("*.xml") if file.is_file())
    if len(graphs) > 1:
        graphs = [file for file in graphs if begins_like_one(file)] or graphs
    if not graphs:
        raise ModelFileError(path, "there is no graph in the folder: an OpenVINO model is NAME.xml and NAME.bin")
    if len(graphs) > 1:
        names = ", ".join(file.name for file in graphs)
        raise ModelFileError(path, f"there are several graphs in the folder, {names}: name one of these files")
    return Folder(path, graphs[0])


def holds_graph(path: Path) -> bool:
    """Whether `path` is an OpenVINO graph, or a folder with one; only first bytes are read."""
    if path.is_dir():
        return any(begins_like_one(file) for file in path.glob("*.xml"))
    return begins_like_one(path) or _graph_of(path) is not None


def held_graph(folder: Path) -> bool:
    """Whether a folder had a graph once: segkit's list of its files names one beside weights."""
    try:
        sums = read_described(folder / METADATA, folder).get(SUMS, {})
    except ModelFileError:
        return False
    return {Path(str(name)).suffix for name in sums} == {".xml", ".bin"}


def _graph_of(path: Path) -> Path | None:
    """The graph beside a `.bin` of weights."""
    graph = path.with_suffix(".xml")
    return graph if path.suffix.lower() == ".bin" and path.is_file() and begins_like_one(graph) else None
