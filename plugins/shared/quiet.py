"""Libraries that remark on themselves, and how they are kept from it.

Standard error and warnings belong to the whole process, and several threads load models at once: who comes first turns
them, who leaves last turns them back.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress

from segkit.core.held import Held

_STDERR = 2
_REMARK = re.compile(rb"INFO:|[IW]\d{4} |WARNING: All log messages before absl::InitializeLog")


def _divert() -> Callable[[], object]:
    try:
        kept = os.dup(_STDERR)
    except OSError:  # there is none
        return lambda: None
    try:
        said = tempfile.TemporaryFile()  # noqa: SIM115 (open until it is turned back)
    except OSError:  # there is no room for it
        os.close(kept)
        return lambda: None
    _flush()
    os.dup2(said.fileno(), _STDERR)

    def back() -> None:
        _flush()
        os.dup2(kept, _STDERR)
        os.close(kept)
        with said, suppress(OSError):  # nobody may listen any more
            said.seek(0)
            for line in said:
                if not _REMARK.match(line):
                    os.write(_STDERR, line)

    return back


def _flush() -> None:
    with suppress(AttributeError, OSError, ValueError):  # there may be none, or a closed one
        sys.stderr.flush()


def _unwarn() -> Callable[[], object]:
    caught = warnings.catch_warnings()
    caught.__enter__()
    warnings.simplefilter("ignore")
    return lambda: caught.__exit__(None, None, None)


unsaid = Held(_divert)
"""Without what the C++ of TensorFlow and LiteRT writes about itself to the standard error of the process, such as
"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.". Whatever else is said meanwhile comes out afterwards.
"""

unwarned = Held(_unwarn)
"""Without warnings of Python."""
