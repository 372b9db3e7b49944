"""Finding a font that can draw a text: by its glyphs, never by its name, in the places where systems keep fonts.

Plain ASCII needs no search: Pillow carries a font for it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from segkit.core.errors import OptionError
from segkit.core.ink.glyphs import missing_in
from segkit.core.notices import notice

FONT_VARIABLE = "SEGKIT_FONT"
"""Environment variable: a font file to prefer for every label."""

_PACKAGES = ("devanagari_fonts",)
"""Python packages that hold fonts; looked into where they are installed."""

_SUFFIXES = {".ttf", ".otf", ".ttc", ".otc"}
_ALWAYS = frozenset("0123456789. ")
_PLAIN = frozenset(map(chr, range(32, 127)))
# Words in a file name that make it a worse choice for a label. Subsets of a family that suit fewer readers come last.
_PENALTIES = {
    "lastresort": 1000,
    "math": 40,
    "italic": 40,
    "oblique": 40,
    "kufi": 20,
    "nastaliq": 20,
    "condensed": 15,
    "black": 12,
    "thin": 12,
    "light": 10,
    "mono": 10,
    "serif": 8,
    "bold": 6,
    "display": 5,
    "ui": 1,
}


def preferred(font: str | Path | None) -> str | None:
    """The font file to prefer: the one given, else that of SEGKIT_FONT, else None.

    Raises:
        OptionError: there is no such file.
    """
    chosen = font or os.environ.get(FONT_VARIABLE)
    if not chosen:
        return None
    if not Path(chosen).is_file():
        raise OptionError.invalid("font", str(chosen), "there is no such font file")
    return str(chosen)


Run = tuple[str | None, str]
"""A font file (None: the one that Pillow carries) and the part of the text to draw with it."""


@lru_cache(maxsize=1024)
def runs(text: str, font: str | None = None) -> tuple[Run, ...] | None:
    """How to draw `text`: with as few fonts as possible; None when some character is in none of them.

    `font` is a file to prefer where it covers the text.
    """
    if font is None and _PLAIN.issuperset(text):
        return ((None, text),)
    # Digits belong to every label: asked for at once, so that a name keeps its font whatever its confidence.
    found = _faces(frozenset(text) | _ALWAYS, font)
    if found is None:
        return None
    parts: list[tuple[str | None, str]] = []
    current: str | None = found[0]
    for character in text:
        if parts and not _lacks(current, character):
            parts[-1] = (current, parts[-1][1] + character)
            continue
        current = next(face for face in (*found, None) if not _lacks(face, character))
        parts.append((current, character))
    return tuple(parts)


def _lacks(face: str | None, character: str) -> bool:
    return character not in _PLAIN if face is None else bool(missing_in(face, character))


@lru_cache(maxsize=256)
def _faces(characters: frozenset[str], font: str | None) -> tuple[str, ...] | None:
    """Font files that cover `characters` together: one that does it alone if there is one."""
    shortest: list[str] = []
    missing = set(characters)
    for face in (*([font] if font else ()), *font_files()):
        lacking = missing_in(face, characters)
        if not lacking:
            return (face,)
        if lacking & missing - _PLAIN < missing - _PLAIN:
            shortest.append(face)
            missing &= lacking
    return None if missing - _PLAIN else tuple(shortest)


@lru_cache(maxsize=1)
def font_files() -> tuple[str, ...]:
    """Every font file of this system, the most readable styles first."""
    found = {path for folder in _folders() for path in _fonts_below(folder)}
    return tuple(str(path) for path in sorted(found, key=_penalty))


def _fonts_below(place: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(place):  # passes over what may not be read
        yield from (Path(folder) / name for name in names if Path(name).suffix.lower() in _SUFFIXES)


def _folders() -> list[Path]:
    home = Path.home()
    if sys.platform == "win32":
        folders = [Path(os.environ.get("WINDIR", r"C:\Windows")) / "Fonts"]
        folders += [Path(os.environ.get("LOCALAPPDATA", home)) / "Microsoft" / "Windows" / "Fonts"]
    elif sys.platform == "darwin":
        folders = [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library" / "Fonts"]
    else:
        shared = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
        own = os.environ.get("XDG_DATA_HOME") or str(home / ".local" / "share")
        folders = [Path(part) / "fonts" for part in (own, *shared.split(":")) if part]
        folders += [home / ".fonts", Path(sys.prefix) / "fonts"]
    for name in _PACKAGES:
        spec = importlib.util.find_spec(name)
        folders += map(Path, spec.submodule_search_locations or []) if spec else []
    return folders


def _penalty(path: Path) -> tuple[int, str]:
    name = path.stem.lower()
    words = sum(cost for word, cost in _PENALTIES.items() if word in name)
    return words - (3 if "sans" in name else 0) - (2 if "regular" in name else 0), str(path)


def readable(name: str, stand_in: str, font: str | None = None) -> str:
    """`name` in one line, or `stand_in` where no font can draw it; a notice then says once a script what to install."""
    clean = " ".join(name.split())
    if not clean:
        return stand_in
    if runs(clean, font) is None:
        _tell(_suggestion(clean), clean, stand_in)
        return stand_in
    return clean


_told: set[str] = set()


def _tell(suggestion: str, name: str, stand_in: str) -> None:
    if suggestion not in _told:
        _told.add(suggestion)
        advice = f"Install {suggestion}, or set {FONT_VARIABLE} to a font file that has these letters."
        notice(f"No font here can draw '{name}': it is labelled '{stand_in}'. {advice}")


def _suggestion(text: str) -> str:
    """A font family that covers the first letter of `text` that no font here has, by its script."""
    letter = next(c for c in text if c not in _PLAIN and _faces(frozenset(c), None) is None)
    script = unicodedata.name(letter, "UNKNOWN").split()[0].split("-")[0]
    if script in ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"):
        return "Noto Sans CJK (Debian, Ubuntu: apt install fonts-noto-cjk)"
    if script == "DEVANAGARI":
        return "Noto Sans Devanagari (anywhere: pip install devanagari-fonts)"
    if unicodedata.category(letter) in ("So", "Cn", "Co"):
        return "a font with an outline of this symbol"
    return f"Noto Sans for {script.title()} (Debian, Ubuntu: apt install fonts-noto)"
