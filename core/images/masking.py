"""Addresses as they may be shown: without the passwords that those of cameras carry."""

from __future__ import annotations

import re

# A name and password stand before an @ in the part that names the host. One with a bare slash in it makes what is
# before the slash look like a host with a port that is no number.
_LOGIN = re.compile(r"(?<=://)(?:[^/?#\s]*@|[^/?#@\s:]*:(?!\d*(?:[/?#\s'\"]|$))\S*@)")
_SECRET = re.compile(r"(?i)((?:pass|pwd|token|secret|auth|key|signature|credential)[\w-]*=)[^&#\s]*")


def masked(text: str) -> str:
    """`text` with the logins and secrets of the addresses in it replaced by ***.

    'rtsp://admin:1234@cam/live?token=ab' → 'rtsp://***@cam/live?token=***'.
    """
    return _SECRET.sub(r"\1***", _LOGIN.sub("***@", text)) if "://" in text else text
