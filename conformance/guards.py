"""Looks over the shoulder of a plugin: what it leaves elsewhere, whom it calls, what it keeps."""

from __future__ import annotations

import gc
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

CALLS = ("connect", "connect_ex", "sendto", "sendmsg")
LOOKUPS = ("getaddrinfo", "gethostbyname", "gethostbyname_ex")
INTERNET = (socket.AF_INET, socket.AF_INET6)

STATM, HANDLES, TASKS = Path("/proc/self/statm"), Path("/proc/self/fd"), Path("/proc/self/task")
"""Where Linux tells of this process; elsewhere less is known."""


@contextmanager
def left_in(beside: Path, cwd: Path, litter: list[str]) -> Iterator[None]:
    """Work in the new folder `cwd`; what a plugin leaves there, or beside the model, is added to `litter` with its
    place.

    Temporary files do not count: a user's export has a folder for them, which goes with it.
    """
    cwd.mkdir(parents=True)
    before = set(beside.iterdir())
    with chdir(cwd):
        yield
    litter += sorted(f"{path.name} in the working folder" for path in cwd.iterdir())
    litter += sorted(f"{path.name} beside the model" for path in set(beside.iterdir()) - before)


@contextmanager
def network_calls(calls: list[str]) -> Iterator[None]:
    """Refuse every connection that Python makes, and add to `calls` whom it was for."""

    def refusing(name: str) -> Callable[..., Any]:
        original = getattr(socket.socket, name)

        def call(this: socket.socket, *given: Any) -> Any:
            address = given[-1] if name != "sendmsg" else given[3] if len(given) > 3 else None
            if this.family not in INTERNET or address is None:  # no address: it is connected already
                return original(this, *given)
            calls.append(str(address))
            raise OSError("the conformance suite runs without a network")

        return call

    def unknown(host: object, *_: object, **__: object) -> Any:
        calls.append(str(host))
        raise socket.gaierror("the conformance suite runs without a network")

    with ExitStack() as stack:
        for name in LOOKUPS:
            stack.enter_context(mock.patch.object(socket, name, unknown))
        for name in CALLS:
            stack.enter_context(mock.patch.object(socket.socket, name, refusing(name)))
        yield


@dataclass(frozen=True)
class Holdings:
    """What this process holds; 0 where the system does not say.

    Attributes:
        memory: megabytes.
        handles: open files and the like.
        threads: of Python and of everything else.
    """

    memory: float
    handles: int
    threads: int

    @classmethod
    def now(cls) -> Holdings:
        """As it is, garbage left out."""
        gc.collect()
        pages = int(STATM.read_text().split()[1]) if STATM.exists() else 0
        return cls(
            pages * os.sysconf("SC_PAGE_SIZE") / 1e6 if pages else 0.0,
            sum(1 for _ in HANDLES.iterdir()) if HANDLES.exists() else 0,
            sum(1 for _ in TASKS.iterdir()) if TASKS.exists() else threading.active_count(),
        )
