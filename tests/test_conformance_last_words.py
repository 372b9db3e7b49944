"""What a log tells of a crash or a hang."""

from __future__ import annotations

import os

import pytest

from segkit.conformance.last_words import CRASH, HANG, place_of, said_in

STACK = f"""
  File "/x/site-packages/acmert/api.py", line 7 in call
  File "{os.__file__}", line 9 in walk
  File "/x/acme/predictor.py", line 58 in run
  File "/x/conformance/stages/raw.py", line 90 in test_raw_outputs
  File "/x/conformance/suite.py", line 1 in somewhere
  File "/x/site-packages/_pytest/python.py", line 166 in pytest_pyfunc_call
""".removeprefix("\n")
OTHER = f'Thread 0x01 (most recent call first):\n  File "{os.__file__}", line 1 in other\n\n'
PLACE = (
    "acmert/api.py, line 7 in call, called from acme/predictor.py, line 58 in run, "
    "called from stages/raw.py, line 90 in test_raw_outputs"
)
CRASHED = (
    "acmert: bad pointer\nFatal Python error: Segmentation fault\n\nCurrent thread 0x02 (most recent call first):\n"
    f"{STACK}\n{OTHER}Extension modules: numpy.core (total: 1)\n"
)
HUNG = f"acmert: waiting\nTimeout (0:00:20)!\n{OTHER}Thread 0x02 (most recent call first):\n{STACK}"


@pytest.mark.parametrize(("log", "begin"), [(CRASHED, CRASH), (HUNG, HANG)], ids=["crash", "hang"])
def test_the_place_is_told_without_pytest_and_python_itself(log: str, begin: str) -> None:
    assert place_of(log, begin) == PLACE


def test_the_stack_of_a_test_that_only_took_long_is_no_place_of_a_crash() -> None:
    assert place_of(HUNG, CRASH) == ""
    assert place_of(HUNG + CRASHED, CRASH) == PLACE
    assert place_of("", HANG) == place_of("Fatal Python error: Aborted\n", CRASH) == ""


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (CRASHED, "acmert: bad pointer"),
        (HUNG, "acmert: waiting"),
        ("E   KeyError: 1\n1 failed\n", "E   KeyError: 1"),
        ("", ""),
    ],
)
def test_what_it_said_is_what_stands_before_the_stack(log: str, said: str) -> None:
    assert said_in(log) == said
