"""Compiles a TensorFlow Lite file in whole numbers, without its end. What the compiler will leave to the CPU is known
before.
"""

from __future__ import annotations

from segkit.core.backend import ExportJob
from segkit.core.errors import ExportError
from segkit.plugins.edgetpu import EdgeTpuExportOptions
from segkit.plugins.edgetpu.compiler import compile_network
from segkit.plugins.edgetpu.cutting import cut
from segkit.plugins.edgetpu.file import EdgeFile, write_file
from segkit.plugins.edgetpu.graph import read_graph
from segkit.plugins.edgetpu.supported import left_on_cpu


def export(job: ExportJob) -> None:
    """Write `job.target` from the file `job.upstream`.

    Raises:
        ExportError: the compiler failed.
    """
    options = job.options
    assert isinstance(options, EdgeTpuExportOptions)
    assert job.upstream is not None
    try:
        content, outputs = cut(EdgeFile(job.upstream).network)
    except ValueError as error:
        raise ExportError("edgetpu", f"the network is not one that it knows: {error}") from None
    graph = read_graph(content)
    count, left = len(graph.calls), left_on_cpu(graph)
    ours = count - sum(each.times for each in left)
    rest = f"; on the CPU: {', '.join(map(str, left))}" if left else ""
    job.report(f"{ours} of {count} operators are for the Edge TPU{rest}")
    mapped = None
    if options.compiles:
        job.report("compiling")
        content, mapped = compile_network(content, options.timeout)
        job.report("; ".join(f"{name}: {text}" for name, text in mapped.facts().items()))
    write_file(job.target, content, job.metadata, outputs, mapped)
