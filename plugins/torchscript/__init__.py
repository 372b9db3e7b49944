"""TorchScript: a traced network in one archive, run with libtorch without our code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from segkit.core.backend import (
    FULL,
    Backend,
    ExportJob,
    Feature,
    Format,
    Gap,
    GapKind,
    Inspection,
    LoadOptions,
    Match,
    Metadata,
    Predictor,
    Requirement,
    SelectingExportOptions,
    Support,
    Switches,
    hookimpl,
)


class TorchScriptExportOptions(SelectingExportOptions):
    """Options of `segkit export format=torchscript`."""

    dynamic: Annotated[bool, Switches({True: (Feature.DYNAMIC_BATCH, Feature.DYNAMIC_SIZE)})] = Field(
        default=False, description="leave the batch and the input size free; imgsz and batch are then only the defaults"
    )
    optimize: bool = Field(
        default=False, description="freeze the weights into the code, for deployment: smaller, quicker to load"
    )


FORMAT = Format(
    name="torchscript",
    title="TorchScript",
    artefact="{stem}.torchscript",
    suffixes=(".torchscript",),
    export_options=TorchScriptExportOptions,
    support=Support(
        {
            Feature.EXPORT: FULL,
            Feature.PREDICT: FULL,
            Feature.HALF: FULL,
            Feature.INT8: Gap(
                GapKind.NOT_IMPLEMENTED,
                "PyTorch has deprecated what quantises TorchScript (torch.ao.quantization) and has nothing in its "
                "place; half=True halves the file, and the onnx format has int8",
            ),
            Feature.DYNAMIC_BATCH: FULL,
            Feature.DYNAMIC_SIZE: FULL,
            Feature.NMS: FULL,
        }
    ),
    requires=(Requirement("torch>=2.9", frozenset({Feature.EXPORT, Feature.PREDICT})),),
)


class TorchScriptBackend(Backend):
    """Exports with torch's tracer, runs with torch's interpreter of traced code."""

    format = FORMAT

    def export(self, job: ExportJob) -> None:
        """Write one self-contained archive."""
        from segkit.plugins.torchscript.exporter import export

        export(job)

    def load(self, path: Path, options: LoadOptions) -> Predictor:
        """The traced network on `options.device`; the file may come from any tool."""
        from segkit.plugins.torchscript.archive import open_archive

        # Before torch sees it: torch checks neither sums nor sizes, and its loader is no judge of hostile files.
        with open_archive(path) as archive:
            archive.verify()
            metadata = archive.metadata()
        from segkit.plugins.torchscript.predictor import TorchScriptPredictor

        return TorchScriptPredictor(path, options, metadata)

    def read_metadata(self, path: Path) -> Metadata:
        """What the archive's `config.txt` says; needs no torch."""
        from segkit.plugins.torchscript.archive import open_archive

        with open_archive(path) as archive:
            return archive.metadata()

    def inspect(self, path: Path) -> Inspection:
        """Inputs, outputs, operators and numbers; needs no torch."""
        from segkit.plugins.torchscript.inspection import inspect

        return inspect(path)

    def recognises(self, path: Path) -> Match | None:
        """By content: an archive with code in it, whatever its name; else by suffix."""
        from segkit.plugins.torchscript.archive import is_torchscript

        if is_torchscript(path):
            return Match(Match.CONTENT, "it is a torch archive with code in it")
        return super().recognises(path)


@hookimpl
def segkit_backends() -> list[Backend]:
    """The TorchScript backend."""
    return [TorchScriptBackend()]
