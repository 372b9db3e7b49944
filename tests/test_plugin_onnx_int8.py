"""ONNX files in eight bits: small, fused by the runtime, and with the objects of the float file."""

from __future__ import annotations

from collections import Counter

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto, helper, numpy_helper

from segkit import YOLO
from segkit.conformance import reference as made_up
from segkit.conformance.instances import Seen as Objects
from segkit.conformance.instances import match
from segkit.core.backend import Selected
from segkit.core.backend.calibration import PictureCalibration
from segkit.core.backend.ranges import (
    STEPS,
    Histogram,
    Seen,
    best_range,
    best_reach,
    scale_and_zero,
    silu,
    symmetric_scale,
)
from segkit.core.backend.registry import default_registry
from segkit.core.errors import ExportError, MissingDependencyError, OptionError
from segkit.core.images import ImageBatch
from segkit.core.inference.arguments import PredictArguments
from segkit.plugins.onnx import OnnxBackend
from segkit.plugins.onnx.int8 import Plan, _whole_weights, to_int8
from segkit.plugins.onnx.predictor import may_overflow

BACKEND = OnnxBackend()

pytestmark = pytest.mark.usefixtures("translated_once")

SIZE = 320
"""Of the input of the trained weights here; half of the usual one, which takes four times as long."""


def load(path):
    return BACKEND.load(path, BACKEND.format.parse_load_options({"threads": 2}))


