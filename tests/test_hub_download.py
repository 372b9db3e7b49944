"""Downloads from servers of every temper: what arrives is right and whole, or an error says what happened."""

from __future__ import annotations

import hashlib
import os
import socket
import tempfile
import threading
from pathlib import Path

import pytest
from file_server import FileServer, Reply

from segkit.core.errors import ModelFileError, OutputError
from segkit.core.hub import download as downloads
from segkit.core.hub import resolve
from segkit.core.hub.known import Identity, known

NAME = "yolov8n-seg.pt"
PATH = f"/{NAME}"
BODY = os.urandom(300_000)
OTHER = os.urandom(300_000)


@pytest.fixture(autouse=True)
def home(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder and cache, the server as the only mirror, and BODY as the known release of NAME."""
    monkeypatch.delenv("SEGKIT_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("SEGKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SEGKIT_WEIGHTS_URL", server.url)
    monkeypatch.setenv("SEGKIT_TIMEOUT", "0.5")
    monkeypatch.setitem(known().weights, NAME, (Identity(hashlib.sha256(BODY).hexdigest(), len(BODY)),))
    monkeypatch.setattr(downloads, "PAUSE", 0.01)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return tmp_path


def refused(model: str = NAME) -> str:
    """The error that a user reads."""
    with pytest.raises(ModelFileError) as caught:
        resolve(model)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def left_over(home: Path) -> set[str]:
    """Names of the files that are in the cache, without locks."""
    return {path.name for path in home.glob("cache/**/*") if path.is_file() and path.suffix != ".lock"}


def test_a_connection_that_breaks_is_taken_up_where_it_broke(server: FileServer, capsys: pytest.CaptureFixture[str]):
    server.serve(PATH, Reply(BODY, cut=100_000), Reply(BODY, cut=50_000), Reply(BODY))
    assert resolve(NAME).read_bytes() == BODY
    assert [asked.start for asked in server.log] == [None, 100_000, 150_000]
    assert "the connection ended after 100000 of 300000 bytes; trying again in 0.01 s" in capsys.readouterr().err


def test_a_server_that_falls_silent_is_asked_again_for_the_rest(server: FileServer, capsys: pytest.CaptureFixture[str]):
    server.serve(PATH, Reply(BODY, stall=1000), Reply(BODY))
    assert resolve(NAME).read_bytes() == BODY
    assert server.log[-1].start == 1000
    assert "it stopped sending for 0.5 s" in capsys.readouterr().err


def test_a_server_that_never_gets_further_is_given_up_and_the_bytes_are_kept(server: FileServer, home: Path):
    server.serve(PATH, Reply(BODY, cut=40_000), Reply(BODY, cut=0))
    words = refused()
    assert "the connection ended after 0 of 260000 bytes" in words
    assert "the 40.0 kB that came are kept, and the same command goes on from there" in words
    assert f"put into the working folder or at '{home / 'cache' / 'weights' / NAME}'" in words
    assert len(server.log) == downloads.ATTEMPTS
    server.serve(PATH, BODY)
    assert resolve(NAME).read_bytes() == BODY
    assert server.log[-1].start == 40_000
    assert left_over(home) == {NAME, f"{NAME}.json"}


def test_a_server_without_ranges_begins_again(server: FileServer):
    server.serve(PATH, Reply(BODY, cut=100_000), Reply(BODY, ranges=False))
    assert resolve(NAME).read_bytes() == BODY
    assert server.log[-1].start == 100_000, "it was asked to continue"


def test_another_version_behind_the_same_address_is_not_glued_to_the_first(server: FileServer):
    address = server.serve("/best.pt", Reply(OTHER, cut=100_000), Reply(BODY))
    assert resolve(address).read_bytes() == BODY
    assert server.log[-1].headers["if-range"] == Reply(OTHER).etag


def test_a_server_that_continues_another_version_all_the_same_is_noticed_by_its_tag(server: FileServer):
    address = server.serve("/best.pt", Reply(OTHER, cut=100_000), Reply(BODY, ignore_conditions=True))
    assert resolve(address).read_bytes() == BODY
    assert [asked.start for asked in server.log] == [None, 100_000, None]


def test_without_tags_the_digest_notices_a_mixture_and_starts_again(
    server: FileServer, capsys: pytest.CaptureFixture[str]
):
    server.serve(PATH, Reply(OTHER, cut=100_000, tag=""), Reply(BODY, tag=""))
    assert resolve(NAME).read_bytes() == BODY
    assert [asked.start for asked in server.log] == [None, 100_000, None]
    assert "does not fit together with the rest; starting again" in capsys.readouterr().err


def test_what_nothing_can_tell_the_version_of_is_never_continued(server: FileServer):
    address = server.serve("/best.pt", Reply(BODY, cut=100_000, tag=""), Reply(BODY, tag=""))
    assert resolve(address).read_bytes() == BODY
    assert [asked.start for asked in server.log] == [None, None]


def test_a_file_that_became_shorter_is_fetched_anew(server: FileServer):
    address = server.serve("/best.pt", Reply(BODY, cut=100_000, tag='"1"'), Reply(BODY[:50_000], tag='"1"'))
    assert resolve(address).read_bytes() == BODY[:50_000]
    assert [asked.start for asked in server.log] == [None, 100_000, None]


def test_a_part_that_was_complete_needs_no_request(server: FileServer, home: Path):
    server.serve(PATH, Reply(BODY, cut=len(BODY) - 1), Reply(status=404))
    assert "404" in refused()
    (partial,) = home.glob("cache/weights/*.partial")
    partial.write_bytes(BODY)
    server.log.clear()
    assert resolve(NAME).read_bytes() == BODY
    assert server.log == []


def test_a_damaged_note_of_a_part_means_a_new_beginning(server: FileServer, home: Path):
    for junk in ("", "[]", '{"size": "big"}', "null", "[" * 100_000, '{"address": 1}'):
        server.serve(PATH, Reply(BODY, cut=1000), Reply(status=404))
        refused()
        (home / "cache" / "weights" / f"{NAME}.partial.json").write_text(junk)
        server.log.clear()
        server.serve(PATH, BODY)
        path = resolve(NAME)
        assert path.read_bytes() == BODY
        assert server.log[0].start is None
        path.unlink()


def test_wrong_bytes_of_the_right_size_are_thrown_away(server: FileServer, home: Path):
    server.serve(PATH, OTHER)
    words = refused()
    assert (
        f"its SHA-256 is {hashlib.sha256(OTHER).hexdigest()}, which is not that of a known release of {NAME}" in words
    )
    assert f"(from {server.url}{PATH})" in words
    assert left_over(home) == set()
    assert len(server.log) == 1, "asking again does not help"


def test_a_wrong_size_is_refused_before_it_is_fetched(server: FileServer, home: Path):
    server.serve(PATH, Reply(BODY + b"!", stall=600))
    assert f"it gives 300001 bytes, not the 300000 of a known release of {NAME}" in refused()
    assert left_over(home) == set()


def test_more_than_the_right_size_ends_the_reading_where_no_length_was_announced(server: FileServer):
    server.serve(PATH, Reply(BODY + OTHER, announce=False))
    assert "it gives more than 300000 bytes" in refused()


def test_less_than_the_right_size_is_taken_up_where_no_length_was_announced(server: FileServer):
    server.serve(PATH, Reply(BODY, announce=False, cut=7000), Reply(BODY, announce=False))
    assert resolve(NAME).read_bytes() == BODY
    assert server.log[-1].start == 7000


PAGE = Reply(b"<html><body>Please log in</body></html>", headers={"Content-Type": "text/html; charset=utf-8"})


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (PAGE, "the server sent a web page, not a file"),
        (Reply(b"\n<!DOCTYPE html>\n<p>" + BODY), "the server sent a web page, not a file"),
        (Reply(b"<?xml version='1.0'?><Error/>"), "the server sent an XML document, not a model"),
        (
            Reply(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 300000\n"),
            "the server sent a Git LFS pointer, not the file itself",
        ),
        (Reply(b""), "the server sent an empty file"),
        (Reply(BODY, headers={"Content-Encoding": "gzip"}), "the server sent it compressed (gzip)"),
        (Reply(BODY, status=206), "the server sent a part of the file without being asked to"),
        (Reply(status=404), "the server answered 404 Not Found"),
        (Reply(status=403), "the server answered 403 Forbidden; it wants a login"),
        (Reply(status=302), "the server answered 302 Found"),
        (Reply(status=429, headers={"Retry-After": "3600"}), "429 Too Many Requests and asks to wait 3600 s"),
    ],
    ids=lambda value: None if isinstance(value, Reply) else value[-24:],
)
def test_what_is_no_model_is_refused_in_words_and_leaves_nothing(
    server: FileServer, home: Path, reply: Reply, words: str
):
    server.serve(PATH, reply)
    assert words in refused()
    address = server.serve("/else.pt", reply)
    said = refused(address)
    assert said.startswith(f"Cannot load model '{address}': ")
    assert words in said
    assert left_over(home) == set()
    assert len(server.log) == 2, "none of these is asked for again"


def test_a_page_about_a_file_suggests_the_address_of_the_file(server: FileServer):
    address = server.serve("/someone/repo/blob/main/best.pt", PAGE)
    assert "take the address of its 'raw' or 'resolve' link instead of the 'blob' page" in refused(address)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_in_trouble_is_asked_again_when_it_says(
    server: FileServer, status: int, capsys: pytest.CaptureFixture[str]
):
    server.serve(PATH, Reply(status=status), Reply(status=status, headers={"Retry-After": "0"}), Reply(BODY))
    assert resolve(NAME).read_bytes() == BODY
    said = capsys.readouterr().err
    assert f"the server answered {status} " in said
    assert "asks to wait 0 s; trying again in 0 s" in said
    server.serve("/else.pt", Reply(status=status))
    assert f"the server answered {status} " in refused(f"{server.url}/else.pt")
    assert len(server.asked("/else.pt")) == downloads.ATTEMPTS


def moved(to: str, status: int = 302) -> Reply:
    return Reply(status=status, headers={"Location": to})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_and_keep_the_range(server: FileServer, status: int):
    server.serve(PATH, moved("/step", status))
    server.serve("/step", moved(f"{server.url}/store?key=1", status))
    server.serve("/store?key=1", Reply(BODY, cut=1000), Reply(BODY))
    assert resolve(NAME).read_bytes() == BODY
    assert [asked.start for asked in server.asked("/store?key=1")] == [None, 1000]


def test_redirects_in_a_circle_come_to_an_end(server: FileServer):
    server.serve(PATH, moved("/a"))
    server.serve("/a", moved("/b"))
    server.serve("/b", moved("/a"))
    assert "it redirects in a circle, or too often (from" in refused()
    for number in range(30):
        server.serve(f"/{number}", moved(f"/{number + 1}"))
    assert "it redirects in a circle, or too often" in refused(f"{server.url}/0")
    assert len(server.log) < 20


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/model.pt"])
def test_redirects_lead_to_http_and_nowhere_else(server: FileServer, target: str, home: Path):
    server.serve(PATH, moved(target))
    assert target.partition(":")[0] in refused()
    assert left_over(home) == set()


def test_nobody_at_the_address():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert "no answer (Connection refused)" in refused(f"http://127.0.0.1:{port}/best.pt")


def test_a_server_that_accepts_and_says_nothing():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        words = refused(f"http://127.0.0.1:{mute.getsockname()[1]}/best.pt")
    assert "no answer within 0.5 s" in words


def test_a_line_that_goes_dead_in_between_keeps_what_came(server: FileServer, home: Path):
    """The server is gone for good after the first bytes."""
    server.serve(PATH, Reply(BODY, stall=5000))
    threading.Thread(target=lambda: (server.stalled.wait(10), server.shutdown(), server.server_close())).start()
    words = refused()
    assert "the 5.0 kB that came are kept, and the same command goes on from there" in words
    assert left_over(home) == {f"{NAME}.partial", f"{NAME}.partial.json"}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"gopher\r\n\r\n", "no answer (gopher)"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc", "the connection broke"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "the connection broke"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "an empty file"),
    ],
)
def test_a_server_that_speaks_broken_http(answer: bytes, words: str):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def speak() -> None:
            for _ in range(downloads.ATTEMPTS):
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(4096)
                    connection.sendall(answer)

        threading.Thread(target=speak, daemon=True).start()
        assert words in refused(f"http://127.0.0.1:{listener.getsockname()[1]}/best.pt")
        listener.shutdown(socket.SHUT_RDWR)


def test_a_chunked_answer_is_read_whole(home: Path):
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    answer += b"%x\r\n%b\r\n" % (len(BODY), BODY) + b"0\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def speak() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        threading.Thread(target=speak, daemon=True).start()
        assert resolve(f"http://127.0.0.1:{listener.getsockname()[1]}/best.pt").read_bytes() == BODY


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="no users here")
def test_a_cache_that_may_not_be_written_says_how_to_choose_another(
    server: FileServer, monkeypatch: pytest.MonkeyPatch
):
    server.serve(PATH, BODY)
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o555)
        monkeypatch.setenv("SEGKIT_CACHE", f"{folder}/models")
        with unprivileged(), pytest.raises(OutputError) as caught:
            resolve(NAME)
    where = f"'{folder}/models/weights/{NAME}'"
    assert str(caught.value) == (
        f"Cannot write {where}: permission denied; SEGKIT_CACHE names another folder to keep models in, "
        f"now '{folder}/models'."
    )
    assert server.log == []


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="no users here")
def test_what_is_in_a_cache_that_may_not_be_written_can_be_used(server: FileServer, monkeypatch: pytest.MonkeyPatch):
    server.serve(PATH, BODY)
    address = server.serve("/best.pt", BODY)
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("SEGKIT_CACHE", folder)
        paths = [resolve(NAME), resolve(address)]
        for path in [Path(folder), *Path(folder).glob("**/*")]:
            path.chmod(0o555)
        with unprivileged():
            assert [resolve(NAME), resolve(address)] == paths
            server.serve("/best.pt", OTHER)
            assert resolve(address).read_bytes() == BODY, "a newer one cannot be kept, but this one is still good"
            with pytest.raises(OutputError, match=r"permission denied; SEGKIT_CACHE names another folder"):
                resolve(f"{server.url}/other.pt")


def test_a_file_where_the_cache_should_be(server: FileServer, home: Path, monkeypatch: pytest.MonkeyPatch):
    server.serve(PATH, BODY)
    (home / "occupied").touch()
    monkeypatch.setenv("SEGKIT_CACHE", str(home / "occupied"))
    with pytest.raises(OutputError, match=r"not a directory; SEGKIT_CACHE names another folder"):
        resolve(NAME)


class unprivileged:  # noqa: N801 - reads like a word in a with statement
    """Code in the block may no more than an ordinary user; root could write anywhere."""

    def __enter__(self) -> None:
        self.was = os.geteuid()
        if self.was == 0:
            os.seteuid(65534)

    def __exit__(self, *_: object) -> None:
        os.seteuid(self.was)
