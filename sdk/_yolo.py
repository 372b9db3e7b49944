"""The public model class: one object for weights and artefacts of any format."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from segkit._export import calibration_from
from segkit._paths import is_same_file, model_path, target_for
from segkit._stream import ResultStream
from segkit.core.backend.base import Backend
from segkit.core.backend.metadata import Metadata, Seal
from segkit.core.backend.options import validate
from segkit.core.backend.registry import default_registry
from segkit.core.backend.returned import metadata_of
from segkit.core.errors import OptionError, OutputError, SourceError
from segkit.core.images.size import parse_imgsz
from segkit.core.inference.arguments import PredictArguments
from segkit.core.notices import notice

if TYPE_CHECKING:
    from segkit.core.backend.pipeline import ExportResult
    from segkit.core.inference.results import Results
    from segkit.core.inference.session import Session
    from segkit.core.model import ModelSummary, SegmentationNetwork

TASK = "segment"


class YOLO:
    """An instance-segmentation model: weights to predict with and to export, or an artefact of any installed format.

        model = YOLO("yolov8n-seg.pt")                               # weights
        model = YOLO("yolov8n-seg.onnx")                             # an artefact; torch is not imported
        model = YOLO("yolov8n-seg.yaml")                             # a new model with random weights
        model = YOLO("yolov8n-seg.yaml").load("yolov8n.pt")          # … with what fits of other weights
        results = model("bus.jpg", conf=0.5)

    Nothing is downloaded or installed, and no pickle code is run.
    """

    def __init__(self, model: str | Path = "yolov8n-seg.pt", task: str | None = None, verbose: bool = False) -> None:
        """Open a model.

        Args:
            model: path of weights (.pt, .safetensors), of an artefact, or of an architecture (.yaml).
            task: "segment", the only one.
            verbose: print a line for every picture, unless a call says otherwise.

        Raises:
            ModelFileError: there is no such file, or nobody can read it.
            OptionError: another task.
        """
        if task not in (None, TASK):
            raise OptionError.invalid("task", task, f"this is a segmentation kit; the task is '{TASK}'")
        self.path = model_path(model)
        self.verbose = verbose
        self._device: str | None = None
        self._network: SegmentationNetwork | None = None
        self._in_memory = is_architecture(self.path)
        self._written: Path | None = None
        self._sessions: dict[tuple[object, ...], Session] = {}
        self._read: tuple[object, Metadata] | None = None
        if self._in_memory:
            from segkit.core.model import load_network

            self._network = load_network(self.path)
        else:
            self._backend: Backend = default_registry().recognise(self.path)

    # -- what it is ---------------------------------------------------------------------------------------------

    @property
    def task(self) -> str:
        """Always "segment"."""
        return TASK

    @property
    def names(self) -> dict[int, str]:
        """Class names by index; empty where an artefact carries none."""
        return dict(self._network.names if self._network is not None else self._metadata().names)

    @property
    def network(self) -> SegmentationNetwork:
        """The PyTorch network, float32 in eval mode. Needs torch.

        Raises:
            OptionError: this model is an artefact, not weights.
        """
        if self._network is None:
            self._require_weights("The PyTorch network")
            from segkit.core.model import load_network

            self._network = load_network(self.path)
        return self._network

    def info(self, imgsz: int | str | tuple[int, int] | None = None) -> ModelSummary | Metadata:
        """Layers, parameters and GFLOPs of weights; the metadata of any other artefact.

        Args:
            imgsz: input size that GFLOPs are counted at, default 640.

        Raises:
            OptionError: `imgsz` is given for an artefact, which has its own.
        """
        if self._network is None and not self._backend.format.holds_weights:
            if imgsz is not None:
                raise OptionError(f"Option imgsz is for weights; '{self.path.name}' has its own input size.")
            return self._metadata().model_copy(deep=True)
        from segkit.core.model import summary

        return summary(self.network, parse_imgsz(640 if imgsz is None else imgsz))

    def __repr__(self) -> str:
        """The class and the file."""
        return f"YOLO({str(self.path)!r})"

    # -- changing it --------------------------------------------------------------------------------------------

    def load(self, weights: str | Path) -> Self:
        """Take over every tensor of other weights that fits by name and shape; says how many of how many.

        Raises:
            OptionError: this model is an artefact, not weights.
            ModelFileError: the weights cannot be read, or nothing fits.
        """
        from segkit.core.model import transfer

        path = model_path(weights)
        report = transfer(self.network, path)
        notice(f"{path.name}: {report.fitted} of {report.total} tensors taken over")
        self._changed()
        return self

    def fuse(self) -> Self:
        """For scripts that call it. Nothing is left to do: predictors and exporters fold batch normalisation anyway."""
        return self

    def to(self, device: str | int) -> Self:
        """Use this device ("cpu", "cuda", 0, …) for calls that name none."""
        self._device = str(validate(PredictArguments, {"device": device}, "YOLO.to").device)
        return self

    def save(self, path: str | Path) -> Path:
        """Write the weights: .pt (a plain dict that `torch.load(weights_only=True)` reads) or .safetensors.

        Raises:
            OptionError: this model is an artefact, not weights.
            OutputError: the file cannot be written.
        """
        from segkit.core.model import save_network

        save_network(self.network, Path(path))
        return Path(path)

    # -- predicting ---------------------------------------------------------------------------------------------

    @overload
    def predict(self, source: Any = ..., stream: Literal[False] = ..., **options: Any) -> list[Results]: ...

    @overload
    def predict(self, source: Any, stream: Literal[True], **options: Any) -> ResultStream: ...

    @overload
    def predict(self, source: Any = ..., *, stream: bool, **options: Any) -> list[Results] | ResultStream: ...

    def predict(self, source: Any = None, stream: bool = False, **options: Any) -> list[Results] | ResultStream:
        """Detect and segment.

        Args:
            source: a file, folder, glob, URL of a picture, numpy array (BGR), PIL picture, torch tensor (BCHW, RGB,
                0..1), or a list.
            stream: give a generator that holds one batch in memory, instead of a list.
            options: see `segkit.core.inference.arguments.PredictArguments`; also `on_error`, a function that is
                called with the SourceError of each unreadable item of many (default: a notice).

        Raises:
            OptionError: an unknown option or a wrong value, raised at the call even with `stream`.
            SourceError: nothing can be read.
        """
        if source is None:
            raise OptionError(
                "predict needs a source: a file, folder, glob, list, array or tensor, e.g. source=bus.jpg."
            )
        on_error = options.pop("on_error", None)
        args = validate(PredictArguments, {"verbose": self.verbose, **options, "stream": stream}, "predict")
        session = self._session(args)
        args = session.resolve(args)

        from segkit.core.images.sources import open_sources

        items = open_sources(source, ahead=args.batch)
        results = ResultStream(self._results(session, items, args, on_error), items.known_length)
        return results if stream else list(results)

    __call__ = predict

    def _results(
        self, session: Session, items: Any, args: PredictArguments, on_error: Callable[[SourceError], None] | None
    ) -> Generator[Results, None, None]:
        from segkit.core.inference.output import RunFolder

        errors: list[SourceError] = []

        def note(error: SourceError) -> None:
            errors.append(error)
            (on_error or (lambda err: notice(f"skipped: {err}")))(error)

        folder: RunFolder | None = None
        count = 0
        for result in session.predict(items, args, note):
            count += 1
            if args.saves:
                folder = folder or RunFolder(args)
                folder.write(result)
            if args.verbose:
                notice(f"{result.path}: {result.verbose()}, {result.speed['inference']:.1f} ms")
            yield result
        if errors and not count:
            raise SourceError(
                errors[0].source, f"{errors[0].problem}; none of the {len(errors)} pictures could be read"
            )
        if errors and on_error is None:
            notice(f"{len(errors)} of {len(errors) + count} pictures could not be read")

    def _session(self, args: PredictArguments) -> Session:
        from segkit.core.inference.session import Session

        backend, path = self._artefact()
        asked: dict[str, Any] = {"device": args.device or self._device, "threads": args.threads}
        if "precision" in args.model_fields_set:
            if "precision" in backend.format.load_options.model_fields:
                asked["precision"] = args.precision
            elif args.precision is not (own := self._metadata().precision):
                raise OptionError(
                    f"'{path.name}' computes in {own}, fixed at its export; export it again for {args.precision}."
                )
        options = backend.format.parse_load_options({name: value for name, value in asked.items() if value is not None})
        key = (_stamp(path), options)
        if key not in self._sessions:
            self._sessions[key] = Session(backend, path, options)
        return self._sessions[key]

    # -- exporting ----------------------------------------------------------------------------------------------

    def export(self, format: str | None = None, *, output: str | Path | None = None, **options: Any) -> str:
        """Convert weights to a format and give the artefact's path.

        Args:
            format: a name from `segkit.formats()`, e.g. "onnx".
            output: file or folder to write to; default: beside the weights, under the format's usual name.
            options: those of the format (`segkit formats NAME` lists them); for int8 also `data` (pictures: file,
                folder, glob, list) and `fraction` of them; `isolate=False` converts in this process; `report` is
                called with a few words at each step.

        Raises:
            OptionError, UnsupportedError, UnknownFormatError, MissingDependencyError: refused before any work.
            ExportError: the conversion failed.
            OutputError: the target cannot be written.
        """
        return str(self.export_to(format, output=output, **options).path)

    def export_to(self, format: str | None = None, *, output: str | Path | None = None, **options: Any) -> ExportResult:
        """As `export`, giving path, size, seconds and metadata of the artefact."""
        from segkit.core.backend import pipeline
        from segkit.core.inference.session import rounded

        registry = default_registry()
        if format is None:
            formats = [entry.backend.format for entry in registry.all() if entry.backend]
            names = ", ".join(each.name for each in formats if each.export_options)
            raise OptionError(f"export needs a format: one of {names}.")
        backend = registry.get(format)
        self._require_weights("Export")
        isolate, report = bool(options.pop("isolate", True)), options.pop("report", None)
        metadata = self._metadata()
        size = options.get("imgsz")
        options["imgsz"] = rounded(metadata.imgsz if size is None else parse_imgsz(size), metadata.stride)
        calibration = calibration_from(backend, options)
        seal = metadata.segkit or Seal()
        card = pipeline.ModelCard(
            metadata.names,
            metadata.stride,
            metadata.channels,
            seal.coefficients,
            seal.strides,
            f"{self.path.stem} instance segmentation model",
        )
        links = pipeline.plan(registry, backend.format.name, options, card, calibration)
        name = backend.format.artefact_name(self.path.stem, links[-1].options)
        target = target_for(Path() if is_architecture(self.path) else self.path.parent, name, output)
        if is_same_file(target, self.path):
            raise OutputError(target, "it is the model that is exported; choose another name")
        return pipeline.export(
            registry,
            links,
            self._artefact()[1],
            target,
            calibration=calibration,
            isolate=isolate,
            report=report or (lambda text: None),
        )

    # -- inside -------------------------------------------------------------------------------------------------

    def _artefact(self) -> tuple[Backend, Path]:
        """The file to run or to export, and its backend; a network in memory is written to a temporary file once."""
        if self._network is None or not self._in_memory:
            return self._backend, self.path
        if self._written is None:
            from segkit.core.model import save_network

            folder = tempfile.mkdtemp(prefix="segkit-model-")
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            self._written = Path(folder) / f"{self.path.stem}.safetensors"
            save_network(self._network, self._written)
        return default_registry().recognise(self._written), self._written

    def _changed(self) -> None:
        """The network in memory is no longer the one on disk."""
        self._in_memory = True
        self._written = None
        self._sessions.clear()

    def _metadata(self) -> Metadata:
        backend, path = self._artefact()
        if self._read is None or self._read[0] != _stamp(path):
            self._read = _stamp(path), metadata_of(backend, path) or Metadata()
        return self._read[1]

    def _require_weights(self, what: str) -> None:
        if self._network is None and not self._backend.format.holds_weights:
            known = f"'{self.path.name}' is {self._backend.format.title}, an exported artefact"
            raise OptionError(f"{what} needs weights such as {self.path.stem}.pt; {known}.")


def is_architecture(path: Path) -> bool:
    """Whether a path names an architecture, to be built with random weights, instead of a file of weights."""
    return path.suffix.lower() in (".yaml", ".yml")


def _stamp(path: Path) -> object:
    """Another one once the file is another one."""
    stat = path.stat()
    return path, stat.st_mtime_ns, stat.st_size
