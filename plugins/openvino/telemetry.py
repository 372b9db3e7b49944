"""OpenVINO and NNCF report their use to their maker from the moment that they are imported, and keep an identity for
it in the user's home. They keep quiet where the package that does it, `openvino_telemetry`, is not installed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_REPORTER = "openvino_telemetry"


@contextmanager
def unreported() -> Iterator[None]:
    """For importing them: the package that reports cannot be found meanwhile, so they go without it for good.

    What the user has imported before is left as it is.
    """
    modules: dict[str, Any] = sys.modules
    known, before = _REPORTER in modules, modules.get(_REPORTER)
    modules[_REPORTER] = None  # the import system's word for "there is none"
    try:
        yield
    finally:
        if known:
            modules[_REPORTER] = before
        else:
            del modules[_REPORTER]
