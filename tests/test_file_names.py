"""What a run writes is called after its pictures and classes, wherever these come from, and stays in its folder."""

from __future__ import annotations

import logging
import os
import re
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segkit.core import notices
from segkit.core.files import file_name_of
from segkit.core.images.fetch import name_of
from segkit.core.images.items import Frame
from segkit.core.inference.results import Results

ODD = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(list('<>:"/\\|?*. \0')), max_size=120)


@given(ODD)
def test_any_text_is_the_name_of_one_file_on_any_system(text: str) -> None:
    name = file_name_of(text)
    assert not re.search(r'[<>:"/\\|?*\x00-\x1f]', name)
    assert name.strip(". ") == name != ""
    assert file_name_of(name) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("person", "person"),
        ("..", "_"),
        ("a" * 99 + ". b", "a" * 99),
        ("AUX", "_AUX"),
        ("nul.txt", "_nul.txt"),
        ("console", "console"),
        ("com1", "_com1"),
        ("../../etc/passwd", "_.._etc_passwd"),
    ],
)
def test_names_that_mean_something_else_are_changed(text: str, name: str) -> None:
    assert file_name_of(text) == name


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://host/a/b%20c.jpg?x=1", "b c.jpg"),
        ("https://host/", "image.jpg"),
        ("https://host/%2e%2e", "_"),
        ("https://host/..%5C..%5Cevil.jpg", "_.._evil.jpg"),
        ("https://host/a%3Astream.jpg", "a_stream.jpg"),
    ],
)
def test_no_address_names_a_file_elsewhere(address: str, name: str) -> None:
    assert name_of(address) == name


def test_the_frame_of_a_stream_is_saved_under_a_name_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    frame = Results(np.zeros((8, 8, 3), np.uint8), "rtsp://host/live?ch=1", {}, frame=Frame(3, live=True))
    assert frame.save() == "results_live_ch=1.jpg"
    assert os.listdir() == ["results_live_ch=1.jpg"]


def test_threads_that_speak_first_at_once_say_everything_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logger, ready = logging.getLogger("segkit.first-words"), threading.Barrier(8)

    class Late(list[logging.Handler]):
        """Handlers of a logger; every thread has looked before one of them adds its own."""

        def __bool__(self) -> bool:
            empty = not len(self)
            ready.wait(10)
            return not empty

    logger.handlers = Late()
    monkeypatch.setattr(notices, "LOGGER", logger)
    threads = [threading.Thread(target=notices.notice, args=(f"word {index}",)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(logger.handlers) == 1
    assert sorted(capsys.readouterr().err.splitlines()) == [f"word {index}" for index in range(8)]
