"""Rates, momentum, accumulation and the choice of an optimizer are those of the known trainer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segkit.core.backend.options import validate
from segkit.core.model import load_network
from segkit.core.training.arguments import OptimizerName, TrainArguments
from segkit.core.training.averaging import Average
from segkit.core.training.optimizers import Chosen, build, choose
from segkit.core.training.schedule import Schedule


@pytest.mark.parametrize("shape", ["linear", "cosine"])
def test_every_iteration_has_the_settings_of_the_known_trainer(reference: Path, shape: str) -> None:
    known = json.loads((reference / "schedule.json").read_text())
    run, setup = known["runs"][f"sgd_{shape}"], known["setup"]
    schedule = Schedule(
        setup["epochs"], setup["batches_per_epoch"], setup["batch"], setup["nbs"], cosine=shape == "cosine"
    )
    settings = [schedule.at(iteration) for iteration in run["iter"]]
    assert [each.rate for each in settings] == pytest.approx(run["lr_weight"], abs=1e-12)
    assert [each.rate for each in settings] == pytest.approx(run["lr_bn"], abs=1e-12)
    assert [each.bias_rate for each in settings] == pytest.approx(run["lr_bias"], abs=1e-12)
    assert [each.momentum for each in settings] == pytest.approx(run["momentum"], abs=1e-12)
    assert [each.accumulate for each in settings] == run["accumulate"]
    last, steps, updates = -1, [], []
    average = Average.__new__(Average)
    average.updates = 0
    for iteration, each in zip(run["iter"], settings, strict=True):
        steps.append(iteration - last >= each.accumulate)
        if steps[-1]:
            last, average.updates = iteration, average.updates + 1
        updates.append(average.updates)
        decay = run["ema_decay"][iteration]
        assert decay is None or average.decay == pytest.approx(decay, rel=1e-12)
    assert steps == run["optimizer_stepped"]
    assert updates == run["ema_updates"]
    assert schedule.decay(setup["weight_decay"]) == pytest.approx(run["param_groups"][0]["weight_decay"])


def test_the_groups_of_an_optimizer_are_those_of_the_known_trainer(reference: Path, n_seg_pt: Path) -> None:
    network = load_network(n_seg_pt).train()
    known = json.loads((reference / "schedule.json").read_text())["runs"]["sgd_linear"]
    optimizer = build(network, Chosen(OptimizerName.SGD, 0.01, 0.937, 0.1), 0.0005)
    frozen = {"weight": 1, "norm": 0, "bias": 0}  # the fixed bins of the distances, which never learn
    for group, said in zip(optimizer.param_groups, known["param_groups"], strict=True):
        assert len(group["params"]) + frozen[group["kind"]] == said["n_tensors"]
        assert sum(each.numel() for each in group["params"]) + 16 * frozen[group["kind"]] == said["n_values"]
        assert group["weight_decay"] == said["weight_decay"]
        assert (group["momentum"], group["nesterov"]) == (said["momentum"], said["nesterov"])


@given(st.integers(1, 40), st.integers(1, 30), st.integers(1, 200), st.floats(0, 6), st.booleans())
def test_rates_rise_to_the_first_and_fall_to_the_last(
    epochs: int, batches: int, batch: int, warmup: float, cosine: bool
) -> None:
    schedule = Schedule(epochs, batches, batch, cosine=cosine, warmup_epochs=warmup)
    rates = [schedule.at(iteration) for iteration in range(epochs * batches)]
    assert all(0 <= each.rate <= 0.01 and each.accumulate >= 1 for each in rates)
    assert all(each.accumulate <= epochs * batches for each in rates)
    after = [each.rate for each in rates[schedule.warmup + 1 :]]
    assert after == sorted(after, reverse=True)
    assert schedule.warmup <= (epochs - 1) * batches


@pytest.mark.parametrize(
    ("epochs", "pictures", "classes", "expected"),
    [
        (100, 128, 80, Chosen(OptimizerName.ADAMW, 0.000119, 0.9, 0.0)),
        (10, 122, 6, Chosen(OptimizerName.ADAMW, 0.001, 0.9, 0.0)),
        (100, 118287, 80, Chosen(OptimizerName.SGD, 0.01, 0.9, 0.0)),
    ],
)
def test_auto_goes_by_the_length_of_the_run_and_the_classes(
    epochs: int, pictures: int, classes: int, expected: Chosen
) -> None:
    assert choose(TrainArguments(epochs=epochs), pictures=pictures, batch=16, classes=classes) == expected


@pytest.mark.parametrize("name", [name for name in OptimizerName if name is not OptimizerName.AUTO])
def test_every_optimizer_learns(name: OptimizerName) -> None:
    args = validate(TrainArguments, {"optimizer": name.value.lower(), "lr0": 0.01}, "train")
    assert args.optimizer is name
    chosen = choose(args, pictures=10, batch=2, classes=1)
    assert chosen == Chosen(name, 0.01, 0.937, 0.1)
    torch.manual_seed(0)
    layer = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2))
    optimizer = build(layer, chosen, 0.0005)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = (layer(torch.ones(2, 1, 3, 3)) - 1).square().sum()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", [name for name in OptimizerName if name is not OptimizerName.AUTO])
def test_a_first_step_that_is_left_out_leaves_nothing_behind(name: OptimizerName) -> None:
    """Torch's fused SGD would keep whatever lay in the memory of its momentum."""
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 64, 3), torch.nn.BatchNorm2d(64))
    before = {key: each.clone() for key, each in network.state_dict().items()}
    optimizer = build(network, Chosen(name, 0.01, 0.9, 0.1), 0.0)
    scaler = torch.amp.GradScaler("cpu")
    for _ in range(2):
        held = [torch.full((64, 3, 3, 3), float("nan")) for _ in range(64)]
        del held  # memory that is not zero, as it is after some training
        for each in network.parameters():
            each.grad = torch.zeros_like(each)
        next(network.parameters()).grad.fill_(float("inf"))
        scaler.scale(torch.zeros(1))
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
    for each in network.parameters():
        each.grad = torch.zeros_like(each)
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    assert all(torch.equal(each, before[key]) for key, each in network.state_dict().items())


def test_an_average_begins_with_the_weights_and_takes_them_in_ever_more_slowly() -> None:
    from segkit.core.model.config import Head, Layer, ModelConfig
    from segkit.core.model.network import SegmentationNetwork

    layers = (Layer(block="Conv", channels=8, kernel=3, stride=8),)
    config = ModelConfig(
        nc=1, layers=layers, head=Head(source=(0,), boxes=8, scores=8, coefficients=8, prototypes=8, masks=2)
    )
    torch.manual_seed(0)
    network = SegmentationNetwork(config)
    average = Average(network)
    before = {name: each.clone() for name, each in network.state_dict().items()}
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
        network.model[0].bn.num_batches_tracked.add_(5)
    average.update(network)
    decay = average.decay
    assert 0 < decay < 0.001
    for name, each in average.network.state_dict().items():
        if each.is_floating_point():
            expected = before[name] * decay + network.state_dict()[name] * (1 - decay)
            assert torch.allclose(each, expected), name
        else:
            assert each == network.state_dict()[name]
    assert not any(parameter.requires_grad for parameter in average.network.parameters())
