"""A plugin of pytest that writes down which stages of the conformance suite were red, and what was said."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path

import pytest

from segkit.conformance.stage import MARK

PASSED, RED, SAID = [], defaultdict(list), []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.failed:
        RED[str(item.get_closest_marker(MARK).args[0])].append(item.name)
        SAID.append(f"{item.name}\n{report.longreprtext}")
    elif report.when == "call" and report.passed:
        PASSED.append(item.name)
    return report


def pytest_sessionfinish():
    found = {"passed": PASSED, "red": RED, "said": "\n".join(SAID)}
    Path(os.environ["TOY_WATCH"]).write_text(json.dumps(found))
