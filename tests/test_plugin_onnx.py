"""ONNX files, ours and other tools': they run as the weights do, and say clearly when they cannot."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from segkit.core.backend import Anchors, ExportJob, Metadata, Seal, Selected
from segkit.core.backend.registry import default_registry
from segkit.core.errors import ExportError, ModelFileError, OptionError, RuntimeFailure, SegkitError
from segkit.core.images import ImageBatch
from segkit.core.inference.decode import select
from segkit.core.inference.masks import InstanceMasks
from segkit.plugins.onnx import OnnxBackend
from segkit.plugins.onnx.axes import soften_last
from segkit.plugins.onnx.header import read_header
from segkit.plugins.onnx.providers import provider

BACKEND = OnnxBackend()
NAMES = {0: "cat", 1: "कुत्ता", **{index: f"class {index}" for index in range(2, 80)}}


def load(path, **options):
    return BACKEND.load(path, BACKEND.format.parse_load_options({"threads": 2} | options))


def export(weights, target, **options):
    parsed = BACKEND.format.parse_export_options(options)
    seal = Seal(precision=parsed.precision, dynamic_batch=parsed.dynamic, dynamic_size=parsed.dynamic)
    metadata = Metadata(names=NAMES, batch=parsed.batch, imgsz=parsed.imgsz, args={"opset": parsed.opset}, segkit=seal)
    BACKEND.export(ExportJob(weights, None, target, parsed, metadata))
    return metadata


def noise(batch, height, width):
    return ImageBatch.from_f32(np.random.default_rng(0).random((batch, 3, height, width), np.float32))


@pytest.fixture(scope="session")
def foreign(data):
    return data / "foreign" / "yolov8n-seg.onnx"


@pytest.fixture(scope="session")
def made(n_seg_pt, tmp_path_factory):
    """Artefacts of the trained weights, each made once: made(half=True) → path."""
    folder, cache = tmp_path_factory.mktemp("onnx"), {}

    def make(**options):
        key = repr(sorted(options.items()))
        if key not in cache:
            cache[key] = folder / f"{len(cache)}.onnx"
            export(n_seg_pt, cache[key], **options)
        return cache[key]

    return make


@pytest.fixture(scope="session")
def expected(reference):
    """(input, output0, output1) of the trained weights on a real picture, measured elsewhere."""
    stored = np.load(reference / "forward_n.npz")
    pixels = np.ascontiguousarray(stored["input_u8"].transpose(0, 2, 3, 1))
    return ImageBatch.from_u8(pixels), stored["output0"], np.load(reference / "forward_n_proto.npz")["output1"]


def errors(raw, output0, output1):
    """Largest error of boxes, scores, coefficients, prototypes."""
    wanted = Anchors.from_joined(output0, output1)
    pairs = [(getattr(raw, name), getattr(wanted, name)) for name in ("boxes", "scores", "coefficients", "prototypes")]
    return [float(np.abs(got - want).max()) for got, want in pairs]


# -- numbers


def test_a_file_of_another_tool_gives_the_numbers_of_the_weights(foreign, expected):
    batch, *outputs = expected
    with load(foreign) as predictor:
        boxes, scores, coefficients, prototypes = errors(predictor.run(batch), *outputs)
    assert boxes <= 5e-3
    assert scores <= 2e-5
    assert coefficients <= 1e-4
    assert prototypes <= 1e-4


@pytest.mark.parametrize("options", [{}, {"simplify": False, "opset": 17}, {"dynamic": True}], ids=str)
def test_an_export_gives_the_numbers_of_the_weights(made, expected, options):
    batch, *outputs = expected
    with load(made(**options)) as predictor:
        boxes, scores, coefficients, prototypes = errors(predictor.run(batch), *outputs)
    assert boxes <= 5e-3
    assert scores <= 2e-5
    assert coefficients <= 1e-4
    assert prototypes <= 1e-4


@pytest.mark.parametrize("shape", [(1, 320, 480), (3, 64, 96), (2, 640, 640)], ids=str)
def test_a_dynamic_export_takes_other_batches_and_sizes(made, n_seg_pt, shape):
    import torch

    from segkit.core.model import load_network

    batch = noise(*shape)
    with torch.inference_mode():
        wanted = [output.numpy() for output in load_network(n_seg_pt)(torch.from_numpy(batch.f32_nchw))]
    with load(made(dynamic=True)) as predictor:
        boxes, scores, coefficients, prototypes = errors(predictor.run(batch), *wanted)
    assert boxes <= 5e-3
    assert scores <= 2e-5
    assert coefficients <= 1e-4
    assert prototypes <= 1e-4


def test_half_precision_halves_the_file_and_keeps_the_objects(made, expected):
    batch, output0, output1 = expected
    half, full = made(half=True), made()
    assert half.stat().st_size < 0.52 * full.stat().st_size
    with load(half) as predictor:
        raw = predictor.run(batch)
    boxes, scores, _, prototypes = errors(raw, output0, output1)
    assert boxes <= 4
    assert scores <= 0.01
    assert prototypes <= 0.05
    objects = output0[0, 4:84].max(0) > 0.25
    assert objects.sum() > 20
    assert np.abs(raw.boxes[0] - output0[0, :4])[:, objects].max() <= 0.25
    assert raw.scores.dtype == np.float32


def test_prediction_finds_the_same_objects_as_the_weights(n_seg_pt, foreign, made, bus):
    from segkit import YOLO

    wanted = YOLO(n_seg_pt)(bus, imgsz=640, rect=False)[0]
    for path in (foreign, made()):
        found = YOLO(path)(bus)[0]
        assert found.boxes.cls.tolist() == wanted.boxes.cls.tolist()
        np.testing.assert_allclose(found.boxes.conf, wanted.boxes.conf, atol=2e-5)
        np.testing.assert_allclose(found.boxes.xyxy, wanted.boxes.xyxy, atol=1e-2)
        shared = (found.masks.data & wanted.masks.data).sum((1, 2)) / (found.masks.data | wanted.masks.data).sum((1, 2))
        assert shared.min() >= 0.999


@pytest.mark.parametrize("minimal", [False, True], ids=["square", "minimal"])
def test_real_pictures_give_the_objects_of_the_weights(n_seg_pt, made, data, minimal):
    pictures = [*sorted((data / "images").glob("*.jpg")), *sorted((data / "datasets").rglob("*.jpg"))[::60]]
    weights = default_registry().get("pytorch")
    options = weights.format.parse_load_options({"threads": 2})
    count = 0
    with weights.load(n_seg_pt, options) as reference, load(made(dynamic=True)) as predictor:
        for path in pictures:
            batch = ImageBatch([cv2.imread(str(path))], (640, 640), minimal=minimal)
            (wanted, masks), (found, ours) = (objects(each.run(batch), batch) for each in (reference, predictor))
            assert found.anchors.tolist() == wanted.anchors.tolist(), path
            assert np.abs(found.xyxy - wanted.xyxy).max(initial=0) <= 5e-3, path
            assert np.abs(found.confidence - wanted.confidence).max(initial=0) <= 2e-5, path
            overlap = (ours & masks).sum((1, 2)) / (ours | masks).sum((1, 2))
            assert overlap.min(initial=1) >= 0.999, path
            count += len(found)
    assert len(pictures) >= 8
    assert count > 25


def objects(raw, batch):
    """Detections of one picture that have a mask, and their masks in its pixels."""
    (found,) = select(raw, conf=0.25, iou=0.7, max_det=300)
    masks, kept = InstanceMasks.from_prototypes(raw.prototypes[0], found, batch.geometry[0], native=True)
    return found[kept], masks.dense()


# -- what an export holds


def test_an_export_names_its_tensors_and_free_axes_as_other_readers_expect(made):
    graph = onnx.load(made(dynamic=True)).graph
    axes = {
        entry.name: [axis.dim_param or axis.dim_value for axis in entry.type.tensor_type.shape.dim]
        for entry in (*graph.input, *graph.output)
    }
    assert axes == {
        "images": ["batch", 3, "height", "width"],
        "output0": ["batch", 116, "anchors"],
        "output1": ["batch", 32, "mask_height", "mask_width"],
    }


def test_an_export_carries_its_facts_as_text_that_other_readers_understand(made):
    properties = onnxruntime.InferenceSession(made(), providers=["CPUExecutionProvider"]).get_modelmeta()
    texts = properties.custom_metadata_map
    assert texts["names"] == str(NAMES)
    assert (texts["imgsz"], texts["batch"], texts["stride"], texts["task"]) == ("[640, 640]", "1", "32", "segment")
    assert properties.producer_name == "segkit"


def test_an_export_tells_nothing_about_the_machine_that_made_it(made):
    content = made(simplify=False, opset=17).read_bytes() + made(dynamic=True).read_bytes()
    for trace in (str(Path(__file__).parent.parent), sys.prefix, "stack_trace", "pkg.torch"):
        assert trace.encode() not in content


def test_an_export_asks_for_no_newer_runtime_than_its_operators_need(made):
    assert onnx.load(made()).ir_version == 8
    assert [entry.version for entry in onnx.load(made(simplify=False, opset=17)).opset_import] == [17]


def test_an_operator_set_that_the_converter_silently_replaces_is_an_error(n_seg_pt, tmp_path, monkeypatch):
    import torch

    from segkit.plugins.onnx import exporter

    kept = helper.make_model(helper.make_graph([], "kept", [], []), opset_imports=[helper.make_opsetid("", 18)])
    monkeypatch.setattr(exporter, "capture", lambda *_, **__: mock.MagicMock())
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: mock.Mock(model_proto=kept))
    with pytest.raises(ExportError, match="opset 20; torch offers 18"):
        export(n_seg_pt, tmp_path / "x.onnx", imgsz=64, opset=20)
    assert not (tmp_path / "x.onnx").exists()


def test_exporting_is_quiet(n_seg_pt, tmp_path, capfd):
    export(n_seg_pt, tmp_path / "x.onnx", imgsz=64, opset=17)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "option", [{"opset": 11}, {"opset": 99}, {"opset": "new"}, {"simplify": 3}, {"dynamo": True}], ids=str
)
def test_a_wrong_option_is_refused_by_name(option):
    with pytest.raises(OptionError, match=next(iter(option))):
        BACKEND.format.parse_export_options(option)


# -- files of other tools, in small


def write(path, outputs, *, shape=(1, 3, 64, 64), kind=TensorProto.FLOAT, nodes=(), properties=None):
    """A file whose outputs are constants: {name: array}."""
    arrays = {name: np.asarray(array) for name, array in outputs.items()}
    graph = helper.make_graph(
        [*nodes, *(helper.make_node("Identity", [f"{name}_value"], [name]) for name in arrays)],
        "tiny",
        [helper.make_tensor_value_info("pixels", kind, shape)],
        [
            helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for n, a in arrays.items()
        ],
        [numpy_helper.from_array(array, f"{name}_value") for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    helper.set_model_props(model, properties or {})
    path.write_bytes(model.SerializeToString())
    return path


def head(anchors=84, classes=3, dtype=np.float32):
    random = np.random.default_rng(1)
    boxes = random.uniform(10, 60, (1, 4, anchors))
    return np.concatenate([boxes, random.random((1, classes + 32, anchors))], 1).astype(dtype)


def prototypes(dtype=np.float32):
    return np.random.default_rng(2).random((1, 32, 16, 16)).astype(dtype)


def test_outputs_in_another_order_and_layout_are_understood(tmp_path):
    swapped = {"b": prototypes().transpose(0, 2, 3, 1), "a": head().transpose(0, 2, 1)}
    with load(write(tmp_path / "x.onnx", swapped)) as predictor:
        raw = predictor.run(noise(1, 64, 64))
    assert errors(raw, head(), prototypes()) == [0, 0, 0, 0]


def test_a_file_with_float16_pixels_is_understood(tmp_path):
    outputs = {"output0": head(dtype=np.float16), "output1": prototypes(np.float16)}
    with load(write(tmp_path / "x.onnx", outputs, kind=TensorProto.FLOAT16)) as predictor:
        raw = predictor.run(noise(1, 64, 64))
    assert raw.boxes.dtype == raw.prototypes.dtype == np.float32
    assert max(errors(raw, head(), prototypes())) < 0.05


def test_a_file_that_selects_inside_is_understood(tmp_path):
    rows = np.zeros((1, 5, 38), np.float32)
    rows[0, 0, :6] = 1, 2, 30, 40, 0.9, 2
    outputs = {"output0": rows, "output1": prototypes()}
    with load(write(tmp_path / "x.onnx", outputs, properties={"args": "{'nms': True}"})) as predictor:
        raw = predictor.run(noise(1, 64, 64))
    assert isinstance(raw, Selected)
    assert raw.xyxy[0].tolist() == [[1, 2, 30, 40]]
    assert raw.classes[0].tolist() == [2]


def test_a_file_with_a_fixed_batch_takes_any_number_of_pictures(made, foreign, expected):
    batch, *outputs = expected
    three = ImageBatch.from_f32(batch.f32_nchw.repeat(3, 0))
    with load(foreign) as predictor:
        raw = predictor.run(three)
    assert raw.boxes.shape == (3, 4, 8400)
    assert max(errors(raw, *(output.repeat(3, 0) for output in outputs))) <= 5e-3


def test_the_graph_knows_better_than_the_properties(tmp_path):
    outputs = {"output0": head(), "output1": prototypes()}
    path = write(
        tmp_path / "x.onnx", outputs, properties={"imgsz": "[640, 640]", "args": "{'dynamic': True}", "names": "['a']"}
    )
    metadata = BACKEND.read_metadata(path)
    assert (metadata.imgsz, metadata.batch, metadata.dynamic_size, metadata.names) == ((64, 64), 1, False, {0: "a"})
    free = write(tmp_path / "y.onnx", outputs, shape=("n", 3, "h", "w"))
    assert BACKEND.read_metadata(free).dynamic_size
    assert BACKEND.read_metadata(write(tmp_path / "z.onnx", outputs, shape=(1, 12))) is None


def test_another_size_than_the_fixed_one_is_refused_with_the_right_one(foreign):
    with load(foreign) as predictor, pytest.raises(OptionError, match="takes 640x640 only"):
        predictor.run(noise(1, 64, 64))


@pytest.mark.parametrize(
    ("outputs", "shape", "kind", "words"),
    [
        ({"output0": np.zeros((1, 84, 84), np.float32)}, (1, 3, 64, 64), TensorProto.FLOAT, "no mask prototypes"),
        ({"scores": np.zeros((1, 1000), np.float32)}, (1, 3, 64, 64), TensorProto.FLOAT, "classification"),
        ({"x": np.zeros(1, np.float32)}, (1, 12), TensorProto.FLOAT, "input is 1x12, not pictures"),
        ({"x": np.zeros(1, np.float32)}, (1, 64, 64, 3), TensorProto.FLOAT, "not pictures"),
        ({"x": np.zeros(1, np.float32)}, (1, 3, 64, 64), TensorProto.UINT8, r"tensor\(uint8\)"),
        ({"x": np.zeros(1, np.float32)}, (1, 3, 10**6, 10**6), TensorProto.FLOAT, "larger than any picture"),
        ({"x": np.zeros(1, np.float32)}, (10**9, 3, 64, 64), TensorProto.FLOAT, "larger than any picture"),
    ],
    ids=["detection", "classification", "vector", "channels last", "bytes", "huge", "huge batch"],
)
def test_another_kind_of_model_is_refused_for_what_it_is(tmp_path, outputs, shape, kind, words):
    path = write(tmp_path / "x.onnx", outputs, shape=shape, kind=kind)
    with pytest.raises(ModelFileError, match=words):
        load(path).run(noise(1, 64, 64))


@pytest.mark.parametrize("count", [0, 2])
def test_a_file_that_takes_something_else_than_pictures_alone_is_refused(tmp_path, count):
    path = write(tmp_path / "x.onnx", {"output0": head(), "output1": prototypes()})
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("sizes", TensorProto.INT64, (2,)))
    del model.graph.input[count:]
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelFileError, match=f"takes {count} inputs"):
        load(path)


def test_outputs_that_are_no_numbers_are_left_aside(tmp_path):
    pack = helper.make_node("SequenceConstruct", ["output0_value"], ["list"])
    path = write(tmp_path / "x.onnx", {"output0": head(), "output1": prototypes()}, nodes=[pack])
    model = onnx.load(path)
    model.graph.output.append(helper.make_tensor_sequence_value_info("list", TensorProto.FLOAT, None))
    path.write_bytes(model.SerializeToString())
    with load(path) as predictor:
        assert errors(predictor.run(noise(1, 64, 64)), head(), prototypes()) == [0, 0, 0, 0]


def test_a_size_of_minus_one_is_a_free_one(tmp_path):
    path = write(tmp_path / "x.onnx", {"output0": head(), "output1": prototypes()}, shape=(-1, 3, -1, -1))
    assert read_header(path).input_shape == ("", 3, "", "")
    assert BACKEND.read_metadata(path) is None or BACKEND.read_metadata(path).dynamic_size


@pytest.mark.parametrize("place", ["../secret.bin", "/etc/passwd"])
def test_weights_beside_the_file_are_read_from_its_folder_only(tmp_path, place):
    (tmp_path / "secret.bin").write_bytes(bytes(1 << 16))
    folder = tmp_path / "model"
    folder.mkdir()
    path = write(folder / "x.onnx", {"output0": head(), "output1": prototypes()})
    model = onnx.load(path)
    weights = model.graph.initializer[0]
    facts = {"location": place, "offset": "0", "length": str(len(weights.raw_data))}
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.extend(onnx.StringStringEntryProto(key=key, value=value) for key, value in facts.items())
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelFileError, match="onnxruntime refuses it"):
        load(path)


def test_a_failure_of_the_runtime_is_one_line(tmp_path, capfd):
    reshape = [
        helper.make_node("Constant", [], ["size"], value=numpy_helper.from_array(np.array([1, 3, 64, 64]))),
        helper.make_node("Reshape", ["pixels", "size"], ["output1"]),
    ]
    path = write(tmp_path / "x.onnx", {"output0": head()}, shape=("n", 3, 64, 64), nodes=reshape)
    model = onnx.load(path)
    model.graph.output.append(helper.make_tensor_value_info("output1", TensorProto.FLOAT, (1, 3, 64, 64)))
    path.write_bytes(model.SerializeToString())
    with load(path) as predictor, pytest.raises(RuntimeFailure, match="Reshape") as failure:
        predictor.run(noise(2, 64, 64))
    assert "\n" not in str(failure.value)
    assert capfd.readouterr() == ("", "")


# -- files that are not what they seem


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"<!DOCTYPE html><html>404</html>", "an HTML page"),
        (b"PK\x03\x04rest of an archive", "a zip archive"),
        ("just some words, ünd möre".encode(), "a text file"),
        (bytes(range(256)), "damaged"),
        (b"\x08\x08", "no graph"),
    ],
    ids=["empty", "html", "zip", "text", "bytes", "no graph"],
)
def test_a_fake_file_is_refused_for_what_it_is(tmp_path, content, words, capfd):
    path = tmp_path / "fake.onnx"
    path.write_bytes(content)
    assert BACKEND.recognises(path) is None
    for action in (lambda: load(path), lambda: BACKEND.read_metadata(path)):
        with pytest.raises(ModelFileError, match=words):
            action()
    assert capfd.readouterr() == ("", "")


def test_a_folder_is_refused_for_what_it_is(tmp_path):
    assert BACKEND.recognises(tmp_path) is None
    with pytest.raises(ModelFileError, match="it is a folder"):
        load(tmp_path)


def test_a_file_is_recognised_by_its_content_whatever_its_name(tmp_path):
    path = write(tmp_path / "model.bin", {"output0": head(), "output1": prototypes()})
    assert default_registry().recognise(path).format.name == "onnx"


@given(st.data())
def test_a_damaged_file_never_gives_more_than_a_clear_refusal(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    whole = write(path, {"output0": head(4), "output1": prototypes()[:, :, :2, :2]}).read_bytes()
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    at = data.draw(st.integers(0, max(len(cut) - 1, 0)))
    path.write_bytes(cut[:at] + data.draw(st.binary(max_size=3)) + cut[at + 1 :])
    refusals = []
    for action in (read_header, load):
        try:
            action(path)
        except SegkitError as refusal:
            refusals.append(str(refusal))
    assert not any("\n" in text for text in refusals)
    assert len(cut) == len(whole) or refusals or read_header(path).input_shape is not None


def test_reading_the_metadata_starts_no_runtime(foreign):
    code = (
        "import sys; from pathlib import Path; from segkit.plugins.onnx import OnnxBackend; "
        "names = OnnxBackend().read_metadata(Path(sys.argv[1])).names; "
        "print(len(names), {'onnx', 'onnxruntime', 'torch'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code, str(foreign)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "80 set()"


# -- devices and threads


@pytest.fixture
def everything(monkeypatch):
    """A build of onnxruntime for every device."""
    offered = [f"{name}ExecutionProvider" for name in ("CUDA", "CoreML", "Dml", "OpenVINO", "Azure", "CPU")]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize(
    ("device", "name", "arguments"),
    [
        ("cpu", "CPUExecutionProvider", {}),
        ("CUDA", "CUDAExecutionProvider", {}),
        ("cuda:1", "CUDAExecutionProvider", {"device_id": "1"}),
        ("0", "CUDAExecutionProvider", {"device_id": "0"}),
        ("mps", "CoreMLExecutionProvider", {}),
        ("coreml", "CoreMLExecutionProvider", {}),
        ("dml:2", "DmlExecutionProvider", {"device_id": "2"}),
        ("openvino", "OpenVINOExecutionProvider", {}),
    ],
)
def test_a_device_leads_to_its_provider(device, name, arguments):
    assert provider(device) == (name, arguments)


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize("device", ["cuda:x", "azure", "tpu", "", ":1"])
def test_a_device_that_does_not_exist_is_refused_with_those_that_do(device):
    with pytest.raises(OptionError, match="offers coreml, cpu, cuda, dml, openvino here"):
        provider(device)


def test_a_device_that_this_build_lacks_is_refused(foreign, monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(OptionError, match=re.escape("offers cpu here; for cuda install onnxruntime-gpu")):
        load(foreign, device="cuda")


def test_a_device_that_does_not_start_is_no_silent_detour_over_the_cpu(foreign, monkeypatch):
    session = onnxruntime.InferenceSession(foreign, providers=["CPUExecutionProvider"])
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *given, **options: session)
    with pytest.raises(RuntimeFailure, match="CUDAExecutionProvider did not start"):
        load(foreign, device="cuda")


def test_the_number_of_threads_reaches_the_runtime(foreign):
    with load(foreign, threads=1) as predictor:
        assert predictor._session.get_session_options().intra_op_num_threads == 1


@pytest.mark.parametrize(("processors", "spins"), [(2, True), (1, False)])
def test_more_threads_than_processors_do_not_spin(foreign, monkeypatch, processors, spins):
    monkeypatch.setattr(os, "cpu_count", lambda: processors)  # 64 threads that spin on 2 take minutes for a picture
    with load(foreign, threads=2) as predictor:
        options = predictor._session.get_session_options()
    try:
        told = options.get_session_config_entry("session.intra_op.allow_spinning")
    except RuntimeError:  # nothing was said of it: the runtime's own choice, which is to spin
        told = "1"
    assert told == ("1" if spins else "0")


def test_a_number_of_threads_that_would_take_the_machine_down_is_refused():
    with pytest.raises(OptionError, match=r"threads='?100000'? is not usable: should be less than or equal to 1024"):
        BACKEND.format.parse_load_options({"threads": 100000})


def test_the_runtime_neither_phones_home_nor_leaves_its_identity_behind(foreign, tmp_path):
    """onnxruntime keeps an identity for its reports in the temporary folder as soon as it is imported."""
    code = (
        "import os, sys; from pathlib import Path; from segkit.core.backend.registry import default_registry as r\n"
        "backend = r().get('onnx'); backend.load(Path(sys.argv[1]), backend.format.parse_load_options({})).close()\n"
        "print(os.environ['ORT_DISABLE_TELEMETRY'], os.listdir(os.environ['TMPDIR']))"
    )
    quiet = {"ORT_DISABLE_TELEMETRY", "CI"}  # under CI it keeps quiet by itself
    environment = {name: value for name, value in os.environ.items() if name not in quiet}
    done = subprocess.run(
        [sys.executable, "-c", code, str(foreign)],
        env=environment | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1 []\n"


def test_a_network_with_a_fourth_level_runs_as_its_weights_do(tmp_path):
    """A P6 network has more anchors than the usual three levels; the file says so."""
    from segkit import YOLO
    from segkit.core.model import SegmentationNetwork, save_network
    from segkit.core.model.yaml_file import BUILT_IN, parse_config, read_yaml

    layers = read_yaml(BUILT_IN)
    layers["head"][-1:] = [[-1, 1, "Conv", [1024, 3, 2]], [[15, 18, 21, 22], 1, "Segment", ["nc", 32, 256]]]
    layers |= {"nc": 2, "scales": {"t": [0.33, 0.0625, 512]}}
    network = SegmentationNetwork(parse_config(layers, "p6"), {0: "a", 1: "b"}).eval()
    save_network(network, tmp_path / "p6.safetensors")
    picture = np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8)
    path = YOLO(tmp_path / "p6.safetensors").export(format="onnx", imgsz=128, isolate=False)
    raw, expected = (
        YOLO(file).predict(picture, conf=0.0, max_det=5, imgsz=128)[0] for file in (path, tmp_path / "p6.safetensors")
    )
    assert len(raw) == len(expected)
    np.testing.assert_allclose(raw.boxes.conf, expected.boxes.conf, atol=2e-5)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_softmax_goes_along_the_last_axis_and_gives_the_same_numbers(axis):
    def entry(name):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, (2, 3, 5))

    nodes = [helper.make_node("Neg", ["x"], ["n"]), helper.make_node("Softmax", ["n"], ["y"], axis=axis)]
    graph = helper.make_graph(nodes, "g", [entry("x")], [entry("y")], value_info=[entry("n")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    x = np.random.default_rng(0).standard_normal((2, 3, 5)).astype(np.float32)

    def computed():
        return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]

    before = computed()
    soften_last(model)
    onnx.checker.check_model(model, full_check=True)
    last = axis in (2, -1)
    assert len(model.graph.node) == (2 if last else 4)
    (softmax,) = (node for node in model.graph.node if node.op_type == "Softmax")
    assert softmax.attribute[0].i == (axis if last else -1)
    assert np.array_equal(computed(), before)


def test_exported_files_are_spared_the_slow_softmax(made):
    for options in ({}, {"dynamic": True}):
        nodes = onnx.load(made(**options)).graph.node
        axes = [attribute.i for node in nodes if node.op_type == "Softmax" for attribute in node.attribute]
        assert axes == [-1]
