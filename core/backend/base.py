"""What a plugin implements: a Backend with an exporter and a Predictor. numpy only; never torch, never a runtime."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from segkit.core.backend.format import Format
from segkit.core.backend.metadata import Metadata
from segkit.core.backend.options import ExportOptions, LoadOptions
from segkit.core.errors import UnsupportedError
from segkit.core.images import ImageBatch

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Anchors:
    """Raw outputs of a network, one column an anchor; float32, any strides (views are welcome, copies are not needed).

    Attributes:
        boxes: (B, 4, A) cx, cy, w, h in input pixels.
        scores: (B, nc, A) class scores, 0..1.
        coefficients: (B, nm, A) mask coefficients.
        prototypes: (B, nm, H/4, W/4) mask prototypes.
    """

    boxes: FloatArray
    scores: FloatArray
    coefficients: FloatArray
    prototypes: FloatArray

    @classmethod
    def from_joined(cls, output0: FloatArray, output1: FloatArray) -> Anchors:
        """Views on the usual pair: output0 (B, 4 + nc + nm, A), output1 (B, nm, H/4, W/4)."""
        count = output1.shape[1]
        return cls(output0[:, :4], output0[:, 4:-count], output0[:, -count:], output1)


@dataclass(frozen=True)
class Selected:
    """Outputs of a graph that holds NMS: one entry an image, best first, no padding rows.

    Attributes:
        xyxy: per image (N, 4) in input pixels.
        confidence: per image (N,).
        classes: per image (N,), whole numbers.
        coefficients: per image (N, nm).
        prototypes: (B, nm, H/4, W/4).
    """

    xyxy: tuple[FloatArray, ...]
    confidence: tuple[FloatArray, ...]
    classes: tuple[NDArray[np.int64], ...]
    coefficients: tuple[FloatArray, ...]
    prototypes: FloatArray


class Predictor(ABC):
    """Maps a batch of network input to raw tensors, and nothing else.

    Layout, dtype and quantisation of the file stay inside. Reading, letterboxing, decoding, NMS and masks happen
    once, in core.
    """

    @abstractmethod
    def run(self, batch: ImageBatch) -> Anchors | Selected:
        """Compute. The arrays stay valid and unchanged after the next `run()` and after `close()`.

        A file that fixes its batch still takes any number of pictures: see `segkit.core.backend.batching`. Outputs in
        another layout are brought into these terms by `segkit.core.backend.layouts`.

        Raises:
            OptionError: the file takes pictures of another size only.
            RuntimeFailure: the runtime refused the input or failed.
        """

    def warm_up(self) -> None:  # noqa: B027 - optional on purpose
        """Do whatever makes the first real run as fast as the later ones. Default: nothing."""

    def close(self) -> None:  # noqa: B027 - optional on purpose
        """Free the runtime. Called once; `run()` is not called afterwards. Default: nothing."""

    def __enter__(self) -> Self:
        """The predictor itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


class Calibration(ABC):
    """Pictures that an int8 exporter observes: iterable of ImageBatch, as often as needed."""

    digest: str
    """SHA-256 over the pixels, sealed in the metadata."""

    @abstractmethod
    def __iter__(self) -> Iterator[ImageBatch]:
        """Batches of `options.batch` pictures of `options.imgsz`."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of pictures."""


@dataclass(frozen=True)
class ExportJob:
    """What an exporter gets. It writes `target` (a file or a folder in a temporary place) and nothing else.

    Attributes:
        model: the weights on disk, to be captured with `segkit.core.graph.capture(job.model, …)`; None when
            `upstream` is set.
        upstream: artefact of the source format, for formats that start from another one.
        target: where to write.
        options: validated options of this format.
        metadata: to be stored in the carrier native to the format; the pipeline reads it back and compares.
        calibration: pictures for int8, else None.
        report: call it with a few words when a long step begins; the user sees them.
    """

    model: Path | None
    upstream: Path | None
    target: Path
    options: ExportOptions
    metadata: Metadata
    calibration: Calibration | None = None
    report: Callable[[str], None] = field(default=lambda text: print(text, file=sys.stderr, flush=True))


