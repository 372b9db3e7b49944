"""What a child process of the suite answers is found, whatever else it prints."""

from __future__ import annotations

import subprocess
import sys

import pytest

from segkit.conformance.children import ANSWER, answer_in


def test_what_is_printed_around_an_answer_is_none_of_it() -> None:
    code = (
        "import atexit, sys; from segkit.conformance.children import answer\n"
        "atexit.register(print, 'runtime: 3 kernels freed')\n"
        "sys.stdout.write('loading ...'); answer({'load': 1.5}); sys.stdout.write('done')"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] != ANSWER
    assert answer_in(done.stdout) == {"load": 1.5}


def test_what_stands_behind_an_answer_is_none_of_it() -> None:
    assert answer_in(f'{ANSWER}{{"load": 1}}kernels freed\n') == {"load": 1}


@pytest.mark.parametrize(
    ("printed", "words"), [("hello", "no answer; it printed: hello"), (f"{ANSWER}{{a", "into the")]
)
def test_no_answer_is_told_in_words(printed: str, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        answer_in(printed)
