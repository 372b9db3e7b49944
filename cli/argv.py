"""From what people type to what typer parses: both grammars of the command line, in one pure function each.

    segkit segment predict model=a.pt source=b.jpg conf=0.5 classes=[0,2] save
    segkit predict a.pt b.jpg --conf 0.5 --classes 0 --classes 2 --save

become `predict --conf=0.5 --classes=0 --classes=2 --save -- a.pt b.jpg`. Nothing else in segkit knows these rules:

* `joined` closes the gaps in `conf = 0.5`; `split` finds the command; `peek` and `switched_on` look at one name before
  the command's grammar is known.
* `normalise` needs a `Grammar`, checks every name, and gives the canonical form; on canonical input it changes nothing.

In names `-` and `_` mean the same. A word of the form `name=value` is always an option: a file of such a name is
written `./name=value`, as a folder named like a flag is written `./save`. After `--` every word stands for itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import zip_longest

from segkit.core.errors import InputError, OptionError, did_you_mean

TASK = "segment"
"""The one task; its word is optional everywhere."""

PASSED_ON = ("--install-completion", "--show-completion")
"""Words that typer handles itself."""

_PAIR = re.compile(r"([A-Za-z][\w-]*)=(.*)", re.DOTALL)
_NAME = re.compile(r"(--)?[A-Za-z][\w-]*")
_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})


class Kind(StrEnum):
    """What follows an option's name."""

    FLAG = "flag"
    VALUE = "value"
    LIST = "list"


@dataclass(frozen=True)
class Positional:
    """A value that may be given without its name; `many` takes all words that are left."""

    name: str
    required: bool = True
    many: bool = False


@dataclass(frozen=True)
class Grammar:
    """What one command accepts. Names are Python's (`max_det`); `advertised` are those that an error may suggest."""

    command: str
    where: str
    positionals: tuple[Positional, ...] = ()
    options: Mapping[str, Kind] = field(default_factory=dict)
    advertised: tuple[str, ...] = ()


@dataclass
class _Given:
    """What was read so far; an option's later value replaces an earlier one, lists grow."""

    options: dict[str, list[str]] = field(default_factory=dict)
    named: dict[str, list[str]] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)


def joined(words: Sequence[str]) -> list[str]:
    """`conf = 0.5`, `conf= 0.5` and `conf =0.5` as the `conf=0.5` that they mean; what follows `--` stays as it is."""
    out: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*out, word, *rest]
        if word.startswith("=") and out and _NAME.fullmatch(out[-1]):
            word = out.pop() + word
        name, equals, value = word.partition("=")
        if equals and not value and rest and _NAME.fullmatch(name) and not _begins_option(rest[0]):
            word += rest.pop(0)
        out.append(word)
    return out


def _begins_option(word: str) -> bool:
    return word.startswith(("--", "=")) or _PAIR.fullmatch(word) is not None


def split(
    argv: Sequence[str], commands: Sequence[str], others: Callable[[str], object] = lambda word: False
) -> tuple[str | None, list[str]]:
    """(command, its words) of a command line; the command is None where only the general help is wanted.

    `others` is asked whether a word is a command that is not in the list.

    Raises:
        InputError: there is no command, or an unknown one.
    """
    before: list[str] = []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if before and before[-1] in ("--task", "--mode"):
            before.append(word)
        elif word in ("-V", "--version"):
            return "version", [*before, "--short"]
        elif word in PASSED_ON or (word in ("-h", "--help") and peek(argv, "mode") is None):
            return None, [word, *rest]
        elif word == TASK:
            continue
        elif word == "help":
            return (_known(rest[0], commands, others), ["--help"]) if rest else (None, ["--help"])
        elif word.startswith("-") or _PAIR.fullmatch(word):
            before.append(word)
        elif (mode := peek(before, "mode")) is not None:
            return _known(mode, commands, others), [*before, word, *rest]
        else:
            return _known(word, commands, others), [*before, *rest]
    if (mode := peek(before, "mode")) is not None:
        return _known(mode, commands, others), before
    if all(_name_of(word) in ("json", "debug") for word in before):
        return None, ["--help"]
    raise InputError(
        f"No command given. Known: {', '.join(commands)}. Example: segkit predict model=MODEL source=PICTURE"
    )


