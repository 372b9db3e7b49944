"""Class names as matplotlib can draw them: with a font that has their letters, or as numbers where none has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

LONGEST = 28
"""Characters of a name; of a longer one the beginning is shown."""


def labels_of(names: Mapping[int, str]) -> tuple[dict[int, str], list[str]]:
    """What to write for each class, and the font families to write it with, the first that has a letter draws it."""
    shown = {label: _plain(name) for label, name in names.items()}
    families, missing = _families(frozenset("".join(shown.values())))
    readable = {label: text if text and not missing & set(text) else str(label) for label, text in shown.items()}
    return readable, list(families)


def _plain(name: str) -> str:
    """One line of printable characters."""
    text = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1].rstrip() + "…"


@lru_cache(maxsize=8)
def _families(letters: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Matplotlib's own font and as many of the system's as bring further letters; and the letters that none has."""
    from matplotlib import font_manager

    own = "DejaVu Sans"
    families = [own]
    missing = _absent(letters, font_manager.findfont(own))
    for entry in font_manager.fontManager.ttflist:
        usual = entry.style == "normal" and entry.weight in (400, "normal", "regular")
        # A "last resort" font has a box with a code for every letter there is.
        if missing and usual and "Last Resort" not in entry.name:
            still = _absent(missing, entry.fname)
            if len(still) < len(missing):
                families.append(entry.name)
                missing = still
    return tuple(families), missing


def _absent(letters: Iterable[str], path: str) -> frozenset[str]:
    from matplotlib import font_manager

    try:
        known = font_manager.get_font(path)
    except (OSError, RuntimeError):  # a damaged font file
        return frozenset(letters)
    return frozenset(letter for letter in letters if not known.get_char_index(ord(letter)))
