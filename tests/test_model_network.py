"""The network itself: published layouts, published numbers, costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segkit.core.errors import OptionError
from segkit.core.model import ModelConfig, SegmentationNetwork, load_config, load_network, summary
from segkit.core.model.head import RawHead

SCALES = "nsmlx"
PUBLISHED_MILLIONS = {"n": 3.4, "s": 11.8, "m": 27.3, "l": 46.0, "x": 71.8}
TOLERANCE = {"boxes": 5e-3, "scores": 2e-5, "coefficients": 1e-4, "prototypes": 1e-4}


@pytest.fixture(scope="module")
def architecture(reference: Path) -> Any:
    return json.loads((reference / "architecture.json").read_text())["scales"]


def on_meta(config: ModelConfig) -> SegmentationNetwork:
    with torch.device("meta"):
        return SegmentationNetwork(config)


@pytest.fixture(scope="module")
def tiny() -> SegmentationNetwork:
    """The n network with three classes and random weights."""
    torch.manual_seed(0)
    return SegmentationNetwork(load_config("yolov8n-seg.yaml", nc=3)).eval()


@pytest.mark.parametrize("scale", SCALES)
def test_state_dict_has_the_published_names_and_shapes_in_order(architecture: Any, scale: str) -> None:
    state = on_meta(load_config(f"yolov8{scale}-seg.yaml")).state_dict()
    given = [[name, list(tensor.shape), str(tensor.dtype).removeprefix("torch.")] for name, tensor in state.items()]
    assert given == architecture[scale]["state"]


def test_fused_state_dict_has_the_published_names_and_shapes(architecture: Any) -> None:
    state = on_meta(load_config("yolov8n-seg.yaml")).fuse().state_dict()
    assert [[name, list(tensor.shape)] for name, tensor in state.items()] == architecture["n"]["state_fused"]


@pytest.mark.parametrize("scale", SCALES)
def test_parameters_and_gflops_are_the_published_ones(architecture: Any, scale: str) -> None:
    want = architecture[scale]
    network = on_meta(load_config(f"yolov8{scale}-seg.yaml"))
    whole, fused = summary(network), summary(network.fuse())
    assert whole.parameters == want["parameters"]
    assert whole.trainable == want["parameters_trainable_in_training"]
    assert fused.parameters == want["parameters_fused"]
    assert [row.parameters for row in whole.layers] == want["params_per_layer"]
    assert round(whole.parameters / 1e6, 1) == PUBLISHED_MILLIONS[scale]
    assert whole.gflops == pytest.approx(want["gflops_unfused"], rel=5e-5)
    assert fused.gflops == pytest.approx(want["gflops_fused"], rel=5e-5)
    assert not whole.fused
    assert fused.fused


def test_summary_lists_the_size_of_every_layers_output(tiny: SegmentationNetwork) -> None:
    shapes: dict[int, tuple[int, ...]] = {}
    hooks = [
        layer.register_forward_hook(lambda _m, _i, out, index=index: shapes.update({index: tuple(out.shape[1:])}))
        for index, layer in enumerate(list(tiny.model)[:-1])
    ]
    with torch.inference_mode():
        output = tiny(torch.zeros(1, 3, 64, 96))[0]
    for hook in hooks:
        hook.remove()
    rows = summary(tiny, (64, 96)).layers
    assert {row.index: row.output for row in rows} == shapes | {22: tuple(output.shape[1:])}


def test_summary_refuses_a_size_that_is_no_multiple_of_the_stride(tiny: SegmentationNetwork) -> None:
    with pytest.raises(OptionError, match="multiples of 32"):
        summary(tiny, (640, 650))


@pytest.mark.parametrize("fused", [False, True], ids=["unfused", "fused"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["nchw", "channels-last"])
def test_real_weights_give_the_reference_outputs(
    reference: Path, n_seg_pt: Path, fused: bool, layout: torch.memory_format
) -> None:
    wanted = np.load(reference / "forward_n.npz")
    prototypes = np.load(reference / "forward_n_proto.npz")["output1"]
    network = load_network(n_seg_pt).to(memory_format=layout)  # type: ignore[call-overload]
    if fused:
        network.fuse()
    images = (torch.from_numpy(wanted["input_u8"]).float() / 255).contiguous(memory_format=layout)
    with torch.inference_mode():
        output0, output1 = (tensor.numpy() for tensor in network(images))
    error = np.abs(output0 - wanted["output0"])
    assert error[:, :4].max() <= TOLERANCE["boxes"]
    assert error[:, 4:84].max() <= TOLERANCE["scores"]
    assert error[:, 84:].max() <= TOLERANCE["coefficients"]
    assert np.abs(output1 - prototypes).max() <= TOLERANCE["prototypes"]


def test_training_mode_gives_the_raw_head(tiny: SegmentationNetwork) -> None:
    network = SegmentationNetwork(tiny.config).train()
    raw = network(torch.zeros(2, 3, 64, 96))
    anchors = 8 * 12 + 4 * 6 + 2 * 3
    assert isinstance(raw, RawHead)
    assert [tuple(part.shape) for part in raw] == [(2, 64, anchors), (2, 3, anchors), (2, 32, anchors), (2, 32, 16, 24)]


def test_gradients_reach_every_trainable_parameter() -> None:
    network = SegmentationNetwork(load_config("yolov8n-seg.yaml", nc=2)).train()
    sum(part.square().mean() for part in network(torch.rand(2, 3, 64, 64))).backward()
    without = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert without == ["model.22.dfl.conv.weight"]


def test_initial_biases_are_the_published_ones(architecture: Any) -> None:
    head = SegmentationNetwork(load_config("yolov8n-seg.yaml")).head
    for branches, key in ((head.cv2, "box_bias_init"), (head.cv3, "cls_bias_init")):
        values = [branch[-1].bias for branch in branches]  # type: ignore[index]
        for value, want in zip(values, architecture["n"][key], strict=True):
            assert value.tolist() == pytest.approx([want] * len(value))


def test_batch_norm_uses_the_published_constants() -> None:
    norms = [m for m in on_meta(load_config("yolov8n-seg.yaml")).modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.03)}


def test_an_input_of_any_multiple_of_the_stride_is_taken(tiny: SegmentationNetwork) -> None:
    with torch.inference_mode():
        for height, width in ((32, 32), (32, 640), (96, 64)):
            output0, output1 = tiny(torch.zeros(1, 3, height, width))
            assert output0.shape == (1, 39, height * width // 64 + height * width // 256 + height * width // 1024)
            assert output1.shape == (1, 32, height // 4, width // 4)


def test_pictures_of_a_batch_do_not_influence_each_other(tiny: SegmentationNetwork) -> None:
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        together, alone = tiny(images)[0], torch.cat([tiny(image[None])[0] for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-3)


def test_half_precision_decodes_boxes_in_float32(tiny: SegmentationNetwork) -> None:
    images = torch.rand(1, 3, 64, 640, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        wanted = tiny.decode(images)
        network = load_like(tiny).half()
        given = network.decode(images.half())
    assert {part.dtype for part in given} == {torch.float32}
    # Rounded to half, x coordinates above 512 would be off by up to a quarter of a pixel.
    assert (given.boxes - wanted.boxes).abs().max() < 0.1


def load_like(network: SegmentationNetwork) -> SegmentationNetwork:
    twin = SegmentationNetwork(network.config, network.names)
    twin.load_state_dict(network.state_dict())
    return twin.eval()
