"""What a run of the suite was told, from pytest's options where segkit's plugin has made them known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from segkit.conformance.arguments import precisions_of
from segkit.core.backend import Precision


def spelt(name: str, value: str = "", *, command: bool) -> str:
    """An option as those write it who read the message.

    Args:
        name: its name.
        value: what stands for its value.
        command: they use `segkit conformance`, not pytest.
    """
    if command:
        return f"{name}={value}" if value else name
    return f"--segkit-{name} {value}".rstrip()


@dataclass(frozen=True)
class Settings:
    """What is tested beside the suite's own model and pictures.

    Attributes:
        model: the user's own weights.
        data: their labelled pictures: a description, COCO annotations, or a known name.
        precisions: those that are wanted.
        store: keeps what torch is needed for; where torch is not, that is taken from there.
        shared: keeps what other formats of the same run need, too.
        quick: leave out what takes long and is likely to go with the rest: the larger scales.
        command: `segkit conformance` has started this, whose options are written otherwise than pytest's.
    """

    model: Path | None = None
    data: str | None = None
    precisions: frozenset[Precision] = frozenset(Precision)
    quick: bool = False
    store: Path | None = None
    shared: Path | None = None
    command: bool = False

    @classmethod
    def of(cls, config: Any) -> Self:
        """From pytest's configuration; the defaults without segkit's plugin."""

        def given(name: str) -> Any:
            return config.getoption(f"--segkit-{name}", default=None)

        model, store, shared = given("model"), given("store"), given("shared")
        wanted = precisions_of(given("precision"))
        return cls(
            Path(model) if model else None,
            given("data"),
            frozenset(map(Precision, wanted or Precision)),
            bool(given("quick")),
            Path(store) if store else None,
            Path(shared) if shared else None,
            bool(given("child")),
        )

    def option(self, name: str, value: str) -> str:
        """An option with its value, as whoever reads the report writes it."""
        return spelt(name, value, command=self.command)
