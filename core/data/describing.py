"""Writing a data set's description, the counterpart of `read_description`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

DESCRIPTION = "data.yaml"
"""The name that a description customarily has."""

_PLAIN = re.compile(r"[A-Za-z][\w /.-]*")
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
"""Texts that other readers of YAML take for something else."""


def description_text(splits: Mapping[str, str], names: Sequence[str], about: Sequence[str] = ()) -> str:
    """A description for the top of the data set's folder.

    Args:
        splits: split → its place, from the folder on.
        names: class names by index.
        about: lines for its head, as comments.
    """
    lines = [*(f"# {' '.join(line.split())}" for line in about), "path: .  # the folder of this file"]
    lines += [f"{split}: {quoted(place)}" for split, place in splits.items()]
    lines += ["names:", *(f"  {index}: {quoted(name)}" for index, name in enumerate(names))]
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """A text that every reader of YAML takes for a text."""
    plain = _PLAIN.fullmatch(text) and text == text.strip() and text.lower() not in _WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)
