"""A real http server whose answers are as bad as a test wants them: cut off, stalled, changed, redirected, wrong."""

from __future__ import annotations

import hashlib
import http.server
import re
import ssl
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self


@dataclass
class Reply:
    """How one request is answered.

    `cut` is the number of bytes after which the connection is closed, `stall` that after which nothing more comes until
    the server is told to let go of it. `announce=False` leaves the length out; `tag` is the ETag ("" for none), by
    default that of the content. With `ignore_conditions` it does not care which version the client has.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    cut: int | None = None
    stall: int | None = None
    announce: bool = True
    tag: str | None = None
    ignore_conditions: bool = False

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.body).hexdigest()[:8]}"' if self.tag is None else self.tag


@dataclass(frozen=True)
class Asked:
    """One request of the log."""

    path: str
    headers: dict[str, str]

    @property
    def start(self) -> int | None:
        """First byte that was asked for, if it was a range."""
        found = re.match(r"bytes=(\d+)-", self.headers.get("range", ""))
        return int(found[1]) if found else None


class FileServer(http.server.ThreadingHTTPServer):
    """Answers a path with its replies in turn, the last one for ever; a context manager. `log` has every request."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, certificate: Path | None = None) -> None:
        """On a free port of this machine; with a PEM file of key and certificate it speaks https."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies: dict[str, list[Reply]] = {}
        self.log: list[Asked] = []
        self.let_go = threading.Event()
        self.stalled = threading.Event()
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.server_port}"

    def serve(self, path: str, *replies: Reply | bytes) -> str:
        """Answer `path` with these from now on; gives its address."""
        self.replies[path] = [reply if isinstance(reply, Reply) else Reply(reply) for reply in replies]
        return self.url + path

    def asked(self, path: str) -> list[Asked]:
        """The log of one path."""
        return [asked for asked in self.log if asked.path == path]

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the play."""

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.let_go.set()
        self.shutdown()
        self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        asked = Asked(self.path, {name.lower(): value for name, value in self.headers.items()})
        self.server.log.append(asked)
        waiting = self.server.replies.get(self.path, [Reply(status=404)])
        reply = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if asked.headers.get("if-none-match") == reply.etag != "" and not reply.ignore_conditions:
            self._head(304, reply, {})
            return
        start, status, headers = self._part(asked, reply)
        body = reply.body[start:]
        if reply.announce:
            headers["Content-Length"] = str(len(body))
        self._head(status, reply, headers)
        self._body(body, reply)

    def _part(self, asked: Asked, reply: Reply) -> tuple[int, int, dict[str, str]]:
        condition = asked.headers.get("if-range")
        if asked.start is None or not reply.ranges or reply.status != 200:
            return 0, reply.status, {}
        if condition not in (None, reply.etag) and not reply.ignore_conditions:
            return 0, 200, {}
        size = len(reply.body)
        if asked.start >= size:
            return size, 416, {"Content-Range": f"bytes */{size}"}
        return asked.start, 206, {"Content-Range": f"bytes {asked.start}-{size - 1}/{size}"}

    def _head(self, status: int, reply: Reply, headers: dict[str, str]) -> None:
        self.send_response(status)
        if reply.etag:
            headers["ETag"] = reply.etag
        for name, value in ({"Content-Type": "application/octet-stream"} | headers | reply.headers).items():
            self.send_header(name, value)
        self.end_headers()

    def _body(self, body: bytes, reply: Reply) -> None:
        stop = reply.cut if reply.stall is None else reply.stall
        self.wfile.write(body[:stop])
        self.wfile.flush()
        if reply.stall is not None:
            self.server.stalled.set()
            self.server.let_go.wait(100)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Quiet."""
