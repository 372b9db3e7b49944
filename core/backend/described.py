"""`metadata.yaml` of an artefact that is a folder: the metadata, and the SHA-256 of the files beside it.

The sums stand first and segkit's block last, and what has one of the two has both: of a file that was cut off anywhere
one is missing, and it is refused, instead of switching the sums off. Files of other tools have neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from segkit.core.backend.metadata import Metadata
from segkit.core.errors import ModelFileError
from segkit.core.yamls import read_yaml, write_yaml

METADATA = "metadata.yaml"

SUMS = "checksums"
"""Key: SHA-256 of the other files, by name."""

_SEAL, _LAST = "segkit", "toolchain"
"""Key of segkit's block, and the last one in it that every file has."""


def write_described(folder: Path, metadata: Metadata) -> None:
    """Put `metadata.yaml` beside the files that are in `folder`."""
    sums = {file.relative_to(folder).as_posix(): digest(file) for file in sorted(folder.rglob("*")) if file.is_file()}
    plain = metadata.to_plain()
    seal = plain.pop(_SEAL, None)
    # Other readers expect whole numbers for the classes; JSON, which the plain form is for, has none as keys.
    facts = plain | {"names": dict(metadata.names)}
    write_yaml(folder / METADATA, ({SUMS: sums} | facts | {_SEAL: seal}) if seal else facts)


def read_described(file: Path, path: Path) -> dict[str, Any]:
    """The keys of `file`, a `metadata.yaml`, as they are; none where there is no such file.

    Args:
        file: where it would be.
        path: the model as the user gave it, for errors.

    Raises:
        ModelFileError: it cannot be read, is no description, or is cut off.
    """
    try:
        raw = read_yaml(file)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ModelFileError(path, f"its {file.name}: {(error.strerror or str(error)).lower()}") from None
    except ValueError as error:
        raise ModelFileError(path, f"its {file.name} cannot be understood: {error}") from None
    if not isinstance(raw, dict):
        raise ModelFileError(path, f"its {file.name} cannot be understood: it has no keys")
    if _SEAL in raw or SUMS in raw:
        seal = raw.get(_SEAL)
        whole = isinstance(raw.get(SUMS), dict) and isinstance(seal, dict) and _LAST in seal
        if not whole:
            raise ModelFileError(
                path,
                f"its {file.name} is damaged or cut off: one of segkit has both '{SUMS}' and '{_SEAL}', whole. Copy or "
                "export it again",
            )
    for key in ("date", "description"):  # as other writers leave them, YAML takes them for something else
        if raw.get(key) is not None:
            raw[key] = str(raw[key])
    return {str(key): value for key, value in raw.items()}


def check_sums(described: Mapping[str, Any], files: Iterable[Path], path: Path) -> None:
    """Hold files against their sums; those of other tools have none.

    Args:
        described: from `read_described`.
        files: as they are called now: one that was renamed is known by its suffix.
        path: the model as the user gave it, for errors.

    Raises:
        ModelFileError: one is damaged, or was changed.
    """
    sums = described.get(SUMS)
    if sums is None:
        return
    for file in files:
        alike = [name for name in sums if Path(str(name)).suffix == file.suffix]
        name = file.name if file.name in sums else alike[0] if len(alike) == 1 else None
        if name is None or sums[name] != digest(file):
            raise ModelFileError(
                path,
                f"{file.name} is damaged, or was changed after its export: its checksum in {METADATA} is another one. "
                f"Copy or export it again; if it was changed on purpose, remove '{SUMS}' and '{_SEAL}' there",
            )


def digest(file: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        ModelFileError: it cannot be read.
    """
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ModelFileError(file, (error.strerror or str(error)).lower()) from None