@pytest.fixture(scope="module")
def pair(n_seg_pt, data, tmp_path_factory, translated_once):
    """A float file and an int8 file of the trained weights, the latter calibrated with 16 pictures."""
    folder = tmp_path_factory.mktemp("int8")
    pictures = str(data / "datasets" / "coco128-seg" / "coco128-seg.yaml")
    model = YOLO(n_seg_pt)
    common = {"imgsz": SIZE, "isolate": False}
    floats = model.export_to("onnx", output=folder / "float.onnx", **common)
    eight = model.export_to("onnx", int8=True, data=pictures, fraction=0.125, output=folder / "int8.onnx", **common)
    return floats.path, eight.path


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A small network, seeded."""
    return made_up.seeded_weights(tmp_path_factory.mktemp("seeded") / "seeded-seg.safetensors")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Four pictures of 96 x 96."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(4):
        cv2.imwrite(str(folder / f"{number}.png"), made_up.picture((96, 96), number))
    return folder


@pytest.fixture
def eight(weights, photos, tmp_path):
    """Exports the seeded weights in int8: eight(nms=True) → what the pipeline tells."""

    def export(**options):
        common = {"int8": True, "data": photos, "imgsz": 96, "isolate": False}
        return YOLO(weights).export_to("onnx", output=tmp_path / "int8.onnx", **common, **options)

    return export


@pytest.fixture(scope="module")
def plain(weights, photos, tmp_path_factory, translated_once):
    """The same without further options."""
    target = tmp_path_factory.mktemp("plain") / "int8.onnx"
    return YOLO(weights).export_to("onnx", int8=True, data=photos, imgsz=96, output=target, isolate=False)


def test_pictures_that_were_not_calibrated_with_keep_their_objects(pair, data):
    """Measured over 80 pictures of two data sets: 97 % of the objects, the others near the threshold."""
    args = PredictArguments(conf=0.25)
    pictures = [cv2.imread(str(path)) for path in sorted((data / "datasets" / "coco-val100-seg").rglob("*.jpg"))[:12]]
    strong, lost, overlaps, boxes, shifts = 0, 0, [], [], []
    with load(pair[0]) as one, load(pair[1]) as other:
        for picture in pictures:
            batch = ImageBatch([picture], (SIZE, SIZE))
            wanted, found = (Objects.of(each.run(batch), 0, batch.geometry[0], args) for each in (one, other))
            matching = match(wanted, found, 0.25)
            confident = {index for index, score in enumerate(wanted.scores) if score > 0.5}
            strong += len(confident)
            lost += len(confident - {item.reference for item in matching.pairs})
            overlaps += [item.mask_iou for item in matching.pairs]
            boxes += [item.box_iou for item in matching.pairs]
            shifts += [abs(item.score) for item in matching.pairs]
    assert strong > 25
    assert lost == 0
    assert np.mean(overlaps) > 0.94
    assert np.mean(boxes) > 0.95
    assert np.mean(shifts) < 0.04


def test_the_file_is_a_quarter_of_the_size_and_looks_the_same_from_outside(pair):
    floats, eight = (onnx.load(path) for path in pair)
    assert pair[1].stat().st_size < 0.3 * pair[0].stat().st_size
    assert [str(entry) for entry in eight.graph.input] == [str(entry) for entry in floats.graph.input]
    assert [str(entry) for entry in eight.graph.output] == [str(entry) for entry in floats.graph.output]
    assert eight.opset_import == floats.opset_import
    assert eight.ir_version == floats.ir_version
    metadata = BACKEND.read_metadata(pair[1])
    assert metadata.precision == "int8"
    assert metadata.args["int8"] is True
    assert len(metadata.segkit.calibration) == 64


def test_the_stem_the_last_layers_and_the_arithmetic_stay_in_float(pair):
    graph = onnx.load(pair[1]).graph
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    floats = {node.input[1] for node in graph.node if node.op_type == "Conv" and kinds.get(node.input[1])}
    stem = {f"model.{layer}." for layer in (0, 1, 2)}
    ends = {f".{branch}.{level}.2." for branch in ("cv2", "cv3", "cv4") for level in range(3)}
    assert all(any(part in name for part in (*stem, *ends, ".dfl.")) for name in floats)
    assert len(floats) == 2 + 4 + 9 + 1
    makers = {node.output[0]: node for node in graph.node}
    behind = [makers[name].op_type for name in next(n for n in graph.node if n.output[0] == "output0").input]
    assert not {"QuantizeLinear", "DequantizeLinear"} & {*behind}


def test_weights_have_a_scale_for_each_channel_and_biases_that_of_the_sums(pair):
    graph = onnx.load(pair[1]).graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    makers = {node.output[0]: node for node in graph.node}
    layers = [node for node in graph.node if node.op_type == "Conv" and node.input[1] in makers]
    assert len(layers) == 60
    for layer in layers:
        whole, scale = (numpy_helper.to_array(tensors[name]) for name in makers[layer.input[1]].input[:2])
        assert whole.dtype == np.int8
        assert scale.shape == (len(whole),)
        assert (np.abs(whole.astype(int)).max((1, 2, 3)) == 127).all()
        step = numpy_helper.to_array(tensors[makers[layer.input[0]].input[1]])
        bias, unit = (numpy_helper.to_array(tensors[name]) for name in makers[layer.input[2]].input[:2])
        assert bias.dtype == np.int32
        np.testing.assert_allclose(unit, scale * step, rtol=1e-6)


def test_the_runtime_computes_every_layer_in_eight_bits(pair, tmp_path):
    """A rounding that stands in the wrong place is no error: the layer is silently computed in float, and slower."""
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    settings.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(pair[1], settings, providers=["CPUExecutionProvider"])
    counts = Counter(node.op_type for node in onnx.load(settings.optimized_model_filepath).graph.node)
    assert counts["QLinearConv"] == 60
    assert counts["QLinearSigmoid"] >= 58
    assert counts["QLinearMul"] >= 58
    assert counts["QuantizeLinear"] <= 6


def test_values_that_are_only_moved_keep_their_numbers(pair):
    graph = onnx.load(pair[1]).graph
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    makers = {node.output[0]: node for node in graph.node}
    takers = {name: node for node in graph.node for name in node.input}
    moved = 0
    for node in graph.node:
        if node.op_type in ("Concat", "Split", "MaxPool", "Resize"):
            before = [makers[name] for name in node.input if name in makers]
            after = [takers[name] for name in node.output if name in takers]
            if {part.op_type for part in (*before, *after)} == {"QuantizeLinear", "DequantizeLinear"}:
                numbers = {tuple(tensors[name].item() for name in part.input[1:3]) for part in (*before, *after)}
                assert len(numbers) == 1, node.name
                moved += 1
    assert moved >= 20


OPTIONS = [{"dynamic": True, "batch": 2}, {"simplify": False, "opset": 24}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_other_options_do_not_change_what_the_file_computes(eight, plain, options):
    """Neither do they change the ranges: pictures are looked at one by one, whatever batch the file is for."""
    other = eight(**options).path
    batch = made_up.pictures(2, (96, 96), seed=1)
    raws = []
    for path in (plain.path, other):
        with load(path) as predictor:
            raws.append(predictor.run(batch))
    # A value on the edge between two steps may fall to either side; from there it spreads.
    assert np.mean(np.abs(raws[0].scores - raws[1].scores)) < 2e-3
    assert np.mean(np.abs(raws[0].prototypes - raws[1].prototypes)) < 5e-3
    ranges = [
        np.sort(
            [float(numpy_helper.to_array(tensor)) for tensor in onnx.load(path).graph.initializer if scalar(tensor)]
        )
        for path in (plain.path, other)
    ]
    assert len(ranges[0]) > 150
    np.testing.assert_allclose(*ranges, rtol=1e-4)


def scalar(tensor):
    return tensor.name.endswith("_scale") and not tensor.dims


def test_detections_are_selected_behind_the_eight_bits(eight, plain):
    from segkit.core.inference.decode import select

    batch = made_up.pictures(2, (96, 96), seed=1)
    with load(plain.path) as one, load(eight(nms=True, conf=0.4).path) as other:
        wanted, found = select(one.run(batch), conf=0.4, iou=0.7, max_det=300), other.run(batch)
    assert isinstance(found, Selected)
    for index, picture in enumerate(wanted):
        assert len(picture) > 3
        np.testing.assert_allclose(found.xyxy[index], picture.xyxy, atol=1e-3)
        np.testing.assert_allclose(found.confidence[index], picture.confidence, atol=1e-5)


def test_calibrating_is_quiet_tells_how_far_it_is_and_gives_the_same_every_time(eight, plain, capfd):
    told = []
    again = eight(report=told.append).path
    assert capfd.readouterr() == ("", "")
    assert "reading calibration pictures: 1 of 4" in told
    assert "calibrating: picture 1 of 4" in told
    assert onnx.load(again).graph == onnx.load(plain.path).graph
    assert [path.name for path in again.parent.iterdir()] == [again.name]


# -- what cannot be done


def test_without_pictures_there_is_no_int8(weights):
    with pytest.raises(OptionError, match="needs pictures to calibrate with: give data="):
        YOLO(weights).export(format="onnx", int8=True)


def test_without_a_runtime_there_is_no_int8(weights, photos, tmp_path, monkeypatch):
    from segkit.core.backend import format as formats

    def installed(name):
        return None if name.startswith("onnxruntime") else "99"

    monkeypatch.setattr(formats, "installed_version", installed)
    with pytest.raises(MissingDependencyError, match=r"onnxruntime>=1\.20, not installed"):
        YOLO(weights).export(format="onnx", int8=True, data=photos, imgsz=64, isolate=False, output=tmp_path / "x.onnx")
    assert not [*tmp_path.iterdir()]


def chain(*operators, weight=1.0):
    """A tiny graph: convolutions with stride 8 and 1, then these operators, an end that is a convolution."""
    kernel = numpy_helper.from_array(np.full((3, 3, 1, 1), weight, np.float32), "kernel")
    bias = numpy_helper.from_array(np.zeros(3, np.float32), "bias")
    nodes = [helper.make_node("Conv", ["images", "kernel", "bias"], ["stem"], strides=[8, 8])]
    nodes += [helper.make_node("Conv", ["stem", "kernel", "bias"], ["first"]), *operators]
    nodes.append(helper.make_node("Conv", [nodes[-1].output[0], "kernel", "bias"], ["end"]))
    nodes.append(helper.make_node("Relu", ["end"], ["output"]))
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, 8, 8])],
        [kernel, bias],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


SILU = (
    helper.make_node("Sigmoid", ["first"], ["gate"]),
    helper.make_node("Mul", ["first", "gate"], ["silu"]),
)


def test_a_network_without_a_layer_to_quantise_is_an_error():
    model = chain(helper.make_node("Relu", ["first"], ["relu"]))
    with pytest.raises(ExportError, match="no layer was found"):
        to_int8(model, PictureCalibration(np.zeros((1, 64, 64, 3), np.uint8)), lambda text: None)


def test_weights_that_are_no_numbers_are_told():
    model = chain(*SILU, weight=np.nan)
    assert len(Plan.of(model.graph).layers) == 1
    with pytest.raises(ExportError, match="'stem' is a number that is not finite on a calibration picture"):
        to_int8(model, PictureCalibration(np.zeros((1, 64, 64, 3), np.uint8)), lambda text: None)


def test_a_large_bias_beside_tiny_weights_is_kept():
    """In steps of such weights it has no place in 32 bits."""
    model = chain(*SILU, weight=1e-12)
    model.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.array([0, 5, -7], np.float32), "bias"))
    pictures = PictureCalibration(np.full((1, 64, 64, 3), 255, np.uint8))
    feed = {"images": np.ones((1, 3, 64, 64), np.float32)}
    run = {"providers": ["CPUExecutionProvider"]}
    (wanted,) = onnxruntime.InferenceSession(model.SerializeToString(), **run).run(None, feed)
    to_int8(model, pictures, lambda text: None)
    (found,) = onnxruntime.InferenceSession(model.SerializeToString(), **run).run(None, feed)
    np.testing.assert_allclose(found, wanted, atol=0.05)


def test_a_layer_that_is_always_zero_does_no_harm():
    model = chain(*SILU, weight=0.0)
    to_int8(model, PictureCalibration(np.zeros((1, 64, 64, 3), np.uint8)), lambda text: None)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"images": np.ones((1, 3, 64, 64), np.float32)})
    assert not output.any()


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_last_layer_without_a_bias_is_no_obstacle(symmetric):
    """Then the SiLU in front of it, too, counts as arithmetic behind the layers; its range is needed all the same."""
    model = chain(*SILU)
    del model.graph.node[-2].input[2:]
    to_int8(model, PictureCalibration(np.full((1, 64, 64, 3), 99, np.uint8)), lambda text: None, symmetric=symmetric)
    onnx.checker.check_model(model, full_check=True)


def test_the_symmetric_form_has_no_zero_points_float_biases_and_rounds_nothing_inside_a_silu():
    model = chain(*SILU)
    to_int8(model, PictureCalibration(np.full((1, 64, 64, 3), 99, np.uint8)), lambda text: None, symmetric=True)
    rounded = [node.input[0] for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert rounded == ["stem", "silu"]
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    zeros = [array for name, array in tensors.items() if name.endswith("_zero")]
    assert {array.dtype for array in zeros} == {np.dtype(np.int8)}
    assert not any(array.any() for array in zeros)
    biases = {node.input[2] for node in model.graph.node if node.op_type == "Conv"}
    assert biases == {"bias", "bias_corrected"}
    assert {tensors[name].dtype for name in biases} == {np.dtype(np.float32)}
    (output,) = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(
        None, {"images": np.full((1, 3, 64, 64), 99 / 255, np.float32)}
    )
    exact = 3 * 3 * 99 / 255
    np.testing.assert_allclose(output, 3 * exact / (1 + np.exp(-exact)), rtol=0.03)


def test_the_symmetric_form_is_no_option_of_users():
    with pytest.raises(OptionError, match="Unknown option 'symmetric'"):
        BACKEND.format.parse_export_options({"symmetric": True})


# -- ranges

numbers = arrays.arrays(
    np.float32, arrays.array_shapes(max_dims=2, max_side=50), elements=st.floats(-1e4, 1e4, width=32)
)


@given(st.lists(numbers, min_size=1, max_size=4))
def test_a_histogram_forgets_no_number_and_moves_none_by_more_than_a_bin(parts):
    histogram = Histogram()
    for part in parts:
        histogram.add(part)
    everything = np.sort(np.concatenate([part.ravel() for part in parts]))
    points, share = histogram.points()
    counts = np.rint(share * len(everything)).astype(int)
    assert counts.sum() == len(everything)
    assert np.abs(everything).max() <= histogram.reach
    np.testing.assert_allclose(np.repeat(points, counts), everything, atol=histogram.reach / 4096 * 1.01)


@given(st.lists(numbers, min_size=1, max_size=3), st.sampled_from([Seen.plain, Seen.before_silu, Seen.behind_silu]))
def test_the_range_chosen_holds_zero_and_is_no_worse_than_the_whole(parts, kind):
    histogram = Histogram()
    for part in parts:
        histogram.add(part)
    seen = kind(histogram)
    low, high = best_range([seen])
    assert low <= 0 <= high
    whole = min(0.0, seen.points.min()), max(0.0, seen.points.max())
    assert whole[0] <= low
    assert high <= whole[1]
    assert seen.error(low, high) <= seen.error(*whole) * 1.0001 + 1e-300
    scale, zero = scale_and_zero(low, high)
    assert abs(-int(zero) * float(scale) - low) <= 0.51 * float(scale) + 1e-30
    assert abs((STEPS - int(zero)) * float(scale) - high) <= 0.51 * float(scale) + 1e-30


@given(st.lists(numbers, min_size=1, max_size=3), st.sampled_from([Seen.plain, Seen.behind_silu]))
def test_the_reach_chosen_is_no_worse_than_the_whole(parts, kind):
    histogram = Histogram()
    for part in parts:
        histogram.add(part)
    seen = kind(histogram)
    reach, whole = best_reach([seen]), float(np.abs(seen.points).max())
    assert 0 <= reach <= whole
    assert seen.error(-reach, reach) <= seen.error(-whole, whole) * 1.0001 + 1e-300
    scale, zero = symmetric_scale(reach)
    assert zero == 0
    assert abs(127 * float(scale) - reach) <= 1e-6 * reach + 1e-30


def test_the_range_cuts_a_lone_extreme_and_the_half_that_silu_swallows():
    histogram = Histogram()
    histogram.add(np.random.default_rng(0).normal(0, 2, 1_000_000).astype(np.float32))
    histogram.add(np.array([-20, 20], np.float32))
    low, high = best_range([Seen.plain(histogram)])
    assert -18 < low < -6
    assert 6 < high < 18
    low, high = best_range([Seen.before_silu(histogram)])
    assert -7 < low < -2
    assert 6 < high < 19


def test_values_that_share_a_range_get_one_that_serves_both():
    random = np.random.default_rng(0)
    small, large = Histogram(), Histogram()
    small.add(random.uniform(0, 1, 10_000).astype(np.float32))
    large.add(random.uniform(0, 4, 10_000).astype(np.float32))
    low, high = best_range([Seen.plain(small), Seen.plain(large)])
    assert low == 0
    assert 3.5 < high <= 4


@given(arrays.arrays(np.float64, 20, elements=st.floats(-1e300, 1e300)))
def test_silu_has_a_value_everywhere(x):
    assert np.isfinite(silu(x)).all()
    np.testing.assert_allclose(silu(np.array([-1.0, 0, 2])), [-0.26894142, 0, 1.76159416])


def test_the_declared_requirement_of_int8_is_the_runtime():
    need = [item for item in default_registry().get("onnx").format.requires if "int8" in item.needed_for]
    assert [item.name for item in need] == ["onnxruntime"]


@pytest.mark.parametrize("groups", [1, 4], ids=["whole", "by groups"])
def test_on_a_flat_picture_rounded_weights_give_the_sums_of_whole_ones(groups, tmp_path):
    """Bias correction: what rounding adds there is the same everywhere, and is taken off."""
    rng = np.random.default_rng(groups)
    kernel = rng.normal(size=(8, 8 // groups, 3, 3)).astype(np.float32)
    flat = rng.uniform(0, 1, (1, 8, 1, 1)).astype(np.float32) * np.ones((1, 8, 9, 9), np.float32)
    step = np.float32(1e-4)  # of the inputs: what rounding the bias costs is nothing here
    made = {
        each.name: numpy_helper.to_array(each)
        for each in _whole_weights(
            numpy_helper.from_array(kernel, "k"),
            numpy_helper.from_array(np.zeros(8, np.float32), "b"),
            step,
            flat[0, :, 0, 0].astype(np.float64),
            with_bias=True,
        )
    }
    rounded = made["k_quantized"] * made["k_scale"][:, None, None, None]
    bias = made["b_quantized"] * made["b_scale"]

    def summed(weights, offsets):
        node = helper.make_node("Conv", ["x", "k", "b"], ["y"], group=groups)
        shapes = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy"]
        pairs = ("k", weights), ("b", offsets)
        inside = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in pairs]
        graph = helper.make_graph([node], "g", shapes[:1], shapes[1:], inside)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
        model.ir_version = 8
        return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": flat})[0]

    wanted = summed(kernel, np.zeros(8))
    assert np.abs(summed(rounded, np.zeros(8)) - wanted).max() > 1e-2
    assert np.abs(summed(rounded, bias) - wanted).max() < 1e-4


@pytest.mark.parametrize(
    ("flags", "machine", "expected"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_vnni\n", "x86_64", False),
        ("flags : fpu avx2 avx_vnni\n", "AMD64", False),
        ("processor : 0\nflags : fpu avx2 avx512f\n", "x86_64", True),
        ("Features : fp asimd\n", "aarch64", False),
        (None, "x86_64", True),
        (None, "arm64", False),
    ],
    ids=str,
)
def test_the_exact_kernel_is_asked_for_where_the_fast_one_may_overflow(flags, machine, expected, tmp_path):
    facts = tmp_path / "cpuinfo"
    if flags:
        facts.write_text(flags)
    assert may_overflow(facts, machine) is expected
