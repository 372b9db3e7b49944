"""A real browser without a window, and a server of a page's folder: what tests of the web page share."""

from __future__ import annotations

import functools
import http.server
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SOFTWARE = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
"""WebGL without a graphics card."""

PATIENCE = 120
"""Seconds until something that should happen counts as never happening."""

CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
"""A camera that shows a green field with a clock in it, and is allowed."""


@contextmanager
def browser(program: str, *options: str) -> Iterator[Any]:
    """Chromium; `options` are its command line's."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=program, args=["--no-sandbox", *options])
        yield found
        found.close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    extra: Sequence[tuple[str, str]] = ()

    def end_headers(self) -> None:
        for header in self.extra:
            self.send_header(*header)
        super().end_headers()

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def served(folder: Path, *headers: tuple[str, str]) -> Iterator[str]:
    """The address of a folder, served as `python -m http.server` does, with these headers on top."""
    handler = type("Handler", (_Quiet,), {"extra": headers})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


_RUNS = """({ mask: { top, left, height, width, data } }) => {
  const runs = [0];
  data.forEach((value, index) => {
    if (value !== (runs.length + 1) % 2) runs.push(0);
    runs[runs.length - 1]++;
  });
  return [[top, left, height, width], runs];
}"""
"""An object's place and the lengths of the runs of its mask, the first of them off."""


class Visit:
    """One page that is open, and what went wrong in it."""

    def __init__(self, context: Any, address: str) -> None:
        self.page = context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        context.on("request", lambda request: self.asked.append(request.url))
        self.page.add_init_script(
            "addEventListener('segkit:result', (event) => { window.heard = event.detail; }, true)"
        )
        self.page.goto(address)

    def ready(self) -> Visit:
        """Wait for the model."""
        self.page.wait_for_selector("#file:enabled, #problem:visible", state="attached", timeout=1000 * PATIENCE)
        return self

    def look(self, picture: Path) -> Visit:
        """Choose a picture and wait for what is found in it."""
        self.page.evaluate("window.heard = null")
        self.page.set_input_files("#file", picture)
        self.until("window.heard !== null")
        return self

    def until(self, condition: str) -> None:
        """Wait for a condition in JavaScript; playwright's own way is what the page's policy forbids."""
        end = time.monotonic() + PATIENCE
        while not self.page.evaluate(condition):
            assert time.monotonic() < end, f"{condition} is not so; the page says: {self.text('problem')} {self.said}"
            self.page.wait_for_timeout(50)

    def text(self, part: str) -> str:
        said: str = self.page.inner_text(f"#{part}")
        return said

    def masks(self) -> list[NDArray[np.bool_]]:
        """(height, width) of each object, in pixels of the picture as the page shows it."""
        found = []
        for (top, left, height, width), runs in self.page.evaluate(f"heard.objects.map({_RUNS})"):
            mask = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
            shown = self.page.evaluate("[heard.shown.height, heard.shown.width]")
            found.append(np.pad(mask, ((top, shown[0] - top - height), (left, shown[1] - left - width))))
        return found

    def rows(self) -> list[list[str]]:
        """The table of objects."""
        cells = "rows => rows.map(row => [...row.cells].map(cell => cell.innerText))"
        found: list[list[str]] = self.page.eval_on_selector_all("#objects tr", cells)
        return found
