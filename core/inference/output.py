"""What a prediction run leaves behind: annotated pictures and videos, label files, cut-outs, masks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Self

from segkit.core.errors import OutputError
from segkit.core.files import absent_folders, file_name_of, output_error, remove_empty
from segkit.core.images import Picture
from segkit.core.inference.arguments import MaskFiles, PredictArguments
from segkit.core.inference.coco import CocoFile
from segkit.core.inference.display import open_display
from segkit.core.inference.mask_files import write_index, write_instances
from segkit.core.inference.recording import Recordings
from segkit.core.inference.results import Results
from segkit.core.inference.saving import write_picture
from segkit.core.notices import notice

_HOST = re.compile(r"\w+://([^/]+)/?")
"""An address that is a server and nothing more."""

WRITABLE = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}
"""Endings that an annotated picture keeps; any other kind is saved as .jpg."""

PROJECT = Path("runs", "segment")
"""Folder of the runs of this task, unless told otherwise."""


def run_folder(project: str | Path, name: str, *, exist_ok: bool = False) -> Path:
    """Make the folder of a run: project/name, with a number appended when it exists (unless `exist_ok`).

    Raises:
        OutputError: it cannot be made.
    """
    number = 1
    while True:
        folder = Path(project, name if number == 1 else f"{name}{number}")
        try:
            folder.mkdir(parents=True, exist_ok=exist_ok)
            return folder
        except FileExistsError:
            if exist_ok:
                raise OutputError(folder, "a file of that name is in the way") from None
            number += 1
        except OSError as error:
            raise output_error(folder, error) from error


@contextmanager
def made_run_folder(project: str | Path, name: str, *, exist_ok: bool = False) -> Iterator[Path]:
    """As `run_folder`, for a block: when that fails, folders that were made for it and are empty vanish again."""
    absent = absent_folders(Path(project, name) if exist_ok else Path(project))
    folder = run_folder(project, name, exist_ok=exist_ok)
    try:
        yield folder
    except BaseException:
        remove_empty(absent if exist_ok else [folder, *absent])
        raise


class Drawing:
    """A result's picture with the objects in it as the arguments want them; drawn once, when somebody looks."""

    def __init__(self, result: Results, args: PredictArguments) -> None:
        """Nothing is drawn yet."""
        self._result, self._args = result, args

    @cached_property
    def picture(self) -> Picture:
        """(H, W, 3) BGR uint8."""
        args = self._args
        drawn: Picture = self._result.plot(
            conf=args.show_conf, labels=args.show_labels, boxes=args.show_boxes, line_width=args.line_width
        )
        return drawn


class RunFolder:
    """Writes what the arguments ask for, one result at a time; what spans several is whole once it is closed."""

    def __init__(self, args: PredictArguments) -> None:
        """Make the folder."""
        self.args = args
        project = Path(args.project or PROJECT)
        absent = absent_folders(project)
        self.path = run_folder(project, args.name or "predict", exist_ok=args.exist_ok)
        self._made = absent if args.exist_ok else [self.path, *absent]
        self._stems = Stems()
        self._recordings = Recordings(args.vid_stride, self._stems.of_video)
        self._coco: CocoFile | None = None

    def write(self, result: Results, drawing: Drawing | None = None) -> None:
        """Write one result; `drawing` if it is drawn already.

        Raises:
            OutputError: the disk is full, or the folder cannot be written any more; no empty folder is left behind.
        """
        try:
            self._write(result, drawing or Drawing(result, self.args))
        except OutputError:
            remove_empty(self._made)
            raise

    def close(self) -> None:
        """Finish videos and the COCO file: also those of a run that was ended early can be played and read.

        Raises:
            OutputError: the first that could not be written to its end; the others are finished all the same.
        """
        try:
            self._recordings.close()
        finally:
            if self._coco is not None:
                coco, self._coco = self._coco, None
                coco.close()

    def _write(self, result: Results, drawing: Drawing) -> None:
        args = self.args
        result.save_dir = str(self.path)
        if result.frame is None:
            name = self._stems.of_picture(result.path)
            if args.save:
                suffix = Path(result.path).suffix.lower()
                write_picture(self.path / f"{name}{suffix if suffix in WRITABLE else '.jpg'}", drawing.picture)
        else:
            recording = self._recordings.of(result.path, result.frame)
            name = f"{recording.stem}_{result.frame.number}"
            if args.save:
                recording.write(self.path, drawing.picture)
            if args.save_frames:
                write_picture(self.path / f"{recording.stem}_frames" / f"{name}.jpg", drawing.picture)
        if args.save_txt:
            result.save_txt(self.path / "labels" / f"{name}.txt", save_conf=args.save_conf)
        if args.save_crop:
            result.save_crop(self.path / "crops", f"{name}.jpg")
        if args.save_masks is not None:
            self._write_masks(result, name, args.save_masks)

    def _write_masks(self, result: Results, name: str, kind: MaskFiles) -> None:
        masks = result.masks.instances if result.masks is not None else None
        if kind is MaskFiles.COCO:
            self._coco = self._coco or CocoFile(self.path / "coco.json")
            self._coco.add(result)
        elif kind is MaskFiles.INDEX:
            write_index(self.path / "masks" / f"{name}.png", masks, result.orig_shape)
        elif masks is not None:
            classes = [result.class_name(index) for index in result.boxes.cls.tolist()]
            write_instances(self.path / "masks" / name, masks, classes)


