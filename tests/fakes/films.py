"""Videos whose frames tell their own number, and cameras on this machine that send such frames."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np

DARKEST, STEP = 20, 5
"""Frame n is grey of DARKEST + n * STEP. Coders keep it, or lose up to 3 between full range and that of television."""

STALL = -1
"""A connection that is held open after its frames, instead of being closed."""

SIZE = (48, 64)


def frame(number: int) -> np.ndarray:
    """Frame `number`, up to 45: (48, 64, 3)."""
    return np.full((*SIZE, 3), DARKEST + number * STEP, np.uint8)


def number_in(picture: np.ndarray | None) -> int:
    """The number that a frame shows."""
    assert picture is not None
    assert picture.shape == (*SIZE, 3)
    assert picture.dtype == np.uint8
    return round((float(picture.mean()) - DARKEST + 1.5) / STEP)


def film(path: Path, frames: int, *, rate: float = 10, codec: str = "mp4v") -> Path:
    """A video of frames 1 to `frames`."""
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), rate, SIZE[::-1])
    assert writer.isOpened()
    for number in range(1, frames + 1):
        writer.write(frame(number))
    writer.release()
    return path


class Cameras:
    """Cameras of this machine at `address`/name and `address`/name.mjpg: MJPEG over http, as many have it.

    `plans` tells for each name how many frames each connection gives before it is closed; the last may be followed by
    `STALL`. Where a plan ends the camera is gone (503). Numbers go on from connection to connection.
    """

    def __init__(self, plans: dict[str, Sequence[int]], pause: float = 0.01) -> None:
        """`pause` is the time between frames, in seconds."""
        self.plans = {name: list(plan) for name, plan in plans.items()}
        self.sent = dict.fromkeys(plans, 0)
        self.quiet = threading.Event()
        self.over = threading.Event()
        cameras = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                cameras._answer(self, self.path.strip("/").partition("?")[0].removesuffix(".mjpg"), pause)

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, request: http.server.BaseHTTPRequestHandler, name: str, pause: float) -> None:
        plan = self.plans.get(name)
        if not plan:
            request.send_error(503)
            return
        frames = plan.pop(0)
        request.send_response(200)
        request.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        request.end_headers()
        try:
            for _ in range(frames):
                self.sent[name] += 1
                self._send(request, frame(self.sent[name]))
                time.sleep(pause)
            if plan[:1] == [STALL]:
                plan.clear()
                self.quiet.set()
                self.over.wait(60)
        except OSError:  # the reader has gone
            pass

    def _send(self, request: http.server.BaseHTTPRequestHandler, picture: np.ndarray) -> None:
        body = cv2.imencode(".jpg", picture)[1].tobytes()
        head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(body)
        request.wfile.write(head + body + b"\r\n")
        request.wfile.flush()


class Sender:
    """A tcp address that sends the same bytes to each of so many callers, then is gone."""

    def __init__(self, data: bytes, callers: int) -> None:
        """Listen on a free port."""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, args=(data, callers))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()
        self._thread.join()

    def _serve(self, data: bytes, callers: int) -> None:
        for _ in range(callers):
            try:
                connection, _ = self._socket.accept()
                with connection:
                    connection.sendall(data)
            except OSError:
                return
        self._socket.close()
