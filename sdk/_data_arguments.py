"""Arguments of checking and of dividing a data set: the only list of what these accept, with types, defaults and help.

Apart from the work, because showing them needs neither pictures nor numpy.
"""

from __future__ import annotations

from pydantic import Field

from segkit.core.backend.options import OptionRow, Options, describe
from segkit.core.inference.arguments import Folder


class CheckArguments(Options):
    """What a check accepts."""

    save: bool = True
    """write a sheet of samples with their labels, and the histograms, as pictures"""
    project: Folder = None
    """folder for results (default: runs/data)"""
    name: str | None = None
    """sub-folder for this run (default: check, check2, …)"""
    exist_ok: bool = False
    """write into the sub-folder even if it exists"""


class SplitArguments(Options):
    """What a division accepts, besides the folder of a copy."""

    val: float = 0.2
    """share of the pictures for validation"""
    test: float = 0.0
    """share of the pictures for a test"""
    seed: int = Field(0, ge=0, description="another number gives another division, the same one always the same")
    exist_ok: bool = False
    """overwrite lists and a description that are there"""


def check_options() -> list[OptionRow]:
    """Name, type, default and help of everything that a check accepts."""
    return describe(CheckArguments)


def split_options() -> list[OptionRow]:
    """Name, type, default and help of everything that a division accepts; `copy` comes last."""
    where = "copy pictures and labels into this new folder instead of writing lists beside the data"
    return [*describe(SplitArguments), OptionRow("copy", "str", "", where)]
