"""Writes the folder: the graph as JSON, the weights in shards, the metadata beside them."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.json_format import MessageToDict
from tensorflow.core.framework import graph_pb2

from segkit.core.backend import ExportJob, Metadata
from segkit.core.errors import ExportError
from segkit.plugins.tfjs.folder import FORMAT_NAME, PROGRAM, write_notes
from segkit.plugins.tfjs.graph import INPUT, KERNELS, fused, kernels, pruned
from segkit.plugins.tfjs.weights import Stored, numbers_of, precisions, shards, store

_OUTPUT = "output"
"""What the names of a frozen graph's outputs begin with, as segkit writes them."""


def export(job: ExportJob) -> None:
    """Write `job.target` from the frozen graph `job.upstream`.

    Raises:
        ExportError: the graph has an operator that TensorFlow.js lacks, or weights that exceed half precision.
    """
    assert job.upstream is not None
    graph = graph_pb2.GraphDef.FromString(job.upstream.read_bytes())
    outputs = sorted(node.name for node in graph.node if node.op == "Identity" and node.name.startswith(_OUTPUT))
    graph = fused(pruned(graph, outputs))
    lacking = sorted({node.op for node in graph.node} - KERNELS)
    if lacking:
        raise ExportError("tfjs", f"TensorFlow.js has no '{lacking[0]}' that runs in WebAssembly")
    heavy = kernels(graph)
    layers = {node.name: numbers_of(node) for node in _constants(graph) if node.name in heavy}
    chosen = precisions(layers, job.options.precision)
    weights = [store(node, chosen.get(node.name)) for node in _constants(graph)]
    job.target.mkdir()
    program = _program(graph, outputs, weights, job.metadata)
    for name, content in shards(weights):
        (job.target / name).write_bytes(content)
        program["weightsManifest"][0]["paths"].append(name)
    (job.target / PROGRAM).write_text(json.dumps(program, separators=(",", ":"), ensure_ascii=False), encoding="utf-8")
    write_notes(job.target, job.metadata)


def _constants(graph: Any) -> list[Any]:
    return [node for node in graph.node if node.op == "Const"]


def _program(graph: Any, outputs: list[str], weights: list[Stored], metadata: Metadata) -> dict[str, Any]:
    """What `model.json` holds, its shards not named yet."""
    nodes = {node.name: node for node in graph.node}
    toolchain = metadata.segkit.toolchain if metadata.segkit else {}
    signature = {
        "inputs": {INPUT: _tensor(f"{INPUT}:0", nodes[INPUT].attr["dtype"].type, nodes[INPUT].attr["shape"].shape)},
        "outputs": {
            name: _tensor(f"{name}:0", nodes[name].attr["T"].type, nodes[name].attr["_output_shapes"].list.shape[0])
            for name in outputs
        },
    }
    for node in graph.node:
        if node.op == "Const":  # its numbers are in the shards
            tensor = node.attr["value"].tensor
            tensor.CopyFrom(type(tensor)(dtype=tensor.dtype, tensor_shape=tensor.tensor_shape))
        for key in [key for key in node.attr if key.startswith("_")]:  # notes of TensorFlow for itself
            del node.attr[key]
    return {
        "format": FORMAT_NAME,
        "generatedBy": f"segkit {toolchain.get('segkit', '')}".strip(),
        "convertedBy": "segkit",
        "signature": signature,
        "userDefinedMetadata": metadata.to_plain(),  # for programs in JavaScript, which have no reader of YAML
        "modelTopology": MessageToDict(graph),
        "weightsManifest": [{"paths": [], "weights": [weight.spec for weight in weights]}],
    }


def _tensor(name: str, dtype: int, shape: Any) -> dict[str, Any]:
    """A TensorInfo of a signature."""
    return {"name": name, "dtype": dtype, "tensorShape": MessageToDict(shape)}
