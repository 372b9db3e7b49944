"""What a format can do, and why it cannot do the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType

from pydantic.dataclasses import dataclass


class Feature(StrEnum):
    """What a format may offer. A plugin declares every one of them, as full or as a gap."""

    EXPORT = "export"
    PREDICT = "predict"
    HALF = "half"
    INT8 = "int8"
    DYNAMIC_BATCH = "dynamic batch"
    DYNAMIC_SIZE = "dynamic size"
    NMS = "nms"


class GapKind(StrEnum):
    """Why a feature is missing: it tells a reader whether waiting, buying or asking helps."""

    UNSUPPORTED_BY_RUNTIME = "unsupported-by-runtime"
    NOT_IMPLEMENTED = "not-implemented"
    BROKEN_UPSTREAM = "broken-upstream"
    NEEDS_HARDWARE = "needs-hardware"
    NEEDS_OS = "needs-os"
    NEEDS_TOOL = "needs-tool"
    NOT_APPLICABLE = "not-applicable"


@dataclass(frozen=True)
class Gap:
    """A feature that a format lacks, with the kind of obstacle and the reason in words."""

    kind: GapKind
    reason: str

    def __post_init__(self) -> None:
        """Refuse a gap without a reason.

        Raises:
            ValueError: empty reason.
        """
        if not self.reason.strip():
            raise ValueError(f"a gap needs a reason that a user can read, and one of {self.kind} has none")


class Full:
    """The type of FULL: the feature works and conformance tests it."""

    def __repr__(self) -> str:
        """As in a declaration."""
        return "FULL"


FULL = Full()
"""The feature works; conformance tests it."""

Level = Full | Gap


class Support(Mapping[Feature, Level]):
    """A complete declaration: every Feature is FULL or a Gap."""

    def __init__(self, declared: Mapping[Feature, Level]) -> None:
        """Declare each feature once.

        Raises:
            ValueError: a feature is missing from the declaration, is unknown, or neither FULL nor a Gap.
        """
        missing = [feature.value for feature in Feature if feature not in declared]
        if missing:
            raise ValueError(f"support is not declared for: {', '.join(missing)}")
        wrong = [
            str(name) for name, level in declared.items() if name not in [*Feature] or not isinstance(level, Level)
        ]
        if wrong:
            raise ValueError(
                f"support is declared as neither FULL nor a Gap of a known feature for: {', '.join(wrong)}"
            )
        self._declared = MappingProxyType(dict(declared))

    def __getitem__(self, feature: Feature) -> Level:
        """FULL or the gap."""
        return self._declared[feature]

    def __iter__(self) -> Iterator[Feature]:
        """Every feature, in declaration order."""
        return iter(self._declared)

    def __len__(self) -> int:
        """Number of features."""
        return len(self._declared)

    def gap(self, feature: Feature) -> Gap | None:
        """The gap of a feature, or None where it is full."""
        level = self._declared[feature]
        return level if isinstance(level, Gap) else None
