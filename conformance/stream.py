"""What a run of pytest tells while it goes on, one JSON object a line: it is what is left of a process that dies.

`{"total": n}` tests are there, `{"begun": row}`, `{"row": row}` when one has ended, `{"ended": exit code of pytest}`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def stream_of(report: Path) -> Path:
    """The file for it, beside the report that is made of it."""
    return report.with_name(report.name + ".partial")


def line_of(**event: Any) -> str:
    """An event as a line."""
    return json.dumps(event) + "\n"


def read_stream(text: str) -> Iterator[dict[str, Any]]:
    """The events of whole lines; a line that a dying process left unfinished is none."""
    for line in text.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event
