"""TensorFlow.js: a folder that a web page loads, run here with WebAssembly in Node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from segkit.core.backend import (
    FULL,
    Backend,
    Concurrency,
    ExportJob,
    ExportOptions,
    Feature,
    Format,
    FormatCommand,
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
    Tool,
    WebRuntime,
    hookimpl,
)
from segkit.core.errors import ModelFileError


class TfJsExportOptions(ExportOptions):
    """Options of `segkit export format=tfjs`."""

    dynamic: Annotated[bool, Switches({True: (Feature.DYNAMIC_BATCH, Feature.DYNAMIC_SIZE)})] = Field(
        default=False, description="leave the batch and the input size free; imgsz and batch are then only the defaults"
    )

    def needs_calibration(self) -> bool:
        """Never: in int8 the weights are stored in 8 bits, and TensorFlow.js computes in float32."""
        return False


def _version() -> str | None:
    from segkit.plugins.tfjs.packages import version

    return version()


def _setup(report: Callable[[str], None]) -> Mapping[str, str]:
    from segkit.plugins.tfjs.packages import setup

    return setup(report)


FORMAT = Format(
    name="tfjs",
    title="TensorFlow.js",
    aliases=("web_model",),
    artefact="{stem}_web_model",
    suffixes=("_web_model",),
    contents=("model.json", "*.bin", "metadata.yaml"),
    export_options=TfJsExportOptions,
    source="pb",
    support=Support(
        {
            Feature.EXPORT: FULL,
            Feature.PREDICT: FULL,
            Feature.HALF: FULL,
            Feature.INT8: FULL,
            Feature.DYNAMIC_BATCH: FULL,
            Feature.DYNAMIC_SIZE: FULL,
            Feature.NMS: Gap(
                GapKind.UNSUPPORTED_BY_RUNTIME,
                "TensorFlow.js runs NonMaxSuppression asynchronously alone, so that nobody could call such a file as "
                "the others are called; objects are selected after the network",
            ),
        }
    ),
    requires=(
        Requirement(
            "tensorflow-cpu>=2.18",
            frozenset({Feature.EXPORT}),
            alternatives=("tensorflow", "tensorflow-macos", "tensorflow-intel", "tf-nightly", "tf-nightly-cpu"),
        ),
        Tool("TensorFlow.js in Node.js", "segkit tfjs setup", _version, frozenset({Feature.PREDICT})),
    ),
    commands=(FormatCommand("setup", "Fetch with npm what runs such files here: TensorFlow.js for Node.js.", _setup),),
    concurrency=Concurrency.SERIAL,
    own_threads=True,
)


class TfJsBackend(Backend):
    """Writes a frozen graph anew as a graph model of TensorFlow.js; runs it in a process of Node."""

    format = FORMAT

    def export(self, job: ExportJob) -> None:
        """Write the folder: graph, weights and metadata."""
        from segkit.plugins.tfjs.exporter import export

        export(job)

    def source_options(self, options: ExportOptions) -> dict[str, Any]:
        """A frozen graph in float32: the weights get their precision here."""
        assert isinstance(options, TfJsExportOptions)
        return super().source_options(options) | {"dynamic": options.dynamic}

    def load(self, path: Path, options: LoadOptions) -> Predictor:
        """A process of Node with the network; the folder may come from any tool."""
        from segkit.plugins.tfjs.folder import Folder

        folder = Folder.find(path)
        folder.verify()  # before TensorFlow.js sees it, which computes with whatever is there
        metadata = folder.metadata()
        from segkit.plugins.tfjs.predictor import TfJsPredictor

        return TfJsPredictor(folder, options, metadata)

    def read_metadata(self, path: Path) -> Metadata | None:
        """What `metadata.yaml` says, corrected by what the signature fixes; needs no runtime."""
        from segkit.plugins.tfjs.folder import Folder

        return Folder.find(path).metadata()

    def inspect(self, path: Path) -> Inspection:
        """Signature, operators and weights; needs no runtime."""
        from segkit.plugins.tfjs.inspection import inspect

        return inspect(path)

    def web_runtime(self) -> WebRuntime:
        """Libraries of TensorFlow.js with WebGL and WebAssembly."""
        self.format.require(Feature.PREDICT)  # what computes there is what computes here
        from segkit.plugins.tfjs.web import runtime

        return runtime()

    def recognises(self, path: Path) -> Match | None:
        """By content: a `model.json` that is a graph model, whatever the folder's name; else by suffix."""
        from segkit.plugins.tfjs.folder import Folder

        try:
            Folder.find(path).outline  # noqa: B018 - whether it can be made
        except ModelFileError:
            return super().recognises(path)
        return Match(Match.CONTENT, "it holds a graph model of TensorFlow.js")


@hookimpl
def segkit_backends() -> list[Backend]:
    """The TensorFlow.js backend."""
    return [TfJsBackend()]
