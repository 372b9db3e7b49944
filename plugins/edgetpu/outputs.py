"""Which output of a compiled file is which."""

from __future__ import annotations

from collections.abc import Iterable

from segkit.core.backend.layouts import SPLIT


def by_number(tensors: Iterable[str]) -> dict[str, str] | None:
    """What the tensors of split outputs hold, by their own names; None where those do not tell.

    The compiler keeps no signature. But TensorFlow numbers the outputs of one in the order of their names
    ("PartitionedCall:0", …), and those are left.
    """
    numbers = {name: name.rpartition(":")[2] for name in tensors}
    if {*numbers} == {*SPLIT}:
        return {name: name for name in numbers}
    if sorted(numbers.values()) != [str(number) for number in range(len(SPLIT))]:
        return None
    return {name: sorted(SPLIT)[int(number)] for name, number in numbers.items()}
