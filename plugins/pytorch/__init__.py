"""PyTorch: the weights themselves, and the reference that every other format is compared with."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Annotated

from pydantic import Field

from segkit.core.backend import (
    FULL,
    Backend,
    Feature,
    Format,
    Gap,
    GapKind,
    Inspection,
    LoadOptions,
    Match,
    Metadata,
    Precision,
    Predictor,
    Requirement,
    Support,
    Switches,
    hookimpl,
)


class PyTorchLoadOptions(LoadOptions):
    """Options of running weights with PyTorch."""

    precision: Annotated[Precision, Switches({Precision.FP16: Feature.HALF, Precision.INT8: Feature.INT8})] = Field(
        default=Precision.FP32, description="fp32 or fp16 (also: half=True); fp16 is for GPUs, on a CPU it is slow"
    )
    fuse: bool = Field(default=True, description="fold batch norms into the convolutions: faster, the same results")


_PREDICT = frozenset({Feature.PREDICT})

FORMAT = Format(
    name="pytorch",
    title="PyTorch",
    artefact="{stem}.pt",
    aliases=("torch", "pt"),
    suffixes=(".pt", ".pth", ".safetensors"),
    load_options=PyTorchLoadOptions,
    holds_weights=True,
    support=Support(
        {
            Feature.EXPORT: Gap(
                GapKind.NOT_APPLICABLE, "it is what every export starts from; to write weights use YOLO(…).save(path)"
            ),
            Feature.PREDICT: FULL,
            Feature.HALF: FULL,
            Feature.INT8: Gap(GapKind.NOT_APPLICABLE, "it is the float reference; int8 is for exported files"),
            Feature.DYNAMIC_BATCH: FULL,
            Feature.DYNAMIC_SIZE: FULL,
            Feature.NMS: Gap(
                GapKind.NOT_APPLICABLE, "segkit selects objects after the network, the same way for every format"
            ),
        }
    ),
    requires=(Requirement("torch>=2.9", _PREDICT), Requirement("safetensors>=0.5", _PREDICT)),
)


class PyTorchBackend(Backend):
    """Runs weights with PyTorch; pickles are read as data, never executed."""

    format = FORMAT

    def load(self, path: Path, options: LoadOptions) -> Predictor:
        """The network on `options.device`; any batch, any multiples of its stride."""
        from segkit.plugins.pytorch.predictor import load

        return load(path, options)

    def read_metadata(self, path: Path) -> Metadata:
        """Names, stride and input size that the weights carry."""
        from segkit.plugins.pytorch.predictor import read_metadata

        return read_metadata(path)

    def inspect(self, path: Path) -> Inspection:
        """Tensors and writer of a weights file; needs no torch."""
        from segkit.plugins.pytorch.inspection import inspect

        return inspect(path)

    def recognises(self, path: Path) -> Match | None:
        """By content: a torch archive that is not a compiled model, or a safetensors file; else by suffix."""
        if path.is_file():
            if _is_torch_archive(path):
                return Match(Match.CONTENT, "it is a torch archive with a pickle in it")
            if _is_safetensors(path):
                return Match(Match.SHARED, "it has a safetensors header")
        return super().recognises(path)


def _is_torch_archive(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile):
        return False
    roots = {name.removesuffix("data.pkl") for name in names if name.count("/") == 1 and name.endswith("/data.pkl")}
    compiled = {f"{root}constants.pkl" for root in roots}
    return bool(roots) and not compiled & set(names)


def _is_safetensors(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(9)
        size = path.stat().st_size
    except OSError:
        return False
    return len(head) == 9 and head[8:] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= size - 8


@hookimpl
def segkit_backends() -> list[Backend]:
    """The PyTorch backend."""
    return [PyTorchBackend()]
