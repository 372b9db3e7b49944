"""One format under test: its exports and its reference, each made once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from segkit.conformance import reference
from segkit.conformance.guards import left_in, network_calls
from segkit.core.backend import Anchors, Backend, Feature, Metadata, Predictor, Selected
from segkit.core.backend.calibration import PictureCalibration
from segkit.core.backend.chain import Link
from segkit.core.backend.options import Options
from segkit.core.backend.pipeline import ExportResult, ModelCard, export, plan
from segkit.core.backend.registry import Registry
from segkit.core.backend.returned import metadata_of
from segkit.core.images import ImageBatch, Picture, Size


class Bench:
    """Exports `weights` to a format on demand and knows what PyTorch makes of the same pictures."""

    def __init__(
        self, registry: Registry, name: str, weights: Path, folder: Path, seen: Sequence[Picture] = ()
    ) -> None:
        """`folder` takes the artefacts; int8 is calibrated with the pictures `seen`, or with some made from a seed."""
        self.registry, self.weights, self.folder, self.seen = registry, weights.resolve(), folder, seen
        self.backend: Backend = registry.get(name)
        self.litter: list[str] = []
        self.calls: list[str] = []
        self._made: dict[str, ExportResult] = {}

    @cached_property
    def network(self) -> Any:
        """The reference network."""
        return reference.network_of(self.weights)

    def export(self, **options: Any) -> ExportResult:
        """The artefact for these options, through the same road as a user's export, but in this process.

        A format that holds weights is its own artefact.
        """
        fmt = self.backend.format
        if fmt.holds_weights:
            own = metadata_of(self.backend, self.weights) or Metadata()
            return ExportResult(self.weights, self.weights.stat().st_size, 0.0, own)
        key = repr(sorted(options.items()))
        if key not in self._made:
            self._made[key] = self.export_to(self.folder / str(len(self._made)), **options)
        return self._made[key]

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
        return plan(self.registry, self.backend.format.name, options, card, calibration), calibration

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


def anchors(raw: Anchors | Selected) -> Anchors:
    """The outputs of a network without NMS.

    Raises:
        AssertionError: the predictor says that the graph has selected already.
    """
    assert isinstance(raw, Anchors), f"an artefact exported without nms gave {type(raw).__name__}, not Anchors"
    return raw
