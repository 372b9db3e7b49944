"""What the shell offers for a half-written command line, in both grammars; and how each shell wants to hear it.

typer installs the scripts that call this (`--install-completion`), and sets the variables that are read here. Its own
answers know neither `name=value` nor the values that an option can have.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segkit.cli.argv import TASK, Kind, joined, split
from segkit.cli.command import Command
from segkit.core.errors import SegkitError

_VALUE = re.compile(r"((?:--)?[A-Za-z][\w-]*=)(.*)", re.DOTALL)
GENERAL = ("--help", "--version", "--install-completion", "--show-completion")

Load = Callable[[str, Sequence[str], str], Command]
"""Name of a command, the words that follow it, and the group that it is of (or "") → the command."""

Groups = Mapping[str, Iterable[str]]
"""Name of a group → names of its commands."""


@dataclass(frozen=True)
class Line:
    """The words before the cursor's, and the cursor's own as far as it is written.

    `cut` of its first characters stand in the shell's eyes in front of the word: bash ends a word at every "=".
    """

    before: tuple[str, ...]
    current: str
    cut: int = 0


def offers(line: Line, commands: Iterable[str], groups: Groups, load: Load, group: str = "") -> list[str]:
    """Whole words that may stand where the cursor is; none where only a file name may (the shell knows those)."""
    words = joined(line.before)
    try:
        name, after = split(words, list(commands))
    except SegkitError:
        name, after = None, words
    if name is not None and name in groups:
        return offers(Line(tuple(after), line.current, line.cut), groups[name], {}, load, name)
    if name is None or name not in words:
        known = (*commands, *(() if group else (TASK, "help"))) if not line.current.startswith("-") else GENERAL
        return _beginning(line.current, known)
    if "--" in after:
        return []
    try:
        command = load(name, [*after, "--help"], group)
    except SegkitError:  # a format that does not exist, say
        command = load(name, ["--help"], group)
    return list(_in_command(command, words, line.current))


def _in_command(command: Command, before: Sequence[str], current: str) -> Iterator[str]:
    values = command.values()
    if written := _VALUE.fullmatch(current):
        stem, begun = written.groups()
        key = stem.strip("-=").replace("-", "_")
        yield from (stem + value for value in _beginning(begun, values.get(key, ())))
        return
    if key := _awaiting(command, before[-1]):
        yield from _beginning(current, values.get(key, ()))
        return
    if not current:
        # A file is what comes next most often; a command that takes none has the names of its arguments to offer.
        yield from (value for name in command.grammar().positionals for value in values.get(name.name, ()))
        return
    names = list(_names(command, current.startswith("-")))
    values_by_place = [value for item in command.grammar().positionals for value in values.get(item.name, ())]
    found = _beginning(current, [*names, *values_by_place])
    yield from found
    if found and not current.startswith("-"):
        yield from _files(current)


def _awaiting(command: Command, last: str) -> str | None:
    """The name whose value the next word is, after `--format` or `format =`."""
    key = last.removeprefix("--").removesuffix("=").replace("-", "_")
    if last.endswith("="):
        return key
    takes = command.grammar().options.get(key) in (Kind.VALUE, Kind.LIST)
    return key if takes and last.startswith("--") and "=" not in last else None


def _names(command: Command, dashed: bool) -> Iterator[str]:
    """Names that a command knows, as the grammar in use writes them: `--conf`, or `conf=`."""
    grammar = command.grammar()
    for name in grammar.advertised:
        flag = grammar.options.get(name) is Kind.FLAG
        if dashed and name in grammar.options:
            yield "--" + name.replace("_", "-")
        elif not dashed:
            yield name if flag else f"{name}="
    if dashed:
        yield "--help"


def _beginning(start: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(start)]


def _files(start: str) -> Iterator[str]:
    """Files and folders that begin so: where a name matches, the shell no longer looks for them itself."""
    folder, _, name = start.rpartition("/")
    try:
        found = sorted(path for path in Path(f"{folder}/" if folder or start[:1] == "/" else ".").iterdir())
    except OSError:
        return
    for path in found:
        if path.name.startswith(name) and not path.name.startswith("."):
            stem = f"{folder}/{path.name}" if "/" in start else path.name
            yield stem + ("/" if path.is_dir() else "")


def answer(
    shell: str, environment: Mapping[str, str], commands: Iterable[str], groups: Groups, load: Load
) -> tuple[str, int]:
    """(text for the shell's script, exit code), from the variables that the script sets.

    Args:
        shell: what follows "complete_" in typer's variable.
        environment: of the process.
        commands: names of all commands and groups.
        groups: the commands of each group.
        load: makes one of them.
    """
    line = _bash(environment) if shell == "bash" else _others(shell, environment)
    found = offers(line, commands, groups, load)
    if shell == "zsh":
        return _for_zsh(found, line.current), 0
    if shell == "fish" and environment.get("_TYPER_COMPLETE_FISH_ACTION") == "is-args":
        return "", 0 if found else 1
    if shell in ("powershell", "pwsh"):
        return "\n".join(f"{word}::: " for word in found), 0
    return "\n".join(word[line.cut :] for word in found), 0


def _bash(environment: Mapping[str, str]) -> Line:
    """The words as bash cuts them: `format=on` is three, and the last one alone will be replaced."""
    words = environment.get("COMP_WORDS", "").split("\n")
    at = int(environment.get("COMP_CWORD", "0") or 0)
    if len(words) == 1:  # a caller that sets them by hand
        words = _split(words[0])
    words += [""] * (at + 1 - len(words))
    current = words[at]
    if current == "=" and at > 1:
        whole = f"{words[at - 1]}="
        return Line(tuple(words[1 : at - 1]), whole, len(whole))
    if at > 2 and words[at - 1] == "=":
        stem = f"{words[at - 2]}="
        return Line(tuple(words[1 : at - 2]), stem + current, len(stem))
    return Line(tuple(words[1:at]), current)


def _others(shell: str, environment: Mapping[str, str]) -> Line:
    """The line as zsh, fish and PowerShell give it: up to the cursor, with the program's name."""
    text = environment.get("_TYPER_COMPLETE_ARGS", "")
    words = _split(text)[1:]
    open_word = environment.get("_TYPER_COMPLETE_WORD_TO_COMPLETE", "") if "shell" in shell or shell == "pwsh" else None
    unfinished = bool(open_word) if open_word is not None else not text.endswith((" ", "\t"))
    current = words.pop() if words and unfinished else ""
    return Line(tuple(words), current)


def _split(text: str) -> list[str]:
    """Words of a line whose last quote may still be open."""
    for closing in ("", "'", '"', "\\"):
        try:
            return shlex.split(text + closing)
        except ValueError:
            continue
    return text.split()


def _for_zsh(found: Sequence[str], current: str) -> str:
    """Code for zsh: what ends in "=" or "/" gets no space behind it; after a "=", files of that beginning."""
    if not found:
        return "compset -P '*='; _files" if _VALUE.fullmatch(current) else "_files"
    open_, whole = [[word for word in found if word.endswith(("=", "/")) is kind] for kind in (True, False)]
    lines = []
    if open_:
        lines.append(f"compadd -Q -S '' -- {shlex.join(open_)}")
    if whole:
        lines.append(f"compadd -Q -- {shlex.join(whole)}")
    return "; ".join(lines)


BASH_SCRIPT = """
%(complete_func)s() {
    local IFS=$'\\n'
    COMPREPLY=( $( env COMP_WORDS="${COMP_WORDS[*]}" \\
                   COMP_CWORD=$COMP_CWORD \\
                   %(autocomplete_var)s=complete_bash $1 ) )
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=/] ]] && compopt -o nospace
    return 0
}

complete -o default -F %(complete_func)s %(prog_name)s
"""
"""typer's own script but for the line with `nospace`: after `model=` the value follows, not a space."""


def use_own_script() -> None:
    """Have typer show and install `BASH_SCRIPT`; a typer that keeps its scripts elsewhere goes on with its own."""
    try:
        from typer import _completion_shared as shared

        shared._completion_scripts["bash"] = BASH_SCRIPT
    except (ImportError, AttributeError, KeyError):
        return


def complete(commands: Iterable[str], groups: Groups, load: Load, variable: str) -> int:
    """Answer the script that has set `variable`; gives the exit code."""
    shell = os.environ[variable].removeprefix("complete_")
    text, code = answer(shell, os.environ, commands, groups, load)
    if text:
        sys.stdout.write(text + "\n")
    return code