class Stems:
    """Names for the files of each source: those of one name from different folders must not overwrite each other."""

    def __init__(self) -> None:
        """None is taken."""
        self._pictures: set[str] = set()
        self._videos: set[str] = set()
        self._numbers: dict[str, int] = {}

    def of_picture(self, path: str) -> str:
        """A stem for a picture."""
        return self._free(Path(path).stem or "image", self._pictures, lambda stem: _video_of(stem) in self._videos)

    def of_video(self, path: str) -> str:
        """A stem for a video or stream, whose address may have characters that no file's name can have."""
        host = _HOST.fullmatch(path)  # nothing behind it: its dots begin no suffix
        stem = file_name_of(host[1] if host else Path(path).stem or "video")
        return self._free(stem, self._videos, lambda free: any(_video_of(each) == free for each in self._pictures))

    def _free(self, stem: str, taken: set[str], meets: Callable[[str], bool]) -> str:
        """`stem`, numbered where it is taken, or `meets` the name of a frame; letters of either case are the same."""
        number = self._numbers.get(stem.casefold(), 1)  # thousands of pictures may have one name
        free = stem if number == 1 else f"{stem}-{number}"
        while (key := free.casefold()) in self._pictures or key in self._videos or meets(key):
            number += 1
            free = f"{stem}-{number}"
        self._numbers[stem.casefold()] = number
        taken.add(key)
        return free


def _video_of(stem: str) -> str | None:
    """The video that a picture of this stem would be a frame of: "street" for "street_12"."""
    video, _, number = stem.rpartition("_")
    return video if number.isdigit() else None


class Outputs:
    """What is done with each result before the caller gets it: it is written to the run's folder, and shown."""

    def __init__(self, args: PredictArguments) -> None:
        """Find a display if one is asked for; the folder is made for the first result.

        Raises:
            OptionError: there is nothing to show pictures on.
        """
        self._args = args
        self._display = open_display() if args.show else None
        self._folder: RunFolder | None = None

    def take(self, result: Results) -> bool:
        """Write and show one result.

        Returns:
            Whether to go on: no, if the user closed the window.

        Raises:
            OutputError: it cannot be written.
            OptionError: a video cannot be shown here.
        """
        drawing = Drawing(result, self._args)
        if self._args.saves:
            self._folder = self._folder or RunFolder(self._args)
            self._folder.write(result, drawing)
        if self._display is None:
            return True
        return self._display.show(drawing.picture, result.path, moving=result.frame is not None)

    def finish(self) -> None:
        """All pictures were seen: the last one may stay on the screen until the user has looked at it."""
        if self._display is not None:
            self._display.finish()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Finish what is open, however the run ended; an earlier error is not hidden by a later one.

        Raises:
            OutputError: a file could not be written to its end.
        """
        try:
            if self._folder is not None:
                self._folder.close()
        except OutputError as late:
            if error is None or isinstance(error, GeneratorExit):
                raise
            notice(str(late))
        finally:
            if self._display is not None:
                self._display.close()
