"""Stage preprocess: the network is given the pixels that every other backend is given."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from segkit.conformance.settings import Settings
from segkit.conformance.stage import Stage, at
from segkit.conformance.stages.base import PRECISIONS, SuiteBase
from segkit.conformance.subject import Subject
from segkit.core.backend import Anchors, Backend, Feature, LoadOptions, Metadata, Precision, Predictor, Selected
from segkit.core.backend.registry import Registry
from segkit.core.errors import RuntimeFailure
from segkit.core.images import ImageBatch, Picture, Size
from segkit.core.images.sources import open_sources
from segkit.core.inference.arguments import PredictArguments
from segkit.core.inference.session import Session

GREY = 114


class PreprocessStage(SuiteBase):
    """What goes in."""

    @at(Stage.PREPROCESS)
    @pytest.mark.parametrize("precision", PRECISIONS, ids=lambda precision: f"{precision}-golden")
    def test_network_sees_the_picture(
        self, golden: Subject, registry: Registry, settings: Settings, precision: Precision
    ) -> None:
        """Red is red, white is 1, and nothing is moved: no known mistake in the input explains the outputs better."""
        self.need(registry, settings, precision)
        fault = golden.fault(precision)
        assert not fault or fault.stage is not Stage.PREPROCESS, f"the network is given another input: {fault.words}"
        golden.must_be_sound(precision)

    @at(Stage.PREPROCESS)
    @pytest.mark.parametrize("policy", ["square", "rect"], ids=lambda policy: f"fp32-{policy}")
    def test_pixels_are_those_of_every_backend(
        self, golden: Subject, registry: Registry, settings: Settings, policy: str
    ) -> None:
        """A picture reaches the predictor letterboxed by the policy, to the last bit, and is left as it is."""
        rect = policy == "rect"
        features = (Feature.DYNAMIC_BATCH, Feature.DYNAMIC_SIZE) if rect else ()
        self.need(registry, settings, *features)
        golden.must_run()
        bench = golden.bench
        made = bench.export(imgsz=golden.size, batch=1, **bench.switches(*features))
        watching = Watching.over(bench.backend)
        session = Session(watching, made.path, bench.backend.format.parse_load_options({}))
        with closing(session):
            for picture in (golden.pictures[0], golden.pictures[1]):
                args = PredictArguments.model_validate({"rect": rect})
                try:
                    list(session.predict(open_sources([picture]), args, _refuse))
                except RuntimeFailure:  # outputs that are no numbers, say: stage raw is red for those
                    if not watching.inputs:
                        raise
                given, left = watching.inputs.pop()
                wanted = letterboxed(picture, golden.size, rect=rect)
                assert given.shape == wanted.shape, f"an input of {given.shape[2:]}, should be {wanted.shape[2:]}"
                assert np.array_equal(given, wanted), "the input is not the letterboxed picture"
                assert np.array_equal(given, left), "the predictor has written into its input"


class Watching(Backend):
    """A backend that keeps what its predictors are given, before and after they have had it."""

    inputs: list[tuple[NDArray[np.float32], NDArray[np.float32]]]
    inner: Backend

    @classmethod
    def over(cls, backend: Backend) -> Watching:
        """Watch another backend."""
        made = cls.__new__(cls)
        made.format, made.inner, made.inputs = backend.format, backend, []
        return made

    def load(self, path: Path, options: LoadOptions) -> Predictor:
        """A predictor that is watched."""
        return _Watched(self.inner.load(path, options), self.inputs)

    def read_metadata(self, path: Path) -> Metadata | None:
        """As the other one."""
        return self.inner.read_metadata(path)


class _Watched(Predictor):
    def __init__(self, inner: Predictor, inputs: list[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> None:
        self._inner, self._inputs = inner, inputs

    def run(self, batch: ImageBatch) -> Anchors | Selected:
        before = batch.f32_nchw.copy()
        raw = self._inner.run(batch)
        self._inputs.append((before, batch.f32_nchw))
        return raw

    def close(self) -> None:
        self._inner.close()


def letterboxed(picture: Picture, size: Size, *, rect: bool) -> NDArray[np.float32]:
    """(1, 3, H, W) input of a picture, made here once more from the words of the policy: one gain, rounded sides,
    centred, grey around it; in a rect no more grey than multiples of 32 need.
    """
    height, width = picture.shape[:2]
    gain = min(size[0] / height, size[1] / width)
    inner = max(round(height * gain), 1), max(round(width * gain), 1)
    outer = tuple(min(-(-side // 32) * 32, whole) for side, whole in zip(inner, size, strict=True)) if rect else size
    canvas = np.full((*outer, 3), GREY, np.uint8)
    top, left = (outer[0] - inner[0]) // 2, (outer[1] - inner[1]) // 2
    scaled = picture if inner == (height, width) else cv2.resize(picture, inner[::-1], interpolation=cv2.INTER_LINEAR)
    canvas[top : top + inner[0], left : left + inner[1]] = scaled
    return (canvas[None, ..., ::-1].transpose(0, 3, 1, 2) / np.float32(255)).astype(np.float32)


def _refuse(error: Exception) -> None:
    raise error
