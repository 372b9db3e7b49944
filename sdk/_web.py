"""A web page that runs a model in the browser: a folder of static files, which any server can serve.

The page itself lies in `web_page/`; what computes comes from the plugin of a format that a browser can run.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from segkit._paths import home_of
from segkit._web_folder import check_folder, sum_of_files, write_settings
from segkit.core.backend.base import Backend, Match, WebRuntime
from segkit.core.backend.faults import words
from segkit.core.backend.metadata import Metadata
from segkit.core.backend.placement import place
from segkit.core.backend.registry import default_registry
from segkit.core.backend.replacing import own_files
from segkit.core.backend.returned import metadata_of
from segkit.core.errors import ModelFileError, OptionError, PluginError, SegkitError
from segkit.core.files import expanded, output_error
from segkit.core.inference.arguments import PredictArguments
from segkit.core.notices import size_of

if TYPE_CHECKING:
    from segkit import YOLO
    from segkit._formats import FormatInfo

PAGE = Path(__file__).with_name("web_page")
MODEL, RUNTIME = "model", "runtime"

FINEST = 1600
"""Pixels of the long side of masks: more than a screen shows costs time and memory that a phone has not."""

UNUSED = {"batch", "dynamic"}
"""Export options that a page has no use for."""

LOST = "No installed format runs in a browser; segkit formats lists them, and why one is broken."


@dataclass(frozen=True)
class WebPage:
    """A page that was written: its folder, the bytes of all its files, and what its model says about itself."""

    folder: Path
    size: int
    metadata: Metadata


def web_format() -> FormatInfo | None:
    """The format that a page runs, whether or not all that it takes is set up; None where there is no such format."""
    from segkit._formats import format_info

    backend = _in_browser()
    return format_info(backend.format.name) if backend else None


def write_web_page(
    model: YOLO,
    output: str | Path | None = None,
    title: str | None = None,
    report: Callable[[str], None] = lambda text: None,
    **options: Any,
) -> WebPage:
    """Write the page of a model, whole or not at all.

    Args:
        model: weights, or an artefact of the format that runs in a browser.
        output: folder of the page, made, or replaced if it is such a page and holds nothing else; default: `{stem}_web`
            beside the model.
        title: heading of the page; default: the model's name.
        report: called with a few words when a step begins.
        options: of the export, for weights.

    Raises:
        OptionError, UnsupportedError, MissingDependencyError, …: refused before any work; what runs in the browser may
            have to be set up first.
        ModelFileError: the artefact is damaged, or nothing for a page.
        ExportError: the conversion failed.
        OutputError: the folder cannot be written, or is something else.
    """
    backend = _in_browser()
    if backend is None:
        raise OptionError(LOST)
    runtime = _runtime(backend)
    artefact = _artefact(backend, model)
    _check_options(options, artefact)
    stem = _stem(backend, artefact or model.path)
    home = Path() if artefact is None and model._in_memory else home_of(artefact or model.path)
    target = home / f"{stem}_web" if output is None else expanded(output)
    check_folder(target)
    try:
        with tempfile.TemporaryDirectory(prefix="segkit-web-", ignore_cleanup_errors=True) as folder:
            made = Path(folder) / "page"
            shutil.copytree(PAGE, made)
            if artefact is None:
                model.export_to(backend.format.name, output=made / MODEL, report=report, **options)
            else:
                _copy_artefact(backend, artefact, made / MODEL)
            report("writing the page")
            for name, file in runtime.files.items():
                _copy(file, made / RUNTIME / name)
            metadata = _settle(made, backend, runtime, artefact or model.path, title or stem)
            size = _bytes(made)
            place(made, target)
    except OSError as error:
        raise output_error(target, error) from error
    return WebPage(target, size, metadata)


def _in_browser() -> Backend | None:
    """The first format that says how it runs in a browser; whether that is set up is not asked."""
    backends = (entry.backend for entry in default_registry().all() if entry.backend)
    return next((each for each in backends if type(each).web_runtime is not Backend.web_runtime), None)


def _runtime(backend: Backend) -> WebRuntime:
    """What the plugin gives, all of it there.

    Raises:
        PluginError: it is not, or is something else.
        SegkitError: it must be set up first.
    """
    name = backend.format.name
    try:
        runtime = backend.web_runtime()
    except SegkitError:
        raise
    except Exception as error:
        raise PluginError(name, f"asking what runs it in a browser failed ({words(error)})") from error
    if runtime is None or runtime.adapter not in runtime.files:
        raise PluginError(name, "it gives no adapter for a browser")
    if lost := [file for file in runtime.files.values() if not file.is_file()]:
        raise PluginError(name, f"'{lost[0]}', which a browser would run, is not there")
    return runtime


def _artefact(backend: Backend, model: YOLO) -> Path | None:
    """The artefact that the model is, None for weights.

    Raises:
        OptionError: it is neither weights nor of the format that a page runs.
    """
    given, path = model._artefact()
    if given.format.holds_weights:
        return None
    name = backend.format.name
    if given.format.name != name:
        raise OptionError(
            f"A web page runs {name}, and '{path.name}' is {given.format.name}: give weights, or an artefact of {name}."
        )
    match = None if path.is_dir() else backend.recognises(path.parent)
    return path.parent if match and match.confidence == Match.CONTENT else path  # a file of an artefact stands for it


def _check_options(options: dict[str, Any], artefact: Path | None) -> None:
    if artefact is not None and options:
        raise OptionError(f"Option {next(iter(options))} is of an export, and '{artefact.name}' is exported already.")
    if unused := UNUSED & options.keys():
        raise OptionError(
            f"Option {unused.pop()} is not for a web page: it looks at one picture at a time, in one size."
        )


def _stem(backend: Backend, path: Path) -> str:
    name = path.name or path.resolve().name
    suffix = max((each for each in backend.format.suffixes if name.endswith(each)), key=len, default=path.suffix)
    return name.removesuffix(suffix) or name


def _copy_artefact(backend: Backend, artefact: Path, target: Path) -> None:
    """What belongs to it: whatever else lies in its folder, such as a folder of downloads, is not to be published.

    Raises:
        ModelFileError: a part of it is a link to somewhere else, or no file.
        PluginError: nobody knows what belongs to it.
    """
    if not artefact.is_dir():
        _copy(artefact, target)
        return
    if not backend.format.contents:
        raise PluginError(backend.format.name, "it does not say what its folders hold (Format.contents)")
    target.mkdir()
    for name in own_files(backend.format, artefact):
        _copy(artefact / name, target / name)


def _verified(backend: Backend, made: Path, path: Path) -> Metadata:
    """What a copy says about itself, once it is known to be whole.

    Raises:
        ModelFileError: it is damaged, or lacks metadata; it is called by the `path` that the user knows.
    """
    try:
        backend.inspect(made)
        metadata = metadata_of(backend, made)
    except ModelFileError as error:
        raise ModelFileError(path, error.problem) from None
    except SegkitError:
        raise
    except Exception as error:
        name = backend.format.name
        raise ModelFileError(path, f"the plugin of '{name}' fails to inspect it ({words(error)})") from error
    if metadata is None or not metadata.names:
        raise ModelFileError(path, "its metadata name no classes, so a page could not say what it sees")
    return metadata


def _settle(made: Path, backend: Backend, runtime: WebRuntime, path: Path, title: str) -> Metadata:
    """Fill in what the page must know of its model.

    Raises:
        ModelFileError: the model says too little about itself, or is nothing for a page.
    """
    metadata = _verified(backend, made / MODEL, path)
    if metadata.batch != 1 and not metadata.dynamic_batch:
        raise ModelFileError(path, f"it takes {metadata.batch} pictures at a time; a page needs batch=1")
    head = metadata.segkit.head if metadata.segkit else None
    if head.nms if head else metadata.args.get("nms"):
        raise ModelFileError(path, "it selects the objects itself; a page needs a model without nms=True")
    # Another model is at another address: browsers may keep parts of the one before.
    placed = (made / MODEL).rename(made / f"{MODEL}-{sum_of_files(made / MODEL)}")
    index = made / "index.html"
    index.write_text(Template(index.read_text(encoding="utf-8")).substitute(title=escape(title)), encoding="utf-8")
    settings = _settings(metadata, title, _bytes(placed)) | {
        "adapter": f"{RUNTIME}/{runtime.adapter}",
        "model": f"{placed.name}/" if placed.is_dir() else placed.name,
    }
    write_settings(made, settings)
    return metadata


def _settings(metadata: Metadata, title: str, size: int) -> dict[str, Any]:
    from segkit.core.ink.colors import color_of

    height, width = metadata.imgsz
    names = [metadata.names.get(index, f"class {index}") for index in range(max(metadata.names) + 1)]
    colors = ["#{2:02x}{1:02x}{0:02x}".format(*color_of(index)) for index in range(len(names))]
    defaults = PredictArguments()
    return {
        "title": title,
        "about": _about(metadata, size),
        "input": {"height": height, "width": width},
        "stride": metadata.stride,
        "letterbox": metadata.letterbox,
        "head": metadata.segkit.head.model_dump() if metadata.segkit else None,
        "names": names,
        "colors": colors,
        "conf": defaults.conf,
        "iou": defaults.iou,
        "max_det": defaults.max_det,
        "finest": FINEST,
    }


def _about(metadata: Metadata, size: int) -> str:
    height, width = metadata.imgsz
    classes = len(metadata.names)
    facts = [f"{classes} class{'es' if classes > 1 else ''}", f"{width} × {height} pixels", size_of(size)]
    return ", ".join([*facts, str(metadata.precision)])


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _bytes(path: Path) -> int:
    """Of a file, or of all files of a folder."""
    return sum(item.stat().st_size for item in [path, *path.rglob("*")] if item.is_file())
