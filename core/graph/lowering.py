"""Building a network anew in a backend's own operators, node by node.

A format whose runtime has no converter for a captured program keeps a table from ATen's operators to its own, and
`Lowering.run` walks the graph with it. What a value is (a tensor of that runtime, one with a layout beside it, an
array) is the table's business: nothing here knows a backend.

    OPERATORS: Lowering[Tensor] = Lowering("acme", __name__)

    @OPERATORS.register(torch.ops.aten.relu.default)
    def _relu(step: Step, x: Tensor) -> Tensor:
        return acme.relu(x)

    outputs = OPERATORS.run(program, acme.input(...), weight=lambda name, tensor: acme.constant(tensor.numpy()))
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch import SymInt, Tensor
from torch._ops import OpOverload
from torch.fx import Node

from segkit.core.backend.faults import words
from segkit.core.errors import ExportError, SegkitError
from segkit.core.graph.program import Program

Value = TypeVar("Value")
Function = TypeVar("Function", bound=Callable[..., Any])

Sides = tuple[int | None, ...]
"""The sides of a tensor; None where one is free."""

_ARITHMETIC = frozenset({operator.add, operator.sub, operator.mul, operator.floordiv})
"""What a program computes with sides that are free. Values that stand for numbers have these operators themselves."""

_WRAPPED = "network."
"""Where a captured program keeps the network: names of layers begin behind it, as those of weights do."""


@dataclass(frozen=True)
class Step:
    """The call that is being lowered; every registered function gets it first.

    Attributes:
        node: of the program's graph.
    """

    node: Node

    @property
    def operator(self) -> str:
        """As a program writes it: "torch.ops.aten.conv2d.default", "operator.floordiv"."""
        target: Any = self.node.target
        return f"torch.ops.{target}" if isinstance(target, OpOverload) else f"{target.__module__}.{target.__name__}"

    @property
    def layer(self) -> str:
        """Path of the module that made the call, as in the names of weights: "model.22.cv2.0.0.conv"; "" where none
        did.
        """
        stack: Mapping[str, tuple[str, Any]] = self.node.meta.get("nn_module_stack") or {}
        paths = [path for path, kind in stack.values() if path != kind]  # torch's own passes leave a pair of the same
        return (paths[-1] if paths else "").removeprefix(_WRAPPED)

    @property
    def sides(self) -> Sides:
        """Those of the result, which must be one tensor."""
        return _sides(self.node)

    def sides_of(self, argument: int) -> Sides:
        """Those of the tensor that is the call's positional argument of this number."""
        return _sides(self.node.args[argument])

    def __str__(self) -> str:
        """For messages: operator and layer."""
        return f"{self.operator} of layer {self.layer}" if self.layer else self.operator


class Lowering(Generic[Value]):
    """A backend's table of operators, and the walk over a program that calls it."""

    def __init__(self, format_name: str, module: str) -> None:
        """`module` is the one that registers the operators: errors send the reader there."""
        self._format, self._module = format_name, module
        self._functions: dict[Any, Callable[..., Any]] = {}

    def register(self, *targets: Callable[..., Any]) -> Callable[[Function], Function]:
        """Decorate the function that stands for operators, such as `torch.ops.aten.silu.default`.

        It is called with the `Step` and the operator's own arguments, values in the place of tensors and of sides that
        are free, and gives the value of the result; a list of them for an operator with several.

        Raises:
            ValueError: one is registered already.
        """

        def enter(function: Function) -> Function:
            for target in targets:
                if target in self._functions:
                    raise ValueError(f"{target} is registered twice in {self._module}")
                self._functions[target] = function
            return function

        return enter

    def run(self, program: Program, images: Value, weight: Callable[[str, Tensor], Value]) -> dict[str, Value]:
        """Lower a whole program.

        Args:
            program: the captured network.
            images: the value of its input.
            weight: makes the value of a weight from the placeholder's name and its tensor; called once for each.

        Returns:
            The values of the outputs by name, in the program's order.

        Raises:
            ExportError: an operator is not registered (found before anything is called), or a function failed.
        """
        self._check(program)
        weights = program.weights
        values: dict[Node, Any] = {}

        def filled(argument: Any) -> Any:
            if isinstance(argument, Node):
                return values[argument]
            if isinstance(argument, list | tuple):
                return [filled(item) for item in argument]
            return argument

        for node in program.graph:
            if node.op == "placeholder":
                values[node] = weight(node.name, weights[node.name]) if node.name in weights else images
            elif node.op == "call_function":
                arguments = {name: filled(value) for name, value in node.kwargs.items()}
                values[node] = self._call(Step(node), filled(node.args), arguments)
            elif node.op == "output":
                return dict(zip(program.output_names, filled(node.args[0]), strict=True))
        raise AssertionError("a program without outputs")

    def _check(self, program: Program) -> None:
        steps = [Step(node) for node in program.graph if node.op == "call_function"]
        unknown = [step for step in steps if self._function(step) is None]
        if not unknown:
            return
        others = sorted({step.operator for step in unknown} - {unknown[0].operator})
        more = f" (nor {', '.join(others)})" if others else ""
        raise ExportError(
            self._format,
            f"nothing stands for the operator {unknown[0]}{more}; register a function with "
            f"Lowering.register({unknown[0].operator}) in {self._module}",
        )

    def _function(self, step: Step) -> Callable[..., Any] | None:
        target: Any = step.node.target
        if target in self._functions:
            return self._functions[target]
        if target is operator.getitem:
            return lambda step, values, index: values[index]
        if target in _ARITHMETIC:
            return lambda step, *numbers: target(*numbers)
        return None

    def _call(self, step: Step, arguments: list[Any], named: Mapping[str, Any]) -> Any:
        function = self._function(step)
        assert function is not None  # checked before the walk
        try:
            return function(step, *arguments, **named)
        except SegkitError:
            raise
        except Exception as error:
            raise ExportError(self._format, f"the operator {step} cannot be converted ({words(error)})") from error


def _sides(node: Any) -> Sides:
    return tuple(None if isinstance(side, SymInt) else int(side) for side in node.meta["val"].shape)
