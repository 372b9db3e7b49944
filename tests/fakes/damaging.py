"""Damaged copies of what a file holds: cut off, bits flipped, stretches overwritten, in places from a seed."""

from collections.abc import Iterator

import numpy as np

_HEAD = 1 << 12
"""Where a file says what it holds; half of the places are there."""


def damaged(content: bytes, count: int = 100) -> Iterator[bytes]:
    """`count` copies that differ from `content`."""
    random = np.random.default_rng(0)
    for number in range(count):
        place = int(random.integers(1, min(len(content), _HEAD) if number % 2 else len(content)))
        if number % 3 == 0:
            yield content[:place]
            continue
        stretch = random.bytes(16) if number % 3 == 1 else bytes([content[place] ^ 1 << int(random.integers(8))])
        changed = content[:place] + stretch + content[place + len(stretch) :]
        if changed != content:
            yield changed
