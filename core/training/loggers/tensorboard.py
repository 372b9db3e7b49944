"""TensorBoard: event files in the run's folder, for `tensorboard --logdir runs`. Nothing leaves this machine."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import yaml

from segkit.core.training.events import hookimpl
from segkit.core.training.loggers.contents import figures, pictures_in, pixels_of

if TYPE_CHECKING:
    from segkit.core.training.run import TrainRun


class TensorboardLogger:
    """Figures of every epoch, the arguments as text, and the pictures of the run."""

    title = "The TensorBoard logger"

    def __init__(self) -> None:
        """Nothing is written yet."""
        self._writer: Any = None

    @hookimpl
    def segkit_train_start(self, run: TrainRun) -> None:
        """Open the file. What earlier files of the folder say of epochs to come is void."""
        _without_tensorflow()
        from torch.utils.tensorboard import SummaryWriter

        self._close()
        self._writer = SummaryWriter(str(run.save_dir), purge_step=run.start_epoch + 1)
        settings = yaml.safe_dump(run.settings(), sort_keys=False, allow_unicode=True)
        self._writer.add_text("args", "".join(f"    {line}\n" for line in settings.splitlines()), run.start_epoch)

    @hookimpl
    def segkit_fit_epoch_end(self, run: TrainRun) -> None:
        """The figures of an epoch."""
        if self._writer is not None and run.record is not None:
            for name, value in figures(run.record).items():
                self._writer.add_scalar(name, value, run.record.epoch)
            self._writer.flush()

    @hookimpl
    def segkit_train_end(self, run: TrainRun) -> None:
        """The pictures."""
        if self._writer is not None:
            for path in pictures_in(run.save_dir):
                self._writer.add_image(path.name, pixels_of(path), run.epoch + 1, dataformats="HWC")

    @hookimpl
    def segkit_teardown(self, run: TrainRun) -> None:
        """Close the file."""
        self._close()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _without_tensorflow() -> None:
    """TensorBoard writes its files with TensorFlow where that is installed, which takes seconds and hundreds of
    megabytes to load, for the same files. It leaves it alone where this module of its own is there.
    """
    sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))
