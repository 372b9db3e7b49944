"""A new plugin: the skeleton of a distribution whose format works, and passes conformance, before a line is written.

The templates in `plugin_template/` are that distribution for a format `acme`; only names are replaced in them. None of
them is called `.py`, so that nothing takes them for modules of segkit.
"""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from pathlib import Path

from segkit.core.backend.registry import default_registry
from segkit.core.errors import OptionError
from segkit.core.files import expanded, new_folder

TEMPLATES = Path(__file__).with_name("plugin_template")

FILES = {
    "pyproject.toml": "pyproject",
    "README.md": "readme",
    "CHOOSE-A-LICENCE.md": "licence",
    ".gitignore": "gitignore",
    ".github/workflows/conformance.yml": "workflow",
    "segkit_acme/__init__.py": "declaration",
    "segkit_acme/carrier.py": "carrier",
    "segkit_acme/exporter.py": "exporter",
    "segkit_acme/operators.py": "operators",
    "segkit_acme/predictor.py": "predictor",
    "segkit_acme/py.typed": "typed",
    "tests/test_conformance.py": "conformance",
}
"""File of the distribution → template."""

LONGEST = 30
"""Letters of a name: with it, lines of the templates stay within what linters allow."""

_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")


@dataclass(frozen=True)
class NewPlugin:
    """A skeleton that was written: names of the format, of the distribution and of its package, and its files."""

    folder: Path
    format: str
    distribution: str
    package: str
    files: tuple[str, ...]


def new_plugin(name: str, folder: str | Path | None = None) -> NewPlugin:
    """Write the skeleton of a plugin for a new format, whole or not at all.

    Args:
        name: of the format, as users will type it.
        folder: where to; it must not be there yet, or be empty. Default: `segkit-NAME` in the working folder.

    Raises:
        OptionError: no format can have that name, or one has it.
        OutputError: something is in the folder, or it cannot be written.
    """
    _check(name)
    distribution, package = f"segkit-{name.replace('_', '-')}", f"segkit_{name.replace('-', '_')}"
    title = "".join(part.capitalize() for part in re.split("[-_]", name))
    names = {"segkit-acme": distribution, "segkit_acme": package, "Acme": title, "acme": name}
    pattern = re.compile("|".join(names))  # the longer ones first: in their order

    def named(text: str) -> str:
        return pattern.sub(lambda found: names[found[0]], text)

    place = Path(distribution) if folder is None else expanded(folder)
    files = {named(path): named((TEMPLATES / f"{stem}.template").read_text("utf-8")) for path, stem in FILES.items()}
    with new_folder(place) as made:
        for path, text in files.items():
            target = made / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8", newline="\n")
    return NewPlugin(place, name, distribution, package, tuple(files))


def _check(name: str) -> None:
    if not _NAME.fullmatch(name):
        problem = "it takes lower-case letters a-z, digits and single dashes, and begins with a letter, e.g. my-format"
    elif len(name) > LONGEST:
        problem = f"it has {len(name)} letters; {LONGEST} is the most"
    elif keyword.iskeyword(name) or keyword.issoftkeyword(name):
        problem = "it is a word of Python's own"
    elif re.split("[-_]", name)[0] == "segkit":
        problem = "'segkit-' is put before it anyway; leave that out"
    elif owner := _owner(name):
        problem = f"{owner} has it already; segkit formats lists those that are taken"
    else:
        return
    raise OptionError.invalid("name", name, problem)


def _owner(name: str) -> str | None:
    """The installed format that has this name, alias or ending."""
    registry = default_registry()
    if name in registry.names():
        return f"the format '{name}'"
    for entry in registry.all():
        if entry.backend and (
            name in entry.backend.format.aliases or f".{name}" in map(str.lower, entry.backend.format.suffixes)
        ):
            return f"the format '{entry.backend.format.name}'"
    return None
