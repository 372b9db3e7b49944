"""The loss is that of the known trainer, part by part and gradient by gradient; its shortcuts change nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit.core.model import load_network
from segkit.core.model.head import RawHead
from segkit.core.training.assigner import assign
from segkit.core.training.averaging import Average
from segkit.core.training.boxes import Anchors, ciou, distribution_loss
from segkit.core.training.loss import NAMES, Gains, SegmentationLoss, _decoded, _objects
from segkit.core.training.mask_loss import Drawn, _by_object, _by_picture, mask_loss
from segkit.core.training.optimizers import Chosen, OptimizerName, build
from segkit.core.training.targets import Targets

STRIDES = (8, 16, 32)
CASES = {
    "overlap_mask_true": ("ov_", lambda owner: owner >= 0),
    "overlap_mask_false": ("no_", lambda owner: owner >= 0),
    "edge_image1_without_targets_overlap_true": ("ov_", lambda owner: owner != 1),
    "edge_no_targets_at_all": ("ov_", lambda owner: owner < 0),
}
CLASSES = 3e-4
"""Relative: the reference adds up the class loss in float32 by a formula that cancels. All else agrees to 1e-6."""


@pytest.fixture(scope="module")
def known(reference: Path) -> dict[str, Any]:
    arrays = dict(np.load(reference / "loss_n.npz")) | dict(np.load(reference / "loss_n_preds.npz"))
    arrays |= dict(np.load(reference / "loss_n_proto.npz"))
    return arrays | {"json": json.loads((reference / "loss_n.json").read_text())}


def targets(known: dict[str, Any], case: str, dtype: torch.dtype = torch.float32) -> Targets:
    prefix, wanted = CASES[case]
    owner = known[f"{prefix}batch_idx"].astype(np.int64)
    keep = wanted(owner)
    masks = known[f"{prefix}masks"]
    return Targets(
        (320, 320),
        torch.from_numpy(owner[keep]),
        torch.from_numpy(known[f"{prefix}cls"][keep, 0].astype(np.int64)),
        torch.from_numpy(known[f"{prefix}bboxes"][keep]).to(dtype),
        torch.from_numpy(masks if prefix == "ov_" else masks[keep]),
        overlapping=prefix == "ov_",
    )


def raw(known: dict[str, Any], dtype: torch.dtype = torch.float32) -> RawHead:
    names = ("boxes", "scores", "mask_coefficient", "proto")
    return RawHead(*(torch.from_numpy(known[name]).to(dtype).requires_grad_() for name in names))


@pytest.mark.parametrize("case", CASES)
def test_losses_and_gradients_are_those_of_the_known_trainer(known: dict[str, Any], case: str) -> None:
    said, head = known["json"]["cases"][case], raw(known)
    loss = SegmentationLoss(STRIDES)(head, targets(known, case))
    for name, part in zip(NAMES, loss.parts.tolist(), strict=True):
        assert part == pytest.approx(said["items_gain_weighted"][name], rel=CLASSES if name == "cls_loss" else 1e-6), (
            name
        )
    assert loss.total.item() == pytest.approx(said["total_backpropagated"], rel=CLASSES)
    loss.total.backward()
    for name, tensor in zip(("boxes", "scores", "mask_coefficient", "proto"), head, strict=True):
        norms = [picture.norm().item() for picture in tensor.grad]
        assert norms == pytest.approx(said["grad_norm_wrt_predictions"][name], rel=1e-5, abs=1e-9), name


@pytest.mark.parametrize("case", CASES)
def test_float32_is_as_good_as_float64(known: dict[str, Any], case: str) -> None:
    single, double = (
        SegmentationLoss(STRIDES)(raw(known, dtype), targets(known, case, dtype)).parts.tolist()
        for dtype in (torch.float32, torch.float64)
    )
    assert single == pytest.approx(double, rel=1e-5)


@pytest.mark.parametrize("case", ["overlap_mask_true", "overlap_mask_false"])
def test_the_same_anchors_learn_the_same_objects(known: dict[str, Any], case: str) -> None:
    head, prefix = raw(known), CASES[case][0]
    anchors = Anchors.of(320, 320, STRIDES, head.boxes)
    assert np.array_equal(anchors.centres.numpy(), known["anchor_points_px"])
    objects = _objects(targets(known, case))
    found = assign(_decoded(head.boxes.detach(), anchors), head.scores.detach(), anchors, objects)
    assert np.array_equal(torch.stack((found.picture, found.anchor), 1), known[f"{prefix}fg_index"])
    assert np.array_equal(objects.classes[found.target], known[f"{prefix}fg_target_label"])
    assert objects.boxes[found.target].numpy() == pytest.approx(known[f"{prefix}fg_target_bbox_px"], abs=1e-4)
    assert found.score.numpy() == pytest.approx(known[f"{prefix}fg_target_score"], abs=1e-6)
    first = torch.searchsorted(objects.owner, objects.owner)[found.target]
    index = known[f"{prefix}target_gt_idx"][found.picture, found.anchor]
    assert np.array_equal((found.target - first).numpy(), index)


@pytest.mark.parametrize(("overlap", "case"), [(True, "overlap_mask_true"), (False, "overlap_mask_false")])
def test_gradients_of_the_weights_are_those_of_the_known_trainer(
    known: dict[str, Any], n_seg_pt: Path, overlap: bool, case: str
) -> None:
    network, said = load_network(n_seg_pt), known["json"]["cases"][case]
    network.train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    loss = SegmentationLoss(STRIDES)(network(torch.from_numpy(known["images"]).float() / 255), targets(known, case))
    loss.total.backward()
    named = dict(network.named_parameters())
    for name, norm in said["grad_norm"].items():
        assert named[name].grad.norm().item() == pytest.approx(norm, rel=3e-4), name
    prefix = CASES[case][0]
    for name in ("model.22.cv2.0.2.weight", "model.22.proto.cv3.conv.weight"):
        expected = known[f"{prefix}grad_{name}"]
        assert named[name].grad.numpy() == pytest.approx(
            expected, rel=3e-4, abs=3e-4 * float(np.abs(expected).max())
        ), name


@pytest.mark.parametrize(
    ("run", "name", "momentum"), [("sgd_lr0.01", "SGD", 0.937), ("adamw_lr0.000119", "AdamW", 0.9)]
)
def test_five_steps_are_those_of_the_known_trainer(
    known: dict[str, Any], reference: Path, n_seg_pt: Path, run: str, name: str, momentum: float
) -> None:
    said = json.loads((reference / "steps_n.json").read_text())["runs"][run]
    network, batch = load_network(n_seg_pt).train(), targets(known, "overlap_mask_true")
    average, loss = Average(network), SegmentationLoss(STRIDES)
    optimizer = build(network, Chosen(OptimizerName(name), said["lr"], momentum, 0.0), 0.0005)
    images = torch.from_numpy(known["images"]).float() / 255
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for number, step in enumerate(said["steps"]):
        optimizer.zero_grad()
        found = loss(network(images), batch)
        found.total.backward()
        norm = torch.nn.utils.clip_grad_norm_(learning, 10.0).item()
        for part, value in zip((found.parts * 4).tolist(), step["loss_vector"].values(), strict=True):
            assert part == pytest.approx(value, rel=CLASSES), f"step {number}"
        assert norm == pytest.approx(step["grad_norm_before_clip"], rel=3e-4)
        if number < 5:
            optimizer.step()
            average.update(network)
            assert average.decay == pytest.approx(step["ema_decay"], rel=1e-9)
    # The statistics were noted after the sixth forward pass, the weights and the average after the fifth step.
    for key, state in (
        ("params_after_5_steps_sum_abssum_first", network.state_dict()),
        ("ema_after_5_updates_sum_abssum_first", average.network.state_dict()),
    ):
        for tensor, (total, absolute, first) in said[key].items():
            values = state[tensor].double()
            assert values.abs().sum().item() == pytest.approx(absolute, rel=3e-4), tensor
            assert values.sum().item() == pytest.approx(total, abs=3e-4 * absolute), tensor
            assert values.flatten()[0].item() == pytest.approx(first, rel=3e-4, abs=3e-4), tensor


def test_gains_weigh_the_parts(known: dict[str, Any]) -> None:
    plain, weighed = (
        SegmentationLoss(STRIDES, gains)(raw(known), targets(known, "overlap_mask_true")).parts
        for gains in (Gains(1, 1, 1), Gains(2, 3, 5))
    )
    assert (weighed / plain).tolist() == pytest.approx([2, 2, 3, 5])


# -- shortcuts ------------------------------------------------------------------------------------------------------


def scene(seed: int, pictures: int, objects: int, classes: int) -> tuple[RawHead, Targets]:
    """Random predictions, and objects of all sizes, some beyond the frame, some without any extent."""
    random = torch.Generator().manual_seed(seed)
    size, anchors = (64, 96), sum(64 // stride * 96 // stride for stride in STRIDES)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    head = RawHead(
        normal(pictures, 64, anchors), normal(pictures, classes, anchors), normal(pictures, 4, anchors),
        normal(pictures, 4, 16, 24),
    )  # fmt: skip
    owner = torch.randint(pictures, (objects,), generator=random).sort().values
    sides = torch.rand(objects, 2, generator=random, dtype=torch.float64) ** 3
    sides[::7] = 0
    boxes = torch.cat((torch.rand(objects, 2, generator=random, dtype=torch.float64), sides), 1)
    kinds = torch.randint(classes, (objects,), generator=random)
    masks = torch.randint(0, objects + 1, (pictures, 16, 24), generator=random)
    return head, Targets(size, owner, kinds, boxes, masks, overlapping=True)


def by_the_definition(head: RawHead, batch: Targets) -> list[tuple[int, int, int, float]]:
    """Every anchor with its picture, object and target score, from whole tables and plain loops."""
    anchors = Anchors.of(*batch.size, STRIDES, head.boxes)
    objects, boxes = _objects(batch), _decoded(head.boxes, anchors)
    found = []
    for picture in range(len(boxes)):
        numbers = (objects.owner == picture).nonzero()[:, 0].tolist()
        overlap, metric = torch.zeros(2, len(numbers), len(anchors.centres), dtype=torch.float64)
        for row, number in enumerate(numbers):
            x1, y1, x2, y2 = objects.boxes[number].tolist()
            if x2 == x1 and y2 == y1:
                continue
            (x, y), (w, h) = ((x1 + x2) / 2, (y1 + y2) / 2), (max(x2 - x1, 16), max(y2 - y1, 16))
            for index, (px, py) in enumerate(anchors.centres.tolist()):
                if min(px - x + w / 2, x + w / 2 - px, py - y + h / 2, y + h / 2 - py) > 1e-9:
                    overlap[row, index] = ciou(objects.boxes[number][None], boxes[picture, index][None]).clamp(min=0)
                    logit = head.scores[picture, objects.classes[number], index]
                    metric[row, index] = logit.sigmoid() ** 0.5 * overlap[row, index] ** 6
        chosen = torch.zeros_like(metric, dtype=torch.bool)
        for row in range(len(numbers)):
            best = metric[row].topk(10).indices
            chosen[row, best] = metric[row, best] > 0
        for index in range(len(anchors.centres)):
            if chosen[:, index].sum() > 1:
                winner = overlap[:, index].argmax()
                chosen[:, index] = False
                chosen[winner, index] = True
        for row, index in chosen.nonzero().tolist():
            scale = (overlap[row] * chosen[row]).max() / ((metric[row] * chosen[row]).max() + 1e-9)
            found.append((picture, index, numbers[row], float(metric[row, index] * scale)))
    return sorted(found)


@settings(max_examples=15)
@given(st.integers(0, 2**16), st.integers(1, 3), st.integers(0, 12), st.integers(1, 4))
def test_pairs_alone_give_what_whole_tables_give(seed: int, pictures: int, objects: int, classes: int) -> None:
    head, batch = scene(seed, pictures, objects, classes)
    anchors = Anchors.of(*batch.size, STRIDES, head.boxes)
    found = assign(_decoded(head.boxes, anchors), head.scores, anchors, _objects(batch))
    wanted = by_the_definition(head, batch)
    assert list(zip(*(part.tolist() for part in found[:3]), strict=True)) == [row[:3] for row in wanted]
    assert found.score.tolist() == pytest.approx([row[3] for row in wanted], rel=1e-9)


def masks_by_the_definition(coefficients: torch.Tensor, prototypes: torch.Tensor, drawn: Drawn) -> torch.Tensor:
    """All logits of all anchors at all pixels."""
    logits = torch.einsum("fm,fmhw->fhw", coefficients, prototypes[drawn.picture])
    wanted = torch.stack([
        drawn.masks[target] if drawn.numbers is None else drawn.masks[picture] == drawn.numbers[target]
        for picture, target in zip(drawn.picture.tolist(), drawn.target.tolist(), strict=True)
    ]).to(logits.dtype)  # fmt: skip
    losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    left, top, right, bottom = drawn.boxes[drawn.target].T[:, :, None, None]
    y, x = torch.arange(logits.shape[1])[:, None], torch.arange(logits.shape[2])
    inside = (x >= left) & (x < right) & (y >= top) & (y < bottom)
    return ((losses * inside).mean((1, 2)) / drawn.areas[drawn.target]).sum()


@settings(max_examples=25)
@given(st.integers(0, 2**16), st.integers(1, 12), st.booleans(), st.sampled_from([_by_object, _by_picture]))
def test_masks_are_learnt_as_if_all_pixels_were_there(seed: int, anchors: int, overlap: bool, parts: Any) -> None:
    random = torch.Generator().manual_seed(seed)

    def drawn_at(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=random, dtype=torch.float64)

    coefficients, prototypes = drawn_at(anchors, 4) * 4 - 2, drawn_at(2, 4, 9, 11) * 4 - 2
    corners = torch.stack((drawn_at(5, 2), drawn_at(5, 2)), 1) * torch.tensor([14.0, 12.0]) - 1.5
    boxes = torch.cat((corners.min(1).values, corners.max(1).values), 1)
    target = torch.randint(5, (anchors,), generator=random)
    owner = torch.tensor([0, 0, 0, 1, 1])
    order = owner[target].argsort(stable=True)
    numbers = torch.tensor([1, 2, 3, 1, 2]) if overlap else None
    masks = torch.randint(0, 4 if overlap else 2, (2 if overlap else 5, 9, 11), generator=random)
    drawn = Drawn(owner[target][order], target[order], boxes, drawn_at(5) + 0.1, masks, numbers)
    given_ = [tensor.clone().requires_grad_() for tensor in (coefficients, prototypes)]
    wanted = [tensor.clone().requires_grad_() for tensor in (coefficients, prototypes)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segkit.core.training.mask_loss._by_object", parts)
        found = mask_loss(*given_, drawn)
    expected = masks_by_the_definition(*wanted, drawn)
    assert found.item() == pytest.approx(expected.item(), rel=1e-9, abs=1e-12)
    (found * 3).backward()
    (expected * 3).backward()
    for one, other in zip(given_, wanted, strict=True):
        assert torch.allclose(one.grad, other.grad, rtol=1e-9, atol=1e-12)


def test_a_network_of_another_stride_and_bins_has_a_loss() -> None:
    head = RawHead(torch.zeros(1, 4 * 8, 20), torch.zeros(1, 2, 20), torch.zeros(1, 3, 20), torch.zeros(1, 3, 8, 8))
    batch = Targets(
        (32, 32), *(torch.tensor(part) for part in ([0], [1], [[0.5, 0.5, 0.6, 0.4]])), torch.ones(1, 8, 8), True
    )
    loss = SegmentationLoss((8, 16))(head, batch)
    assert loss.parts.isfinite().all()
    assert loss.parts[1] > 0


def test_the_distance_loss_is_least_where_the_two_bins_beside_the_distance_are_sure() -> None:
    logits = torch.full((1, 4, 16), -20.0)
    logits[..., 3], logits[..., 4] = np.log(0.75), np.log(0.25)
    target = torch.full((1, 4), 3.25)
    least = distribution_loss(logits.flatten(1), target).item()
    assert least == pytest.approx(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)), abs=1e-6)
    assert distribution_loss(logits.flatten(1), target + 1).item() > least


@given(st.lists(st.floats(-50, 50), min_size=8, max_size=8))
def test_complete_iou_is_one_for_the_same_box_and_never_more(corners: list[float]) -> None:
    values = torch.tensor(corners, dtype=torch.float64).view(2, 2, 2)
    boxes = torch.cat((values.min(1).values, values.max(1).values + 1), 1)
    assert ciou(boxes, boxes).tolist() == pytest.approx([1, 1], abs=1e-6)
    assert ciou(boxes[:1], boxes[1:]).item() <= 1 + 1e-6
