"""The captured graph: small, functional, equal to the network in every layout and size."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from segkit.core.backend import HeadLayout
from segkit.core.errors import ModelFileError, OptionError
from segkit.core.graph import Program, capture
from segkit.core.model import SegmentationNetwork, load_config, load_network

LAYOUTS = [HeadLayout(), HeadLayout(outputs="split", boxes="unit")]
EXPECTED_OPERATORS = {
    "aten.conv2d.default": 76,
    "aten.silu.default": 66,
    "aten.cat.default": 18,
    "aten.view.default": 11,
    "aten.split_with_sizes.default": 9,
    "aten.add.Tensor": 8,
    "aten.max_pool2d.default": 3,
    "aten.upsample_nearest2d.vec": 2,
    "aten.mul.Tensor": 2,
    "aten.sub.Tensor": 1,
    "aten.transpose.int": 1,
    "aten.softmax.int": 1,
    "aten.sigmoid.default": 1,
    "aten.conv_transpose2d.input": 1,
}


@pytest.fixture(scope="module")
def network() -> SegmentationNetwork:
    """The n network with three classes and seeded weights, its batch norms not trivial."""
    torch.manual_seed(0)
    made = SegmentationNetwork(load_config("yolov8n-seg.yaml", nc=3))
    with torch.no_grad():
        for name, buffer in made.named_buffers():
            if name.endswith("running_mean"):
                buffer.uniform_(-0.1, 0.1)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
    return made.eval()


def pictures(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


def run(program: Program, images: torch.Tensor) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return dict(zip(program.output_names, program.exported.module()(images), strict=True))


def wanted(network: SegmentationNetwork, images: torch.Tensor, layout: HeadLayout) -> dict[str, torch.Tensor]:
    with torch.inference_mode():
        boxes, scores, coefficients, prototypes = network.decode(images)
    if layout.boxes == "unit":
        height, width = images.shape[2:]
        boxes = boxes / torch.tensor([width, height, width, height])[:, None]
    if layout.outputs == "split":
        return {"boxes": boxes, "scores": scores, "coefficients": coefficients, "prototypes": prototypes}
    return {"output0": torch.cat((boxes, scores, coefficients), 1), "output1": prototypes}


def check(given: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert list(given) == list(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(given[name], tensor, rtol=1e-4, atol=2e-3, msg=name)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: f"{layout.outputs}-{layout.boxes}")
def test_a_static_capture_equals_the_network(network: SegmentationNetwork, layout: HeadLayout) -> None:
    program = capture(network, head=layout, imgsz=(64, 96), batch=2)
    images = pictures(2, 3, 64, 96)
    check(run(program, images), wanted(network, images, layout))
    assert tuple(program.example.shape) == (2, 3, 64, 96)
    assert program.input_name == "images"


@pytest.fixture(scope="module")
def program(network: SegmentationNetwork) -> Program:
    return capture(network, imgsz=(64, 64))


def test_the_graph_holds_few_kinds_of_operators_and_no_more_of_them_than_needed(program: Program) -> None:
    calls = Counter(str(node.target) for node in program.graph if node.op == "call_function")
    calls.pop("<built-in function getitem>")
    assert calls == EXPECTED_OPERATORS


def test_every_weight_is_a_named_entry_of_the_programs_state(program: Program) -> None:
    signature = program.exported.graph_signature
    assert set(program.exported.state_dict) == {*signature.parameters, *signature.buffers}
    assert not program.exported.constants
    assert list(signature.buffers) == ["centres", "sides"]
    assert not signature.buffers_to_mutate


def test_a_dynamic_capture_takes_any_batch_and_size(network: SegmentationNetwork) -> None:
    layout = LAYOUTS[1]  # the other one in ONNX, whose dynamic export is compared with the weights
    program = capture(network, head=layout, imgsz=(96, 96), dynamic_batch=True, dynamic_size=True)
    assert tuple(program.example.shape) == (1, 3, 96, 96)
    for shape in ((1, 3, 96, 96), (3, 3, 64, 160), (2, 3, 128, 64)):
        images = pictures(*shape)
        check(run(program, images), wanted(network, images, layout))


def test_a_free_batch_alone_keeps_constant_anchors(network: SegmentationNetwork) -> None:
    program = capture(network, imgsz=(64, 64), dynamic_batch=True)
    assert not any("arange" in str(node.target) for node in program.graph)
    images = pictures(5, 3, 64, 64)
    check(run(program, images), wanted(network, images, HeadLayout()))


def test_a_free_size_alone_keeps_the_batch(network: SegmentationNetwork) -> None:
    program = capture(network, imgsz=(64, 64), batch=2, dynamic_size=True)
    images = pictures(2, 3, 96, 128)
    check(run(program, images), wanted(network, images, HeadLayout()))


def test_capturing_leaves_the_network_as_it_was(network: SegmentationNetwork) -> None:
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.train()
    capture(network, imgsz=(64, 64))
    assert network.training
    network.eval()
    assert not network.fused
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_depthwise_class_branches_are_captured(data: Path) -> None:
    path = data / "checkpoints" / "coco8_1ep_v8.3.0.best.pt"
    program = capture(path, imgsz=(64, 64))
    groups = [node.args[6] for node in program.graph if "conv2d" in str(node.target) and len(node.args) > 6]
    assert len([count for count in groups if isinstance(count, int) and count > 1]) == 6
    images = pictures(1, 3, 64, 64)
    check(run(program, images), wanted(load_network(path), images, HeadLayout()))


def test_real_weights_from_disk_keep_their_outputs(n_seg_pt: Path) -> None:
    program = capture(n_seg_pt, imgsz=(320, 256))
    images = pictures(1, 3, 320, 256)
    check(run(program, images), wanted(load_network(n_seg_pt), images, HeadLayout()))


def test_a_capture_ends_before_the_selection_that_each_format_appends(network: SegmentationNetwork) -> None:
    program = capture(network, head=HeadLayout(nms=True), imgsz=(64, 64))
    assert program.head == HeadLayout()
    images = pictures(1, 3, 64, 64)
    check(run(program, images), wanted(network, images, HeadLayout()))


def test_half_is_for_the_layers_and_leaves_input_outputs_and_pixels_in_float32(network: SegmentationNetwork) -> None:
    module = capture(network, imgsz=(96, 64)).module.half()
    images = pictures(1, 3, 96, 64)
    with torch.no_grad():
        outputs = module(images)
    kinds = {name: tensor.dtype for name, tensor in module.state_dict().items()}
    wide = {"centres", "sides", "network.model.22.dfl.conv.weight"}
    assert {name for name, kind in kinds.items() if kind == torch.float32} == wide
    assert set(kinds.values()) == {torch.float32, torch.float16}
    assert [output.dtype for output in outputs] == [torch.float32, torch.float32]
    expected = wanted(network, images, HeadLayout())
    for output, reference in zip(outputs, expected.values(), strict=True):
        assert 0 < (output - reference).abs().max() < 0.2


@pytest.mark.parametrize("size", [(640, 650), (0, 64), (-32, 64)])
def test_an_impossible_size_is_refused(network: SegmentationNetwork, size: tuple[int, int]) -> None:
    with pytest.raises(OptionError, match="multiples of 32"):
        capture(network, imgsz=size)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.pt").write_text("<html>")
    with pytest.raises(ModelFileError, match="HTML"):
        capture(tmp_path / "page.pt")
