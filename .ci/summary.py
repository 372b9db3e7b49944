"""The closing line of .ci/run: tests over all JUnit files in a folder, and stages that failed without a failed test.

usage: python3 .ci/summary.py FOLDER [FAILED_STAGE …]        exit status 1 when anything failed or nothing was tested
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path


def main(folder: Path, stages: list[str]) -> int:
    """Print the account, return the exit status."""
    count: Counter[str] = Counter()
    explained = set()
    for path in sorted(folder.glob("*.xml")):
        outcomes = Counter(outcome(case) for case in ElementTree.parse(path).getroot().iter("testcase"))
        count += outcomes
        if outcomes["failed"]:
            explained.add(path.stem)
    for stage in stages:
        print(f"failed stage: {stage}")
    count["failed"] += len(set(stages) - explained)
    if count["expected failure"]:
        print(f"expected failures, each with its reason in its test: {count['expected failure']}")
    skipped = f", {count['skipped']} skipped" if count["skipped"] else ""
    print(f"ci: {count['passed']} passed, {count['failed']} failed{skipped}")
    return 1 if count["failed"] or not count["passed"] else 0


def outcome(case: ElementTree.Element) -> str:
    """What became of one test."""
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    if (skip := case.find("skipped")) is not None:
        return "expected failure" if skip.get("type") == "pytest.xfail" else "skipped"
    return "passed"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
