"""From a weights file to a predictor and to metadata. Reading metadata needs no torch."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from segkit.core.backend import LoadOptions, Metadata, Predictor, Seal
from segkit.core.images import Size, round_up
from segkit.core.model import Checkpoint, read_checkpoint
from segkit.plugins.pytorch import PyTorchLoadOptions


def load(path: Path, options: LoadOptions) -> Predictor:
    """A predictor for a weights file.

    Raises:
        ModelFileError, UnsafeCheckpointError: the file is no YOLOv8-seg, damaged, or hostile.
        OptionError: there is no such device here.
        RuntimeFailure: the device refuses, e.g. for lack of memory.
    """
    from segkit.core.model import load_network
    from segkit.core.model.devices import resolve
    from segkit.core.model.running import NetworkPredictor

    assert isinstance(options, PyTorchLoadOptions)
    device = resolve(options.device)  # first: a wrong device is no reason to read the file
    network = load_network(opened(path))
    if options.fuse:
        network.fuse()
    return NetworkPredictor(network, network.stride, device, options.precision, options.threads)


def read_metadata(path: Path) -> Metadata:
    """What a weights file says about itself: names, stride, the size it was trained at.

    Raises:
        ModelFileError, UnsafeCheckpointError: it is no YOLOv8-seg, damaged, or hostile.
    """
    checkpoint = opened(path)
    config = checkpoint.require_config()
    stride = config.stride
    seal = Seal(
        dynamic_batch=True,
        dynamic_size=True,
        coefficients=config.head.masks,
        strides=tuple(config.strides),
        data=checkpoint.train_args.get("data"),
    )
    return Metadata(stride=stride, imgsz=_trained_size(checkpoint, stride), names=checkpoint.names, segkit=seal)


def opened(path: Path) -> Checkpoint:
    """`read_checkpoint`, which parses a file once for its metadata, its predictor and its inspection.

    Raises:
        ModelFileError, UnsafeCheckpointError: it is no weights file, damaged, or hostile.
    """
    try:
        stat = path.stat()
    except OSError:
        return read_checkpoint(path)  # which says why
    # A copy, because the tensors that a checkpoint has read stay with it, and must not outlive their user.
    return replace(_read(path, stat.st_mtime_ns, stat.st_size))


@lru_cache(maxsize=1)
def _read(path: Path, _changed: int, _size: int) -> Checkpoint:
    return read_checkpoint(path)


def _trained_size(checkpoint: Checkpoint, stride: int) -> Size:
    given = checkpoint.train_args.get("imgsz")
    if isinstance(given, bool) or not isinstance(given, int) or not stride <= given <= 8192:
        return 640, 640
    return round_up(given, stride), round_up(given, stride)
