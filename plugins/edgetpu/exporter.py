"""Compiles a TensorFlow Lite file in whole numbers. What the compiler leaves to the CPU is known before, and put last:
it maps one piece of a network, from the input on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from segkit.core.backend import ExportJob
from segkit.core.errors import ExportError
from segkit.plugins.edgetpu import EdgeTpuExportOptions
from segkit.plugins.edgetpu.compiler import Compiled, compile_network
from segkit.plugins.edgetpu.file import EdgeFile, write_file
from segkit.plugins.edgetpu.graph import Graph, in_order, read_graph
from segkit.plugins.edgetpu.outputs import by_number
from segkit.plugins.edgetpu.supported import left_on_cpu, reasons


def export(job: ExportJob, compiled_by: Callable[[bytes, int], Compiled] = compile_network) -> None:
    """Write `job.target` from the file `job.upstream`.

    Raises:
        UnsupportedError: the compiler is not here.
        ExportError: it failed.
    """
    options = job.options
    assert isinstance(options, EdgeTpuExportOptions)
    assert job.upstream is not None
    content = cpu_last(EdgeFile(job.upstream).network)
    graph = read_graph(content)
    _check_names(graph)
    count, left = len(graph.calls), left_on_cpu(graph)
    ours = count - sum(each.count for each in left)
    rest = f"; on the CPU: {', '.join(map(str, left))}" if left else ""
    job.report(f"compiling, which should put {ours} of {count} operators on the Edge TPU{rest}")
    made = compiled_by(content, options.timeout)
    job.report("; ".join(f"{name}: {text}" for name, text in made.mapped.facts().items()))
    write_file(job.target, made.content, job.metadata, made.mapped)


def cpu_last(content: bytes) -> bytes:
    """The same network; what the CPU will run, and so all that needs it, comes behind everything else.

    Raises:
        ValueError: it is damaged.
    """
    whys = list(reasons(read_graph(content)))
    order: Sequence[int] = sorted(range(len(whys)), key=lambda number: whys[number] is not None)
    return in_order(content, order)


def _check_names(graph: Graph) -> None:
    """The compiler takes names of outputs away and leaves those of tensors, by which they are known afterwards."""
    names = {graph.tensors[number].info.name: info.name for number, info in graph.outputs}
    if by_number(names) != names:
        raise ExportError("edgetpu", f"the tensors of its outputs are called {', '.join(names)}, which tells nothing")
