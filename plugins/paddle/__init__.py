"""PaddlePaddle: a folder with a program and its parameters, run with Paddle Inference and oneDNN."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from segkit.core.backend import (
    FULL,
    Backend,
    Concurrency,
    Device,
    ExportJob,
    ExportOptions,
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
    Support,
    Switches,
    hookimpl,
)
from segkit.core.errors import ModelFileError


class PaddleExportOptions(ExportOptions):
    """Options of `segkit export format=paddle`."""

    dynamic: Annotated[bool, Switches({True: (Feature.DYNAMIC_BATCH, Feature.DYNAMIC_SIZE)})] = Field(
        default=False, description="leave the batch and the input size free; imgsz and batch are then only the defaults"
    )


class PaddleLoadOptions(LoadOptions):
    """Options of running a program of Paddle."""

    device: Device = Field(default="cpu", description="where to run: cpu, or with paddlepaddle-gpu cuda, cuda:1")


_EXPORT = frozenset({Feature.EXPORT})

FORMAT = Format(
    name="paddle",
    title="PaddlePaddle",
    aliases=("paddlepaddle",),
    artefact="{stem}_paddle_model",
    suffixes=("_paddle_model", ".pdmodel", ".pdiparams"),
    contents=("inference.json", "*.pdmodel", "*.pdiparams", "*.pdiparams.info", "metadata.yaml"),
    export_options=PaddleExportOptions,
    load_options=PaddleLoadOptions,
    support=Support(
        {
            Feature.EXPORT: FULL,
            Feature.PREDICT: FULL,
            Feature.HALF: FULL,
            Feature.INT8: Gap(
                GapKind.NOT_IMPLEMENTED,
                "Paddle Inference drops the quantisation of a program of its present kind and computes in float32 on "
                "a CPU, so int8 would cost accuracy and save no time; half=True halves the file",
            ),
            Feature.DYNAMIC_BATCH: FULL,
            Feature.DYNAMIC_SIZE: FULL,
            Feature.NMS: Gap(
                GapKind.NOT_IMPLEMENTED,
                "the exporter writes no selection into the program yet; segkit, or the program that runs the file, "
                "selects after the network",
            ),
        }
    ),
    requires=(
        Requirement("torch>=2.9", _EXPORT),
        Requirement(
            "paddlepaddle>=3.2,<3.3",
            frozenset({Feature.EXPORT, Feature.PREDICT}),
            alternatives=("paddlepaddle-gpu",),
        ),
    ),
    concurrency=Concurrency.SERIAL,
)


class PaddleBackend(Backend):
    """Exports by building the network anew in Paddle's operators, runs with Paddle Inference."""

    format = FORMAT

    def export(self, job: ExportJob) -> None:
        """Write the folder: program, parameters, metadata."""
        from segkit.plugins.paddle.exporter import export

        export(job)

    def load(self, path: Path, options: LoadOptions) -> Predictor:
        """A predictor of Paddle Inference; the folder may come from any tool."""
        from segkit.plugins.paddle.folder import Folder

        # Before Paddle sees it, which ends the process over some damaged files.
        folder = Folder.find(path)
        folder.verify()
        metadata = folder.metadata()
        from segkit.plugins.paddle.predictor import PaddlePredictor

        return PaddlePredictor(folder, options, metadata)

    def read_metadata(self, path: Path) -> Metadata | None:
        """What `metadata.yaml` says, corrected by what the program fixes; needs no runtime."""
        from segkit.plugins.paddle.folder import Folder

        return Folder.find(path).metadata()

    def inspect(self, path: Path) -> Inspection:
        """Inputs, outputs, operators and parameters; needs no runtime."""
        from segkit.plugins.paddle.inspection import inspect

        return inspect(path)

    def recognises(self, path: Path) -> Match | None:
        """By content: a program of Paddle with its parameters beside it, whatever the names; else by suffix."""
        from segkit.plugins.paddle.folder import Folder, holds_part

        try:
            Folder.find(path)
        except ModelFileError:
            part = Match(Match.SUFFIX, "it holds a part of a model of Paddle") if holds_part(path) else None
            return super().recognises(path) or part
        return Match(Match.CONTENT, "it holds a program of Paddle and its parameters")


@hookimpl
def segkit_backends() -> list[Backend]:
    """The Paddle backend."""
    return [PaddleBackend()]
