"""Core ML packages: what is in them is evaluated here, number by number, and compared with the weights."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits
from torch.nn import functional

from segkit.conformance.golden import GOLDEN
from segkit.core.backend import Anchors, ExportJob, Metadata, Seal, Selected, TensorInfo
from segkit.core.backend import format as formats
from segkit.core.backend.registry import default_registry
from segkit.core.errors import (
    ExportError,
    MissingDependencyError,
    ModelFileError,
    OptionError,
    RuntimeFailure,
    UnsupportedError,
)
from segkit.core.images import ImageBatch
from segkit.core.inference.decode import select
from segkit.plugins.coreml import CoreMLBackend, crew, devices, exporter, layers, native, operators
from segkit.plugins.coreml.evaluator import Evaluator
from segkit.plugins.coreml.package import read_description
from segkit.plugins.coreml.program import Argument, Kind, Operation, Program, read_program
from segkit.plugins.coreml.rounding import on_grid
from segkit.plugins.coreml.survivors import non_maximum_suppression
from segkit.plugins.coreml.toolchain import coremltools, quiet
from segkit.plugins.coreml.weights import unpacked

BACKEND = CoreMLBackend()
NAMES = {0: "cat", 1: "कुत्ता", 2: "自行车", 3: "star", 4: "ring"}
MODEL, WEIGHTS = "Data/com.apple.CoreML/model.mlmodel", "Data/com.apple.CoreML/weights/weight.bin"
MANY = {"conf": 0.001, "iou": 0.5, "max_det": 600}


def load(path, **options):
    return BACKEND.load(path, BACKEND.format.parse_load_options(options))


def export(weights, target, names=NAMES, **options):
    parsed = BACKEND.format.parse_export_options(options)
    seal = Seal(
        head=parsed.head_layout(),
        selection=parsed.selection(),
        precision=parsed.precision,
        dynamic_batch=parsed.dynamic,
        toolchain={"segkit": "1.2.3"},
    )
    metadata = Metadata(names=names, batch=parsed.batch, imgsz=parsed.imgsz, args=parsed.recorded(), segkit=seal)
    BACKEND.export(ExportJob(weights, None, target, parsed, metadata))
    return metadata


def noise(batch, height=64, width=64, seed=0):
    shape = (batch, height, width, 3)
    return ImageBatch.from_u8(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


def program(path):
    return read_program(path, read_description(path))


@pytest.fixture(scope="module")
def captured():
    """Exports of one network and size share its capture, which takes longer than all the rest."""
    capture, programs = exporter.capture, {}

    def once(model, **options):
        key = f"{model} {options | {'head': None}}"
        if key not in programs:
            programs[key] = capture(model, **options)
        return programs[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporter, "capture", once)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory, captured):
    """Packages of the golden model, each made once: made(half=True) → path."""
    folder, cache = tmp_path_factory.mktemp("coreml"), {}

    def make(**options):
        options = {"imgsz": (64, 64)} | options
        key = repr(sorted(options.items()))
        if key not in cache:
            cache[key] = folder / f"{len(cache)}.mlpackage"
            export(GOLDEN, cache[key], **options)
        return cache[key]

    return make


@pytest.fixture
def copied(made, tmp_path):
    """A copy of a package, to be damaged."""
    return Path(shutil.copytree(made(), tmp_path / "copy.mlpackage"))


@pytest.fixture(scope="module")
def weights():
    """The golden weights themselves, as segkit runs them."""
    backend = default_registry().get("pytorch")
    with backend.load(GOLDEN, backend.format.parse_load_options({"threads": 2})) as predictor:
        yield predictor


def errors(raw, wanted):
    """Largest error of boxes, scores, coefficients, prototypes."""
    pairs = [(getattr(raw, name), getattr(wanted, name)) for name in ("boxes", "scores", "coefficients", "prototypes")]
    return [float(np.abs(got - want).max()) for got, want in pairs]


# -- numbers


def test_an_export_gives_the_numbers_measured_elsewhere(n_seg_pt, reference, tmp_path):
    export(n_seg_pt, tmp_path / "n.mlpackage", names={index: f"class {index}" for index in range(80)})
    stored = np.load(reference / "forward_n.npz")
    batch = ImageBatch.from_u8(np.ascontiguousarray(stored["input_u8"].transpose(0, 2, 3, 1)))
    wanted = Anchors.from_joined(stored["output0"], np.load(reference / "forward_n_proto.npz")["output1"])
    with load(tmp_path / "n.mlpackage") as predictor:
        boxes, scores, coefficients, prototypes = errors(predictor.run(batch), wanted)
    assert boxes <= 5e-3
    assert scores <= 2e-5
    assert coefficients <= 1e-4
    assert prototypes <= 1e-4


@pytest.mark.parametrize("options", [{}, {"image": False}, {"batch": 2}, {"dynamic": True}], ids=str)
def test_pictures_and_tensors_give_the_numbers_of_the_weights(made, weights, options):
    batch = noise(3)
    with load(made(**options)) as predictor:
        assert max(errors(predictor.run(batch), weights.run(batch))) <= 1e-3


def test_a_free_batch_takes_more_pictures_than_one_run_can(made, weights):
    batch = noise(66)
    with load(made(dynamic=True)) as predictor:
        assert max(errors(predictor.run(batch), weights.run(batch))) <= 1e-3


@pytest.mark.parametrize(("options", "size"), [({"half": True}, 0.65), ({"int8": True}, 0.45)], ids=str)
def test_half_and_int8_round_layers_and_no_pixel(made, weights, options, size):
    path, batch = made(**options), noise(1)
    assert sum(map(weigh, path.rglob("*"))) < size * sum(map(weigh, made().rglob("*")))
    with load(path) as predictor:
        boxes, scores, coefficients, prototypes = errors(predictor.run(batch), weights.run(batch))
    assert 0 < boxes <= 4
    assert 0 < scores <= 0.05
    assert 0 < coefficients <= 0.2
    assert 0 < prototypes <= 0.2
    operations = program(path).operations
    layer = [operation.outputs[0][1].dtype for operation in operations if operation.type in ("conv", "silu")]
    assert len(layer) == 76 + 66
    assert layer.count("float32") == 2  # the projection inside the box arithmetic, and what ends in prototypes
    behind = [operation.outputs[0][1].dtype for operation in operations if operation.type in ("softmax", "sub")]
    assert set(behind) == {"float32"}
    anchors = [
        value for operation in operations for value in operation.attributes.values() if np.shape(value)[-1:] == (84,)
    ]
    assert {value.dtype for value in anchors} == {np.dtype("float32")}


def weigh(path):
    return path.stat().st_size if path.is_file() else 0


def test_what_is_declared_half_is_rounded_after_every_operation():
    half = Kind("float16", (3,))
    steps = [
        Operation("add", {"x": Argument(("a",)), "y": Argument(constant=np.float32(2.0**-12))}, [("b", half)], {}),
        Operation("mul", {"x": Argument(("b",)), "y": Argument(constant=np.float32(70000))}, [("c", half)], {}),
        Operation(
            "cast", {"x": Argument(("c",)), "dtype": Argument(constant="fp32")}, [("d", Kind("float32", (3,)))], {}
        ),
    ]
    evaluator = Evaluator(Program([("a", half)], steps, ["d"]))
    found = evaluator.run({"a": np.array([0.1, 1, 2.0**-20], np.float32)})["d"]
    sums = (np.array([0.1, 1, 2.0**-20], np.float16).astype(np.float32) + np.float32(2.0**-12)).astype(np.float16)
    with np.errstate(over="ignore"):
        wanted = (sums.astype(np.float32) * np.float32(70000)).astype(np.float16)
    np.testing.assert_array_equal(found, wanted.astype(np.float32))
    assert np.isinf(found[1])  # 70000 is beyond half precision


def test_weights_of_int8_are_rounded_so_that_errors_cancel(made):
    weight = torch.from_numpy(tensor(8, 16, 3, 3))
    step = weight.abs().amax((1, 2, 3), keepdim=True) / 127
    evened, plain = on_grid(weight) / step, (weight / step).round()
    assert float((evened - evened.round()).abs().max()) < 1e-3
    assert float(evened.abs().amax((1, 2, 3)).min()) == pytest.approx(127, abs=1e-3)
    off = [float((numbers - weight / step).sum((1, 2, 3)).abs().max()) for numbers in (evened, plain)]
    assert off[0] <= 0.51 < off[1]
    # What coremltools stores is that grid, not another rounding.
    stored = [step for step in program(made(int8=True)).operations if step.type == "constexpr_affine_dequantize"]
    rows = [value for step in stored for value in step.attributes.values() if value.ndim == 4]
    assert len(rows) >= 30
    assert all((np.abs(row.astype(int)).max((1, 2, 3)) == 127).all() for row in rows)


@pytest.mark.parametrize("kind", ["six bits", "linear"])
def test_packages_that_coremltools_has_compressed_give_the_numbers_it_unpacks(made, tmp_path, kind):
    toolkit = coremltools()
    tools = toolkit.optimize.coreml
    config = {
        "six bits": tools.OpPalettizerConfig(mode="uniform", nbits=6, weight_threshold=512),
        "linear": tools.OpLinearQuantizerConfig(mode="linear", dtype="uint8", weight_threshold=512),
    }[kind]
    compress = tools.linear_quantize_weights if kind == "linear" else tools.palettize_weights
    with quiet():
        model = toolkit.models.MLModel(str(made()), skip_model_load=True)
        small = compress(model, tools.OptimizationConfig(op_type_configs={"conv": config}))
        small.save(str(tmp_path / "small.mlpackage"))
        tools.decompress_weights(small).save(str(tmp_path / "large.mlpackage"))
    names = {operation.type for operation in program(tmp_path / "small.mlpackage").operations}
    assert ("constexpr_affine_dequantize" if kind == "linear" else "constexpr_lut_to_dense") in names
    with load(tmp_path / "small.mlpackage") as one, load(tmp_path / "large.mlpackage") as other:
        assert errors(one.run(noise(1)), other.run(noise(1))) == [0, 0, 0, 0]


# -- selection inside


@pytest.mark.parametrize(
    "options", [{}, {"agnostic_nms": True, "iou": 0.3, "batch": 2}, MANY, MANY | {"half": True}], ids=str
)
def test_a_file_that_selects_gives_what_is_selected_outside(made, options):
    shown = ImageBatch.from_u8(np.random.default_rng(5).integers(0, 256, (3, 64, 64, 3), np.uint8) // 3 * 3)
    limits = {"conf": 0.02, "iou": 0.7, "max_det": 300} | options
    plain = made(**{name: limits[name] for name in ("half", "batch") if name in limits})
    chosen = {
        name: limits[name] for name in ("conf", "iou", "max_det", "agnostic_nms", "half", "batch") if name in limits
    }
    with load(plain) as one, load(made(nms=True, **chosen)) as other:
        raw, found = one.run(shown), other.run(shown)
    wanted = select(
        raw,
        conf=limits["conf"],
        iou=limits["iou"],
        max_det=limits["max_det"],
        agnostic=bool(limits.get("agnostic_nms")),
    )
    assert isinstance(found, Selected)
    assert sum(map(len, wanted)) >= 10
    for number, detections in enumerate(wanted):
        assert found.classes[number].tolist() == detections.classes.tolist()
        np.testing.assert_allclose(found.xyxy[number], detections.xyxy, atol=1e-3)
        np.testing.assert_allclose(found.confidence[number], detections.confidence, atol=1e-5)
        np.testing.assert_allclose(found.coefficients[number], detections.coefficients, atol=1e-4)


def test_what_the_operator_leaves_open_does_not_change_what_is_selected(made, monkeypatch):
    path, batch = made(nms=True, **MANY), noise(2)
    with load(path) as predictor:
        wanted = predictor.run(batch)

    def other(**given):
        """Pads with rubbish, and takes what has exactly the least score."""
        boxes, scores, places, counts = non_maximum_suppression(**given)
        for number, count in enumerate(counts):
            boxes[number, count:], scores[number, count:], places[number, count:] = 9, 9, 10**6
        return boxes, scores, places, counts

    monkeypatch.setitem(operators.OPERATORS, "non_maximum_suppression", other)
    with load(path) as predictor:
        found = predictor.run(batch)
    for one, two in zip(found.xyxy, wanted.xyxy, strict=True):
        np.testing.assert_array_equal(one, two)


def test_suppression_is_the_one_that_is_documented():
    boxes = np.array([[[5, 5, 10, 10], [6, 5, 10, 10], [50, 50, 4, 4], [5, 5, 10, 10]]], np.float32)
    scores = np.array([[[0.9, 0], [0.8, 0], [0.1, 0.3], [0, 0.85]]], np.float32)
    asked = {"iou_threshold": np.float32(0.5), "score_threshold": np.float32(0.3), "max_boxes": np.int32(3)}
    _, _, places, counts = non_maximum_suppression(boxes, scores, **asked, per_class_suppression=True)
    assert (places.tolist(), counts.tolist()) == ([[0, 3, 2]], [3])
    kept, _, places, counts = non_maximum_suppression(boxes, scores, **asked)
    assert (places.tolist(), counts.tolist()) == ([[0, 2, -1]], [2])
    assert kept[0, 2].tolist() == [0, 0, 0, 0]


# -- operators, against torch

GENERATOR = np.random.default_rng(1)


def tensor(*shape):
    return GENERATOR.standard_normal(shape, np.float32)


def close(found, wanted):
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("groups", "stride", "dilation", "kernel"),
    [(1, 1, 1, 3), (1, 2, 1, 3), (2, 1, 2, 3), (6, 1, 1, 3), (1, 2, 1, 1), (6, 2, 1, 5)],
)
def test_convolutions_are_those_of_torch(groups, stride, dilation, kernel):
    x, weight, bias = tensor(2, 6, 20, 17), tensor(12 if groups < 6 else 6, 6 // groups, kernel, kernel), tensor(12)
    bias = bias[: len(weight)]
    pad = [1, 2, 0, 3]
    found = layers.conv(
        x, weight, bias, np.array([stride] * 2), "custom", np.array(pad), np.array([dilation] * 2), np.int32(groups)
    )
    around = functional.pad(torch.from_numpy(x), (pad[2], pad[3], pad[0], pad[1]))
    close(found, functional.conv2d(around, *map(torch.from_numpy, (weight, bias)), stride, 0, dilation, groups))


def test_padding_to_the_same_size_puts_the_odd_one_behind_or_before():
    x, weight = tensor(1, 2, 8, 9), tensor(3, 2, 3, 3)
    found = layers.conv(x, weight, strides=np.array([2, 2]), pad_type="same")
    close(
        found, functional.conv2d(functional.pad(torch.from_numpy(x), (1, 1, 0, 1)), torch.from_numpy(weight), stride=2)
    )
    found = layers.conv(x, weight, strides=np.array([2, 2]), pad_type="same_lower")
    close(
        found, functional.conv2d(functional.pad(torch.from_numpy(x), (1, 1, 1, 0)), torch.from_numpy(weight), stride=2)
    )


@pytest.mark.parametrize(("kernel", "stride", "pad"), [(2, 2, 0), (3, 2, 1), (4, 1, 0)])
def test_transposed_convolutions_are_those_of_torch(kernel, stride, pad):
    x, weight, bias = tensor(2, 4, 5, 6), tensor(4, 3, kernel, kernel), tensor(3)
    found = layers.conv_transpose(x, weight, bias, np.array([stride] * 2), "custom", np.array([pad] * 4))
    close(found, functional.conv_transpose2d(*map(torch.from_numpy, (x, weight, bias)), stride, pad))


def test_pooling_and_enlarging_are_those_of_torch():
    x = tensor(2, 3, 12, 9)
    given, pad = torch.from_numpy(x), np.array([2] * 4)
    five, one, two = np.array([5, 5]), np.array([1, 1]), np.array([2, 2])
    close(layers.max_pool(x, five, one, "custom", pad), functional.max_pool2d(given, 5, 1, 2))
    close(layers.max_pool(x, two, two), functional.max_pool2d(given, 2, 2))
    close(layers.avg_pool(x, five, two, "custom", pad), functional.avg_pool2d(given, 5, 2, 2))
    close(layers.upsample_nearest_neighbor(x, 2.0, 3.0), functional.interpolate(given, scale_factor=(2, 3)))


def test_the_small_operators_are_those_of_torch():
    x = tensor(2, 3, 4) * 50
    given = torch.from_numpy(x)
    close(operators.silu(x), functional.silu(given))
    close(operators.sigmoid(x), given.sigmoid())
    close(operators.softmax(x, np.int32(1)), given.softmax(1))
    close(operators.linear(x, x[0], x[0, :, 0]), functional.linear(given, given[0], given[0, :, 0]))
    whole = np.array([[1, 2], [0, 1]], np.int32)
    assert operators.reshape(x, np.array([0, -1])).shape == (2, 12)
    assert operators.slice_by_size(x, np.array([0, 1, 0]), np.array([2, -1, 2])).shape == (2, 2, 2)
    np.testing.assert_array_equal(operators.divided(np.array([[5, 7]]), whole[:1]), [[5, 3]])
    np.testing.assert_array_equal(operators.gather(x, whole[1], np.int32(2)), x[:, :, [0, 1]])
    np.testing.assert_array_equal(operators.reduce_argmax(x, np.int32(1)), given.argmax(1, keepdim=True))
    masks = {"begin_mask": np.array([True, False, False]), "end_mask": np.array([True, True, False])}
    cut = operators.slice_by_index(
        x, np.array([9, 1, 3]), np.array([9, 9, 4]), squeeze_mask=np.array([0, 0, 1]), **masks
    )
    np.testing.assert_array_equal(cut, x[:, 1:, 3])


def test_numbers_of_few_bits_are_read_lowest_first():
    assert unpacked(bytes([0b10_01_00_11]), "uint2", 4).tolist() == [3, 0, 1, 2]
    assert unpacked(bytes([0xF8, 0x07]), "int4", 3).tolist() == [-8, -1, 7]
    data, scale = np.array([[1, 2, 3, 4]], np.int8), np.array([[2, 10]], np.float32)
    offset = np.array([[1, 0]], np.int8)
    assert operators.constexpr_blockwise_shift_scale(data, scale, offset).tolist() == [[0, 2, 30, 40]]


# -- what a predictor promises


def test_eight_threads_get_each_their_own_results(made, weights):
    batches = [noise(1, seed=seed) for seed in range(4)]
    wanted = [weights.run(batch) for batch in batches]
    with load(made()) as predictor, ThreadPoolExecutor(8) as pool:
        for number, raw in enumerate(pool.map(predictor.run, batches * 4)):
            assert max(errors(raw, wanted[number % 4])) <= 1e-3


def test_another_size_than_the_packages_is_refused(made):
    with load(made()) as predictor, pytest.raises(OptionError, match="takes 64x64 only; export another"):
        predictor.run(noise(1, 64, 96))


def test_threads_are_our_own_and_those_of_numpy_are_put_back(made, monkeypatch):
    def numpys():  # not those that other libraries have brought into this process since
        return tuple(sorted({pool["num_threads"] for pool in crew._BLAS.info() if pool["user_api"] == "blas"}))

    seen, silu = [], operators.OPERATORS["silu"]

    def watching(x):
        seen.append((numpys(), sum(thread.name.startswith("coreml") for thread in threading.enumerate())))
        return silu(x)

    monkeypatch.setitem(operators.OPERATORS, "silu", watching)
    with threadpool_limits(2, "blas"):
        for threads in (1, 3):
            seen.clear()
            with load(made(imgsz=(256, 256)), threads=threads) as predictor:
                predictor.run(noise(1, 256, 256))
            assert {products for products, _ in seen} == {(1,)}
            assert max(own for _, own in seen) <= (threads if threads > 1 else 0)
            assert threads == 1 or max(own for _, own in seen) > 1
            assert numpys() == (2,)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("coreml")]


@pytest.mark.skipif(sys.platform == "darwin", reason="there is Core ML here")
def test_devices_of_core_ml_are_a_gap_of_the_system_elsewhere(made):
    with pytest.raises(UnsupportedError, match=r"device=ane \(needs-os\).*device=cpu"):
        load(made(), device="ane")
    with pytest.raises(OptionError, match=r"device='cuda:0'.*evaluated on the cpu"):
        load(made(), device="cuda:0")


def test_the_evaluator_can_be_asked_for_by_name(made, weights):
    with load(made(), device="evaluator") as predictor:
        assert max(errors(predictor.run(noise(1)), weights.run(noise(1)))) <= 1e-3


def test_running_a_package_loads_neither_torch_nor_coremltools(made):
    code = """if True:
        import sys
        from pathlib import Path
        from segkit.core.backend.registry import default_registry
        from segkit.core.images import ImageBatch
        import numpy
        path = Path(sys.argv[1])
        backend = default_registry().recognise(path)
        assert backend.read_metadata(path).names[1] == "कुत्ता"
        with backend.load(path, backend.format.parse_load_options({})) as predictor:
            predictor.run(ImageBatch.from_u8(numpy.zeros((1, 64, 64, 3), numpy.uint8)))
        assert backend.inspect(path).outputs
        heavy = {"torch", "coremltools", "tensorflow", "google"} & {name.partition(".")[0] for name in sys.modules}
        assert not heavy, heavy
    """
    child = subprocess.run([sys.executable, "-c", code, made()], capture_output=True, text=True)
    assert child.returncode == 0, child.stderr


def test_the_toolchain_brings_no_tensorflow_along():
    """In a process of its own: another format may have brought it into this one."""
    code = (
        "import sys; from segkit.plugins.coreml.toolchain import coremltools; "
        "print(coremltools()._deps._HAS_TF, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_missing_packages_are_named_with_the_line_that_installs_them(monkeypatch):
    monkeypatch.setattr(formats, "installed_version", lambda name: None)
    from segkit.core.backend import Feature

    with pytest.raises(MissingDependencyError, match=r'pip install "torch>=2\.9" "coremltools>=9"'):
        BACKEND.format.require(Feature.EXPORT)
    with pytest.raises(MissingDependencyError, match=r"threadpoolctl"):
        BACKEND.format.require(Feature.PREDICT)


# -- on macOS


class FakeMLModel:
    """Stands in for Core ML, which cannot run here: takes and gives what `MLModel.predict` is documented to."""

    def __init__(self, path, compute_units):
        self.units, self.description = compute_units, read_description(Path(path))
        self.evaluator = Evaluator(read_program(Path(path), self.description))

    def predict(self, given):
        ((name, value),) = given.items()
        if self.description.inputs[0].kind == "image":
            assert value.mode == "RGB"
            value = np.asarray(value, np.float32).transpose(2, 0, 1)[None]
        found = self.evaluator.run({name: value})
        return dict(reversed(found.items()))  # a dictionary of Objective-C has no order


@pytest.mark.parametrize("options", [{}, {"dynamic": True}, {"nms": True, "conf": 0.02}], ids=str)
def test_core_ml_would_be_given_what_it_wants(made, monkeypatch, options):
    toolkit = SimpleNamespace(models=SimpleNamespace(MLModel=FakeMLModel), ComputeUnit={"CPU_AND_NE": 4})
    monkeypatch.setattr(native, "coremltools", lambda **_: toolkit)
    path, batch = made(**options), noise(3)
    with native.CoreMLPredictor(path, BACKEND.format.parse_load_options({"device": "ane"})) as predictor:
        predictor.warm_up()
        found = predictor.run(batch)
    with load(path) as evaluated:
        wanted = evaluated.run(batch)
    if options.get("nms"):
        assert [len(rows) for rows in found.xyxy] == [len(rows) for rows in wanted.xyxy]
    else:
        assert errors(found, wanted) == [0, 0, 0, 0]


def test_devices_of_core_ml_are_named_in_a_refusal():
    assert [devices.units(name) for name in ("cpu", "MPS", "ane", "all")] == [
        "CPU_ONLY",
        "CPU_AND_GPU",
        "CPU_AND_NE",
        "ALL",
    ]
    with pytest.raises(OptionError, match=r"device='cuda:0'.*cpu, gpu, mps, ane, all, evaluator"):
        devices.units("cuda:0")


# -- options


@pytest.mark.parametrize(("given", "words"), [({"batch": 2}, "batch=2"), ({"dynamic": True}, "dynamic=True")])
def test_an_image_input_takes_one_picture(given, words):
    with pytest.raises(OptionError, match=f"image=True and {words} exclude each other"):
        BACKEND.format.parse_export_options({"image": True} | given)


def test_more_pictures_than_a_free_batch_takes_are_refused_before_anything_is_made():
    with pytest.raises(OptionError, match=r"batch=65 is not usable: with dynamic=True .*up to 64 pictures"):
        BACKEND.format.parse_export_options({"batch": 65, "dynamic": True})
    assert BACKEND.format.parse_export_options({"batch": 64, "dynamic": True}).batch == 64
    assert BACKEND.format.parse_export_options({"batch": 65}).batch == 65


def test_a_free_size_is_a_gap_with_a_way_out():
    assert "export one file for each imgsz" in BACKEND.format.support.gap("dynamic size").reason


def test_weights_beyond_half_precision_are_refused_by_name(tmp_path):
    from segkit.core.model import load_network, save_network

    network = load_network(GOLDEN)
    with torch.no_grad():
        network.model[0].conv.weight[0] = 1e6
    save_network(network, tmp_path / "large.safetensors")
    with pytest.raises(ExportError, match=r"model\.0\.conv\.weight.*exceed half precision"):
        export(tmp_path / "large.safetensors", tmp_path / "large.mlpackage", half=True, imgsz=(64, 64))
    assert not (tmp_path / "large.mlpackage").exists()


# -- metadata, recognition, inspection


def test_a_package_says_what_was_sealed_in_it_also_to_others(tmp_path, captured):
    path = tmp_path / "any name"
    sealed = export(GOLDEN, path, imgsz=(64, 96), nms=True, conf=0.1)
    assert BACKEND.read_metadata(path) == sealed
    assert sorted(item.name for item in tmp_path.iterdir()) == ["any name"]
    files = sorted(item.relative_to(path).as_posix() for item in path.rglob("*") if item.is_file())
    assert files == [MODEL, WEIGHTS, "Manifest.json"]
    with quiet():
        spec = coremltools().utils.load_spec(str(path))
    told = spec.description.metadata
    assert told.userDefined["names"] == str(NAMES)
    assert json.loads(told.userDefined["segkit"])["head"]["nms"] is True
    assert (told.author, told.versionString) == ("segkit", "1.2.3")
    assert told.license
    assert "5 classes" in told.shortDescription
    assert spec.specificationVersion == 7  # iOS 16, macOS 13
    assert "grey 114" in spec.description.input[0].shortDescription
    image = spec.description.input[0].type.imageType
    assert (image.width, image.height) == (96, 64)
    assert not any("date" in name for name in told.userDefined if name != "date")


@pytest.mark.skipif(sys.platform == "win32", reason="files have no modes there")
@pytest.mark.parametrize("mask", [0o022, 0o027])
def test_a_package_has_the_modes_of_any_other_file(tmp_path, captured, mask):
    before = os.umask(mask)
    try:
        export(GOLDEN, tmp_path / "x.mlpackage", imgsz=(64, 64))
    finally:
        os.umask(before)
    package = tmp_path / "x.mlpackage"
    for path in (package, *package.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o777 if path.is_dir() else 0o666) & ~mask, path.name


@pytest.mark.parametrize("name", ["model.bin", "model", "model.onnx"])
def test_a_package_is_known_by_its_content_whatever_its_name(made, tmp_path, name):
    shutil.copytree(made(), tmp_path / name)
    assert default_registry().recognise(tmp_path / name).format.name == "coreml"


def test_an_inspection_tells_tensors_operations_weights_and_writer(made):
    plain = BACKEND.inspect(made())
    assert plain.inputs == (TensorInfo("image", "RGB image of bytes", (1, 3, 64, 64)),)
    assert [tensor.shape for tensor in plain.outputs] == [(1, 41, 84), (1, 32, 16, 16)]
    assert plain.producer == "segkit 1.2.3, coremltools 9.0"
    assert "76 conv" in plain.facts["operators"]
    assert (plain.facts["kind"], plain.facts["specification"]) == ("ML Program", "7")
    assert [BACKEND.inspect(made(**asked)).facts["precision"] for asked in ({}, {"half": True}, {"int8": True})] == [
        *("fp32", "fp16", "int8")
    ]
    free = BACKEND.inspect(made(dynamic=True))
    assert free.inputs == (TensorInfo("images", "float32", (None, 3, 64, 64)),)
    assert [tensor.shape[1:] for tensor in free.outputs] == [(41, 84), (32, 16, 16)]


# -- packages of other tools, damaged ones, and what is none


def test_metadata_of_other_tools_are_corrected_by_the_input(made, tmp_path):
    path = rewritten(made(), tmp_path, lambda spec: spec.description.metadata.userDefined.pop("segkit"))
    read = BACKEND.read_metadata(path)
    assert read.segkit is None
    assert (read.imgsz, read.batch, read.names[0]) == ((64, 64), 1, "cat")
    path = rewritten(path, tmp_path / "b", lambda spec: spec.description.metadata.userDefined.clear())
    assert BACKEND.read_metadata(path).imgsz == (64, 64)
    with load(path) as predictor:
        assert isinstance(predictor.run(noise(1)), Anchors)


def test_an_input_in_another_order_of_colours_is_given_so(made, tmp_path, weights):
    path = rewritten(made(), tmp_path, lambda spec: setattr(spec.description.input[0].type.imageType, "colorSpace", 30))
    batch = noise(1)
    turned = ImageBatch.from_u8(np.ascontiguousarray(batch.u8_nhwc[..., ::-1]))
    with load(path) as predictor:  # the network was made for RGB: given BGR it sees another picture
        assert max(errors(predictor.run(batch), weights.run(turned))) <= 1e-3


def test_an_operation_that_is_not_known_is_named(tmp_path):
    from coremltools.converters.mil import Builder as mb  # noqa: N813 - what everybody calls it

    toolkit = coremltools()

    @mb.program(input_specs=[mb.TensorSpec(shape=(1, 3, 64, 64))], opset_version=toolkit.target.iOS16)
    def odd(x):
        return mb.erf(x=x)

    with quiet():
        toolkit.convert(odd, skip_model_load=True).save(str(tmp_path / "odd.mlpackage"))
    with pytest.raises(
        UnsupportedError, match=r"operation 'erf' \(not-implemented\).*knows add, .*on macOS Core ML runs"
    ):
        load(tmp_path / "odd.mlpackage")
    assert "1 erf" in BACKEND.inspect(tmp_path / "odd.mlpackage").facts["operators"]


def test_an_operation_that_fails_is_named():
    made = Kind("float32", (2,))
    step = Operation("reshape", {"x": Argument(("a",)), "shape": Argument(constant=np.array([7]))}, [("b", made)], {})
    with pytest.raises(RuntimeFailure, match="operation 'reshape': cannot reshape"):
        Evaluator(Program([("a", made)], [step], ["b"])).run({"a": np.zeros(2, np.float32)})


def rewritten(path, folder, change):
    """A copy of a package whose description is changed."""
    copy = Path(shutil.copytree(path, folder / "changed.mlpackage"))
    with quiet():
        coremltools()
    from coremltools.proto import Model_pb2

    spec = Model_pb2.Model.FromString((copy / MODEL).read_bytes())
    change(spec)
    (copy / MODEL).write_bytes(spec.SerializeToString())
    return copy


def older(spec):
    spec.ClearField("mlProgram")
    spec.neuralNetwork.SetInParent()


def two_inputs(spec):
    spec.description.input.add().CopyFrom(spec.description.input[0])


def elsewhere(spec):
    block = spec.mlProgram.functions["main"].block_specializations["CoreML6"]
    blobs = [
        value for step in block.operations for value in step.attributes.values() if value.HasField("blobFileValue")
    ]
    blobs[0].blobFileValue.fileName = "@model_path/../../../secret"


def another_name(spec):
    block = spec.mlProgram.functions["main"].block_specializations["CoreML6"]
    block.operations[-1].inputs["values"].arguments[0].name = "nothing"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (older, "it is a neural network, not an ML Program"),
        (two_inputs, "it takes 2 inputs"),
        (elsewhere, "outside of the package: a hostile file"),
        (another_name, "reads 'nothing', which nothing has made"),
        (lambda spec: setattr(spec.description.input[0].type.imageType, "colorSpace", 10), "not pictures"),
        (lambda spec: spec.mlProgram.functions.clear(), "no function 'main', but none"),
        (lambda spec: setattr(spec.description.input[0], "name", "x"), "takes another input than its description"),
    ],
)
def test_a_package_that_is_something_else_is_refused(made, tmp_path, change, words):
    with pytest.raises(ModelFileError, match=words):
        load(rewritten(made(), tmp_path, change))


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def nan(path):
    data = bytearray(path.read_bytes())
    data[128:132] = np.float32(np.nan).tobytes()
    path.write_bytes(data)


DAMAGES = {
    "no manifest": (lambda path: (path / "Manifest.json").unlink(), "folder without Manifest.json"),
    "manifest cut": (lambda path: cut(path / "Manifest.json", 0.5), "Manifest.json is damaged"),
    "manifest of bytes": (lambda path: (path / "Manifest.json").write_bytes(bytes(range(256))), "Manifest.json"),
    "no model": (lambda path: (path / MODEL).unlink(), "incomplete: Data/com.apple.CoreML/model.mlmodel is missing"),
    "model cut": (lambda path: cut(path / MODEL, 0.9), "model.mlmodel is damaged.*interrupted download"),
    "model empty": (lambda path: cut(path / MODEL, 0), "model.mlmodel is damaged: no model"),
    "no weights": (lambda path: (path / WEIGHTS).unlink(), "weights cannot be read"),
    "weights cut": (lambda path: cut(path / WEIGHTS, 0.9), "weight.bin ends.*interrupted download"),
    "weights empty": (lambda path: cut(path / WEIGHTS, 0), "weight.bin is no file of weights"),
    "weights of nan": (lambda path: nan(path / WEIGHTS), "holds numbers that are none"),
    "a web page": (lambda path: (path / MODEL).write_text("<!DOCTYPE html><html>"), "model.mlmodel is damaged"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_packages_are_refused_with_what_is_wrong(copied, damage):
    harm, words = DAMAGES[damage]
    harm(copied)
    with pytest.raises(ModelFileError, match=words):
        load(copied)


def test_a_manifest_that_points_outside_is_refused(copied):
    table = json.loads((copied / "Manifest.json").read_text())
    table["itemInfoEntries"][table["rootModelIdentifier"]]["path"] = "../../../etc/passwd"
    (copied / "Manifest.json").write_text(json.dumps(table))
    with pytest.raises(ModelFileError, match="points outside of the package"):
        load(copied)


@pytest.mark.parametrize("seed", range(3))
def test_flipped_bits_of_a_model_raise_nothing_but_what_is_deliberate(copied, seed):
    whole, generator = (copied / MODEL).read_bytes(), np.random.default_rng(seed)
    for _ in range(12):
        data = bytearray(whole)
        data[generator.integers(len(data))] ^= 1 << generator.integers(8)
        (copied / MODEL).write_bytes(data)
        for use in (BACKEND.read_metadata, BACKEND.inspect, lambda path: load(path).run(noise(1))):
            with contextlib.suppress(ModelFileError, UnsupportedError, RuntimeFailure, OptionError):
                use(copied)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"PK\x03\x04", "zip archive"),
        (b"<html>", "HTML page"),
        (b"\x01\x02", "a Core ML package is a folder"),
    ],
)
def test_files_are_no_packages_and_it_is_said_what_they_are(tmp_path, content, words):
    (tmp_path / "model.mlpackage").write_bytes(content)
    with pytest.raises(ModelFileError, match=words):
        load(tmp_path / "model.mlpackage")
    assert BACKEND.recognises(tmp_path / "model.mlpackage").confidence < 50
