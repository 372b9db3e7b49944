"""Addresses: whether the network may be used, how they may be shown, and one bounded http(s) request with every failure
in words.

`SEGKIT_OFFLINE=1` forbids the network; `SEGKIT_TIMEOUT` is the number of seconds without a byte before giving up
(default 30). Proxies are those of the environment (`https_proxy`, `no_proxy`). The libraries that speak http are
imported at the first request.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from segkit.core.errors import InputError, OptionError

if TYPE_CHECKING:
    from http.client import HTTPResponse
    from urllib.error import HTTPError
    from urllib.request import OpenerDirector

TIMEOUT = 30.0
"""Seconds without a byte before giving up, unless SEGKIT_TIMEOUT says otherwise."""

REDIRECTS = 5
"""How often an address may send on to another one."""

_TRANSIENT = {408, 429, 500, 502, 503, 504}
_LOGIN = {401, 403, 407}
_REDIRECTS = "it redirects"
_SAFE = "%/:=&?~#+!$,;'@()*[]|"

# A name and password stand before an @ in the part that names the host. One with a bare slash in it makes what is
# before the slash look like a host with a port that is no number.
_IN_HOST = re.compile(r"(?<=://)(?:[^/?#\s]*@|[^/?#@\s:]*:(?!\d*(?:[/?#\s'\"]|$))\S*@)")
_IN_QUERY = re.compile(r"(?i)((?:pass|pwd|token|secret|auth|key|signature|\bsig|credential)[\w-]*=)[^&#\s]*")


class AddressError(InputError):
    """An address gave nothing that can be used. Callers say in an error of their own what they wanted it for."""

    def __init__(
        self, address: str, problem: str, *, status: int = 0, transient: bool = False, wait: float | None = None
    ) -> None:
        """What went wrong, as the end of a sentence.

        Args:
            address: as it was given.
            problem: what happened.
            status: of the answer; 0 if there was none.
            transient: another attempt may go well.
            wait: seconds after which the server wants to be asked again.
        """
        self.problem, self.status, self.transient, self.wait = problem, status, transient, wait
        super().__init__(f"Cannot fetch '{masked(address)}': {problem}.")


class Answer:
    """The answer to one request, to be read once."""

    def __init__(self, address: str, response: HTTPResponse) -> None:
        """`address` as it was asked for; `response` after redirects."""
        self.address, self._response = address, response
        self.status: int = response.status
        length = response.headers.get("Content-Length", "")
        self.length = int(length) if length.isascii() and length.isdigit() else None
        """Bytes that the server announced for this answer; None if it did not."""
        self._received = 0

    def header(self, name: str) -> str | None:
        """The value of a header."""
        return self._response.headers.get(name)

    def is_page(self) -> bool:
        """Whether the server calls this a web page."""
        return self._response.headers.get_content_type() in ("text/html", "application/xhtml+xml")

    def read(self, most: int) -> bytes:
        """The next bytes as they come in, `most` at most; none at the end.

        Raises:
            AddressError: the server stopped sending, or the answer ended before its announced length.
        """
        from http.client import HTTPException

        # `read1` of some Python versions does not stop at the announced length but waits for the connection to close.
        if self.length is not None:
            most = min(most, self.length - self._received)
        if not most:
            return b""
        try:
            data: bytes = self._response.read1(most)
        except TimeoutError as error:
            problem = f"it stopped sending for {timeout():g} s"
            raise AddressError(self.address, problem, transient=True) from error
        except (OSError, ValueError, HTTPException) as error:  # ValueError: the length of a chunk is no number
            problem = f"the connection broke ({_words(error)})"
            raise AddressError(self.address, problem, transient=True) from error
        self._received += len(data)
        if not data and self.length is not None:
            problem = f"the connection ended after {self._received} of {self.length} bytes"
            raise AddressError(self.address, problem, transient=True)
        return data


def is_address(source: object) -> bool:
    """Whether something a user gave is an http(s) address."""
    return isinstance(source, str) and source.lower().startswith(("http://", "https://"))


def masked(text: str) -> str:
    """`text` with the logins and secrets of the addresses in it replaced by ***, as it may be shown to anybody.

    'rtsp://admin:1234@cam/live?token=ab' → 'rtsp://***@cam/live?token=***'.
    """
    return _IN_QUERY.sub(r"\1***", _IN_HOST.sub("***@", text)) if "://" in text else text


def is_offline() -> bool:
    """Whether SEGKIT_OFFLINE forbids the network."""
    return os.environ.get("SEGKIT_OFFLINE", "") not in ("", "0")


def timeout() -> float:
    """Seconds without a byte before giving up.

    Raises:
        OptionError: SEGKIT_TIMEOUT is not a number above 0.
    """
    given = os.environ.get("SEGKIT_TIMEOUT") or str(TIMEOUT)
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise OptionError.invalid("SEGKIT_TIMEOUT", given, "give a number of seconds")
    return seconds


def name_in(address: str) -> str:
    """The file name in an address: 'https://host/a/b%20c.pt?x=1' → 'b c.pt'. Empty if there is none."""
    try:
        path = urlsplit(address).path
    except ValueError:  # 'http://[bad': opening it says what is wrong
        return ""
    return PurePosixPath(unquote(path)).name


@contextlib.contextmanager
def opened(address: str, headers: Mapping[str, str] | None = None, accept: Collection[int] = ()) -> Iterator[Answer]:
    """Ask for an http(s) address; redirects are followed, but never from https to http.

    Args:
        address: spaces and letters beyond ASCII are escaped; the part after '#' is not sent.
        headers: further ones of the request.
        accept: statuses other than 2xx that the caller understands; any other one is an error.

    Raises:
        AddressError: forbidden, malformed, no answer in time, an error status.
    """
    if is_offline():
        raise AddressError(address, "SEGKIT_OFFLINE forbids the network; download it yourself and give the file")
    response = _response(address, dict(headers or {}), accept)
    with contextlib.closing(response):
        encoding = response.headers.get("Content-Encoding", "identity").lower()
        if encoding != "identity":
            raise AddressError(address, f"the server sent it compressed ({encoding}), which was not asked for")
        yield Answer(address, response)


def _response(address: str, headers: dict[str, str], accept: Collection[int]) -> HTTPResponse:
    """The first answer that is no redirect, with an accepted status."""
    from http.client import HTTPException, InvalidURL
    from urllib.error import HTTPError
    from urllib.request import Request

    try:
        request = Request(_escaped(address), headers={"User-Agent": "segkit", **headers})
        response: HTTPResponse = _opener().open(request, timeout=timeout())
        return response
    except HTTPError as error:
        if error.code in accept and error.fp is not None:
            return error  # type: ignore[return-value] # it has all that a response has
        with error:
            raise _refusal(address, error) from error
    except (ValueError, InvalidURL) as error:
        raise AddressError(address, f"it is not an address that can be opened ({_words(error)})") from error
    except (OSError, HTTPException) as error:  # URLError and time-outs are OSErrors
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, TimeoutError):
            raise AddressError(address, f"no answer within {timeout():g} s") from error
        raise AddressError(address, f"no answer ({_words(reason)})") from error


def _refusal(address: str, error: HTTPError) -> AddressError:
    """An error status in words."""
    status, wait = error.code, None
    problem = f"the server answered {status} {error.reason}".rstrip()
    if str(error.reason).startswith(_REDIRECTS):  # our rule says itself what is wrong; urllib adds a line
        problem = str(error.reason).partition("\n")[0]
    elif status in _LOGIN:
        problem += "; it wants a login: download it yourself and give the file"
    given = error.headers.get("Retry-After", "") if status in _TRANSIENT else ""
    if re.fullmatch(r"\d{1,6}", given):
        wait = float(given)
        problem += f" and asks to wait {given} s"
    return AddressError(address, problem, status=status, transient=status in _TRANSIENT, wait=wait)


@cache
def _opener() -> OpenerDirector:
    """Opens addresses by our rule of redirects."""
    from http.client import HTTPMessage
    from typing import IO
    from urllib.error import HTTPError
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    class Redirects(HTTPRedirectHandler):
        """A few of them, to http and https only, and never from https to http: there anybody may change what comes."""

        max_redirections = REDIRECTS
        max_repeats = 2
        inf_msg = f"{_REDIRECTS} in a circle, or too often\n"

        def redirect_request(
            self, request: Request, body: IO[bytes], code: int, reason: str, headers: HTTPMessage, target: str
        ) -> Request | None:
            downgrade = request.type == "https" and not target.lower().startswith("https://")
            if downgrade or not is_address(target):
                problem = f"{_REDIRECTS} from {request.type} to {target.partition(':')[0]}, which is refused"
                raise HTTPError(target, code, problem, headers, body)
            return super().redirect_request(request, body, code, reason, headers, target)

    return build_opener(Redirects)


def _escaped(address: str) -> str:
    """An address in the letters that http allows."""
    parts = urlsplit(address)
    if "@" in parts.netloc:
        raise ValueError("a user name or password in it is not supported")
    host = parts.netloc if parts.netloc.isascii() else parts.netloc.encode("idna").decode("ascii")
    return parts._replace(
        netloc=host, path=quote(parts.path, _SAFE), query=quote(parts.query, _SAFE), fragment=""
    ).geturl()


def _words(reason: object) -> str:
    """An exception of the network in one line."""
    return " ".join(str(getattr(reason, "strerror", None) or reason).split()) or type(reason).__name__
