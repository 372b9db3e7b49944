"""The command line as a whole: find the command, parse, run, and turn every error into one line and an exit code.

Exit codes: 0 done, 1 failure, 2 what was given cannot be used, 130 interrupted. A command's module is imported when
that command is asked for; the general help knows only the table below.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import typer
import typer.main

from segkit.cli import brought
from segkit.cli.argv import PASSED_ON, joined, normalise, split, switched_on
from segkit.cli.command import Command
from segkit.cli.completion import complete, use_own_script
from segkit.cli.output import Output, prepare_streams
from segkit.core.errors import OutputError, SegkitError

SUMMARIES = {
    "predict": "Find and outline objects in pictures.",
    "export": "Convert a model to another format.",
    "web": "Write a web page that runs a model in the browser.",
    "formats": "Show what every format can do and needs, and its options.",
    "info": "Show layers, parameters and GFLOPs of a model.",
    "inspect": "Show what any file says about itself: format, tensors, writer, metadata.",
    "train": "Train a model on a labelled data set.",
    "tune": "Search for the arguments with which training a model succeeds best.",
    "val": "Score a model on a labelled data set: box and mask AP, as COCO counts them.",
    "benchmark": "Score and time every format of a model on a data set.",
    "data": "Check, convert, split, show and fetch data sets.",
    "compare": "Compare what models see in the same pictures, object by object.",
    "conformance": "Hold every format against PyTorch, stage by stage, and report what was found.",
    "demo": "Train a tiny model on generated shapes, export it to every format, and show it all on a page.",
    "plugin": "Write a plugin that adds a format.",
    "doctor": "Check this installation: versions, devices, what can run and why not.",
    "version": "Show the versions of segkit and of the runtimes it can use.",
}
"""Every command; each is a module of this package with a function `command(words)`, or a group of commands."""

GROUPS: Mapping[str, Mapping[str, str]] = {
    "data": {
        "check": "Find every fault in a data set's pictures and labels.",
        "list": "Show the data sets that have a name, and which are here.",
        "get": "Fetch a data set that has a name.",
        "convert": "Convert labels: COCO, mask pictures, LabelMe, CVAT, Pascal VOC; and back to COCO.",
        "split": "Divide a data set into train, val and test.",
        "show": "Draw a sheet of samples with their labels, as training sees them.",
        "shapes": "Generate a data set of shapes with exact masks.",
    },
    "plugin": {
        "new": "Write the skeleton of a plugin: a format that works and passes conformance.",
    },
}
"""Groups of commands: each is a package of this one, with a module a command."""

HELP = "Instance segmentation that runs anywhere: predict with a model, or export it to a file that runs elsewhere."

EPILOG = """[bold]Examples[/bold]
  segkit predict model=yolov8n-seg.pt source=bus.jpg
  segkit predict yolov8n-seg.onnx pictures/ --conf 0.5 --save-txt
  segkit train data=coco128-seg.yaml model=yolov8n-seg.pt epochs=100
  segkit export yolov8n-seg.pt --format onnx --half
  segkit compare yolov8n-seg.pt yolov8n-seg.onnx source=bus.jpg
  segkit doctor

Write options as name=value or as --name value. [bold]segkit COMMAND --help[/bold] lists those of a command."""

PROGRAM = "segkit"
HELP_NAMES = ["-h", "--help"]
COMPLETING = f"_{PROGRAM.upper()}_COMPLETE"
"""Variable by which a shell's script asks for completions; typer's convention."""


def run(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code; nothing is raised."""
    prepare_streams()
    output = Output(json=switched_on(argv, "json"), debug=switched_on(argv, "debug"))
    try:
        # A toolchain's chatter must not get into the document.
        with contextlib.redirect_stdout(output.text):
            code = _dispatch(argv, output)
        sys.stdout.flush()
        return code
    except SystemExit as exit_:  # rich and typer leave this way when the reader of a pipe has gone
        return exit_.code if isinstance(exit_.code, int) else 1
    except KeyboardInterrupt:
        output.failure("KeyboardInterrupt", "interrupted.")
        return 130
    except BrokenPipeError:
        # Python flushes stdout once more at exit; give it something that takes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except SegkitError as error:
        output.failure(type(error).__name__, str(error), error)
        return error.exit_code
    except Exception as error:
        return _unexpected(error, output)


def application(command: Command | None = None, group: str = "") -> typer.Typer:
    """The typer application, or one of its groups, with `command` in full; the others only have their summaries."""
    app = typer.Typer(
        name=_program(group),
        help=SUMMARIES.get(group, f"Commands of the format {group}.") if group else HELP,
        epilog=None if group else EPILOG,
        callback=_not_loaded,  # typer takes a group of one command for that command otherwise
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": HELP_NAMES},
    )
    for name, summary in _table(group).items():
        if command and command.name == name:
            command.add_to(app, summary)
        else:
            app.command(name, help=summary)(_not_loaded)
    return app


def parser(app: typer.Typer) -> Any:
    """What typer makes of the application. It writes `<bool>` behind flags of its own; ours have nothing there."""
    made: Any = typer.main.get_command(app)
    for each in (made, *getattr(made, "commands", {}).values()):
        context = typer.Context(each, help_option_names=HELP_NAMES)
        for parameter in (*each.params, each.get_help_option(context)):
            if getattr(parameter, "is_flag", False) and parameter.metavar is None:
                parameter.metavar = ""
    return made


def _not_loaded() -> None:
    """Stands for a command that was not asked for."""


def load(name: str, words: Sequence[str] = (), group: str = "") -> Command:
    """A command in full; `words` are those that follow it (the options of export depend on them)."""
    if group and group not in GROUPS:
        return brought.command(group, name)
    module = importlib.import_module(".".join(filter(None, ("segkit.cli", group, name))))
    command: Command = module.command(words)
    return command


def _dispatch(argv: Sequence[str], output: Output) -> int:
    if COMPLETING in os.environ:
        return complete(SUMMARIES, GROUPS, load, COMPLETING)
    if set(PASSED_ON) & {word.partition("=")[0] for word in argv}:
        use_own_script()
    group = ""
    name, words = split(joined(argv), list(SUMMARIES), brought.table)
    if name is not None and (name in GROUPS or name not in SUMMARIES):
        first, (name, words) = name, split(words, list(_table(name)))
        group = first if name in (None, *_table(first)) else ""  # --version is everywhere the same
    command = load(name, words, group) if name else None
    canonical = normalise(words, command.grammar()) if command else words
    values = parser(application(command, group))(canonical, prog_name=_program(group), standalone_mode=False)
    if command and isinstance(values, dict):
        return command.run(values, output) or 0
    return values if isinstance(values, int) else 0


def _program(group: str) -> str:
    return f"{PROGRAM} {group}".strip()


def _table(group: str) -> Mapping[str, str]:
    if not group:
        return SUMMARIES
    return GROUPS[group] if group in GROUPS else brought.table(group)


def _unexpected(error: Exception, output: Output) -> int:
    """An error that nobody raised on purpose."""
    if show := getattr(error, "format_message", None):  # typer's own: the type's home differs between its versions
        output.failure(type(error).__name__, show(), error)
        return 2
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):  # met where nobody names a file
        full = OutputError(error.filename or "standard output", "the disk is full")
        output.failure(type(full).__name__, str(full), error)
        return full.exit_code
    kind = type(error).__name__
    detail = (str(error).splitlines() or [""])[0]
    hint = "" if output.debug else " Run again with --debug for the traceback."
    output.failure(kind, f"something unexpected happened ({kind}: {detail}).{hint}", error)
    return 1
