"""Core ML: ML Programs for Apple's systems; run there by Core ML, elsewhere by an evaluator of our own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from segkit.core.backend import (
    FULL,
    Backend,
    Concurrency,
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
from segkit.core.errors import OptionError

MACOS = sys.platform == "darwin"

MOST = 64
"""Pictures in one run of a package whose batch is free: Core ML plans its memory for the most that may come."""


class CoreMLExportOptions(SelectingExportOptions):
    """Options of `segkit export format=coreml`."""

    dynamic: Annotated[bool, Switches({True: Feature.DYNAMIC_BATCH})] = Field(
        default=False, description=f"leave the batch free, up to {MOST}; batch is then only the default"
    )
    image: bool | None = Field(
        default=None,
        description="take one picture of 8 bits, as Xcode and Vision want it, and scale it inside; False: a tensor "
        "(default: True, unless batch or dynamic ask for several pictures)",
    )

    @property
    def takes_image(self) -> bool:
        """Whether the input is a picture and not a tensor."""
        return not self._several if self.image is None else self.image

    @property
    def _several(self) -> bool:
        return self.batch > 1 or self.dynamic

    def recorded(self) -> dict[str, Any]:
        """The public options; of the input what it has become."""
        return super().recorded() | {"image": self.takes_image}

    def needs_calibration(self) -> bool:
        """Weights alone are brought to 8 bits."""
        return False

    @model_validator(mode="after")
    def _batch_fits(self) -> CoreMLExportOptions:
        if self.dynamic and self.batch > MOST:
            raise OptionError.invalid(
                "batch",
                self.batch,
                f"with dynamic=True a package takes up to {MOST} pictures in one run; segkit cuts more into portions",
            )
        if self.image and self._several:
            asking = "dynamic=True" if self.dynamic else f"batch={self.batch}"
            raise OptionError(f"Options image=True and {asking} exclude each other: an image input takes one picture.")
        return self


NO_FREE_SIZE = Gap(
    GapKind.NOT_IMPLEMENTED,
    "coremltools cannot convert anchors that are made in the graph, and Core ML's ranges of sizes know no multiples of "
    "32; export one file for each imgsz",
)

FORMAT = Format(
    name="coreml",
    title="Core ML",
    artefact="{stem}.mlpackage",
    contents=("Manifest.json", "Data", "Data/com.apple.CoreML", "Data/com.apple.CoreML/*"),
    aliases=("mlpackage",),
    suffixes=(".mlpackage",),
    export_options=CoreMLExportOptions,
    support=Support(
        {
            Feature.EXPORT: FULL,
            Feature.PREDICT: FULL,
            Feature.HALF: FULL,
            Feature.INT8: FULL,
            Feature.DYNAMIC_BATCH: FULL,
            Feature.DYNAMIC_SIZE: NO_FREE_SIZE,
            Feature.NMS: FULL,
        }
    ),
    requires=(
        Requirement("torch>=2.9", frozenset({Feature.EXPORT})),
        Requirement("coremltools>=9", frozenset({Feature.EXPORT, *([Feature.PREDICT] if MACOS else [])})),
        Requirement("threadpoolctl>=3.1", frozenset({Feature.PREDICT})),
    ),
    # Core ML wants one caller at a time for each model; the evaluator takes any number.
    concurrency=Concurrency.SERIAL if MACOS else Concurrency.PARALLEL,
    own_threads=not MACOS,
)


class CoreMLBackend(Backend):
    """Exports with coremltools; runs with Core ML on macOS, and elsewhere evaluates the program in the file."""

    format = FORMAT

    def export(self, job: ExportJob) -> None:
        """Write one package, an ML Program for iOS 16, macOS 13 and later."""
        from segkit.plugins.coreml.exporter import export

        export(job)

    def load(self, path: Path, options: LoadOptions) -> Predictor:
        """Core ML on macOS, else the evaluator; `device="evaluator"` asks for it everywhere. The package may come from
        any tool.
        """
        from segkit.plugins.coreml.devices import EVALUATOR

        if MACOS and options.device.lower() != EVALUATOR:
            from segkit.plugins.coreml.native import CoreMLPredictor

            return CoreMLPredictor(path, options)
        from segkit.plugins.coreml.predictor import EvaluatingPredictor

        return EvaluatingPredictor(path, options)

    def read_metadata(self, path: Path) -> Metadata | None:
        """What the package says, corrected by the input that it declares; needs nothing but Python."""
        from segkit.plugins.coreml.package import read_description

        return read_description(path).metadata(path)

    def inspect(self, path: Path) -> Inspection:
        """Inputs, outputs, operations and weights; needs nothing but numpy."""
        from segkit.plugins.coreml.inspection import inspect

        return inspect(path)

    def recognises(self, path: Path) -> Match | None:
        """By content: a folder whose table of contents names a Core ML model; else by suffix."""
        from segkit.plugins.coreml.package import is_package

        if is_package(path):
            return Match(Match.CONTENT, "it is a package with a Core ML model in it")
        return super().recognises(path)


@hookimpl
def segkit_backends() -> list[Backend]:
    """The Core ML backend."""
    return [CoreMLBackend()]
