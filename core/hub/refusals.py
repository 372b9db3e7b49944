"""Answers that are no file of the wanted kind, by their first bytes: users should read why, not "unknown format"."""

from __future__ import annotations

from segkit.core.http import AddressError, Answer

BEGINNING = 512
"""Bytes that are enough to judge by."""

_BOM_AND_SPACE = b"\xef\xbb\xbf \t\r\n"


def check_beginning(answer: Answer, beginning: bytes, kind: str = "model") -> None:
    """Refuse what cannot be a model, or a file of another `kind`.

    Args:
        answer: what the server said.
        beginning: the first bytes of the file: BEGINNING or more, or all.
        kind: what was wanted.

    Raises:
        AddressError: nothing, a web page, an XML document, or a Git LFS pointer.
    """
    start = beginning.lstrip(_BOM_AND_SPACE)[:16].lower()
    problem = None
    if answer.is_page() or start.startswith((b"<!doctype html", b"<html")):
        blob = "/blob/" in answer.address
        problem = "the server sent a web page, not a file"
        problem += "; take the address of its 'raw' or 'resolve' link instead of the 'blob' page" if blob else ""
    elif start.startswith(b"<?xml"):
        problem = f"the server sent an XML document, not a {kind}"
    elif beginning.startswith(b"version https://git-lfs.github.com/spec/"):
        problem = "the server sent a Git LFS pointer, not the file itself; take the address that downloads it"
    elif not beginning:
        problem = "the server sent an empty file"
    if problem:
        raise AddressError(answer.address, problem)
