"""Formats that exist to stress the contract: a two-link chain, int8, unit boxes, every concurrency, crashes.

Not a test module: it is importable as `fake_formats` so that an export's child process finds it too.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from segkit.core.backend import (
    FULL,
    Anchors,
    Backend,
    Concurrency,
    ExportJob,
    ExportOptions,
    Feature,
    Format,
    Gap,
    GapKind,
    HeadLayout,
    LoadOptions,
    Metadata,
    Precision,
    Predictor,
    Requirement,
    Support,
    Switches,
    hookimpl,
    internal,
)
from segkit.core.errors import ExportError, ModelFileError
from segkit.core.images import ImageBatch

GAP = Gap(GapKind.NOT_IMPLEMENTED, "a fake has no use for it")


def support(**full: bool) -> Support:
    on = {"export", "predict", *full}
    return Support({feature: FULL if feature.value.replace(" ", "_") in on else GAP for feature in Feature})


class BlobOptions(ExportOptions):
    dynamic: Annotated[bool, Switches({True: (Feature.DYNAMIC_BATCH, Feature.DYNAMIC_SIZE)})] = Field(
        default=False, description="any batch and size"
    )
    unit_boxes: bool = internal(False, "boxes in 0..1, split outputs: for quantisation")
    sleep: float = Field(default=0, ge=0, description="seconds to dawdle, for tests that interrupt")

    def head_layout(self) -> HeadLayout:
        return HeadLayout(outputs="split", boxes="unit") if self.unit_boxes else HeadLayout()


class Blob(Backend):
    """A folder artefact: meta.json and the model's bytes."""

    format = Format(
        name="blob",
        title="Blob",
        artefact="{stem}_blob_model",
        suffixes=("_blob_model",),
        contents=("meta.json", "weights.bin"),
        aliases=("folder",),
        export_options=BlobOptions,
        support=support(dynamic_batch=True, dynamic_size=True),
    )

    def export(self, job: ExportJob) -> None:
        assert job.model is not None
        assert isinstance(job.options, BlobOptions)
        print("blob says hello on stdout")
        job.target.mkdir()
        (job.target / "weights.bin").write_bytes(job.model.read_bytes())
        job.report("dawdling")
        time.sleep(job.options.sleep)
        (job.target / "meta.json").write_text(json.dumps(job.metadata.to_plain()), encoding="utf-8")

    def read_metadata(self, path: Path) -> Metadata | None:
        try:
            return Metadata.parse(json.loads((path / "meta.json").read_text(encoding="utf-8")), path)
        except (OSError, ValueError):
            raise ModelFileError(path, "not a blob") from None

    def load(self, path: Path, options: LoadOptions) -> Predictor:
        return SquarePredictor(self.read_metadata(path))


class TinyOptions(ExportOptions):
    def head_layout(self) -> HeadLayout:
        return HeadLayout(outputs="split", boxes="unit") if self.precision is Precision.INT8 else HeadLayout()


class Tiny(Blob):
    """A file made from a blob, in int8 with calibration if asked."""

    format = Format(
        name="tiny",
        title="Tiny",
        artefact=lambda stem, options: f"{stem}{'_int8' if options.precision is Precision.INT8 else ''}.tiny",
        suffixes=(".tiny",),
        source="blob",
        export_options=TinyOptions,
        support=support(int8=True, half=True),
    )

    def source_options(self, options: ExportOptions) -> dict[str, Any]:
        return super().source_options(options) | {"unit_boxes": options.precision is Precision.INT8}

    def export(self, job: ExportJob) -> None:
        assert job.model is None
        assert job.upstream is not None
        upstream = Blob().read_metadata(job.upstream)
        assert upstream is not None
        assert upstream.segkit is not None
        seen = [batch.u8_nhwc.shape for batch in job.calibration] if job.calibration else []
        record = {
            "metadata": job.metadata.to_plain(),
            "calibrated_with": seen,
            "upstream_head": upstream.segkit.head.model_dump(),
            "digest": job.calibration.digest if job.calibration else None,
        }
        job.target.write_text(json.dumps(record), encoding="utf-8")

    def read_metadata(self, path: Path) -> Metadata | None:
        return Metadata.parse(json.loads(path.read_text(encoding="utf-8"))["metadata"], path)


