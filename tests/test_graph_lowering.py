"""The walk over a captured program that builds it anew in other operators: here in numpy's, or in torch's own."""

from __future__ import annotations

import operator

import numpy as np
import pytest
import torch
from torch import nn
from torch.export import Dim

from segkit.core.backend import HeadLayout
from segkit.core.errors import ExportError, OptionError
from segkit.core.graph import Lowering, Program, Step, capture
from segkit.core.model import SegmentationNetwork, load_config

aten = torch.ops.aten


class Small(nn.Module):
    """Whatever a walk meets: weights, a constant, an operator with several results, lists, named arguments, ends."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Linear(6, 4), nn.SiLU())
        self.register_buffer("shift", torch.arange(4.0))

    def forward(self, images):
        left, right = (self.stem(images) + self.shift).split((1, 3), 1)
        return torch.cat((right, left), 1), torch.sub(left, right.sum(1, keepdim=True), alpha=2)


def program(module=None, shape=(2, 6), free=None):
    module = (module or Small()).eval()
    names = tuple(f"end{number}" for number in range(len(module(torch.zeros(shape)))))
    return Program(module, torch.zeros(shape), HeadLayout(), names, (free,))


def numpy_table():
    table: Lowering[np.ndarray] = Lowering("toy", "toy.operators")
    table.register(aten.linear.default)(lambda step, x, weight, bias: x @ weight.T + bias)
    table.register(aten.silu.default)(lambda step, x: x / (1 + np.exp(-x)))
    table.register(aten.add.Tensor)(lambda step, x, y: x + y)
    table.register(aten.sub.Tensor)(lambda step, x, y, *, alpha=1: x - alpha * y)
    table.register(aten.cat.default)(lambda step, parts, dim=0: np.concatenate(parts, dim))
    table.register(aten.sum.dim_IntList)(lambda step, x, dims, keep=False: x.sum(tuple(dims), keepdims=keep))
    table.register(aten.split_with_sizes.default)(
        lambda step, x, sizes, dim=0: np.split(x, np.cumsum(sizes)[:-1], axis=dim)
    )
    return table


def as_numpy(name, tensor):
    return tensor.numpy()


def test_a_program_lowered_to_numpy_gives_its_numbers():
    small, images = program(), torch.rand(2, 6)
    found = numpy_table().run(small, images.numpy(), as_numpy)
    wanted = small.module(images)
    assert list(found) == ["end0", "end1"]
    for value, tensor in zip(found.values(), wanted, strict=True):
        np.testing.assert_allclose(value, tensor.detach(), rtol=1e-5, atol=1e-6)


def test_every_weight_is_asked_for_once_by_its_placeholder():
    asked = []
    numpy_table().run(
        program(), np.zeros((2, 6), np.float32), lambda name, tensor: asked.append(name) or tensor.numpy()
    )
    assert sorted(asked) == ["b_shift", "p_stem_0_bias", "p_stem_0_weight"]


def test_a_step_knows_its_operator_its_layer_and_its_sides():
    seen: list[Step] = []
    table = numpy_table()
    del table._functions[aten.linear.default]

    @table.register(aten.linear.default)
    def _linear(step, x, weight, bias):
        seen.append(step)
        return x @ weight.T + bias

    table.run(program(), np.zeros((2, 6), np.float32), as_numpy)
    (step,) = seen
    assert (step.operator, step.layer) == ("torch.ops.aten.linear.default", "stem.0")
    assert (step.sides, step.sides_of(0)) == ((2, 4), (2, 6))
    assert str(step) == "torch.ops.aten.linear.default of layer stem.0"


def test_layers_of_a_network_are_named_as_its_weights_are():
    network = SegmentationNetwork(load_config("yolov8t-seg.yaml", nc=2))
    steps = [Step(node) for node in capture(network, imgsz=(64, 64)).graph if node.op == "call_function"]
    layers = {step.layer for step in steps if step.operator == "torch.ops.aten.conv2d.default"}
    convs = {name for name, layer in network.named_modules() if type(layer) is nn.Conv2d and "dfl" not in name}
    assert layers == convs | {"model.22.dfl"}  # which calls the operator itself


def test_an_unknown_operator_is_told_with_its_layer_and_how_to_register_it_before_anything_is_called():
    called = []
    table: Lowering[object] = Lowering("toy", "toy.operators")
    for target in (aten.linear.default, aten.add.Tensor, aten.split_with_sizes.default, aten.cat.default):
        table.register(target)(lambda *_, **__: called.append(1))
    with pytest.raises(ExportError) as refusal:
        table.run(program(), None, lambda *_: None)
    assert str(refusal.value) == (
        "Export to toy failed: nothing stands for the operator torch.ops.aten.silu.default of layer stem.1 (nor "
        "torch.ops.aten.sub.Tensor, torch.ops.aten.sum.dim_IntList); register a function with "
        "Lowering.register(torch.ops.aten.silu.default) in toy.operators."
    )
    assert called == []


def test_what_a_function_raises_is_told_with_operator_and_layer():
    table = numpy_table()
    del table._functions[aten.silu.default]
    table.register(aten.silu.default)(lambda step, x: x @ np.zeros(99))
    with pytest.raises(ExportError, match=r"aten\.silu\.default of layer stem\.1 cannot be converted \(ValueError: "):
        table.run(program(), np.zeros((2, 6), np.float32), as_numpy)


def test_an_argument_that_a_function_does_not_take_is_no_traceback():
    table = numpy_table()
    del table._functions[aten.sub.Tensor]
    table.register(aten.sub.Tensor)(lambda step, x, y: x - y)
    with pytest.raises(ExportError, match=r"aten\.sub\.Tensor cannot be converted \(TypeError: .*alpha"):
        table.run(program(), np.zeros((2, 6), np.float32), as_numpy)


def test_a_deliberate_error_of_a_function_passes():
    table = numpy_table()
    del table._functions[aten.silu.default]

    @table.register(aten.silu.default)
    def _silu(step, x):
        raise OptionError("not with this option")

    with pytest.raises(OptionError, match="not with this option"):
        table.run(program(), np.zeros((2, 6), np.float32), as_numpy)


def test_an_operator_is_registered_once():
    table = numpy_table()
    with pytest.raises(ValueError, match=r"aten\.silu\.default is registered twice in toy\.operators"):
        table.register(aten.silu.default)(lambda step, x: x)


class Free(nn.Module):
    """Sides that are free, and what is computed with them."""

    def forward(self, images):
        rows, columns = images.shape[2:]
        return (images.reshape(images.shape[0], 3, rows * columns), images.new_ones(rows // 2))


def test_sides_that_are_free_are_values_and_python_computes_with_them():
    table: Lowering[object] = Lowering("toy", "toy.operators")
    shown = []
    table.register(aten.sym_size.int)(lambda step, x, dim: x.shape[dim])
    table.register(aten.new_ones.default)(lambda step, x, sides, **_: np.ones(sides))

    @table.register(aten.view.default, aten.reshape.default)
    def _view(step, x, sides):
        shown.append((step.sides, step.sides_of(0)))
        return x.reshape(sides)

    captured = program(Free(), (2, 3, 4, 6), {0: Dim("batch"), 2: 2 * Dim("rows"), 3: Dim("columns")})
    pixels = np.arange(5 * 3 * 8 * 7).reshape(5, 3, 8, 7)
    found = table.run(captured, pixels, as_numpy)
    np.testing.assert_array_equal(found["end0"], pixels.reshape(5, 3, 56))
    assert found["end1"].shape == (4,)
    assert shown == [((None, 3, None), (None, 3, None, None))]


def test_operators_of_python_can_be_registered_too():
    table = numpy_table()
    table.register(operator.getitem)(lambda step, values, index: values[1 - index])
    images = np.ones((2, 6), np.float32)
    assert table.run(program(), images, as_numpy)["end1"].shape == (2, 3)


@pytest.mark.parametrize("options", [{}, {"dynamic_batch": True, "dynamic_size": True}], ids=str)
def test_a_whole_network_is_rebuilt_by_calling_its_own_operators(options):
    torch.manual_seed(0)
    network = SegmentationNetwork(load_config("yolov8t-seg.yaml", nc=2)).eval()
    captured = capture(network, imgsz=(64, 64), **options)
    table: Lowering[torch.Tensor] = Lowering("toy", "toy.operators")
    for target in {node.target for node in captured.graph if isinstance(node.target, torch._ops.OpOverload)}:
        table.register(target)(lambda step, *given, **named: step.node.target(*given, **named))
    images = torch.rand(2, 3, 96, 64) if options else torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        found = table.run(captured, images, lambda name, tensor: tensor)
        wanted = captured.exported.module()(images)
    assert list(found) == ["output0", "output1"]
    for value, tensor in zip(found.values(), wanted, strict=True):
        torch.testing.assert_close(value, tensor)