def peek(words: Sequence[str], name: str) -> str | None:
    """The last value given to `name`, in either grammar, before the command's own grammar is known; None if absent."""
    value = None
    words = _before_separator(words)
    for word, following in zip_longest(words, words[1:]):
        if _name_of(word) == name:
            if "=" in word:
                value = word.partition("=")[2]
            elif word.startswith("--") and following is not None:
                value = following
    return value


def names(words: Sequence[str]) -> set[str]:
    """All that is given by name, flags without their "no", before the command's own grammar is known."""
    given = [word for word in _before_separator(words) if word.startswith("--") or _PAIR.fullmatch(word)]
    return {_name_of(word).removeprefix("no_") for word in given}


def switched_on(words: Sequence[str], name: str) -> bool:
    """Whether the flag `name` is on, before the command's own grammar is known."""
    on = False
    for word in _before_separator(words):
        if _name_of(word) == name:
            on = word.partition("=")[2].lower() in _TRUE if "=" in word else True
    return on


def normalise(words: Sequence[str], grammar: Grammar) -> list[str]:
    """The canonical form of a command's words: `[command, --name=value…, --flag…, --, positionals…]`.

    Raises:
        OptionError: a name is unknown, or a value is missing or malformed.
        InputError: a positional is missing, or there are too many.
    """
    if any(word in ("-h", "--help") for word in _before_separator(words)):
        return [grammar.command, "--help"]
    given = _Given()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            given.words += rest
            break
        if pair := _PAIR.fullmatch(word):
            _take(given, grammar, pair[1], pair[2])
        elif word.startswith("-") and word != "-":
            _take_dashed(given, grammar, word, rest)
        elif resolved := _resolve_flag(grammar, word):
            given.options[resolved[0]] = [_flag_word(resolved[0], resolved[1])]
        else:
            _refuse_bare_name(grammar, word)
            given.words.append(word)
    _check_task(given, grammar)
    positionals = _place(given, grammar)
    options = [word for words in given.options.values() for word in words]
    return [grammar.command, *options, *(["--", *positionals] if positionals else [])]


def _take_dashed(given: _Given, grammar: Grammar, word: str, rest: list[str]) -> None:
    """Read `--name`, `--name=value` or `--name value`; the value is taken off `rest`."""
    name, equals, value = word.removeprefix("--").partition("=")
    if not word.startswith("--"):
        raise OptionError.unknown(word, grammar.advertised, grammar.where)
    if equals:
        _take(given, grammar, name, value)
    elif flag := _resolve_flag(grammar, name):
        # `--save False`: a truth value right after a flag belongs to it.
        on = rest.pop(0).lower() == "true" if rest and rest[0].lower() in ("true", "false") else True
        given.options[flag[0]] = [_flag_word(flag[0], on is flag[1])]
    else:
        key = _resolve(grammar, name)
        if not rest or rest[0].startswith("--"):
            raise OptionError(f"Option '--{name}' of {grammar.where} needs a value, e.g. {key}=VALUE.")
        _take(given, grammar, key, rest.pop(0))


def _refuse_bare_name(grammar: Grammar, word: str) -> None:
    """`conf 0.5`: taken for two files, the run would go on without them and with another confidence."""
    key = word.replace("-", "_")
    if key in grammar.options or any(item.name == key for item in grammar.positionals):
        raise OptionError(
            f"'{word}' is an option of {grammar.where} and needs a value: {key}=VALUE. "
            f"If you mean a file or folder of that name, write ./{word}."
        )


