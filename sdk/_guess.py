"""What a file or folder seems to be that no installed format recognises: by its first bytes, or by what lies in it."""

from __future__ import annotations

import mmap
from pathlib import Path

from segkit.core.model.identify import describe

_HEAD = 4096

_FOLDERS = (
    ("saved_model.pb", "a TensorFlow SavedModel"),
    ("model.json", "a TensorFlow.js model"),
    ("Manifest.json", "a Core ML package"),
    ("inference.pdmodel", "a PaddlePaddle model"),
    ("inference.json", "a PaddlePaddle model"),
    ("*.ncnn.param", "an ncnn model"),
    ("*.xml", "an OpenVINO model"),
)
"""A file that tells what kind of model the folder around it is; the first that is there decides."""

_HEADS = (
    (0, b"7767517", "the description of an ncnn network; its weights are the .bin file beside it"),
    (0, b"ftrt", "a TensorRT engine"),
    (4, b"ftyp", "a video or picture in an MP4 container"),
    (0, b"RIFF", "a picture, sound or video in a RIFF container"),
    (0, b"GIF8", "a GIF picture"),
    (0, b"BM", "a BMP picture"),
    (0, b"II*\0", "a TIFF picture"),
    (0, b"MM\0*", "a TIFF picture"),
    (0, b"SQLite format 3\0", "a database"),
    (0, b"\x28\xb5\x2f\xfd", "zstd-compressed: unpack it first"),
)

_EDGE = b"edgetpu-custom-op"
"""Name of the one operator that a model compiled for an Edge TPU consists of."""


def guess(path: Path) -> str:
    """What `path`, which exists, seems to be: the end of a sentence that begins "it seems to be"."""
    if path.is_dir():
        return _folder(path)
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        return "an empty file"
    if path.suffix.lower() in (".yaml", ".yml"):
        return "a YAML text: an architecture (see segkit info) or the description of a data set"
    if head[4:8] == b"TFL3":
        return "a TensorFlow Lite model" + (" compiled for an Edge TPU" if _holds(path, _EDGE) else "")
    known = next((what for offset, magic, what in _HEADS if head[offset:].startswith(magic)), None)
    if known is None and b"<net " in head[:400] and b"<?xml" in head[:10]:
        known = "the description of an OpenVINO network; its weights are the .bin file beside it"
    # The checkpoint reader knows many kinds; that they are no checkpoint is not the question here.
    what = known or describe(head).partition(", not a")[0]
    return "a file of a kind that segkit does not know" if what.startswith("neither") else what


def _holds(path: Path, part: bytes) -> bool:
    """Whether `part` stands anywhere in a file that is not empty; it may be large."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(part) >= 0


def _folder(path: Path) -> str:
    if not any(path.iterdir()):
        return "an empty folder"
    return next((what for pattern, what in _FOLDERS if any(path.glob(pattern))), "a folder without a model in it")
