"""torch announces the end of TorchScript at every call; what to use instead is segkit's business, not the user's."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_deprecations() -> Iterator[None]:
    """Without torch's own notices that tracing, scripting, saving and loading are deprecated."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=r".*torch\.jit\.\w+. is (deprecated|not supported)", category=DeprecationWarning
        )
        yield
