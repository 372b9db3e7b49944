"""One format under test: its exports and its reference, each made once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segkit.conformance import diagnosis, reference
from segkit.conformance.compare import OUTPUTS
from segkit.conformance.gaps import plain
from segkit.conformance.guards import left_in, network_calls
from segkit.conformance.report import told_of
from segkit.conformance.store import Shelf, has_torch, needs_torch
from segkit.core.backend import Anchors, Backend, Feature, GapKind, Metadata, Precision, Predictor, Selected
from segkit.core.backend.calibration import PictureCalibration
from segkit.core.backend.chain import Link
from segkit.core.backend.options import Options
from segkit.core.backend.pipeline import ExportResult, ModelCard, export, plan
from segkit.core.backend.registry import Registry, default_registry
from segkit.core.backend.returned import metadata_of
from segkit.core.errors import UnsupportedError
from segkit.core.images import ImageBatch, Picture, Size

LACKING = (GapKind.NEEDS_TOOL, GapKind.NEEDS_HARDWARE, GapKind.NEEDS_OS)
"""What a machine may lack for one way to export, and not for another."""


class Bench:
    """Exports `weights` to a format on demand and knows what PyTorch makes of the same pictures."""

    def __init__(
        self,
        registry: Registry,
        name: str,
        weights: Path,
        folder: Path,
        seen: Sequence[Picture] = (),
        after: Bench | None = None,
        shelf: Shelf | None = None,
    ) -> None:
        """`folder` takes the artefacts; int8 is calibrated with the pictures `seen`, or with some made from a seed.

        Where the plain export of the bench `after` has failed, this one makes none: that would be the same fault again.
        What is made is kept on the `shelf`, or taken from there.
        """
        self.shelf = shelf
        self.registry, self.weights, self.folder, self.seen = registry, weights.resolve(), folder, seen
        self.after = after
        self.backend: Backend = registry.get(name)
        self.litter: list[str] = []
        self.calls: list[str] = []
        self._made: dict[str, ExportResult] = {}
        self._failed: dict[str, str] = {}

    @cached_property
    def network(self) -> Any:
        """The reference network."""
        needs_torch()
        return reference.network_of(self.weights)

    @cached_property
    def about(self) -> Metadata:
        """What the weights say of themselves; torch is not needed to read that."""
        return metadata_of(default_registry().recognise(self.weights), self.weights) or Metadata()

    @cached_property
    def plain(self) -> Precision:
        """The precision of a plain export."""
        return plain(self.backend.format)

    @cached_property
    def size(self) -> Size:
        """(height, width) that the weights were trained at."""
        return own_size(self.weights)

    def export(self, **options: Any) -> ExportResult:
        """The artefact for these options, through the same road as a user's export, but in this process.

        A format that holds weights is its own artefact.
        """
        fmt = self.backend.format
        if fmt.holds_weights:
            return ExportResult(self.weights, self.weights.stat().st_size, 0.0, self.about)
        folder = self.folder / str(len(self._made) + len(self._failed))
        return self.once(_key(options), lambda: self.export_to(folder, **options))

    def once(self, key: str, make: Callable[[], ExportResult]) -> ExportResult:
        """What `make` makes, for the first who asks. Where it fails, or the plain export has, the others skip: one
        fault is one red test.
        """
        if key in self._failed or self.fault:
            pytest.skip(f"not judged, because an export has failed: {self._failed.get(key) or self.fault}")
        if key not in self._made:
            try:
                self._made[key] = self._taken(key) if self.shelf and self.shelf.reading else make()
            except Exception as error:
                self._failed[key] = " ".join(told_of(str(error))) or type(error).__name__
                raise
            if self.shelf and not self.shelf.reading:
                self.shelf.keep_artefact(key, self._made[key])
        return self._made[key]

    def _taken(self, key: str) -> ExportResult:
        assert self.shelf is not None
        return self.shelf.artefact(key, self.backend, self.folder / f"kept-{len(self._made)}")

    @property
    def fault(self) -> str | None:
        """How the plain export failed, this bench's or that of the one before it."""
        earlier = self.after.fault if self.after else None
        return earlier or (self._failed.get(_key({"imgsz": self.size, "batch": 1})) if self._failed else None)

    def export_to(self, folder: Path, name: str | None = None, **options: Any) -> ExportResult:
        """The same anew, into a folder that is made if need be; what is left elsewhere is added to `litter`,
        and who was called over the network to `calls`.

        `name` is that of the artefact, by default the format's own for a model called "model".
        """
        links, calibration = self.planned(**options)
        target = folder / (name or self.backend.format.artefact_name("model", links[-1].options))
        elsewhere = self.folder / f"cwd-{len(list(self.folder.iterdir()))}"
        with left_in(self.weights.parent, elsewhere, self.litter), network_calls(self.calls):
            return export(self.registry, links, self.weights, target, calibration=calibration, isolate=False)

    def planned(self, **options: Any) -> tuple[list[Link], PictureCalibration | None]:
        """The chain of conversions for these options, and the pictures for one to int8."""
        parsed = self.backend.format.parse_export_options(options)
        config = self.network.config
        card = ModelCard(self.network.names, coefficients=config.head.masks, strides=tuple(config.strides))
        calibration = self._calibration(parsed.imgsz, parsed.batch) if parsed.needs_calibration() else None
        try:
            self.backend.check_export(parsed)
            return plan(self.registry, self.backend.format.name, options, card, calibration), calibration
        except UnsupportedError as refusal:
            if refusal.kind in LACKING:
                pytest.xfail(f"declared gap '{refusal.feature}' ({refusal.kind}): {refusal.reason}")
            raise

    def _calibration(self, size: Size, batch: int) -> PictureCalibration:
        if self.seen:
            return PictureCalibration.of_pictures(self.seen, size, batch)
        return PictureCalibration(reference.pictures(max(8, batch), size, seed=2).u8_nhwc, batch)

    def load(self, made: ExportResult, *features: Feature) -> Predictor:
        """A predictor with these features switched on, as far as that is done when a file is loaded."""
        fmt = self.backend.format
        return self.backend.load(made.path, fmt.parse_load_options(switching(fmt.load_options, features)))

    def expected(self, batch: ImageBatch) -> Anchors:
        """PyTorch's outputs."""
        return self.shelf.outputs(batch, self.expected_anew) if self.shelf else self.expected_anew(batch)

    def input_fault(self, raw: Anchors, batch: ImageBatch) -> str | None:
        """Which mistake in the input leads to these outputs; None where none does, or torch is not there to try."""
        return diagnosis.input_fault(raw, batch, self.expected_anew) if has_torch() else None

    def expected_anew(self, batch: ImageBatch) -> Anchors:
        """PyTorch's outputs for pictures that nobody asks for again."""
        return reference.outputs_of(self.network, batch)

    def switches(self, *features: Feature) -> Mapping[str, Any]:
        """Export options that switch these features on."""
        model = self.backend.format.export_options
        return switching(model, features) if model else {}


def switching(model: type[Options], features: Iterable[Feature]) -> dict[str, Any]:
    """Values of a model's options that switch these features on, as far as it can."""
    asked, chosen = set(features), {}
    for name, switch in model.switches():
        # The value that switches on most of what is asked for, and least besides.
        value, on = max(switch.values.items(), key=lambda item: (len(asked & {*item[1]}), -len({*item[1]} - asked)))
        if asked & {*on}:
            chosen[name] = value
    return chosen


def own_size(weights: Path) -> Size:
    """The input size that weights were trained at."""
    found = metadata_of(default_registry().recognise(weights), weights)
    return found.imgsz if found else (640, 640)


def anchors(raw: Anchors | Selected) -> Anchors:
    """The outputs of a network without NMS.

    Raises:
        AssertionError: the predictor says that the graph has selected already, or gives no arrays.
    """
    assert isinstance(raw, Anchors), f"an artefact exported without nms gave {type(raw).__name__}, not Anchors"
    for name in OUTPUTS:
        given = getattr(raw, name)
        assert isinstance(given, np.ndarray), f"{name} is {type(given).__name__}, not a numpy array"
    return raw


def _key(options: Mapping[str, Any]) -> str:
    return repr(sorted(options.items()))
