"""Writes a TorchScript archive: the captured module, traced; with the selection of detections scripted behind it."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segkit.core.backend import ExportJob, Feature, Precision, Selection
from segkit.core.errors import ExportError
from segkit.core.graph import Program, capture
from segkit.plugins.torchscript import TorchScriptExportOptions
from segkit.plugins.torchscript.archive import CONFIG
from segkit.plugins.torchscript.quiet import no_deprecations
from segkit.plugins.torchscript.selection import select


def export(job: ExportJob) -> None:
    """Write `job.target`: one archive, code, weights and metadata inside.

    Raises:
        ExportError: the weights exceed half precision.
    """
    options = job.options
    assert isinstance(options, TorchScriptExportOptions)
    assert job.model is not None
    asked = options.features()
    program = capture(
        job.model,
        head=options.head_layout(),
        imgsz=options.imgsz,
        batch=options.batch,
        dynamic_batch=Feature.DYNAMIC_BATCH in asked,
        dynamic_size=Feature.DYNAMIC_SIZE in asked,
    )
    with no_deprecations(), torch.no_grad():
        traced = _trace(program, options)
        if options.optimize:
            traced = torch.jit.freeze(traced)
        archive = io.BytesIO()
        torch.jit.save(traced, archive, _extra_files={CONFIG: json.dumps(job.metadata.to_plain(), ensure_ascii=False)})
    _write(archive, job.target)


def _trace(program: Program, options: TorchScriptExportOptions) -> torch.jit.ScriptModule:
    # Convolutions of weights in this order are twice as fast on a CPU, whatever the order of the pictures.
    network: nn.Module = program.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    kinds: dict[str, torch.dtype] = {}
    if options.precision is Precision.FP16:
        kinds = _halved(network)
    selection = options.selection()
    module = _Selecting(network, selection) if selection else network
    with warnings.catch_warnings():
        # Of shapes that it takes for constants: those of the layers are, and the others it follows.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        traced: torch.jit.ScriptModule = torch.jit.trace(
            module.eval(), program.example[:1], check_trace=False, _store_inputs=False
        )
    inside: Any = traced.network if selection else traced
    for name, weight in inside.named_parameters():
        weight.data = weight.data.to(kinds.get(name, weight.dtype))
    return traced


def _halved(network: nn.Module) -> dict[str, torch.dtype]:
    """Prepare for half precision; the type that each weight is to have once the network is traced.

    Until then all of them stay in float32, because a CPU takes minutes to run a large network in float16.
    """
    kinds = {name: weight.dtype for name, weight in network.half().named_parameters()}
    for name, weight in network.named_parameters():
        if not torch.isfinite(weight).all():
            raise ExportError("torchscript", f"weights of '{name}' exceed half precision (65504); export without half")
    network.float()
    return kinds


class _Selecting(nn.Module):
    """A network and the selection of its detections."""

    def __init__(self, network: nn.Module, selection: Selection) -> None:
        super().__init__()
        self.network, self.limits = network, selection
        self.select = torch.jit.script(select)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) → rows (B, max_det, 6 + nm), prototypes (B, nm, H/4, W/4)."""
        output0, prototypes = self.network(images)
        limits = self.limits
        rows = self.select(output0, prototypes.shape[1], limits.conf, limits.iou, limits.max_det, limits.agnostic)
        return rows, prototypes


def _write(archive: io.BytesIO, target: Path) -> None:
    """Write without torch's notes of where each line of code came from: paths of this machine, useless elsewhere."""
    with zipfile.ZipFile(archive) as made, zipfile.ZipFile(target, "w") as kept:
        for info in made.infolist():
            if not info.filename.endswith(".debug_pkl"):
                kept.writestr(_entry(info), made.read(info))


def _entry(info: zipfile.ZipInfo) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(info.filename, info.date_time)
    entry.compress_type = info.compress_type
    return entry