@dataclass(frozen=True)
class Match:
    """How sure a backend is that a file is its own, and why.

    `confidence`: 100 by content that only this format has, 50 by content that several share, 10 by suffix alone.
    """

    confidence: int
    reason: str

    CONTENT = 100
    SHARED = 50
    SUFFIX = 10

    def __post_init__(self) -> None:
        """Refuse a confidence beyond certainty: it would silence the other formats.

        Raises:
            ValueError: it is not between 1 and CONTENT.
        """
        if not 1 <= self.confidence <= self.CONTENT:
            raise ValueError(f"the confidence of a match is 1 to {self.CONTENT}, not {self.confidence}")


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of an artefact; a side that is free is named, or None."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]


@dataclass(frozen=True)
class Inspection:
    """What an artefact holds, beyond its metadata; whatever cannot be told cheaply is left out.

    Attributes:
        inputs: what it takes.
        outputs: what it gives.
        producer: who wrote it, e.g. "pytorch 2.13.0".
        facts: anything else worth showing, by a short name, e.g. {"opset": "18", "operators": "233"}.
    """

    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()
    producer: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class WebRuntime:
    """What a web page needs to run artefacts of a format: files that are copied beside it.

    `adapter` is the one of `files` (name on the page → file here) that is an ES module for a module worker, with
    `backends` and `load` as docs/plugins.md has them.
    """

    adapter: str
    files: Mapping[str, Path]


class Backend(ABC):
    """A format with its exporter and its predictor. A small one overrides `export`, `load` and `read_metadata`.

    The class is imported by every command, so heavy imports belong inside the methods.
    """

    format: Format

    def export(self, job: ExportJob) -> None:
        """Write the artefact, metadata included.

        Raises:
            ExportError: the conversion failed.
        """
        raise self._lacks("export")

    def check_export(self, options: ExportOptions, kept: Path | None = None) -> None:  # noqa: B027 - optional on purpose
        """Refuse what is left of an export that this machine can do in part only. Default: nothing.

        Called when the artefact is in place: `kept`, the part that could be done, stays for the user, who is told where
        it is and what to do with it. Without `kept` it is a question: could all of it be done?

        Raises:
            UnsupportedError: a tool or a device is not here that these options need, and others do not.
        """

    def load(self, path: Path, options: LoadOptions) -> Predictor:
        """A predictor for an artefact.

        Raises:
            ModelFileError: the file is not of this format, or damaged.
            RuntimeFailure: the runtime refuses it.
        """
        raise self._lacks("predict")

    @abstractmethod
    def read_metadata(self, path: Path) -> Metadata | None:
        """What the artefact says about itself, None when it carries nothing; cheap, without loading the runtime if
        possible. Called for foreign and damaged files too.

        Raises:
            ModelFileError: the file is damaged, or not of this format.
        """

    def inspect(self, path: Path) -> Inspection:
        """What the artefact holds, for `segkit inspect`; foreign files too. Default: nothing beyond the metadata.

        Raises:
            ModelFileError: the file is damaged, or not of this format.
        """
        return Inspection()

    def recognises(self, path: Path) -> Match | None:
        """Whether `path` (which exists) is of this format: by content where it can be seen, else by suffix.

        The default goes by `format.suffixes`; the longer suffix is the surer one.
        """
        endings = [suffix for suffix in self.format.suffixes if path.name.lower().endswith(suffix.lower())]
        longest = max(endings, key=len, default=None)
        return (
            Match(min(Match.SUFFIX + len(longest), Match.SHARED - 1), f"its name ends in {longest}")
            if longest
            else None
        )

    def web_runtime(self) -> WebRuntime | None:
        """What runs artefacts of this format in a browser, for `segkit web`; None (the default) where nothing does.

        Raises:
            SegkitError: it is not set up here; the message says how.
        """
        return None

    def source_options(self, options: ExportOptions) -> dict[str, Any]:
        """For chained formats: values for the source format's options, internal ones included.

        The default passes on `imgsz` and `batch` and leaves the rest at the source's defaults.
        """
        return {"imgsz": options.imgsz, "batch": options.batch}

    def _lacks(self, feature: str) -> UnsupportedError:
        return UnsupportedError(self.format.name, feature, "not-implemented", "the plugin does not implement it")
