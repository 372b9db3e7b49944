"""Pictures at an http(s) address: one request, bounded in time and size, never when SEGKIT_OFFLINE=1."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from segkit.core.errors import SourceError

TIMEOUT = 30.0
"""Seconds without an answer before giving up."""

LIMIT = 256 << 20
"""Bytes; no picture file is larger."""


def is_address(source: object) -> bool:
    """Whether a source is an http(s) address."""
    return isinstance(source, str) and source.lower().startswith(("http://", "https://"))


def name_of(address: str) -> str:
    """The file name in an address, for results: 'https://host/a/bus.jpg?x=1' → 'bus.jpg'."""
    try:
        path = urlsplit(address).path
    except ValueError:  # 'http://[bad': fetching it says what is wrong
        path = ""
    return PurePosixPath(unquote(path)).name or "image.jpg"


def fetch(address: str) -> bytes:
    """The bytes at an http(s) address.

    Raises:
        SourceError: offline by wish, no answer in time, an error status, a web page, or too many bytes.
    """
    if os.environ.get("SEGKIT_OFFLINE", "") not in ("", "0"):
        raise SourceError(address, "SEGKIT_OFFLINE forbids the network; download it yourself and give the file")
    try:
        request = urllib.request.Request(address, headers={"User-Agent": "segkit", "Accept": "image/*,*/*;q=0.5"})
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            if answer.headers.get_content_type() == "text/html":
                raise SourceError(address, "the answer is a web page, not a picture")
            data: bytes = answer.read(LIMIT + 1)
    except urllib.error.HTTPError as error:
        with error:
            raise SourceError(address, f"the server answered {error.code} {error.reason}") from error
    # URLError and time-outs are OSErrors, a malformed address is a ValueError, a malformed answer an HTTPException.
    except (OSError, ValueError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise SourceError(address, f"no answer ({str(reason) or type(reason).__name__})") from error
    if len(data) > LIMIT:
        raise SourceError(address, f"it holds more than {LIMIT >> 20} MB")
    return data
