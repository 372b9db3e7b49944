"""The PyTorch backend: recognises weights, describes them, runs them."""

from __future__ import annotations

import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from segkit.core.backend import Anchors, Precision
from segkit.core.backend.registry import default_registry
from segkit.core.errors import ModelFileError, OptionError, RuntimeFailure, UnsupportedError
from segkit.core.images import ImageBatch
from segkit.core.model import SegmentationNetwork, load_config, save_network
from segkit.core.model.devices import available, resolve
from segkit.plugins.pytorch import PyTorchBackend, PyTorchLoadOptions

BACKEND = PyTorchBackend()
OUTPUTS = ("boxes", "scores", "coefficients", "prototypes")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The n network with two classes and seeded weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "two.safetensors"
    save_network(SegmentationNetwork(load_config("yolov8n-seg.yaml", nc=2), {0: "cat", 1: "dog"}), path)
    return path


def batch(count: int = 1, size: tuple[int, int] = (64, 96), seed: int = 0) -> ImageBatch:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, *size, 3), np.uint8)
    return ImageBatch.from_u8(pixels)


def run(path: Path, images: ImageBatch, **options: object) -> Anchors:
    with BACKEND.load(path, PyTorchLoadOptions.model_validate(options)) as predictor:
        raw = predictor.run(images)
    assert isinstance(raw, Anchors)
    return raw


# -- running -----------------------------------------------------------------------------------------------------


def test_the_reference_picture_gives_the_reference_outputs(reference: Path, n_seg_pt: Path) -> None:
    wanted = np.load(reference / "forward_n.npz")
    prototypes = np.load(reference / "forward_n_proto.npz")["output1"]
    raw = run(n_seg_pt, ImageBatch.from_u8(np.ascontiguousarray(wanted["input_u8"].transpose(0, 2, 3, 1))))
    assert np.abs(raw.boxes - wanted["output0"][:, :4]).max() <= 5e-3
    assert np.abs(raw.scores - wanted["output0"][:, 4:84]).max() <= 2e-5
    assert np.abs(raw.coefficients - wanted["output0"][:, 84:]).max() <= 1e-4
    assert np.abs(raw.prototypes - prototypes).max() <= 1e-4


def test_a_picture_from_disk_gives_the_reference_scores(reference: Path, n_seg_pt: Path, bus: Path) -> None:
    picture = cv2.imread(str(bus))
    assert picture is not None
    raw = run(n_seg_pt, ImageBatch([picture.astype(np.uint8, copy=False)], (640, 640)))
    wanted = np.load(reference / "forward_n.npz")["output0"][:, 4:84]
    assert np.abs(raw.scores - wanted).max() <= 2e-5


def test_outputs_have_the_shapes_and_types_of_the_contract(weights: Path) -> None:
    raw = run(weights, batch(3))
    anchors = 8 * 12 + 4 * 6 + 2 * 3
    shapes = {"boxes": (3, 4, anchors), "scores": (3, 2, anchors), "coefficients": (3, 32, anchors)}
    shapes["prototypes"] = (3, 32, 16, 24)
    assert {name: getattr(raw, name).shape for name in OUTPUTS} == shapes
    assert {getattr(raw, name).dtype for name in OUTPUTS} == {np.dtype(np.float32)}


def test_outputs_outlive_later_runs_and_the_predictor(weights: Path) -> None:
    predictor = BACKEND.load(weights, PyTorchLoadOptions())
    first = predictor.run(batch(seed=1))
    copies = {name: getattr(first, name).copy() for name in OUTPUTS}
    predictor.run(batch(seed=2))
    predictor.run(batch(2, (96, 64), seed=3))
    predictor.close()
    assert all(np.array_equal(getattr(first, name), copies[name]) for name in OUTPUTS)


def test_several_threads_get_what_one_gets(weights: Path) -> None:
    with BACKEND.load(weights, PyTorchLoadOptions()) as predictor:
        batches = [batch(seed=seed) for seed in range(6)]
        alone = [predictor.run(item) for item in batches]
        with ThreadPoolExecutor(3) as pool:
            together = list(pool.map(predictor.run, batches))
    for one, other in zip(alone, together, strict=True):
        assert isinstance(one, Anchors)
        assert isinstance(other, Anchors)
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-3)


def test_fusing_changes_nothing_but_rounding(weights: Path) -> None:
    fused, whole = run(weights, batch()), run(weights, batch(), fuse=False)
    np.testing.assert_allclose(fused.boxes, whole.boxes, atol=5e-3)
    np.testing.assert_allclose(fused.scores, whole.scores, atol=2e-5)


def test_half_precision_is_close(n_seg_pt: Path, bus: Path) -> None:
    picture = cv2.imread(str(bus))
    assert picture is not None
    images = ImageBatch([picture.astype(np.uint8, copy=False)], (192, 192))
    full, half = run(n_seg_pt, images), run(n_seg_pt, images, half=True)
    assert np.abs(full.scores - half.scores).max() < 0.02
    sure = full.scores.max(1) > 0.25
    assert np.abs(full.boxes - half.boxes).max(1)[sure].max() < 0.5
    assert half.boxes.dtype == np.float32
    assert not np.array_equal(full.scores, half.scores)


