"""`segkit formats`: what every format can do and needs; `segkit formats onnx`: everything about one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from segkit.cli.argv import Positional
from segkit.cli.command import Argument, Command, Values
from segkit.cli.output import Output

if TYPE_CHECKING:
    from segkit._formats import FormatInfo, Need
    from segkit.core.backend.options import OptionRow

EPILOG = """[bold]Examples[/bold]
  segkit formats            all formats, with the reason for every gap
  segkit formats onnx       one format: every option, its gaps, what it needs
  segkit formats --json     the same for a program"""

TABLE_WIDTH, OPTIONS_WIDTH = 100, 80
"""Columns below which a table becomes one block a row."""

COLUMNS = ("export", "predict", "half", "int8", "dynamic", "nms")


def command(words: Sequence[str]) -> Command:
    """The command."""
    from segkit import formats

    names = tuple(info.name for info in formats())
    name = Argument(Positional("name", required=False), "show this format alone, with its options", names)
    return Command("formats", "formats", run, (name,), epilog=EPILOG)


def run(values: Values, output: Output) -> None:
    """Show one format or all of them."""
    if "name" in values:
        _show_one(values["name"], output)
    else:
        _show_all(output)


def _show_all(output: Output) -> None:
    from segkit import formats

    infos = formats()
    if output.json:
        output.document({"formats": [_overview(info) for info in infos]})
        return
    usable = [info for info in infos if not info.error]
    if output.console.width >= TABLE_WIDTH:
        table = output.table("format", "artefact", "installed", *COLUMNS)
        for info in usable:
            table.add_row(info.name, _artefact(info), _installed(info), *_marks(info))
        output.show(table)
    else:
        for info in usable:
            facts = zip(
                ("artefact", "installed", *COLUMNS), (_artefact(info), _installed(info), *_marks(info)), strict=True
            )
            output.block(info.title, (f"{name:10} {value}" for name, value in facts))
    output.block("To install what is missing", _missing(usable), paste=True)
    for info in usable:
        output.block(f"{info.name} does not have", _gaps(info))
    output.block("Broken plugins", (f"{info.name} ({info.distribution}): {info.error}" for info in infos if info.error))
    output.line()
    output.line("Every option of a format: segkit formats NAME")


def _show_one(name: str, output: Output) -> None:
    from segkit._formats import format_info

    info = format_info(name)
    if output.json:
        options = {key: [row._asdict() for row in getattr(info, key)] for key in ("options", "load_options")}
        output.document(_overview(info) | options)
        return
    facts = {"name": ", ".join((info.name, *info.aliases)), "artefact": _artefact(info), "made from": info.source}
    output.block(info.title, (f"{label:10} {value}" for label, value in facts.items() if value))
    _options(f"Options of segkit export format={info.name}", info.options, output)
    _options("Options when segkit runs such a file", info.load_options, output)
    output.block("Gaps", _gaps(info))
    output.block("Needs", map(_need, info.needs))
    output.block("Commands of its own", (f"segkit {info.name} {name}  # {about}" for name, about in info.commands))
    output.block("To install what is missing", _missing([info]), paste=True)


def _need(need: Need) -> str:
    found = " ".join(need.installed) if need.installed else "not installed"
    found += ", which will not do" if need.installed and not need.met else ""
    return f"{need.requirement} for {', '.join(need.needed_for)}: {found}"


def _options(title: str, rows: Sequence[OptionRow], output: Output) -> None:
    """A table of options, or one block an option on a narrow terminal."""
    if output.console.width < OPTIONS_WIDTH:
        output.block(title, (f"{row.name} ({row.type}) {row.default}: {row.help}" for row in rows))
    elif rows:
        output.block(title)
        table = output.table("option", "type", "default", "help")
        for row in rows:
            table.add_row(row.name, row.type, row.default, row.help)
        output.show(table)


def _overview(info: FormatInfo) -> dict[str, object]:
    """A format for machines; a gap is an object with kind and reason, a feature that works is true."""
    if info.error:
        return {"name": info.name, "distribution": info.distribution, "error": info.error}
    plain = {key: value for key, value in asdict(info).items() if key not in ("options", "load_options")}
    support = {
        name: dict(zip(("kind", "reason"), gap, strict=True)) if gap else True for name, gap in info.support.items()
    }
    return plain | {"installed": not info.install, "support": support}


def _artefact(info: FormatInfo) -> str:
    return info.artefact.format(stem="model")


def _installed(info: FormatInfo) -> str:
    """Short, because the lines for pip stand below the table, whole and ready to paste."""
    offered = [feature for feature in ("export", "predict") if info.support[feature] is None]
    ready = [feature for feature in offered if feature not in info.install]
    return "yes" if ready == offered else f"for {ready[0]}" if ready else "no"


def _missing(infos: Iterable[FormatInfo]) -> Iterable[str]:
    """Each line for pip once, with what it is for."""
    purposes: dict[str, list[str]] = {}
    for info in infos:
        for feature, line in info.install.items():
            purposes.setdefault(line, []).append(f"{info.name} {feature}")
    return (f"{line}  # {', '.join(what)}" for line, what in purposes.items())


def _marks(info: FormatInfo) -> list[str]:
    yes = {name: "-" if gap else "yes" for name, gap in info.support.items()}
    batch, size = yes["dynamic batch"], yes["dynamic size"]
    yes["dynamic"] = batch if batch == size else "batch" if batch == "yes" else "size"
    return [yes[column] for column in COLUMNS]


def _gaps(info: FormatInfo) -> Iterable[str]:
    return (f"{name} ({gap[0]}): {gap[1]}" for name, gap in info.support.items() if gap)
