"""Environment variables that segkit reads, and what may be shown of their values."""

from __future__ import annotations

import os
import re

from segkit.core.errors import did_you_mean
from segkit.core.http import masked

VARIABLES = {
    "SEGKIT_CACHE": "folder for downloaded models and data sets",
    "SEGKIT_DATASETS": "folders that data sets are looked for in by name",
    "SEGKIT_DATASETS_URL": "where named data sets are downloaded from",
    "SEGKIT_FONT": "font file for labels",
    "SEGKIT_OFFLINE": "1 forbids the network",
    "SEGKIT_REQUIRE_DATA": "1 fails tests whose files are absent",
    "SEGKIT_TEST_DATA": "folder of real files for tests",
    "SEGKIT_TIMEOUT": "seconds to wait for a server",
    "SEGKIT_TOOLS": "folder for what formats fetch by commands of their own",
    "SEGKIT_WEIGHTS_URL": "where named weights are downloaded from",
}
"""segkit's own, each with what it is for."""

OTHERS = (
    *("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ORT_DISABLE_TELEMETRY"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "NO_COLOR", "COLUMNS", "SOURCE_DATE_EPOCH", "PYTHONPATH"),
)
"""Those of others that change what segkit does; shown in whichever case they are set."""

_SECRET = re.compile(r"TOKEN|SECRET|PASSW|KEY|CREDENTIAL", re.IGNORECASE)


def environment() -> dict[str, str]:
    """Variables that are set, with values that can be shown to anybody."""
    named = [name for name in os.environ if name.startswith("SEGKIT_") or name.upper() in OTHERS]
    return {name: shown(name, os.environ[name]) for name in sorted(named)}


def unknown() -> list[str]:
    """A line for every SEGKIT_ variable that is set and that segkit does not read: most likely a slip."""
    names = sorted(name for name in os.environ if name.startswith("SEGKIT_") and name not in VARIABLES)
    strays = [name for name in names if not name.startswith("SEGKIT_TEST_")]  # some are read by our own tests alone
    return [f"{name} is set, but segkit does not read it.{did_you_mean(name, VARIABLES)}" for name in strays]


def shown(name: str, value: str) -> str:
    """`value` without passwords: those of a secret's name wholly, of addresses the user and the query."""
    if _SECRET.search(name):
        return "(set, not shown)"
    if "://" in value:
        return re.sub(r"\?\S*", "?***", masked(value))
    # A proxy may be given without its scheme.
    return re.sub(r"^\S*@", "***@", value) if name.upper().endswith("_PROXY") else value
