"""What of a graph TensorFlow comes to when it loads, restores and runs it.

A SavedModel keeps weights in files, and has operators for that. They are none of the network's: what is run must not
come to them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from segkit.plugins.shared.operators import SAVING, touching

_RESTORING = {name for name in SAVING if name.startswith("Restore")}


class Node(NamedTuple):
    """A node: its inputs by the tensors' names, and the functions that it may call."""

    name: str
    operator: str
    inputs: tuple[str, ...]
    calls: tuple[str, ...]


class Reach:
    """The nodes of a graph and of its functions; `running` and `restoring` are the tensors it is entered by."""

    def __init__(self) -> None:
        self.running: set[str] = set()
        self.restoring: set[str] = set()
        self._nodes: dict[str, Node] = {}
        self._functions: dict[str, list[Node]] = {}
        self._operators: set[str] = set()

    def add(self, node: Node, function: str | None) -> None:
        """A node of a function, or of the graph itself (None)."""
        self._operators.add(node.operator)
        if function is None:
            self._nodes[node.name] = node
        else:
            self._functions.setdefault(function, []).append(node)

    def touching(self) -> set[str]:
        """Operators that no network has any business with, anywhere; of those that save and restore, such as are come
        to from elsewhere.
        """
        run, restored = self._from(self.running), self._from(self.restoring)
        return {*touching(self._operators - SAVING), *(SAVING & run), *((SAVING - _RESTORING) & restored)}

    def _from(self, tensors: Iterable[str]) -> set[str]:
        """Operators that are computed for these tensors."""
        waiting, seen, called, operators = [*tensors], set[str](), set[str](), set[str]()
        while waiting:
            name = waiting.pop().removeprefix("^").partition(":")[0]
            if name not in seen and name in self._nodes:
                seen.add(name)
                node = self._nodes[name]
                waiting += node.inputs
                operators.add(node.operator)
                operators |= self._inside((node.operator, *node.calls), called)
        return operators

    def _inside(self, functions: Iterable[str], called: set[str]) -> set[str]:
        """Operators of functions, and of what those call; `called`: which were looked into before."""
        waiting, operators = [*functions], set[str]()
        while waiting:
            name = waiting.pop()
            if name not in called and name in self._functions:
                called.add(name)
                for node in self._functions[name]:
                    operators.add(node.operator)
                    waiting += (node.operator, *node.calls)
        return operators
