"""What the compiler says, read from what it prints. Its words are those of version 16; older ones say less."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

_FACTS: Mapping[str, str] = {
    "version": r"Edge TPU Compiler version (\S+)",
    "on_chip": r"On-chip memory used for caching model parameters: (\S+)",
    "free": r"On-chip memory (?:remaining|available) for caching model parameters: (\S+)",
    "streamed": r"Off-chip memory used for streaming uncached model parameters: (\S+)",
}
_COUNTS: Mapping[str, str] = {
    "segments": r"Number of Edge TPU subgraphs: (\d+)",
    "operators": r"Total number of operations: (\d+)",
    "on_tpu": r"Number of operations that will run on Edge TPU: (\d+)",
    "on_cpu": r"Number of operations that will run on CPU: (\d+)",
}
_ROW = re.compile(r"^(?P<operator>[A-Z][A-Z0-9_]+)\s+(?P<count>\d+)\s+(?P<status>\S.*?)\s*$", re.MULTILINE)
_MAPPED = "Mapped to Edge TPU"

_COMPLAINT = re.compile(
    r"^(?:ERROR: .*|Invalid model.*|Model not quantized.*|Internal compiler error.*|Compilation failed.*"
    r"|.*[Kk]illed after timeout.*)$",
    re.MULTILINE,
)


class Row(NamedTuple):
    """A row of the table "Operator, Count, Status"."""

    operator: str
    times: int
    status: str

    def __str__(self) -> str:
        """For messages: "1 SOFTMAX (Operation not supported)"."""
        return f"{self.times} {self.operator} ({self.status})"


@dataclass(frozen=True)
class Mapped:
    """What has become of a network; 0 and "" where the compiler does not say.

    Attributes:
        version: of the compiler.
        segments: pieces that run on the Edge TPU.
        operators: of the network, before.
        on_tpu: how many of them run on the Edge TPU.
        on_chip, free, streamed: memory for weights, as the compiler writes it ("5.92MiB"): what they take on the chip,
            what is left there, and what has to be sent anew for each picture.
        cpu: rows of the table that are not mapped.
    """

    version: str = ""
    segments: int = 0
    operators: int = 0
    on_tpu: int = 0
    on_chip: str = ""
    free: str = ""
    streamed: str = ""
    cpu: tuple[Row, ...] = ()

    @classmethod
    def parse(cls, log: str) -> Self:
        """From what the compiler has printed."""
        texts = {name: _found(pattern, log) for name, pattern in _FACTS.items()}
        counts = {name: int(_found(pattern, log) or 0) for name, pattern in _COUNTS.items()}
        rows = [Row(each["operator"], int(each["count"]), each["status"]) for each in _ROW.finditer(log)]
        mapped = sum(row.times for row in rows if row.status == _MAPPED)
        left = tuple(row for row in rows if row.status != _MAPPED)
        # A network that is mapped whole has no line of how many are not.
        on_tpu = counts["on_tpu"] or mapped or counts["operators"] - counts["on_cpu"]
        return cls(segments=counts["segments"], operators=counts["operators"], on_tpu=on_tpu, cpu=left, **texts)

    @classmethod
    def of(cls, plain: object) -> Self | None:
        """From `to_plain`, as it is read from a file; None where that is something else."""
        try:
            given: dict[str, Any] = dict(plain)  # type: ignore[call-overload]
            made = cls(**given)
            given |= {name: int(given.get(name, 0)) for name in ("segments", "operators", "on_tpu")}
            given |= {name: str(given.get(name, "")) for name in _FACTS}
            return cls(**given | {"cpu": tuple(Row(str(a), int(b), str(c)) for a, b, c in made.cpu)})
        except (OverflowError, TypeError, ValueError):
            return None

    def to_plain(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)

    def facts(self) -> dict[str, str]:
        """For people, by a short name."""
        known = {
            "compiler": f"Edge TPU Compiler {self.version}" if self.version else "",
            "on the Edge TPU": f"{self.on_tpu:,} of {self.operators:,} operators, in {_segments(self.segments)}",
            "on the CPU": ", ".join(map(str, self.cpu)),
            "weights on the chip": self.on_chip + (f", {self.free} left" if self.on_chip and self.free else ""),
            "weights sent for each picture": self.streamed,
        }
        return {name: text for name, text in known.items() if text}


def complaint(log: str) -> str:
    """What the compiler complains of, in one line: its own words for it, else the last that it printed; "" where it
    printed nothing.
    """
    found = _COMPLAINT.findall(log)
    lines: Sequence[str] = found or log.splitlines()
    said = [line.strip() for line in lines if line.strip()]
    return (said[0] if found else said[-1])[:300] if said else ""


def _segments(count: int) -> str:
    return f"{count} segment{'' if count == 1 else 's'}"


def _found(pattern: str, log: str) -> str:
    match = re.search(pattern, log)
    return match[1] if match else ""
