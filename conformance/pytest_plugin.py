"""Options of pytest for the suite, the entry point `pytest11` of segkit.

    pytest --pyargs segkit.conformance --segkit-format NAME --segkit-report report.json

pytest loads this module in every run on a machine where segkit is installed, whatever is tested there. So it imports
nothing but pytest and a list of names, and what works with tests is loaded only when one of the options is given or the
suite itself is asked for.
"""

from __future__ import annotations

from argparse import SUPPRESS

import pytest

from segkit.conformance.stage import MARK

NAME = "segkit-conformance"
"""Of the part that works with tests, among the plugins of a run."""

PACKAGE = "segkit.conformance"
"""What `--pyargs` is given."""

# The values inside the suite's asserts are shown, whichever way segkit is installed.
pytest.register_assert_rewrite(PACKAGE)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, all of them unset."""
    group = parser.getgroup("segkit", "conformance of segkit's formats")
    several = {"action": "append", "default": [], "metavar": "NAME"}
    group.addoption("--segkit-format", **several, help="run the suite on this format alone (may be repeated)")
    group.addoption("--segkit-precision", **several, help="of tests of a precision, run those of this one (repeatable)")
    group.addoption("--segkit-stage", **several, help="run this stage alone (may be repeated)")
    group.addoption("--segkit-model", metavar="FILE", help="weights to test with, beside the suite's own")
    group.addoption("--segkit-data", metavar="DATA", help="labelled pictures to test with, beside the suite's own")
    group.addoption(
        "--segkit-store",
        metavar="FOLDER",
        help="keep what torch is needed for; without torch, take it from there",
    )
    group.addoption("--segkit-quick", action="store_true", help="leave out what takes long and says little more")
    group.addoption(
        "--segkit-report", metavar="FILE.json", help="write what was found, with every figure, to this file"
    )
    # For `segkit conformance`, whose child process this is: go on after a test that ended the process before.
    group.addoption("--segkit-child", action="store_true", help=SUPPRESS)
    group.addoption("--segkit-shared", help=SUPPRESS)


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known, and load what works with tests if it is needed."""
    config.addinivalue_line("markers", f"{MARK}(stage): what a test of segkit's conformance suite checks")
    given = {name: value for name, value in vars(config.option).items() if name.startswith("segkit_")}
    asked = any(value or value == "" for value in given.values())  # an empty one is refused
    if asked or any(str(argument).startswith(PACKAGE) for argument in config.args):
        from segkit.conformance.pytest_session import SuiteRun

        config.pluginmanager.register(SuiteRun(config), NAME)
