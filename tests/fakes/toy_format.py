"""A format that runs the network itself, and can be told to do one thing wrong: the conformance suite must find it."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from dataclasses import replace
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import pytest

from segkit.conformance import BackendSuite, reference
from segkit.conformance.compare import OUTPUTS
from segkit.conformance.settings import Settings
from segkit.conformance.stages.export import ODD_NAME
from segkit.core.backend import (
    FULL,
    Anchors,
    Backend,
    ExportOptions,
    Feature,
    Format,
    Gap,
    GapKind,
    Match,
    Metadata,
    Precision,
    Predictor,
    Support,
    hookimpl,
)
from segkit.core.backend.registry import Registry
from segkit.core.errors import ExportError, ModelFileError, OptionError
from segkit.core.images import ImageBatch

GAP = Gap(GapKind.NOT_IMPLEMENTED, "this one is for tests")
GAPS = ("a gap that works", "a gap that crashes", "a gap that hangs")
"""Faults behind a gap: they are looked for in child processes, which learn of them from TOY_GAP."""

COUNT = count()
KEPT: list[bytearray] = []
INPUT = {
    "red and blue swapped": lambda images: images[:, ::-1],
    "no division by 255": lambda images: images * 255,
    "half a pixel off": lambda images: np.stack([moved(picture) for picture in images]),
}


def moved(picture):
    channels_last = np.ascontiguousarray(picture.transpose(1, 2, 0))
    matrix = np.array([[1, 0, 0.5], [0, 1, 0.5]], np.float32)
    size = channels_last.shape[1::-1]
    return cv2.warpAffine(channels_last, matrix, size, borderMode=cv2.BORDER_REPLICATE).transpose(2, 0, 1)


def corners(raw):
    x, y, w, h = (raw.boxes[:, index] for index in range(4))
    return replace(raw, boxes=np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1))


def logits(raw):
    scores = raw.scores.clip(1e-6, 1 - 1e-6)
    return replace(raw, scores=np.log(scores / (1 - scores)))


def rounded(raw):
    return Anchors(*(values * np.float32(1 + next(COUNT) % 7 * 1e-7) for values in map(raw.__getattribute__, OUTPUTS)))


def tensors(raw):
    import torch

    return Anchors(*(torch.from_numpy(getattr(raw, name).copy()) for name in OUTPUTS))


OUTPUT = {
    "x1 y1 x2 y2 for cx cy w h": corners,
    "no sigmoid": logits,
    "prototypes transposed": lambda raw: replace(raw, prototypes=raw.prototypes.swapaxes(2, 3)),
    "NaN": lambda raw: replace(raw, scores=np.where(raw.scores > 0.1, np.float32(np.nan), raw.scores)),
    "tensors for arrays": tensors,
    "sums in any order": rounded,
    "boxes normalised twice": lambda raw: replace(raw, boxes=raw.boxes / np.float32(160)),
}


class ToyPredictor(Predictor):
    def __init__(self, path, metadata, fault):
        self.network, self.metadata, self.fault = reference.network_of(path), metadata, fault
        self.path, self.buffers, self.images = path, threading.local(), None

    def run(self, batch):
        if batch.size != self.metadata.imgsz:
            raise OptionError.invalid("imgsz", batch.size, f"this file takes {self.metadata.imgsz} only")
        if self.fault == "several pictures at once" and len(batch) > 1:
            raise RuntimeError("the arena is full")
        images = np.ascontiguousarray(INPUT.get(self.fault, lambda same: same)(batch.f32_nchw), np.float32)
        if self.fault == "results shared between threads":
            self.images = images
            time.sleep(0.02)
            images = self.images
        raw = OUTPUT.get(self.fault, lambda same: same)(reference.outputs_of(self.network, ImageBatch.from_f32(images)))
        if self.fault in GAPS and self.metadata.segkit.precision is Precision.FP16:
            if self.fault == "a gap that crashes":
                os.abort()
            if self.fault == "a gap that hangs":
                time.sleep(600)
            raw = replace(raw, boxes=raw.boxes.astype(np.float16).astype(np.float32))
        if self.fault == "no export like another" and ODD_NAME in str(self.path):
            raw = replace(raw, boxes=raw.boxes * np.float32(1 + 2e-7))
        return self.reused(raw) if self.fault == "reused buffer" else raw

    def reused(self, raw):
        """Each thread has a buffer of its own, and gets it every time."""
        known = getattr(self.buffers, "raw", None)
        if known is None or known.boxes.shape != raw.boxes.shape:
            self.buffers.raw = known = Anchors(*(getattr(raw, name).copy() for name in OUTPUTS))
        for name in OUTPUTS:
            getattr(known, name)[...] = getattr(raw, name)
        return known


class ToyBackend(Backend):
    format = Format(
        name="toy",
        title="Toy",
        artefact="{stem}_toy_model",
        suffixes=("_toy_model",),
        export_options=ExportOptions,
        support=Support(dict.fromkeys(Feature, GAP) | {Feature.EXPORT: FULL, Feature.PREDICT: FULL}),
    )

    def __init__(self):
        self.known, self.fault = {}, os.environ.get("TOY_GAP", "")

    def export(self, job):
        if getattr(sys.modules["__main__"], "__spec__", None) and "worker" in sys.modules["__main__"].__spec__.name:
            time.sleep(2)  # a toolchain at work, which can be killed half-way
        if self.fault == "an export that fails":
            raise ExportError(self.format.name, "the compiler knows no such operator")
        job.target.mkdir()
        shutil.copy2(job.model, job.target / f"weights{job.model.suffix}")
        (job.target / "metadata.json").write_text(json.dumps(job.metadata.to_plain()))
        if self.fault == "a file left behind":
            Path("cache.bin").touch()

    def load(self, path, options):
        metadata = self.read_metadata(path)
        weights = next(path.glob("weights.*"), None)
        if weights is None:
            raise ModelFileError(path, "there are no weights in it")
        if self.fault == "a cache beside the artefact":
            path.with_name("toy.cache").touch()
        if self.fault == "a leak":
            KEPT.append(bytearray(b"x" * (2 << 20)))
        return ToyPredictor(weights, metadata, self.fault)

    def read_metadata(self, path):
        if self.fault == "stale metadata" and path in self.known:
            return self.known[path]
        try:
            read = Metadata.parse(json.loads((path / "metadata.json").read_text()), path)
        except (OSError, ValueError) as error:
            raise ModelFileError(path, "it is no folder of the toy format") from error
        self.known[path] = read
        return read

    def recognises(self, path):
        return Match(Match.CONTENT, "it has the toy's metadata") if (path / "metadata.json").is_file() else None


@hookimpl
def segkit_backends():
    return [ToyBackend()]


class ToyRegistry(Registry):
    """The toy alone, with its fault in this process: child processes have it without, but for what is behind a gap."""

    def __init__(self, fault):
        super().__init__()
        self.register("toy", "toy_format")
        toy = self.get("toy")
        toy.fault = fault
        if fault in GAPS:
            os.environ["TOY_GAP"] = fault
            gap = Gap(GapKind.UNSUPPORTED_BY_RUNTIME, "this one is for tests")
            toy.format = replace(toy.format, support=Support({**toy.format.support, Feature.HALF: gap}))


def suite_of(planted):
    """The suite on a toy with this fault."""

    class TestToy(BackendSuite):
        format = "toy"

        @pytest.fixture
        def registry(self):
            return ToyRegistry(planted)

        @pytest.fixture
        def settings(self):
            return Settings(precisions=frozenset({Precision.FP32}), quick=True)

        @pytest.fixture
        def trained(self):
            pytest.skip("the toy has no other weights")

    return TestToy