def _take(given: _Given, grammar: Grammar, name: str, value: str) -> None:
    """Read a name with its value."""
    if flag := _resolve_flag(grammar, name):
        key, positive = flag
        given.options[key] = [_flag_word(key, _truth(key, value) is positive)]
        return
    key = _resolve(grammar, name)
    positional = next((item for item in grammar.positionals if item.name == key), None)
    if positional and positional.many:
        given.named.setdefault(key, []).append(value)
    elif positional and key in given.named:
        raise OptionError(f"Option '{key}' of {grammar.where} is given twice: {given.named[key][0]!r} and {value!r}.")
    elif positional:
        given.named[key] = [value]
    elif grammar.options.get(key) is Kind.LIST and value != "None":
        given.options.setdefault(key, []).extend(f"{_dashed(key)}={item}" for item in _items(key, value))
    elif value == "None":  # Python's word for "as if it were not given"
        given.options.pop(key, None)
    else:
        given.options[key] = [f"{_dashed(key)}={value}"]


def _resolve(grammar: Grammar, name: str) -> str:
    """The option or positional that `name` means."""
    key = name.replace("-", "_")
    if key in grammar.options or key in ("task", "mode") or any(item.name == key for item in grammar.positionals):
        return key
    raise OptionError.unknown(name, grammar.advertised, grammar.where)


def _resolve_flag(grammar: Grammar, name: str) -> tuple[str, bool] | None:
    """(flag, whether it is meant positively) for `save`, `no-save`, `no_save`; None for everything else."""
    key = name.replace("-", "_")
    if grammar.options.get(key) is Kind.FLAG:
        return key, True
    negated = key.removeprefix("no_")
    if negated != key and grammar.options.get(negated) is Kind.FLAG and key not in grammar.options:
        return negated, False
    return None


def _check_task(given: _Given, grammar: Grammar) -> None:
    """Take `task=` and `mode=` out again; they may only confirm what is known."""
    for name, expected in (("task", TASK), ("mode", grammar.command)):
        for word in given.options.pop(name, []):
            value = word.partition("=")[2]
            if value != expected:
                raise OptionError.invalid(name, value, f"here it can only be '{expected}'")


def _place(given: _Given, grammar: Grammar) -> list[str]:
    """The positionals in order: those given by name stay where they are, words fill the rest."""
    words = list(given.words)
    placed: list[str] = []
    for item in grammar.positionals:
        values = given.named.get(item.name, [])
        if item.many:
            values, words = [*values, *words], []
        elif not values and words:
            values = [words.pop(0)]
        if not values and item.required:
            raise InputError(f"{item.name.upper()} is missing for {grammar.where}: give {item.name}=…, or see --help.")
        if "" in values:
            raise OptionError.invalid(item.name, "", "it is empty")
        placed += values
    if words:
        hint = did_you_mean(words[0], grammar.advertised)
        raise InputError(f"Unexpected '{words[0]}' for {grammar.where}: an option is written name=value.{hint}")
    return placed


def _items(key: str, value: str) -> Iterator[str]:
    """The items of `[0,2]`, `(0, 2)`, `0,2` or `['a', "b"]`."""
    text = value.strip()
    if text[:1] + text[-1:] in ("[]", "()"):
        text = text[1:-1]
    items = [item.strip().strip("'\"") for item in text.split(",")]
    if not any(items):
        raise OptionError.invalid(key, value, "give at least one item, e.g. 0,2")
    return (item for item in items if item)


def _truth(key: str, value: str) -> bool:
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE or value == "None":
        return False
    raise OptionError.invalid(key, value, "give true or false")


def _known(word: str, commands: Sequence[str], others: Callable[[str], object]) -> str:
    if word in commands or others(word):
        return word
    raise InputError(f"Unknown command '{word}'.{did_you_mean(word, commands)} Known: {', '.join(commands)}.")


def _name_of(word: str) -> str:
    """The name in `name`, `name=value`, `--name` or `--name=value`, in Python's spelling."""
    return word.removeprefix("--").partition("=")[0].replace("-", "_")


def _before_separator(words: Sequence[str]) -> list[str]:
    return list(words[: list(words).index("--")]) if "--" in words else list(words)


def _dashed(key: str) -> str:
    return "--" + key.replace("_", "-")


def _flag_word(key: str, on: bool) -> str:
    return _dashed(key) if on else _dashed(f"no_{key}")