def test_the_given_pixels_are_not_changed(weights: Path) -> None:
    images = batch()
    before = images.f32_nchw.copy()
    run(weights, images)
    assert np.array_equal(images.f32_nchw, before)


def test_a_read_only_array_is_taken(weights: Path) -> None:
    pixels = np.zeros((1, 3, 64, 64), np.float32)
    pixels.flags.writeable = False
    assert run(weights, ImageBatch.from_f32(pixels)).boxes.shape == (1, 4, 84)


def test_a_size_that_is_no_multiple_of_the_stride_is_refused(weights: Path) -> None:
    with pytest.raises(OptionError, match="multiples of 32"):
        run(weights, ImageBatch.from_f32(np.zeros((1, 3, 64, 70), np.float32)))


def test_what_torch_says_when_it_fails_is_one_line(weights: Path) -> None:
    with BACKEND.load(weights, PyTorchLoadOptions()) as predictor, pytest.raises(RuntimeFailure) as caught:
        predictor.run(ImageBatch.from_f32(np.zeros((1, 5, 64, 64), np.float32)))
    assert "torch runtime failed" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_threads_are_set(weights: Path) -> None:
    before = torch.get_num_threads()
    try:
        BACKEND.load(weights, PyTorchLoadOptions(threads=1)).warm_up()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


# -- devices -----------------------------------------------------------------------------------------------------


def test_the_cpu_is_always_there() -> None:
    assert "cpu" in available()
    assert resolve("cpu") == resolve(" CPU ") == resolve("cpu:0") == torch.device("cpu")


@pytest.mark.parametrize(
    "device", ["gpu", "cuda:99", "99", "cuda:", "cuda:x", "", "cpu:1", "mps:7", "cuda:0:0", "-1", "²"]
)
def test_a_device_that_is_not_here_lists_those_that_are(weights: Path, device: str) -> None:
    with pytest.raises(OptionError, match="torch offers cpu") as caught:
        BACKEND.load(weights, PyTorchLoadOptions(device=device))
    assert f"{device}' is not usable" in str(caught.value)


def test_cuda_devices_go_by_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve("cuda") == resolve("0") == torch.device("cuda", 0)
    assert resolve("cuda:1") == resolve("1") == torch.device("cuda", 1)
    with pytest.raises(OptionError, match="cpu, cuda:0, cuda:1"):
        resolve("cuda:2")


# -- what it says about files ------------------------------------------------------------------------------------


def test_metadata_of_a_foreign_checkpoint(data: Path) -> None:
    metadata = BACKEND.read_metadata(data / "checkpoints" / "coco8_1ep_v8.0.40.best.pt")
    assert (metadata.names[0], len(metadata.names), metadata.stride) == ("person", 80, 32)
    assert metadata.imgsz[0] % 32 == 0
    assert metadata.dynamic_batch
    assert metadata.dynamic_size


@pytest.mark.parametrize(("trained", "size"), [(320, 320), (100, 128), (None, 640), (0, 640), (True, 640), ("x", 640)])
def test_the_size_it_was_trained_at_is_the_default(tmp_path: Path, trained: object, size: int) -> None:
    network = SegmentationNetwork(load_config("yolov8n-seg.yaml", nc=1), {0: "cat"})
    save_network(network, tmp_path / "a.pt", train_args={"imgsz": trained})
    metadata = BACKEND.read_metadata(tmp_path / "a.pt")
    assert metadata.imgsz == (size, size)
    assert metadata.names == {0: "cat"}


def test_weights_are_recognised_by_content_whatever_their_name(tmp_path: Path, weights: Path, n_seg_pt: Path) -> None:
    for source, reason in ((weights, "safetensors header"), (n_seg_pt, "torch archive")):
        copy = tmp_path / "file.bin"
        copy.write_bytes(source.read_bytes())
        match = BACKEND.recognises(copy)
        assert match is not None
        assert reason in match.reason
        assert default_registry().recognise(copy).format.name == "pytorch"


def test_other_files_are_not_claimed_by_content(tmp_path: Path) -> None:
    (tmp_path / "text.bin").write_text("hello")
    (tmp_path / "empty.bin").touch()
    for name, parts in {"compiled.bin": ("m/data.pkl", "m/constants.pkl"), "zip.bin": ("a.txt",)}.items():
        with zipfile.ZipFile(tmp_path / name, "w") as file:
            for part in parts:
                file.writestr(part, b"x")
    assert [path.name for path in tmp_path.iterdir() if BACKEND.recognises(path)] == []


def test_a_broken_file_of_the_usual_name_is_ours_to_explain(tmp_path: Path) -> None:
    (tmp_path / "page.pt").write_text("<html>")
    assert default_registry().recognise(tmp_path / "page.pt").format.name == "pytorch"
    for action in (BACKEND.read_metadata, lambda path: BACKEND.load(path, PyTorchLoadOptions())):
        with pytest.raises(ModelFileError, match="an HTML page"):
            action(tmp_path / "page.pt")


def test_declared_gaps_have_their_reasons() -> None:
    form = BACKEND.format
    with pytest.raises(UnsupportedError, match="save"):
        form.parse_export_options({})
    with pytest.raises(UnsupportedError, match="float reference"):
        form.parse_load_options({"precision": "int8"})
    options = form.parse_load_options({"half": True, "fuse": False})
    assert options.precision is Precision.FP16