class SquarePredictor(Predictor):
    """Sees one square in the middle of every picture, of the first class, with confidence .9."""

    def __init__(self, metadata: Metadata | None) -> None:
        self.classes = len(metadata.names) if metadata and metadata.names else 1
        self.owner = threading.get_ident()
        self.closed = False

    def run(self, batch: ImageBatch) -> Anchors:
        (height, width), count = batch.size, len(batch)
        boxes = np.zeros((count, 4, 2), np.float32)
        boxes[:, :, 0] = width / 2, height / 2, width / 2, height / 2
        boxes[:, :, 1] = 1
        scores = np.zeros((count, self.classes, 2), np.float32)
        scores[:, 0, 0] = 0.9
        coefficients = np.ones((count, 4, 2), np.float32)
        prototypes = np.ones((count, 4, height // 4, width // 4), np.float32)
        return Anchors(boxes, scores, coefficients, prototypes)

    def close(self) -> None:
        self.closed = True


def _variant(title: str, **changes: Any) -> Format:
    return Format(
        name=title.lower(),
        title=title,
        artefact="{stem}." + title.lower(),
        suffixes=("." + title.lower(),),
        export_options=ExportOptions,
        support=support(),
        **changes,
    )


class _Simple(Blob):
    def export(self, job: ExportJob) -> None:
        job.target.write_text(json.dumps(job.metadata.to_plain()), encoding="utf-8")

    def read_metadata(self, path: Path) -> Metadata | None:
        try:
            return Metadata.parse(json.loads(path.read_text(encoding="utf-8")), path)
        except (OSError, ValueError):
            raise ModelFileError(path, "not a fake") from None


class Crash(_Simple):
    format = _variant("Crash")

    def export(self, job: ExportJob) -> None:
        print("loading the converter", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)


class Raise(_Simple):
    format = _variant("Raise")

    def export(self, job: ExportJob) -> None:
        raise KeyError("an op nobody knows")


class Refuse(_Simple):
    format = _variant("Refuse")

    def export(self, job: ExportJob) -> None:
        raise ExportError("refuse", "op aten.magic of layer 7 has no counterpart")


class Doubt(_Simple):
    format = _variant("Doubt")

    def export(self, job: ExportJob) -> None:
        assert job.model is not None
        raise ModelFileError(job.model, "its weights are not numbers")


class Litter(_Simple):
    """Leaves a file in the temporary folder, as toolchains do."""

    format = _variant("Litter")

    def export(self, job: ExportJob) -> None:
        tempfile.mkstemp()
        super().export(job)


class Lazy(_Simple):
    """Ends well and writes nothing."""

    format = _variant("Lazy")

    def export(self, job: ExportJob) -> None:
        return


class Forget(_Simple):
    """Writes other metadata than it was given."""

    format = _variant("Forget")

    def export(self, job: ExportJob) -> None:
        plain = job.metadata.to_plain() | {"names": {"0": "somebody else"}}
        job.target.write_text(json.dumps(plain), encoding="utf-8")


class Quit(_Simple):
    """Ends the process, as a command-line toolchain does."""

    format = _variant("Quit")

    def export(self, job: ExportJob) -> None:
        sys.exit("no licence found")


class Ask(_Simple):
    """Asks the user a question."""

    format = _variant("Ask")

    def export(self, job: ExportJob) -> None:
        input("Do you accept the licence? ")


class Shortcut(_Simple):
    """Links to its cache instead of writing the artefact."""

    format = _variant("Shortcut")

    def export(self, job: ExportJob) -> None:
        cached = job.target.with_name("cached")
        super().export(replace(job, target=cached))
        job.target.symlink_to(cached)


class Meddle(_Simple):
    """Changes the metadata that it was given."""

    format = _variant("Meddle")

    def export(self, job: ExportJob) -> None:
        job.metadata.args["level"] = 3
        job.report(None)  # type: ignore[arg-type]
        super().export(job)


class Spawn(_Simple):
    """Leaves a process behind."""

    format = _variant("Spawn")

    def export(self, job: ExportJob) -> None:
        server = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        job.report(str(server.pid))
        super().export(job)


class Linger(_Simple):
    """Leaves a thread running that keeps its process from ending."""

    format = _variant("Linger")

    def export(self, job: ExportJob) -> None:
        super().export(job)
        threading.Thread(target=time.sleep, args=(60,)).start()


class Stumble(_Simple):
    """Crashes when all is done, as toolchains do while they are taken down."""

    format = _variant("Stumble")

    def export(self, job: ExportJob) -> None:
        super().export(job)
        atexit.register(os.abort)


class Mute(_Simple):
    """Cannot read what it wrote."""

    format = _variant("Mute")

    def read_metadata(self, path: Path) -> Metadata | None:
        raise ValueError("what is this?")


class Misled(_Simple):
    """Asks its source format for something else every time."""

    format = _variant("Misled", source="blob")
    asks: ClassVar[Any] = None

    def source_options(self, options: ExportOptions) -> dict[str, Any]:
        return self.asks


class Needy(_Simple):
    format = _variant("Needy", requires=(Requirement("no-such-package>=3"),))


class Loop(_Simple):
    format = _variant("Loop", source="loop")


class SerialPredictor(SquarePredictor):
    """Fails when two threads are inside at once."""

    inside = 0

    def run(self, batch: ImageBatch) -> Anchors:
        self.inside += 1
        time.sleep(0.01)
        assert self.inside == 1, "two threads inside a serial predictor"
        self.inside -= 1
        return super().run(batch)


class Serial(_Simple):
    format = _variant("Serial", concurrency=Concurrency.SERIAL)

    def load(self, path: Path, options: LoadOptions) -> Predictor:
        return SerialPredictor(self.read_metadata(path))


class BoundPredictor(SquarePredictor):
    """Fails off the thread that made it."""

    def run(self, batch: ImageBatch) -> Anchors:
        assert threading.get_ident() == self.owner, "a thread-bound predictor was called from another thread"
        return super().run(batch)

    def close(self) -> None:
        assert threading.get_ident() == self.owner, "closed from another thread"
        super().close()


class Bound(_Simple):
    format = _variant("Bound", concurrency=Concurrency.THREAD_BOUND)

    def load(self, path: Path, options: LoadOptions) -> Predictor:
        return BoundPredictor(self.read_metadata(path))


@hookimpl
def segkit_backends() -> list[Backend]:
    return [
        kind()
        for kind in (
            Blob,
            Tiny,
            Crash,
            Raise,
            Refuse,
            Doubt,
            Litter,
            Lazy,
            Forget,
            Quit,
            Ask,
            Shortcut,
            Meddle,
            Spawn,
            Linger,
            Stumble,
            Mute,
            Misled,
            Needy,
            Loop,
            Serial,
            Bound,
        )
    ]


NAMES = [backend.format.name for backend in segkit_backends()]
