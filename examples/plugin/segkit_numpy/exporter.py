"""Writes the archive: walks the captured graph and stores its nodes and weights. The only module that needs torch."""

from __future__ import annotations

from typing import Any

from segkit.core.backend import ExportJob
from segkit.core.errors import ExportError
from segkit.core.graph import capture
from segkit_numpy.archive import write_archive
from segkit_numpy.ops import OPS


def export(job: ExportJob) -> None:
    """Write `job.target`.

    Raises:
        ExportError: the network uses an operator that `ops.py` does not have.
    """
    assert job.model is not None
    program = capture(job.model, imgsz=job.options.imgsz, batch=job.options.batch)
    nodes = []
    outputs: list[Any] = []
    for node in program.graph:
        if node.op == "call_function":
            name = node.target.__name__  # type: ignore[union-attr]
            if name not in OPS:
                raise ExportError("numpy", f"ops.py has no function for the operator '{name}' (node {node.name})")
            nodes.append([node.name, name, _plain(node.args), _plain(node.kwargs)])
        elif node.op == "output":
            outputs = _plain(node.args[0])
    graph = {"input": program.input_name, "nodes": nodes, "outputs": outputs}
    weights = {name: tensor.numpy() for name, tensor in program.weights.items()}
    write_archive(job.target, weights, graph=graph, metadata=job.metadata.to_plain())


def _plain(value: Any) -> Any:
    """Arguments as JSON; another node becomes {"node": name}."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value if isinstance(value, int | float | str | None) else {"node": value.name}
