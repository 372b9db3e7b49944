"""Runs a program, operation by operation: what is in the file is computed, and nothing else.

Where a value is declared in half precision it is rounded to half precision after the operation that made it; sums
inside an operation are float32. Core ML's own engines may round sums in between, which no file prescribes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.core.errors import RuntimeFailure, UnsupportedError
from segkit.plugins.coreml import layers
from segkit.plugins.coreml.crew import Crew, alone
from segkit.plugins.coreml.operators import CONSTANTS, MOVING, OPERATORS, POSITIONAL, Operator
from segkit.plugins.coreml.program import Argument, Constant, Operation, Program

Array = NDArray[Any]


@dataclass(frozen=True)
class _Step:
    """An operation made ready: its function, its constants, and names of values that nobody needs afterwards."""

    operation: Operation
    function: Operator
    constants: dict[str, Any]
    values: dict[str, Argument]
    done: tuple[str, ...]


class Evaluator:
    """A program ready to be run, any number of times and by any thread."""

    def __init__(self, program: Program, threads: int | None = None) -> None:
        """Take a program apart: constants are widened to float32 once. By default there is a thread for each core.

        Raises:
            UnsupportedError: it has an operation that is not known here.
            ValueError: a constant cannot be made.
        """
        self.inputs, self.outputs = program.inputs, program.outputs
        self._constants: dict[str, Any] = {}
        self._crew = Crew(threads)
        self._kinds = {name: kind for operation in program.operations for name, kind in operation.outputs}
        self._kinds |= dict(program.inputs)
        steps = [operation for operation in program.operations if not self._is_constant(operation)]
        last = {name: number for number, step in enumerate(steps) for name in _read(step)}
        last |= dict.fromkeys(self.outputs, len(steps))
        self._steps = [
            self._ready(step, tuple(name for name in {*_read(step)} if last[name] == number))
            for number, step in enumerate(steps)
        ]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name, of the types that the program declares, in arrays of their own.

        Raises:
            RuntimeFailure: an operation fails on these inputs; it is named.
        """
        with alone():
            return self._run(inputs)

    def close(self) -> None:
        """End the threads."""
        self._crew.close()

    def _run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        values = {name: self._rounded(name, array.astype(np.float32, copy=False)) for name, array in inputs.items()}
        for step in self._steps:
            try:
                made = self._compute(step, values)
            except MemoryError:
                raise RuntimeFailure("coreml", f"not enough memory for '{step.operation.type}'") from None
            except (ValueError, IndexError, TypeError, KeyError, OverflowError, ZeroDivisionError) as error:
                first = (str(error).splitlines() or [type(error).__name__])[0]
                raise RuntimeFailure("coreml", f"operation '{step.operation.type}': {first}") from error
            for (name, _), value in zip(step.operation.outputs, made, strict=True):
                values[name] = value
            for name in step.done:
                values.pop(name, None)
        return {name: self._given(name, values) for name in self.outputs}

    def _compute(self, step: _Step, values: Mapping[str, Array]) -> list[Array]:
        found = step.constants | {name: self._find(argument, values) for name, argument in step.values.items()}
        order = POSITIONAL.get(step.operation.type)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # as any runtime: infinities are numbers
            result = (
                step.function(*(found[name] for name in order if name in found)) if order else step.function(**found)
            )
        made = list(result) if isinstance(result, list | tuple) else [result]
        if len(made) != len(step.operation.outputs):
            raise ValueError(f"{len(made)} results for {len(step.operation.outputs)} names")
        if step.operation.type in MOVING:
            return made
        return [self._rounded(name, value) for (name, _), value in zip(step.operation.outputs, made, strict=True)]

    def _find(self, argument: Argument, values: Mapping[str, Array]) -> Any:
        found = [values[name] if name in values else self._constants[name] for name in argument.names]
        return found if len(found) > 1 else found[0]

    def _given(self, name: str, values: Mapping[str, Array]) -> Array:
        """An output that shares no memory with anything."""
        kind = self._kinds[name].dtype
        value = values[name] if name in values else self._constants[name]
        return np.array(value, kind if kind in ("float32", "float16", "int32", "bool") else None, order="C")

    def _rounded(self, name: str, value: Array) -> Array:
        """The numbers that the declared type can hold."""
        if self._kinds[name].dtype == "float16" and value.dtype.kind == "f":
            with np.errstate(over="ignore"):
                return value.astype(np.float16).astype(np.float32)
        return value.astype(np.float32) if value.dtype == np.float64 else value

    def _is_constant(self, operation: Operation) -> bool:
        """Whether an operation is known before any run; its value is kept."""
        if operation.type == "const":
            self._keep(operation, operation.attributes["val"])
            return True
        if operation.type not in CONSTANTS:
            return False
        given = {name: self._find_constant(argument) for name, argument in operation.inputs.items()}
        made = CONSTANTS[operation.type](**operation.attributes, **given)
        assert isinstance(made, np.ndarray)
        self._keep(operation, made)
        return True

    def _keep(self, operation: Operation, value: Constant) -> None:
        (name, _) = operation.outputs[0]
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            value = np.ascontiguousarray(self._rounded(name, value), np.float32)
        self._constants[name] = value

    def _find_constant(self, argument: Argument) -> Any:
        if argument.constant is not None:
            return argument.constant
        return self._constants[argument.names[0]]

    def _ready(self, step: Operation, done: tuple[str, ...]) -> _Step:
        function = OPERATORS.get(step.type)
        if function is None or step.nested:
            raise UnsupportedError(
                "coreml",
                f"the operation '{step.type}'",
                "not-implemented",
                f"outside of macOS the program is evaluated by segkit, which knows {', '.join(sorted(OPERATORS))}; "
                "on macOS Core ML runs it",
            )
        if step.type == "conv":
            function = partial(layers.conv, each=self._crew.each)
        constants: dict[str, Any] = {}
        values: dict[str, Argument] = {}
        for name, argument in step.inputs.items():
            if argument.constant is not None:
                constants[name] = _widened(argument.constant)
            elif len(argument.names) > 1 or not set(argument.names) <= self._constants.keys():
                values[name] = argument
            elif argument.names:
                constants[name] = self._constants[argument.names[0]]
        if step.type == "concat" and "values" in values and len(values["values"].names) == 1:
            function = _joined_alone
        return _Step(step, function, constants, values, done)


def _joined_alone(values: Array, axis: Array, interleave: Array | None = None) -> Array:
    """`concat` of a single value."""
    return values


def _widened(value: Constant) -> Constant:
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return value.astype(np.float32)
    return value


def _read(step: Operation) -> list[str]:
    return [name for argument in step.inputs.values() for name in argument.names]
