"""Weights in and out: ours, other tools', transfers."""

from __future__ import annotations

import errno
import json
import struct
import subprocess
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from segkit.core.errors import ModelFileError, OutputError
from segkit.core.model import (
    SegmentationNetwork,
    load_config,
    load_network,
    read_checkpoint,
    save_network,
    transfer,
)
from segkit.core.model.yaml_file import BUILT_IN, parse_config, read_yaml

ALL_SEGMENTATION = [
    ("yolov8n-seg.pt", "8.0.0.dev0"),
    ("coco8_1ep_v8.0.40.best.pt", "8.0.40"),
    ("coco8_1ep_v8.3.0.best.pt", "8.3.0"),
    ("coco8_3ep_v8.4.190.best.pt", "8.4.190"),
]


@pytest.fixture(scope="module")
def small() -> SegmentationNetwork:
    """A quarter of the n network, two classes, random weights."""
    torch.manual_seed(0)
    base = load_config("yolov8n-seg.yaml", nc=2)
    layers = [
        layer.model_copy(update={"channels": max(layer.channels // 4, 8)}) if layer.channels else layer
        for layer in base.layers
    ]
    head = base.head.model_copy(update={"boxes": 16, "scores": 16, "coefficients": 8, "prototypes": 8})
    config = type(base)(nc=2, layers=tuple(layers), head=head)
    return SegmentationNetwork(config, {0: "cat", 1: "कुत्ता"}).eval()


def same(one: SegmentationNetwork, other: SegmentationNetwork) -> bool:
    left, right = one.state_dict(), other.state_dict()
    return list(left) == list(right) and all(torch.equal(left[name], right[name]) for name in left)


# -- files of other tools ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "origin"), ALL_SEGMENTATION)
def test_checkpoints_of_every_trainer_version_load(data: Path, name: str, origin: str) -> None:
    checkpoint = read_checkpoint(data / "checkpoints" / name)
    network = load_network(checkpoint)
    assert checkpoint.origin == origin
    assert isinstance(checkpoint.train_args["imgsz"], int)
    assert (network.nc, network.config.scale, network.training) == (80, "n", False)
    assert (network.names[0], network.names[79]) == ("person", "toothbrush")
    assert {tensor.dtype for tensor in network.parameters()} == {torch.float32}
    with torch.inference_mode():
        output0, output1 = network(torch.zeros(1, 3, 64, 64))
    assert (tuple(output0.shape), tuple(output1.shape)) == ((1, 116, 84), (1, 32, 16, 16))


def test_depthwise_class_branches_are_seen_in_the_file(data: Path) -> None:
    depthwise = {
        name: read_checkpoint(data / "checkpoints" / name).require_config().head.depthwise
        for name, _ in ALL_SEGMENTATION
    }
    assert [name for name, found in depthwise.items() if found] == ["coco8_1ep_v8.3.0.best.pt"]


def test_real_weights_have_the_published_fingerprint(reference: Path, n_seg_pt: Path) -> None:
    wanted = json.loads((reference / "architecture.json").read_text())["n_checkpoint_fingerprint"]["tensors"]
    state = load_network(n_seg_pt).state_dict()
    for name, expected in wanted.items():
        values = list(expected.values()) if isinstance(expected, dict) else expected
        tensor = state[name].double()
        assert [float(tensor.sum()), float(tensor.abs().sum())] == pytest.approx(values[:2], rel=1e-9, abs=1e-9), name


def test_what_a_file_says_about_itself_is_read_without_torch(n_seg_pt: Path) -> None:
    code = f"""
import sys
from segkit.core.model import read_checkpoint
print(len(read_checkpoint({str(n_seg_pt)!r}).names), "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["80", "False"]


@pytest.fixture
def foreign_classes(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, type]]:
    """Classes as another trainer has them, importable while a file is written and gone when it is read."""
    made: dict[str, type] = {}
    names: dict[str, list[str]] = {
        "": [],
        ".nn": [],
        ".nn.modules": [],
        ".nn.tasks": ["SegmentationModel"],
        ".nn.modules.new": ["Anything"],
    }
    for module_name, classes in names.items():
        module = types.ModuleType(f"ultralytics{module_name}")
        for name in classes:
            made[name] = type(name, (nn.Module,), {"__module__": module.__name__})
            setattr(module, name, made[name])
        monkeypatch.setitem(sys.modules, module.__name__, module)
    yield made
    monkeypatch.undo()


def as_foreign(network: SegmentationNetwork, classes: dict[str, type], half: bool = True) -> nn.Module:
    """The same tensors in a tree of foreign modules."""
    root = classes["SegmentationModel"]()
    for name, tensor in network.state_dict().items():
        *path, leaf = name.split(".")
        node = root
        for part in path:
            if part not in node._modules:
                node.add_module(part, classes["Anything"]())
            node = node._modules[part]
        value = tensor.half() if half and tensor.is_floating_point() else tensor.clone()
        if "running" in leaf or "num_batches" in leaf:
            node.register_buffer(leaf, value)
        else:
            node.register_parameter(leaf, nn.Parameter(value))
    root.names = dict(network.names)
    return root


def test_a_pickled_module_of_unknown_classes_gives_its_tensors(
    tmp_path: Path, small: SegmentationNetwork, foreign_classes: dict[str, type], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"model": as_foreign(small, foreign_classes, half=False), "version": "9.9"}, tmp_path / "a.pt")
    monkeypatch.undo()
    network = load_network(tmp_path / "a.pt")
    assert same(network, small)
    assert network.names == small.names
    assert network.config.layers == small.config.layers


def test_averaged_weights_are_preferred(
    tmp_path: Path, small: SegmentationNetwork, foreign_classes: dict[str, type]
) -> None:
    other = SegmentationNetwork(small.config, small.names)
    torch.save(
        {
            "model": as_foreign(other, foreign_classes),
            "ema": as_foreign(small, foreign_classes, half=False),
            "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1}]},
            "best_fitness": np.float64(0.5),
            "train_args": {"imgsz": 320, "project": None, "device": torch.device("cpu"), "path": Path("x")},
            "date": "2024",
        },
        tmp_path / "last.pt",
    )
    assert same(load_network(tmp_path / "last.pt"), small)
    assert read_checkpoint(tmp_path / "last.pt").train_args["imgsz"] == 320


def test_a_network_with_more_levels_loads_by_the_description_inside(
    tmp_path: Path, foreign_classes: dict[str, type], monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = read_yaml(BUILT_IN)
    raw["head"][-1:] = [[-1, 1, "Conv", [1024, 3, 2]], [[15, 18, 21, 22], 1, "Segment", ["nc", 32, 256]]]
    raw |= {"nc": 2, "scales": {"t": [0.33, 0.0625, 512]}}
    network = SegmentationNetwork(parse_config(raw, "p6"), {0: "cat", 1: "dog"}).eval()
    module = as_foreign(network, foreign_classes, half=False)
    module.yaml = raw
    torch.save({"model": module}, tmp_path / "p6.pt")
    torch.save(network.state_dict(), tmp_path / "bare.pt")
    monkeypatch.undo()
    loaded = load_network(tmp_path / "p6.pt")
    assert same(loaded, network)
    assert loaded.config.strides == (8, 16, 32, 64)
    with pytest.raises(ModelFileError, match="a segmentation model of 24 layers"):
        load_network(tmp_path / "bare.pt")


@pytest.mark.parametrize("wrap", [None, "state_dict", "model", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "model."])
def test_a_plain_state_dict_loads_under_the_usual_keys(
    tmp_path: Path, small: SegmentationNetwork, wrap: str | None, prefix: str
) -> None:
    state = OrderedDict((prefix + name, tensor) for name, tensor in small.state_dict().items())
    torch.save({wrap: state, "epoch": 3} if wrap else state, tmp_path / "plain.pth")
    network = load_network(tmp_path / "plain.pth")
    assert same(network, small)
    assert network.names == {0: "class 0", 1: "class 1"}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_numbers_stored_in_any_float_type_become_float32(
    tmp_path: Path, small: SegmentationNetwork, dtype: torch.dtype
) -> None:
    state = {name: t.to(dtype) if t.is_floating_point() else t for name, t in small.state_dict().items()}
    for path in (tmp_path / "a.pt", tmp_path / "a.safetensors"):
        torch.save(state, path) if path.suffix == ".pt" else safetensors.torch.save_file(state, path)
        loaded = load_network(path).state_dict()
        assert all(torch.equal(loaded[name], t.float() if t.is_floating_point() else t) for name, t in state.items())


def test_scale_and_classes_of_a_foreign_state_dict_are_inferred(tmp_path: Path) -> None:
    network = SegmentationNetwork(load_config("yolov8s-seg.yaml", nc=11))
    safetensors.torch.save_file(network.state_dict(), tmp_path / "s.safetensors")
    assert load_network(tmp_path / "s.safetensors").config == network.config


# -- our own files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("fused", [False, True], ids=["unfused", "fused"])
def test_saved_weights_come_back_as_they_were(
    tmp_path: Path, small: SegmentationNetwork, suffix: str, fused: bool
) -> None:
    network = SegmentationNetwork(small.config, small.names)
    network.load_state_dict(small.state_dict())
    if fused:
        network.fuse()
    path = tmp_path / f"mine{suffix}"
    save_network(network, path, train_args={"epochs": 3, "imgsz": 320})
    loaded = load_network(path)
    assert same(loaded, network)
    assert (loaded.names, loaded.config, loaded.fused) == (small.names, small.config, fused)
    assert read_checkpoint(path).train_args == {"epochs": 3, "imgsz": 320}
    assert read_checkpoint(path).origin == "segkit"
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_our_pt_is_a_plain_dict_that_torch_reads_safely(tmp_path: Path, small: SegmentationNetwork) -> None:
    save_network(small, tmp_path / "mine.pt")
    raw = torch.load(tmp_path / "mine.pt", weights_only=True)
    assert set(raw) == {"segkit", "state_dict"}
    assert raw["segkit"]["names"] == {"0": "cat", "1": "कुत्ता"}


def test_the_same_network_gives_the_same_bytes(tmp_path: Path, small: SegmentationNetwork) -> None:
    for name in ("a.pt", "b.pt", "a.safetensors", "b.safetensors"):
        save_network(small, tmp_path / name)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_the_content_decides_not_the_suffix(tmp_path: Path, small: SegmentationNetwork) -> None:
    save_network(small, tmp_path / "mine.safetensors")
    (tmp_path / "mine.safetensors").rename(tmp_path / "mine.pt")
    assert same(load_network(tmp_path / "mine.pt"), small)


def test_another_suffix_is_refused(tmp_path: Path, small: SegmentationNetwork) -> None:
    with pytest.raises(OutputError, match=r"\.pt or \.safetensors"):
        save_network(small, tmp_path / "mine.bin")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path, small: SegmentationNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.pt"
    path.write_bytes(b"old")

    def full(self: Path, data: Any) -> int:
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="disk is full"):
        save_network(small, path)
    monkeypatch.undo()
    assert [item.name for item in tmp_path.iterdir()] == ["mine.pt"]
    assert path.read_bytes() == b"old"


# -- transfer ----------------------------------------------------------------------------------------------------


def test_a_detection_model_gives_all_but_the_mask_branches(data: Path) -> None:
    network = SegmentationNetwork(load_config("yolov8n-seg.yaml"))
    report = transfer(network, data / "checkpoints" / "yolov8n.pt")
    assert (report.fitted, report.total) == (355, 417)
    assert str(report) == "Transferred 355 of 417 tensors."
    assert all(".proto." in name or ".cv4." in name for name in report.left)
    assert network.names[0] == "person"
    wanted = read_checkpoint(data / "checkpoints" / "yolov8n.pt").state
    state = network.state_dict()
    assert all(torch.equal(state[name], wanted[name].float()) for name in state if name not in report.left)


def test_another_number_of_classes_keeps_its_class_branch_and_names(tmp_path: Path, small: SegmentationNetwork) -> None:
    save_network(small, tmp_path / "two.pt")
    network = SegmentationNetwork(small.config.with_classes(5))
    report = transfer(network, tmp_path / "two.pt")
    assert report.left
    assert all(name.startswith("model.22.cv3.") for name in report.left)
    assert network.names == {index: f"class {index}" for index in range(5)}


def test_a_transfer_of_nothing_is_an_error(tmp_path: Path, small: SegmentationNetwork) -> None:
    torch.save({"state_dict": {"fc.weight": torch.zeros(2, 2)}}, tmp_path / "other.pt")
    with pytest.raises(ModelFileError, match="none of its tensors fits"):
        transfer(small, tmp_path / "other.pt")


def test_a_transfer_of_nan_changes_nothing(tmp_path: Path, small: SegmentationNetwork) -> None:
    state = {name: tensor.clone() for name, tensor in small.state_dict().items()}
    state["model.21.cv2.conv.weight"][0] = float("nan")
    torch.save(state, tmp_path / "nan.pt")
    network = SegmentationNetwork(small.config)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(ModelFileError, match=r"model\.21\.cv2\.conv\.weight holds NaN"):
        transfer(network, tmp_path / "nan.pt")
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_safetensors_header_carries_names_and_configuration(tmp_path: Path, small: SegmentationNetwork) -> None:
    save_network(small, tmp_path / "mine.safetensors")
    raw = (tmp_path / "mine.safetensors").read_bytes()
    header = json.loads(raw[8 : 8 + struct.unpack("<Q", raw[:8])[0]])
    block = json.loads(header["__metadata__"]["segkit"])
    assert block["names"]["0"] == "cat"
    assert block["config"]["nc"] == 2
