"""Writes an ncnn model: the captured module, traced, through pnnx; then precision, free sizes, metadata."""

from __future__ import annotations

import subprocess
import tempfile
import warnings
from pathlib import Path

import pnnx
import torch

from segkit.core.backend import ExportJob, Feature, Precision
from segkit.core.errors import ExportError
from segkit.core.graph import Program, capture
from segkit.core.images import Size
from segkit.plugins.ncnn import NcnnExportOptions
from segkit.plugins.ncnn.folder import write
from segkit.plugins.ncnn.graph import Graph, parse
from segkit.plugins.ncnn.grid import free_size
from segkit.plugins.ncnn.half import LARGEST, to_half

TRACED = (64, 96)
"""Size that a network for any size is traced at: its levels differ in their number of cells, and the trace is quick."""


def export(job: ExportJob) -> None:
    """Write `job.target`: a folder of graph, weights and metadata.

    Raises:
        ExportError: pnnx failed, or weights exceed half precision.
    """
    options = job.options
    assert isinstance(options, NcnnExportOptions)
    assert job.model is not None
    free = Feature.DYNAMIC_SIZE in options.features()
    size: Size = TRACED if free else options.imgsz
    # One picture at a time, whatever the batch: the graphs of ncnn know no batch, so the predictor goes through them.
    program = capture(job.model, head=options.head_layout(), imgsz=size)
    if options.precision is Precision.FP16:
        _check_range(program)
    job.report("converting with pnnx")
    graph, weights = _convert(program)
    if free:
        assert job.metadata.segkit is not None
        graph, weights = free_size(graph, weights, size, job.metadata.segkit.strides)
    if options.precision is Precision.FP16:
        weights = to_half(graph, weights)
    write(job.target, graph, weights, job.metadata)


def _check_range(program: Program) -> None:
    """Here, where layers have the names that their author knows."""
    for name, weight in program.module.named_parameters():
        if weight.abs().max() > LARGEST:
            raise ExportError("ncnn", f"weights of '{name}' exceed half precision (65504); export without half")


def _convert(program: Program) -> tuple[Graph, bytes]:
    """Graph and weights in float32."""
    # pnnx writes a dozen files beside its input; names without folders spare it any letter that it cannot open.
    with tempfile.TemporaryDirectory(prefix="segkit-pnnx-") as folder:
        place = Path(folder)
        _trace(program, place / "network.pt")
        shape = ",".join(map(str, program.example.shape))
        command = [pnnx.EXEC_PATH, "network.pt", f"inputshape=[{shape}]f32", "device=cpu", "fp16=0"]
        done = subprocess.run(command, cwd=place, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        log = (done.stdout + done.stderr).decode(errors="replace")
        try:
            if done.returncode:
                raise ExportError("ncnn", f"pnnx ended with code {done.returncode}; it last printed: {_last(log)}", log)
            return parse((place / "network.ncnn.param").read_text()), (place / "network.ncnn.bin").read_bytes()
        except (OSError, ValueError) as error:
            raise ExportError(
                "ncnn", f"pnnx has made no graph ({error}); it last printed: {_last(log)}", log
            ) from error


def _trace(program: Program, target: Path) -> None:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the end of TorchScript, which is what pnnx reads
        traced = torch.jit.trace(program.module.eval(), program.example, check_trace=False, _store_inputs=False)
        torch.jit.save(traced, str(target))


def _last(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip(" -")]
    return lines[-1][:200] if lines else "nothing"
