"""One command as data, and its typer form: the same description makes the grammar, the help and the parsing."""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from segkit.cli.argv import Grammar, Kind, Positional
from segkit.cli.output import Output

if TYPE_CHECKING:
    from segkit.core.backend.options import OptionRow

Values = dict[str, Any]
"""What the user gave, and only that: flags as bool, lists as list[str], everything else as str."""

_OFF = "no__"
"""Begins the parameter that holds the negative of a flag."""

_TYPES = {Kind.FLAG: bool | None, Kind.VALUE: str | None, Kind.LIST: list[str] | None}


@dataclass(frozen=True)
class Option:
    """An option as the help shows it. Values stay text: the sdk's models check them, in one place for every caller.

    `choices` are values that a shell may offer, where the type does not name them. `hidden` options are understood, so
    that they can be answered with a reason, but not offered.
    """

    name: str
    kind: Kind
    help: str
    type: str = "str"
    default: str = ""
    panel: str = "Options"
    hidden: bool = False
    choices: tuple[str, ...] = ()

    def values(self) -> tuple[str, ...]:
        """Values that can be named: the choices, or those that a flag or a type such as "fp32|fp16" has."""
        if self.kind is Kind.FLAG:
            return ("True", "False")
        return self.choices or (tuple(self.type.split("|")) if "|" in self.type else ())


@dataclass(frozen=True)
class Argument:
    """A value given by place or by name; `choices` are what a shell may offer, where it is not a file."""

    rule: Positional
    help: str
    choices: tuple[str, ...] = ()


def from_rows(rows: Iterable[OptionRow], panel: str = "Options") -> tuple[Option, ...]:
    """Options as the sdk describes them."""
    return tuple(Option(row.name, _kind(row.type), row.help, row.type, row.default, panel) for row in rows)


def _kind(type_name: str) -> Kind:
    if type_name == "bool":
        return Kind.FLAG
    return Kind.LIST if type_name.startswith("list") else Kind.VALUE


COMMON = (
    Option("json", Kind.FLAG, "print one JSON document on stdout, errors included", panel="Everywhere"),
    Option("debug", Kind.FLAG, "show the traceback of an error", panel="Everywhere"),
)


@dataclass(frozen=True)
class Command:
    """A command: what it takes and does. `where` names it in errors; `details` and `epilog` are for the help.

    `run` gives an exit code where it is not 0.
    """

    name: str
    where: str
    run: Callable[[Values, Output], int | None]
    arguments: tuple[Argument, ...] = ()
    options: tuple[Option, ...] = ()
    details: str = ""
    epilog: str = ""

    def grammar(self) -> Grammar:
        """What the argv normaliser must know."""
        options = (*self.options, *COMMON)
        arguments = tuple(argument.rule for argument in self.arguments)
        advertised = (*(rule.name for rule in arguments), *(option.name for option in options if not option.hidden))
        return Grammar(self.name, self.where, arguments, {option.name: option.kind for option in options}, advertised)

    def values(self) -> dict[str, tuple[str, ...]]:
        """Option or argument → values that a shell may offer for it."""
        named = {argument.rule.name: argument.choices for argument in self.arguments}
        return named | {option.name: option.values() for option in (*self.options, *COMMON)}

    def add_to(self, app: typer.Typer, summary: str) -> None:
        """Register it; its help begins with `summary`.

        The function that typer calls only hands the values back: `run` happens outside of typer.
        """

        def parse(**values: Any) -> Values:
            for option in COMMON:
                del values[option.name]
            given = {name: value for name, value in values.items() if value not in (None, [], ())}
            return {
                name.removeprefix(_OFF).removesuffix("_"): False if name.startswith(_OFF) else value
                for name, value in given.items()
            }

        options = (*self.options, *COMMON)
        flags = [option for option in self.options if option.kind is Kind.FLAG]
        parameters = [*map(_argument, self.arguments), *map(_option, options), *map(_negation, flags)]
        parse.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # what typer reads
        parse.__annotations__ = {}
        app.command(self.name, help=f"{summary}\n\n{self.details}".strip(), epilog=self.epilog or None)(parse)


def _argument(argument: Argument) -> inspect.Parameter:
    rule = argument.rule
    info = typer.Argument(... if rule.required else None, metavar=rule.name.upper(), help=_plain(argument.help))
    annotation = list[str] if rule.many else str if rule.required else str | None
    return inspect.Parameter(rule.name, inspect.Parameter.KEYWORD_ONLY, default=info, annotation=annotation)


def _option(option: Option) -> inspect.Parameter:
    # typer only sees None: what is not given is left to the sdk's own default, which is written out here.
    default = option.default if option.kind is not Kind.FLAG else {"True": "on"}.get(option.default, "")
    info = typer.Option(
        None,
        "--" + option.name.replace("_", "-"),
        help=_plain(option.help) + (f" [dim](default: {default})[/dim]" if default else ""),
        metavar="" if option.kind is Kind.FLAG else option.type,
        show_default=False,
        rich_help_panel=option.panel,
        hidden=option.hidden,
    )
    name = option.name + "_" * keyword.iskeyword(option.name)  # --from and --class name no parameter of Python
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=info, annotation=_TYPES[option.kind])


def _negation(option: Option) -> inspect.Parameter:
    """`--no-save` beside `--save`: understood, but not a line of its own in the help."""
    info = typer.Option(None, "--no-" + option.name.replace("_", "-"), hidden=True)
    return inspect.Parameter(_OFF + option.name, inspect.Parameter.KEYWORD_ONLY, default=info, annotation=bool | None)


def _plain(text: str) -> str:
    """Text that rich does not take for markup."""
    return re.sub(r"\[(?=[a-zA-Z/@#])", r"\\[", text)
