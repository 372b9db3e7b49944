"""YAML. What is read may be hostile: a few bytes of it keep a parser busy for hours, or crash it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

_VALUES: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEXTS: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_MAX_BYTES = 1 << 20
_MAX_DEPTH = 16
_MAX_SCALAR = 4096
"""Characters of what may be a number: one in base 60 takes the square of its length."""


def read_yaml(path: Path, *, texts: bool = False) -> Any:
    """What a small YAML file holds.

    Args:
        path: the file, in UTF-8.
        texts: values stay texts; otherwise what looks like a number, a truth value or a date becomes one.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no YAML, or has what no plain file needs; why, as a clause that begins with "it" or "one".
    """
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError(f"it is too large: more than {_MAX_BYTES >> 20} MB")
    loader = _TEXTS if texts else _VALUES
    try:
        text = path.read_text(encoding="utf-8")
        problem = _problem(text, loader)
        raw = None if problem else yaml.load(text, Loader=loader)
    except (yaml.YAMLError, ValueError) as error:
        problem = f"it is not YAML ({' '.join(str(error).split())[:160]})"
    if problem:
        raise ValueError(problem)
    return raw


def write_yaml(path: Path, values: Mapping[str, Any]) -> None:
    """Write plain values, in their order, as any reader takes them: in UTF-8, without aliases.

    Raises:
        OSError: it cannot be written.
    """
    text = yaml.dump(dict(values), Dumper=_Plain, allow_unicode=True, sort_keys=False, width=1000)
    path.write_text(text, encoding="utf-8", newline="\n")


class _Plain(yaml.SafeDumper):
    """Values that are the same are written twice: careful readers take no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _problem(text: str, loader: Any) -> str:
    """Why a text is not loaded; empty if nothing speaks against it."""
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH or isinstance(event, yaml.AliasEvent):
            return "it has aliases or nests too deeply, which no description needs"
        if loader is _VALUES and isinstance(event, yaml.ScalarEvent) and len(event.value) > _MAX_SCALAR:
            return f"one of its values is {len(event.value)} characters long"
    return ""
