"""Declared gaps: how a test ends at one, and how one is looked behind."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace

import pytest

from segkit.core.backend import FULL, Backend, Feature, GapKind, Precision, Support
from segkit.core.backend.format import Format
from segkit.core.backend.options import BY_PRECISION
from segkit.core.backend.registry import Registry

PROBED = frozenset({GapKind.BROKEN_UPSTREAM, GapKind.UNSUPPORTED_BY_RUNTIME})
"""Obstacles that others may remove one day; a backend that does it nevertheless has outlived its declaration."""


def plain(fmt: Format) -> Precision:
    """The precision of a format's files unless told otherwise: not float32 where the hardware computes in eight bits
    alone.
    """
    return fmt.export_options().precision if fmt.export_options else Precision.FP32


def need(
    fmt: Format, *asked: Feature | Precision, wanted: Iterable[Precision] = tuple(Precision), runs: bool = True
) -> None:
    """End the test as expected failure where the format declares a gap; the gap itself is tested in stage declare.

    Without a precision among what is asked for, the test takes files as they are unless told otherwise. One in float32
    is skipped where the format has none. `wanted` are the precisions that the run was asked for: a test of another one
    is skipped. With `runs=False` it is
    enough that files can be made. What can be made and not run (for want of hardware, say) is made and looked at, and
    the test ends at the gap before it runs: it may fail, but is never taken for passed.
    """
    features = [feature for each in asked for feature in (features_of(each) if isinstance(each, Precision) else [each])]
    default = plain(fmt)
    named = [each for each in Precision if each in asked or BY_PRECISION.get(each) in features]
    precision = named[0] if named else default
    if precision not in wanted:
        pytest.skip(f"{precision} is not asked for")
    made = () if fmt.holds_weights else (Feature.EXPORT,)
    running = (Feature.PREDICT,) if runs else ()
    for feature in (*made, *running, *features):
        if gap := fmt.support.gap(feature):
            pytest.xfail(f"declared gap '{feature}' ({gap.kind}): {gap.reason}")
    if precision is Precision.FP32 is not default:
        pytest.skip(f"files of this format are in {default}, and not in {precision}")


def features_of(precision: Precision) -> tuple[Feature, ...]:
    """What a format must offer for a precision."""
    return (BY_PRECISION[precision],) if precision in BY_PRECISION else ()


class Undeclared(Registry):
    """The same formats, but one of them declares no gap: what is behind the refusals can be called."""

    def __init__(self, registry: Registry, name: str) -> None:
        """Open the gaps of format `name`: all, for one option may ask for several features."""
        super().__init__()
        self._others = registry
        self._opened = copy.copy(registry.get(name))
        self._opened.format = replace(self._opened.format, support=Support(dict.fromkeys(Feature, FULL)))

    def get(self, name: str) -> Backend:
        """The backend with its gap opened, or another one as it is."""
        own = self._opened.format
        return self._opened if name in (own.name, *own.aliases) else self._others.get(name)
