"""How good the averaged network is, during a training: the scores that `val` gives, and the losses that it leaves."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from segkit.core.backend.base import Backend, Predictor
from segkit.core.backend.capability import FULL, Feature, Gap, GapKind, Support
from segkit.core.backend.format import Format
from segkit.core.backend.metadata import Metadata, Seal
from segkit.core.backend.options import LoadOptions
from segkit.core.errors import RuntimeFailure, SourceError
from segkit.core.images.size import Size
from segkit.core.inference.session import Computed, Prepared, Session
from segkit.core.metrics import SegmentationMetrics
from segkit.core.model.head import Decoded, RawHead
from segkit.core.model.network import SegmentationNetwork
from segkit.core.model.running import NetworkPredictor
from segkit.core.notices import notice
from segkit.core.training import memory
from segkit.core.training.loss import NAMES, SegmentationLoss
from segkit.core.training.targets import Targets
from segkit.core.validation import ValArguments, validate_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from segkit.core.data.dataset import Dataset
    from segkit.core.inference.runner import Runner
    from segkit.core.training.arguments import TrainArguments

_CAN = {Feature.PREDICT, Feature.DYNAMIC_BATCH, Feature.DYNAMIC_SIZE}

FORMAT = Format(
    name="training",
    title="network in training",
    artefact="{stem}.pt",
    support=Support(
        {each: FULL if each in _CAN else Gap(GapKind.NOT_APPLICABLE, "it is still being trained") for each in Feature}
    ),
)


class Scores(NamedTuple):
    """Of a validation: figures, and mean losses by name."""

    metrics: SegmentationMetrics
    losses: dict[str, float]


def val_arguments(args: TrainArguments, **more: Any) -> ValArguments:
    """Those of a validation in a training; `more` are others of them."""
    return ValArguments(imgsz=args.imgsz, rect=len(set(args.imgsz)) == 1, **more)


def score(
    network: SegmentationNetwork, dataset: Dataset, args: ValArguments, loss: SegmentationLoss, device: torch.device
) -> Scores:
    """Validate a network that is in memory, which stays as it is.

    Args:
        network: in eval mode.
        dataset: labelled pictures.
        args: of the validation.
        loss: measured on the same pictures, in the same pass.
        device: where to compute; where its memory is too small, fewer pictures are looked at together.
    """
    while True:
        try:
            return _scored(network, dataset, args, loss, device)
        except RuntimeFailure as error:
            if not memory.is_short(error) or args.batch == 1:
                raise
        memory.give_back()
        notice(f"not enough memory to validate {args.batch} pictures together: trying {args.batch // 2}")
        args = args.model_copy(update={"batch": args.batch // 2})


def _scored(
    network: SegmentationNetwork, dataset: Dataset, args: ValArguments, loss: SegmentationLoss, device: torch.device
) -> Scores:
    size = args.imgsz or (640, 640)
    watched = _Watched(copy.deepcopy(network).fuse())
    session = _LiveSession(_LiveBackend(watched, size, device), dataset, loss, device)
    try:
        metrics = validate_model(session, dataset, args, tell=False)
    finally:
        session.close()
    return Scores(metrics, dict(zip(NAMES, (session.sums / max(session.batches, 1)).tolist(), strict=True)))


class _Watched:
    """A network that remembers what its head said last."""

    def __init__(self, network: SegmentationNetwork) -> None:
        self.network = network
        self.raw: RawHead | None = None

    def to(self, *args: Any, **kwargs: Any) -> _Watched:
        self.network = self.network.to(*args, **kwargs)
        return self

    def decode(self, images: Tensor) -> Decoded:
        self.raw = RawHead(*(output.float() for output in self.network.raw(images)))
        head = self.network.head
        return head.decode(self.raw, head.grid(self.raw.boxes, images.shape[2], images.shape[3]))


class _LiveBackend(Backend):
    format = FORMAT

    def __init__(self, watched: _Watched, size: Size, device: torch.device) -> None:
        self.watched, self._size, self._device = watched, size, device

    def load(self, path: Path, options: LoadOptions) -> Predictor:
        return NetworkPredictor(self.watched, self.watched.network.stride, self._device)

    def read_metadata(self, path: Path) -> Metadata:
        network = self.watched.network
        seal = Seal(dynamic_batch=True, dynamic_size=True, strides=tuple(network.config.strides))
        return Metadata(stride=network.stride, imgsz=self._size, names=network.names, segkit=seal)


class _LiveSession(Session):
    """Measures the loss of every batch that it computes."""

    def __init__(self, backend: _LiveBackend, dataset: Dataset, loss: SegmentationLoss, device: torch.device) -> None:
        super().__init__(backend, Path("training"), LoadOptions(device=str(device)))
        self._watched, self._dataset, self._loss, self._on = backend.watched, dataset, loss, device
        self.sums, self.batches = torch.zeros(len(NAMES)), 0

    def _compute(self, runner: Callable[[], Runner], work: Prepared | SourceError) -> Computed | SourceError:
        done = super()._compute(runner, work)
        if isinstance(done, Computed) and self._watched.raw is not None:
            samples = [self._dataset[item.index] for item in done.items]
            with torch.inference_mode():
                targets = Targets.plain(samples, done.batch.geometry, self._on)
                self.sums += self._loss(self._watched.raw, targets).parts.cpu()
            self.batches += 1
        return done
