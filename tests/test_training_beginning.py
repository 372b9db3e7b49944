"""A run begins with the weights that fit: by name and shape, classes by their names; and says what did not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from segkit.core.errors import ModelFileError, OptionError
from segkit.core.model import load_network, save_network
from segkit.core.model.network import SegmentationNetwork
from segkit.core.training.beginning import begin

ROOMS = {0: "room", 1: "person", 2: "bus", 3: "wall"}


def begun(model: Path, names: dict[int, str], **changes: object) -> SegmentationNetwork:
    given = {"weights": None, "keep": True, "freeze": None, "seed": 0} | changes
    return begin(model, names, **given).network  # type: ignore[arg-type]


@pytest.fixture
def architecture(tmp_path: Path) -> Path:
    """The n scale by its usual name."""
    from segkit._paths import model_path

    return model_path("yolov8n-seg.yaml")


def test_a_new_network_is_the_same_for_a_seed_and_another_for_another(architecture: Path) -> None:
    one, same, other = (begun(architecture, ROOMS, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(each, same[name]) for name, each in one.items())
    assert not torch.equal(one["model.0.conv.weight"], other["model.0.conv.weight"])
    state = torch.get_rng_state()
    begun(architecture, ROOMS)
    assert torch.equal(state, torch.get_rng_state()), "the caller's random numbers are left alone"


def test_weights_with_the_same_classes_are_taken_as_they_are(
    n_seg_pt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = load_network(n_seg_pt)
    network = begun(n_seg_pt, source.names)
    assert network.training
    assert all(torch.equal(each, source.state_dict()[name]) for name, each in network.state_dict().items())
    assert "taken over" not in capsys.readouterr().err
    learning = {name for name, each in network.named_parameters() if not each.requires_grad}
    assert learning == {"model.22.dfl.conv.weight"}


def test_other_classes_begin_anew_and_that_is_said(n_seg_pt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = begun(n_seg_pt, ROOMS)
    assert (network.nc, network.names) == (4, ROOMS)
    source = load_network(n_seg_pt).state_dict()
    state = network.state_dict()
    for name in ("cv4.0.2.weight", "cv3.0.0.conv.weight", "cv3.2.1.bn.running_var"):
        assert torch.equal(state[f"model.22.{name}"], source[f"model.22.{name}"]), "all but the classes themselves"
    said = capsys.readouterr().err
    assert "417 of 417 tensors taken over; of the 4 classes of the data set 2 are known to it by name" in said


def test_class_branches_of_a_fresh_start_are_as_wide_as_the_classes_ask(
    n_seg_pt: Path, architecture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    widths = {
        name: network.state_dict()["model.22.cv3.0.0.conv.weight"].shape[0]
        for name, network in {
            "scratch": begun(architecture, ROOMS),
            "weights left": begun(n_seg_pt, ROOMS, keep=False),
            "weights given": begun(architecture, ROOMS, weights=n_seg_pt),
            "weights": begun(n_seg_pt, ROOMS),
        }.items()
    }
    assert widths == {"scratch": 64, "weights left": 64, "weights given": 80, "weights": 80}


def test_class_rows_go_by_the_names_of_the_classes(tmp_path: Path, n_seg_pt: Path) -> None:
    names = {**{index: f"thing {index}" for index in range(80)}, 5: "Person", 7: "bus"}
    source, network = load_network(n_seg_pt).state_dict(), begun(n_seg_pt, names)
    rows, state = {5: 0, 7: 5}, network.state_dict()
    for level in range(3):
        for part in ("weight", "bias"):
            name = f"model.22.cv3.{level}.2.{part}"
            for mine, theirs in rows.items():
                assert torch.equal(state[name][mine], source[name][theirs])
            assert not torch.equal(state[name][6], source[name][6]), "a class of another name begins anew"


def test_weights_of_a_detector_give_their_backbone(
    data: Path, architecture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = begun(architecture, ROOMS, weights=data / "checkpoints" / "yolov8n.pt").state_dict()
    assert "yolov8n.pt: " in capsys.readouterr().err
    fresh = begun(architecture, ROOMS).state_dict()
    names = [f"model.{number}.conv.weight" for number in (0, 1, 3, 5, 7)]
    assert not any(torch.equal(network[name], fresh[name]) for name in names)


def test_random_weights_are_kept_if_the_model_is_not_wanted(n_seg_pt: Path) -> None:
    source = load_network(n_seg_pt)
    network = begun(n_seg_pt, source.names, keep=False)
    assert not torch.equal(network.state_dict()["model.0.conv.weight"], source.state_dict()["model.0.conv.weight"])


def test_a_fused_file_is_refused(tmp_path: Path, n_seg_pt: Path) -> None:
    save_network(load_network(n_seg_pt).fuse(), tmp_path / "fused.pt")
    with pytest.raises(ModelFileError, match="it cannot be trained any more"):
        begun(tmp_path / "fused.pt", ROOMS)


def test_layers_that_are_frozen_do_not_learn(architecture: Path) -> None:
    beginning = begin(architecture, ROOMS, weights=None, keep=True, freeze=10, seed=0)
    frozen = {name.split(".")[1] for name, each in beginning.network.named_parameters() if not each.requires_grad}
    assert frozen == {*map(str, range(10)), "22"}, "and the fixed bins of the head"
    assert len(beginning.still) == 10
    named = begin(architecture, ROOMS, weights=None, keep=True, freeze=[3, "model.22.proto"], seed=0)
    assert len(named.still) == 2
    assert not named.network.head.proto.cv1.conv.weight.requires_grad


def test_freezing_no_layer_holds_none(architecture: Path) -> None:
    assert begin(architecture, ROOMS, weights=None, keep=True, freeze=0, seed=0).still == ()


@pytest.mark.parametrize("freeze", [24, [30], ["model.30"], ["backbone"]])
def test_freezing_what_is_not_there_is_one_clear_line(architecture: Path, freeze: object) -> None:
    with pytest.raises(OptionError, match=r"freeze=.*(there are 23 layers|there is no)"):
        begin(architecture, ROOMS, weights=None, keep=True, freeze=freeze, seed=0)


def test_freezing_everything_is_refused(architecture: Path) -> None:
    with pytest.raises(OptionError, match="nothing is left to learn"):
        begin(architecture, ROOMS, weights=None, keep=True, freeze=23, seed=0)
