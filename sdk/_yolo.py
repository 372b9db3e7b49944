"""The public model class: one object for weights and artefacts of any format."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from segkit._export import calibration_from
from segkit._paths import home_of, is_same_file, model_path, target_for
from segkit._sessions import Sessions
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
    import numpy as np
    from numpy.typing import NDArray

    from segkit._benchmark_report import BenchmarkReport
    from segkit._names import GivenNames
    from segkit.core.backend.pipeline import ExportResult
    from segkit.core.images.sources import Sources
    from segkit.core.inference.output import Outputs
    from segkit.core.inference.results import Results
    from segkit.core.inference.session import Session
    from segkit.core.metrics import SegmentationMetrics
    from segkit.core.model import ModelSummary, SegmentationNetwork
    from segkit.core.model.embedding import Embedder
    from segkit.core.training.events import Callback
    from segkit.core.training.tuning.searching import Tuned
    from segkit.core.training.tuning.space import Space
    from segkit.core.validation import ValArguments

TASK = "segment"

MANY = 500
"""Frames of a video whose results may gather in a list without a word."""


class YOLO:
    """An instance-segmentation model: weights to predict with and to export, or an artefact of any installed format.

        model = YOLO("yolov8n-seg.pt")                               # weights: here, in the cache, or downloaded
        model = YOLO("yolov8n-seg.onnx")                             # an artefact; torch is not imported
        model = YOLO("yolov8n-seg.yaml")                             # a new model with random weights
        model = YOLO("yolov8n-seg.yaml").load("yolov8n.pt")          # … with what fits of other weights
        results = model("bus.jpg", conf=0.5)

    Nothing is installed, nothing is downloaded but published weights and addresses that are asked for (see
    `segkit.core.hub`), and no pickle code is run.
    """

    def __init__(self, model: str | Path = "yolov8n-seg.pt", task: str | None = None, verbose: bool = False) -> None:
        """Open a model.

        Args:
            model: path or http(s) address of weights (.pt, .safetensors), of an artefact, or of an architecture
                (.yaml); or the bare name of published weights.
            task: "segment", the only one.
            verbose: print a line for every picture, unless a call says otherwise.

        Raises:
            ModelFileError: there is no such file, it cannot be downloaded, or nobody can read it.
            OptionError: another task.
        """
        if task not in (None, TASK):
            raise OptionError.invalid("task", task, f"this is a segmentation kit; the task is '{TASK}'")
        self.path = model_path(model)
        self.verbose = verbose
        self._device: str | None = None
        self._network: SegmentationNetwork | None = None
        self._in_memory = is_architecture(self.path)
        self._filled = False
        self._data: str | None = None
        self._written: Path | None = None
        self._sessions = Sessions()
        self._embedders: dict[str, Embedder] = {}
        self._callbacks: dict[str, list[Callback]] = {}
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
        with self._sessions.lock:
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
        with self._sessions.lock:
            report = transfer(self.network, path)
            self._filled = True
            self._changed()
        notice(f"{path.name}: {report.fitted} of {report.total} tensors taken over")
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
    def predict(self, source: Any = ..., *, embed: Sequence[int], **options: Any) -> list[NDArray[np.float32]]: ...

    @overload
    def predict(self, source: Any = ..., stream: Literal[False] = ..., **options: Any) -> list[Results]: ...

    @overload
    def predict(self, source: Any, stream: Literal[True], **options: Any) -> ResultStream: ...

    @overload
    def predict(self, source: Any = ..., *, stream: bool, **options: Any) -> list[Results] | ResultStream: ...

    def predict(
        self, source: Any = None, stream: bool = False, **options: Any
    ) -> list[Results] | ResultStream | list[NDArray[np.float32]]:
        """Detect and segment.

        Args:
            source: a picture or video (file, folder, glob, URL, bytes), a .txt, .csv or .streams list, a camera's
                number, a stream (rtsp, rtmp, tcp, udp, http), "screen", "-" for standard input, a numpy array (BGR), a
                PIL picture, a torch tensor (BCHW, RGB, 0..1), or a list of these; the details are told by
                `segkit.core.images.sources.open_sources`.
            stream: give a generator that holds one batch in memory, instead of a list.
            options: see `segkit.core.inference.arguments.PredictArguments`; those of running the file's format that
                `segkit formats NAME` lists; `on_error`, a function that is called with the SourceError of each
                unreadable item of many (default: a notice); and `embed`, numbers of layers: the call is then `embed`
                on these.

        Raises:
            OptionError: an unknown option or a wrong value, raised at the call even with `stream`.
            SourceError: nothing can be read.
        """
        if (layers := options.pop("embed", None)) is not None:
            return self.embed(source, layers, **options)
        if source is None:
            raise OptionError(
                "predict needs a source: a file, folder, glob, list, array or tensor, e.g. source=bus.jpg."
            )
        on_error = options.pop("on_error", None)
        loading = self._loading(options)
        args = validate(PredictArguments, {"verbose": self.verbose, **options, "stream": stream}, "predict")
        session = self._session(args, loading)
        args = session.resolve(args)
        names = None
        if args.data is not None and not session.metadata.names:
            from segkit._names import GivenNames

            names = GivenNames(args.data)

        from segkit.core.images.sources import open_sources
        from segkit.core.inference.output import Outputs

        outputs = Outputs(args)
        items = open_sources(source, ahead=args.batch, vid_stride=args.vid_stride, stream_buffer=args.stream_buffer)
        found = self._results(session, items, args, outputs, on_error, names)
        results = ResultStream(found, lambda: items.known_length)
        return results if stream else list(results)

    __call__ = predict

    def embed(
        self, source: Any = None, layers: Sequence[int] | None = None, **options: Any
    ) -> list[NDArray[np.float32]]:
        """A feature vector of every picture: the channels of some layers, each averaged over its map. Needs torch.

        Args:
            source: as for `predict`.
            layers: numbers of layers from 0 on, or negative ones counted from the end, where the head is; their
                channels are joined in this order. Default: the last layer before the head.
            options: batch, device, imgsz, rect and vid_stride as for `predict`, and `on_error`.

        Returns:
            One (D,) float32 for each readable picture.

        Raises:
            OptionError: this model is an artefact, not weights; an unknown option or layer.
            SourceError: nothing can be read.
        """
        from segkit._embed import embed

        return embed(self._embedder, self._metadata, source, layers, options)

    def _results(
        self,
        session: Session,
        items: Sources,
        args: PredictArguments,
        outputs: Outputs,
        on_error: Callable[[SourceError], None] | None,
        names: GivenNames | None,
    ) -> Generator[Results, None, None]:
        errors: list[SourceError] = []

        def note(error: SourceError) -> None:
            errors.append(error)
            (on_error or (lambda err: notice(f"skipped: {err}")))(error)

        count = 0
        # Closed by name: after an error its traceback would keep a camera open for as long as somebody holds it.
        with outputs, closing(iter(items)) as pictures:
            for result in session.predict(pictures, args, note):
                count += 1
                if names is not None:
                    names.give(result)
                going_on = outputs.take(result)
                if args.verbose:
                    notice(f"{result.label()}: {result.verbose()}, {result.speed['inference']:.1f} ms")
                if not args.stream and result.frame and count == (1 if result.frame.live else MANY):
                    notice("the result of every frame stays in memory: stream=True gives them one by one")
                yield result
                if not going_on:
                    return
            outputs.finish()
        if errors and not count:
            raise SourceError(
                errors[0].source, f"{errors[0].problem}; none of the {len(errors)} pictures could be read"
            )
        if errors and on_error is None:
            notice(f"{len(errors)} of {len(errors) + count} pictures could not be read")

    def _embedder(self, device: str | None) -> Embedder:
        self._require_weights("An embedding")
        from segkit.core.model.embedding import Embedder

        name = device or self._device or "cpu"
        with self._sessions.lock:
            if name not in self._embedders:
                self._embedders[name] = Embedder(self.network, name)
            return self._embedders[name]

    def _loading(self, options: dict[str, Any]) -> dict[str, Any]:
        """Take those out of `options` that only the file's format knows."""
        names = options.keys() - PredictArguments.model_fields.keys() - {"half", "int8"}
        if not names:
            return {}
        backend, _ = self._artefact()
        own = backend.format.load_options.public_fields()
        return {name: options.pop(name) for name in names & own.keys()}

    def _session(self, args: PredictArguments | ValArguments, loading: Mapping[str, Any] | None = None) -> Session:
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
        given = {name: value for name, value in asked.items() if value is not None}
        options = backend.format.parse_load_options(given | dict(loading or {}))
        return self._sessions.get((_stamp(path), options), lambda: Session(backend, path, options))

    # -- scoring ------------------------------------------------------------------------------------------------

    def val(self, data: str | Path | None = None, **options: Any) -> SegmentationMetrics:
        """Score this model on a labelled data set: box and mask AP as COCO's own tools count them. Without torch.

        Curves, the confusion matrix, and predictions beside labels go to runs/segment/val unless `plots=False`; with
        nothing to save nothing is written.

        Args:
            data: a data.yaml, a COCO instances .json, a folder with one of them, or the name of a known data set;
                default: the one that the model was trained on, where it says so.
            options: see `segkit.core.validation.arguments.ValArguments`.

        Returns:
            `box` and `seg` with `map`, `map50`, `map75`, `maps`; `results_dict`, `speed`, `save_dir`,
            `confusion_matrix`.

        Raises:
            OptionError: an unknown option or a wrong value, no data set, or what this file cannot do.
            SourceError: the data set cannot be read, or nothing is labelled in it.
            InputError: it has other classes than the model.
            MissingDependencyError: the packages that score and plot are not installed.
            OutputError: the results cannot be written.
        """
        from segkit._val import val

        return val(self._session, self._metadata, data or self._data, options)

    def benchmark(self, data: str | Path | None = None, **options: Any) -> BenchmarkReport:
        """Measure this model in every format: export, size, milliseconds, AP. See `segkit.benchmark`."""
        from segkit._benchmark import benchmark

        return benchmark(self, data or self._data, **options)

    # -- training -----------------------------------------------------------------------------------------------

    def train(self, data: str | Path | None = None, **options: Any) -> SegmentationMetrics | None:
        """Train on a labelled data set; afterwards this is the model with the best weights. Needs torch.

        Everything goes to runs/segment/train: weights/best.pt and weights/last.pt, results.csv, args.yaml, curves and
        pictures. Ctrl-C saves where the run is; `YOLO(".../weights/last.pt").train(resume=True)` goes on from there.

        Args:
            data: a data.yaml, a COCO instances .json, a folder with one of them, or the name of a known data set;
                default: the one that the model was trained on, where it says so.
            options: see `segkit.core.training.arguments.TrainArguments`; also `cfg`, a file with some of them.

        Returns:
            Scores of the best weights on the split "val", with `save_dir`; None with `val=False`.

        Raises:
            OptionError: an unknown option or a wrong value, or no data set.
            SourceError: the data set cannot be read, or nothing is labelled in it.
            ModelFileError: this model is no YOLOv8-seg, or nothing can be resumed.
            TrainingError: the training cannot go on.
            OutputError: the run's folder cannot be written.
        """
        from segkit._train import train

        model, metadata = self._to_train()
        options |= {} if data is None else {"data": str(data)}
        trained = train(model, metadata, self._data, options, self._callbacks)
        self._data = trained.data
        if (best := trained.folder / "weights" / "best.pt").exists():
            self._become(best)
        return trained.results

    def tune(
        self,
        data: str | Path | None = None,
        *,
        space: Space | None = None,
        **options: Any,
    ) -> Tuned:
        """Search for the arguments that training succeeds best with. Needs torch and Optuna; the model stays as it is.

        Every trial is a training like `train`, the first one with what was given. Everything goes to runs/segment/tune:
        the best arguments as a file for `train(cfg=…)`, a table, a picture, the weights of the best trial. The same
        call goes on with a search that was interrupted.

        Args:
            data: as for `train`.
            space: where to look, by argument: (low, high) or a list of words, e.g. {"lr0": (1e-4, 1e-2)}; default:
                `segkit.core.training.tuning.space.SPACE`.
            options: those of `train`, which hold for every trial, and those of the search: see
                `segkit.core.training.tuning.arguments.TuneArguments`.

        Returns:
            `best`, the arguments that were found; `fitness` with these and `first` with those that were given;
            `folder`, `trial`, `trials`.

        Raises:
            OptionError: as `train`; also a range that training does not accept, or another search is in the folder.
            MissingDependencyError: Optuna is not installed.
            TrainingError: no trial ended well.
        """
        from segkit._tune import tune

        model, metadata = self._to_train()
        options |= {} if data is None else {"data": str(data)}
        return tune(model, metadata, self._data, options, space, self._callbacks)

    def add_callback(self, event: str, callback: Callback) -> None:
        """Have a function called with the `TrainRun` when something happens in a training.

        Args:
            event: e.g. "on_train_epoch_end"; all are in `segkit.core.training.events`.
            callback: the function.

        Raises:
            OptionError: there is no such event; the nearest one is named. Or it is no function.
        """
        from segkit.core.training.events import event as known

        known(event)
        if not callable(callback):
            raise OptionError.invalid("callback", callback, "give a function that takes the run")
        self._callbacks.setdefault(event, []).append(callback)

    def clear_callback(self, event: str) -> None:
        """Forget the functions of an event."""
        self._callbacks.pop(event, None)

    # -- exporting ----------------------------------------------------------------------------------------------

    def export(self, format: str | None = None, *, output: str | Path | None = None, **options: Any) -> str:
        """Convert weights to a format and give the artefact's path.

        Args:
            format: a name from `segkit.formats()`, e.g. "onnx".
            output: file or folder to write to; default: beside the weights (downloaded ones: in the working folder),
                under the format's usual name.
            options: those of the format (`segkit formats NAME` lists them); for int8 also `data` (pictures: file,
                folder, glob, list, or a data set's .yaml) and `fraction` of them; `isolate=False` converts in this
                process; `report` is called with a few words at each step.

        Raises:
            OptionError, UnsupportedError, UnknownFormatError, MissingDependencyError: refused before any work.
            ExportError: the conversion failed.
            OutputError: the target cannot be written.
        """
        return str(self.export_to(format, output=output, **options).path)

    def export_to(self, format: str | None = None, *, output: str | Path | None = None, **options: Any) -> ExportResult:
        """As `export`, giving path, size, seconds and metadata of the artefact."""
        from segkit.core.backend import pipeline
        from segkit.core.backend.replacing import is_artefact
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
        calibration = calibration_from(backend, options, report or (lambda text: None))
        seal = metadata.segkit or Seal()
        card = pipeline.ModelCard(
            metadata.names,
            metadata.stride,
            metadata.channels,
            seal.coefficients,
            seal.strides,
            f"{self.path.stem} instance segmentation model",
            metadata.data,
        )
        links = pipeline.plan(registry, backend.format.name, options, card, calibration)
        name = backend.format.artefact_name(self.path.stem, links[-1].options)
        home = Path() if is_architecture(self.path) else home_of(self.path)
        target = target_for(home, name, output, partial(is_artefact, backend))
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

    def web(self, output: str | Path | None = None, *, title: str | None = None, **options: Any) -> str:
        """Write a web page that runs this model in the browser, and give its folder.

        Args:
            output: folder; default: `{stem}_web` beside the model.
            title: heading of the page; default: the model's name.
            options: of the export that weights go through (`segkit web --help` lists them); `report` is called with a
                few words at each step.

        Raises:
            SegkitError: as `export`; also where what runs in the browser is not set up.
        """
        from segkit._web import write_web_page

        return str(write_web_page(self, output, title, **options).folder)

    # -- inside -------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """What a copy takes over: not the temporary file, which vanishes with this object, nor what is made from it."""
        return self.__dict__ | {"_written": None, "_read": None, "_embedders": {}}

    def _to_train(self) -> tuple[Path, Callable[[], Metadata] | None]:
        """What a training begins with, and where metadata of it are; an architecture alone has none."""
        if is_architecture(self.path) and not self._filled:
            return self.path, None
        self._require_weights("Training")
        return self._artefact()[1], self._metadata

    def _become(self, weights: Path) -> None:
        """Be the model of another file."""
        with self._sessions.lock:
            self._changed()
            self.path, self._network, self._in_memory = weights, None, False
            self._backend = default_registry().recognise(weights)

    def _artefact(self) -> tuple[Backend, Path]:
        """The file to run or to export, and its backend; a network in memory is written to a temporary file once."""
        if self._network is None or not self._in_memory:
            return self._backend, self.path
        with self._sessions.lock:
            if self._written is None:
                from segkit.core.model import save_network

                folder = tempfile.mkdtemp(prefix="segkit-model-")
                weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
                written = Path(folder) / f"{self.path.stem}.safetensors"
                save_network(self._network, written)
                self._written = written
            return default_registry().recognise(self._written), self._written

    def _changed(self) -> None:
        """The network in memory is no longer the one on disk."""
        self._in_memory = True
        self._written = None
        self._sessions.clear()
        self._embedders.clear()

    def _metadata(self) -> Metadata:
        backend, path = self._artefact()
        if self._read is None or self._read[0] != _stamp(path):
            self._read = _stamp(path), metadata_of(backend, path) or Metadata()
        return self._read[1]

    def _require_weights(self, what: str) -> None:
        if self._network is None and not self._backend.format.holds_weights:
            known = f"'{self.path.name}' is {self._backend.format.title}, an exported artefact"
            weights = f"{self.path.stem}.pt"
            example = f" such as {weights}" if weights != self.path.name else ""
            raise OptionError(f"{what} needs weights{example}; {known}.")


def is_architecture(path: Path) -> bool:
    """Whether a path names an architecture, to be built with random weights, instead of a file of weights."""
    return path.suffix.lower() in (".yaml", ".yml") and not path.is_dir()


def _stamp(path: Path) -> object:
    """Another one once the file is another one."""
    try:
        stat = path.stat()
    except OSError:
        return path  # who opens it says why
    return path, stat.st_mtime_ns, stat.st_size
