"""`split`: a data set without parts is divided into train, val and test, as lists of pictures and a new description."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segkit.core.data.checking.decoding import look_at
from segkit.core.data.checking.likeness import alike
from segkit.core.data.describing import DESCRIPTION, description_text
from segkit.core.data.description import SPLITS
from segkit.core.data.dividing.assigning import assign
from segkit.core.data.dividing.opening import Whole, opened
from segkit.core.data.reading.yolo import label_of
from segkit.core.data.sample import Sample
from segkit.core.errors import OptionError, OutputError, SourceError
from segkit.core.files import atomic_write, check_new_folder, expanded, new_folder

_ADVICE = "pictures are copied into a new folder only"


@dataclass(frozen=True)
class Division:
    """What became of a data set.

    Attributes:
        description: the new data.yaml.
        pictures: how many each split has.
        names: class names by index.
        counts: class index → pictures with it in each split, in the order of `pictures`.
        together: pictures that stayed together with one that looks the same.
        left_out: pictures that cannot be read.
    """

    description: Path
    pictures: Mapping[str, int]
    names: Mapping[int, str]
    counts: Mapping[int, tuple[int, ...]]
    together: int
    left_out: int


def split_dataset(
    source: str | Path,
    *,
    val: float = 0.2,
    test: float = 0.0,
    seed: int = 0,
    copy: str | Path | None = None,
    exist_ok: bool = False,
) -> Division:
    """Divide a data set. Every class of two pictures and more gets into train and, if there is room, into val.

    train.txt, val.txt, test.txt and the description are written beside the data; no picture is moved. Pictures that
    look the same stay together.

    Args:
        source: a folder with `images` and `labels`, or a description that has train alone.
        val: share of the pictures for validation.
        test: share for the test.
        seed: another one gives another division.
        copy: copy pictures and labels into this new folder, one subfolder a split, instead of writing lists.
        exist_ok: overwrite lists and a description that are there.

    Raises:
        SourceError: nothing there, the data set is divided already, or it has fewer than two pictures.
        OptionError: the shares leave nothing for training.
        OutputError: something of that name is there, or the place cannot be written; nothing new stays behind.
    """
    shares = _shares(val, test)
    whole = opened(source)
    splits = [split for split, share in zip(SPLITS, shares, strict=True) if share]
    target = Path(copy) if copy is not None else whole.folder
    _check_free(target, [] if copy else [f"{split}.txt" for split in splits] + [whole.description], exist_ok)
    looks = look_at(sample.path for sample in whole.samples)
    by_path = {sample.path: sample for sample in whole.samples}
    groups = alike(looks)
    if len(groups) < 2:
        raise SourceError(source, "it has fewer than two different pictures that can be read: nothing can be divided")
    classes = [{int(i) for path in group for i in by_path[path].labels.classes} for group in groups]
    places = assign(classes, [len(group) for group in groups], [share for share in shares if share], seed)
    parts: dict[str, list[Sample]] = {split: [] for split in splits}
    for group, place in zip(groups, places, strict=True):
        parts[splits[place]] += [by_path[path] for path in group]
    order = {path: number for number, path in enumerate(by_path)}
    for found in parts.values():
        found.sort(key=lambda sample: order[sample.path])
    description = _copy(whole, parts, target) if copy is not None else _write_lists(whole, parts)
    return Division(
        description,
        {split: len(found) for split, found in parts.items()},
        whole.names,
        _counts(parts, whole.names),
        sum(len(group) for group in groups if len(group) > 1),
        whole.left_out + sum(bool(look.problem) for look in looks.values()),
    )


def _shares(val: float, test: float) -> tuple[float, float, float]:
    if not (0 <= val < 1 and 0 <= test < 1 and 0 < val + test < 1):
        raise OptionError(
            f"Options val={val:g} and test={test:g} are not usable: give shares of the pictures, 0 or more, that "
            "together leave some for training."
        )
    return 1 - val - test, val, test


def _counts(parts: Mapping[str, Sequence[Sample]], names: Mapping[int, str]) -> dict[int, tuple[int, ...]]:
    present = [[set(sample.labels.classes.tolist()) for sample in found] for found in parts.values()]
    return {index: tuple(sum(index in each for each in found) for found in present) for index in names}


def _check_free(folder: Path, names: Sequence[str], exist_ok: bool) -> None:
    """Before any work is done: what is to be written must not be there."""
    if not names:
        check_new_folder(_absolute(folder), advice=_ADVICE)
    taken = [name for name in names if os.path.lexists(folder / name)]
    if taken and not exist_ok:
        raise OutputError(folder, f"{', '.join(taken)} exists; give exist_ok=True to overwrite")


def _write_lists(whole: Whole, parts: Mapping[str, Sequence[Sample]]) -> Path:
    """The lists, and at last the description that names them; those that are new vanish when one cannot be written."""
    texts = {f"{split}.txt": _list(found, whole.folder) for split, found in parts.items()}
    splits = {split: f"{split}.txt" for split in parts}
    texts[whole.description] = description_text(splits, list(whole.names.values()))
    with _whole_or_none([whole.folder / name for name in texts]):
        for name, text in texts.items():
            with atomic_write(whole.folder / name) as partial:
                partial.write_text(text, encoding="utf-8", newline="\n")
    return whole.folder / whole.description


@contextlib.contextmanager
def _whole_or_none(paths: Sequence[Path]) -> Iterator[None]:
    new = [path for path in paths if not os.path.lexists(path)]
    try:
        yield
    except BaseException:
        for path in new:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        raise


def _list(samples: Sequence[Sample], folder: Path) -> str:
    return "".join(f"{_told(sample.path, folder)}\n" for sample in samples)


def _told(path: Path, folder: Path) -> str:
    """A picture as a list in `folder` names it: from there on, where it is below it."""
    path, folder = Path(os.path.abspath(path)), Path(os.path.abspath(folder))  # noqa: PTH100 - links stay links
    text = f"./{path.relative_to(folder).as_posix()}" if path.is_relative_to(folder) else str(path)
    if len(text.splitlines()) != 1 or text != text.strip() or not _is_text(text):
        raise SourceError(path, "a file of that name cannot stand in a list; rename it, or give copy")
    return text


def _is_text(name: str) -> bool:
    """Whether a name is one in UTF-8: file systems hold any bytes."""
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def _copy(whole: Whole, parts: Mapping[str, Sequence[Sample]], target: Path) -> Path:
    """images/train, labels/train and so on below a new folder, which appears when it is complete."""
    target = _absolute(target)
    top = Path(os.path.commonpath([sample.path.parent for found in parts.values() for sample in found]))
    with new_folder(target, advice=_ADVICE) as partial:
        for split, found in parts.items():
            for sample in found:
                inside = Path(split) / sample.path.relative_to(top)
                _copy_file(sample.path, partial / "images" / inside)
                if sample.label is not None:
                    _copy_file(sample.label, label_of(partial / "images" / inside))
        text = description_text({split: f"images/{split}" for split in parts}, list(whole.names.values()))
        (partial / DESCRIPTION).write_text(text, encoding="utf-8", newline="\n")
    return target / DESCRIPTION


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(expanded(path)))  # noqa: PTH100 - links stay links


def _copy_file(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)
