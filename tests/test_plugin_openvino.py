"""OpenVINO folders, ours and other tools': they run as the weights do, and say clearly when they cannot."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from segkit import YOLO
from segkit.conformance import reference as made_up
from segkit.core.backend import Anchors, ExportJob, Metadata, Seal, Selected, Selection, TensorInfo
from segkit.core.backend.registry import default_registry
from segkit.core.errors import ExportError, MissingDependencyError, ModelFileError, OptionError, SegkitError
from segkit.core.images import ImageBatch
from segkit.core.inference.decode import select
from segkit.plugins.openvino import OpenVinoBackend, exporter
from segkit.plugins.openvino.devices import device
from segkit.plugins.openvino.runtime import ops, ov
from segkit.plugins.openvino.selection import add_selection

BACKEND = OpenVinoBackend()
NAMES = {0: "cat", 1: "कुत्ता", 2: "traffic light", **{index: f"class_{index}" for index in range(3, 80)}}
SMALL = (64, 64)


@pytest.fixture(scope="module", autouse=True)
def translated_here():
    """Exports of equal networks share their translation, which takes seconds: precision and the rest come behind it."""
    captured, translated = {}, {}
    capture, translate = exporter.capture, exporter._translate

    def once(model, **options):
        options["head"] = options["head"].model_copy(update={"nms": False})
        key = f"{model} {model.stat().st_mtime_ns} {options}"
        if key not in captured:
            captured[key] = capture(model, **options)
        return captured[key]

    def translate_once(program):
        if id(program) not in translated:
            translated[id(program)] = translate(program)
        return translated[id(program)].clone()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporter, "capture", once)
        patch.setattr(exporter, "_translate", translate_once)
        yield


def load(path, **options):
    return BACKEND.load(path, BACKEND.format.parse_load_options({"threads": 2} | options))


def export(weights, target, **options):
    parsed = BACKEND.format.parse_export_options({"imgsz": SMALL} | options)
    seal = Seal(
        head=parsed.head_layout(),
        selection=parsed.selection(),
        precision=parsed.precision,
        dynamic_batch=parsed.dynamic,
        dynamic_size=parsed.dynamic,
        toolchain={"segkit": "1.2.3", "openvino": "2025.1.0"},
    )
    metadata = Metadata(names=NAMES, batch=parsed.batch, imgsz=parsed.imgsz, segkit=seal)
    BACKEND.export(ExportJob(weights, None, target, parsed, metadata))
    return metadata


def noise(batch, height, width, seed=0):
    return ImageBatch.from_f32(np.random.default_rng(seed).random((batch, 3, height, width), np.float32))


@pytest.fixture(scope="module")
def made(n_seg_pt, tmp_path_factory):
    """Artefacts of the trained weights, each made once: made(half=True) → path."""
    folder, cache = tmp_path_factory.mktemp("openvino"), {}

    def make(**options):
        key = repr(sorted(options.items()))
        if key not in cache:
            cache[key] = folder / str(len(cache)) / "n-seg_openvino_model"
            cache[key].parent.mkdir()
            export(n_seg_pt, cache[key], **options)
        return cache[key]

    return make


@pytest.fixture(scope="module")
def weights(n_seg_pt):
    """The weights themselves, as segkit runs them."""
    backend = default_registry().get("pytorch")
    with backend.load(n_seg_pt, backend.format.parse_load_options({"threads": 2})) as predictor:
        yield predictor


@pytest.fixture
def copied(made, tmp_path):
    """A copy of the small file, to damage."""
    return Path(shutil.copytree(made(), tmp_path / "n-seg_openvino_model"))


def errors(raw, wanted):
    """Largest error of boxes, scores, coefficients, prototypes."""
    pairs = [(getattr(raw, name), getattr(wanted, name)) for name in ("boxes", "scores", "coefficients", "prototypes")]
    return [float(np.abs(got - want).max()) for got, want in pairs]


def exact(found, wanted):
    """Whether two selections are the same to the last bit, in every picture."""
    return all(
        np.array_equal(found.xyxy[index], each.xyxy)
        and np.array_equal(found.confidence[index], each.confidence)
        and np.array_equal(found.classes[index], each.classes)
        and np.array_equal(found.coefficients[index], each.coefficients)
        for index, each in enumerate(wanted)
    )


# -- numbers


def test_an_export_gives_the_numbers_measured_elsewhere(made, reference):
    stored = np.load(reference / "forward_n.npz")
    batch = ImageBatch.from_u8(np.ascontiguousarray(stored["input_u8"].transpose(0, 2, 3, 1)))
    wanted = Anchors.from_joined(stored["output0"], np.load(reference / "forward_n_proto.npz")["output1"])
    with load(made(dynamic=True)) as predictor:
        boxes, scores, coefficients, prototypes = errors(predictor.run(batch), wanted)
    assert boxes <= 5e-3
    assert scores <= 2e-5
    assert coefficients <= 1e-4
    assert prototypes <= 1e-4


@pytest.mark.parametrize("shape", [(1, 320, 480), (3, 64, 96), (2, 96, 64)], ids=str)
def test_a_dynamic_export_takes_any_batch_and_size(made, weights, shape):
    batch = noise(*shape)
    with load(made(dynamic=True)) as predictor:
        assert max(errors(predictor.run(batch), weights.run(batch))) <= 5e-3


def test_a_file_of_a_fixed_batch_takes_any_number_of_pictures(made, weights):
    batch = noise(5, *SMALL)
    with load(made(batch=2)) as predictor:
        predictor.warm_up()
        assert max(errors(predictor.run(batch), weights.run(batch))) <= 5e-3


def test_half_files_are_half_the_size_and_only_the_weights_of_layers_are_rounded(made, weights):
    """Places of anchors are not: beyond 1024 pixels float16 knows whole pixels only."""
    half, full = made(half=True), made()
    assert size(half) < 0.55 * size(full)
    graphs = [BACKEND.inspect(path) for path in (half, full)]
    assert graphs[0].inputs + graphs[0].outputs == graphs[1].inputs + graphs[1].outputs
    model = ov.Core().read_model(next(half.glob("*.xml")))
    rounded = [node for node in model.get_ops() if node.get_output_element_type(0) == ov.Type.f16]
    assert {len(node.shape) for node in rounded} == {4}
    with load(half) as predictor:
        boxes, scores, coefficients, prototypes = errors(predictor.run(noise(1, *SMALL)), weights.run(noise(1, *SMALL)))
    assert 0 < boxes <= 4
    assert 0 < scores <= 0.03
    assert 0 < coefficients <= 0.1
    assert 0 < prototypes <= 0.2


@pytest.mark.parametrize("options", [{}, {"half": True}], ids=str)
def test_the_runtime_computes_in_float32_whatever_it_is_quicker_at(made, options):
    """Left to itself it takes bfloat16 where a processor has it; float16 on a CPU means that, too."""
    with load(made(**options)) as predictor:
        assert predictor._compiled.get_property("INFERENCE_PRECISION_HINT") == ov.Type.f32


def test_weights_beyond_half_precision_are_refused_by_name(tmp_path):
    import torch

    from segkit.core.model import load_network, save_network

    network = load_network(made_up.seeded_weights(tmp_path / "seeded-seg.safetensors", scale="t", seen=64))
    with torch.no_grad():
        network.model[0].conv.weight[0] = 1e6
    save_network(network, tmp_path / "large.safetensors")
    with pytest.raises(ExportError, match=r"weights of '.*' exceed half precision"):
        export(tmp_path / "large.safetensors", tmp_path / "large_openvino_model", half=True)
    assert not (tmp_path / "large_openvino_model").exists()


def test_two_exports_are_the_same_file(n_seg_pt, made, tmp_path):
    export(n_seg_pt, tmp_path / "n-seg_openvino_model")
    for file in made().iterdir():
        assert (tmp_path / "n-seg_openvino_model" / file.name).read_bytes() == file.read_bytes(), file.name


def size(folder):
    return sum(file.stat().st_size for file in folder.glob("*.bin"))


# -- selection inside

LIMITS = [
    {},
    {"conf": 0.001, "max_det": 1000},
    {"conf": 0.01, "agnostic_nms": True, "iou": 0.3},
    {"conf": 0.001, "iou": 1.0, "max_det": 7},
    {"conf": 0.01, "iou": 0.0},
]


@pytest.mark.parametrize("given", LIMITS, ids=str)
def test_a_selection_inside_is_that_outside_to_the_last_bit(made, bus, given):
    pictures = [cv2.imread(str(bus)), np.full((50, 80, 3), 114, np.uint8), made_up.picture((90, 60), 3)]
    batch = ImageBatch(pictures, (320, 320))
    with load(made(dynamic=True)) as one, load(made(dynamic=True, nms=True, **given)) as other:
        raw, found = one.run(batch), other.run(batch)
    limits = Selection(**{name.removesuffix("_nms"): value for name, value in given.items()})
    wanted = select(raw, conf=limits.conf, iou=limits.iou, max_det=limits.max_det, agnostic=limits.agnostic)
    assert isinstance(found, Selected)
    assert len(wanted[0]) >= 3
    assert exact(found, wanted)
    assert np.array_equal(found.prototypes, raw.prototypes)


@pytest.mark.parametrize("agnostic", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_ties_touching_boxes_and_numbers_that_are_none_are_decided_as_outside(seed, agnostic):
    """Boxes and scores from few values: equal scores, equal boxes and overlaps of exactly the threshold abound."""
    random = np.random.default_rng(seed)
    boxes = random.integers(0, 12, (2, 4, 200)).astype(np.float32) * 4
    scores = random.integers(0, 9, (2, 3, 200)).astype(np.float32) / 8
    boxes[0, 0, 5], boxes[0, 2, 7], boxes[1, 1, 9] = np.inf, np.nan, -np.inf
    head = np.concatenate([boxes, scores, random.random((2, 32, 200), np.float32)], 1)
    given = ops.parameter([-1, 39, -1], ov.Type.f32)
    prototypes = ops.constant(np.zeros((1, 32, 2, 2), np.float32))
    for iou in (0.0, 0.5, 1.0):
        limits = Selection(conf=0.25, iou=iou, max_det=150, agnostic=agnostic)
        model = add_selection(ov.Model([given, prototypes], [given]), limits)
        rows = ov.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([head])[0]
        kept = [picture[picture[:, 4] > 0] for picture in rows]
        parts = [(each[:, :4], each[:, 4], each[:, 5].astype(int), each[:, 6:]) for each in kept]
        found = Selected(*map(tuple, zip(*parts, strict=True)), np.zeros((2, 32, 2, 2), np.float32))
        raw = Anchors.from_joined(head, found.prototypes)
        assert exact(found, select(raw, conf=0.25, iou=iou, max_det=150, agnostic=agnostic))
        assert rows.shape == (2, 150, 38)


def test_a_selection_of_more_than_there_are_anchors_is_filled_up(made):
    with load(made(nms=True, conf=0.0, max_det=2000)) as predictor:
        model = predictor._compiled
        assert model.outputs[0].get_partial_shape().to_shape() == ov.Shape([1, 2000, 38])
        assert len(predictor.run(noise(1, *SMALL)).confidence[0]) <= 84


# -- eight bits


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Four pictures of 96 x 96."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(4):
        cv2.imwrite(str(folder / f"{number}.png"), made_up.picture((96, 96), number))
    return folder


@pytest.fixture(scope="module")
def eight(n_seg_pt, data, tmp_path_factory, translated_here):
    """The trained weights in int8, calibrated with 16 pictures; and what was told and printed meanwhile."""
    target = tmp_path_factory.mktemp("int8") / "n-seg_int8_openvino_model"
    pictures = str(data / "datasets" / "coco128-seg" / "coco128-seg.yaml")
    told = []
    given = {"int8": True, "data": pictures, "fraction": 0.125, "imgsz": 320}
    YOLO(n_seg_pt).export_to("openvino", **given, output=target, isolate=False, report=told.append)
    return target, told


def test_an_int8_file_is_a_quarter_of_the_size_and_looks_the_same_from_outside(eight, made):
    assert size(eight[0]) < 0.3 * size(made())
    assert size(eight[0]) > 0.2 * size(made())
    found = BACKEND.inspect(eight[0])
    assert found.facts["precision"] == "int8"
    assert [tensor.dtype for tensor in (*found.inputs, *found.outputs)] == ["float32"] * 3
    assert found.outputs[0].shape == (1, 116, 2100)
    metadata = BACKEND.read_metadata(eight[0])
    assert metadata.precision == "int8"
    assert len(metadata.segkit.calibration) == 64


def test_the_runtime_computes_the_layers_in_eight_bits_and_the_arithmetic_in_float(eight):
    with load(eight[0]) as predictor:
        compiled = predictor._compiled.get_runtime_model()
    ran = [node.get_rt_info() for node in compiled.get_ops()]
    kinds = [(str(info["layerType"].value), str(info["runtimePrecision"].value)) for info in ran]
    assert sum(kind == "Convolution" and number in ("i8", "u8") for kind, number in kinds) == 59
    assert {number for kind, number in kinds if kind == "Softmax"} == {"f32"}
    joined = [info for info in ran if str(info["layerType"].value) == "Concatenation"]
    assert str(joined[-1]["runtimePrecision"].value) == "f32"


def test_pictures_that_were_not_calibrated_with_keep_their_objects(eight, weights, data):
    strong = lost = 0
    shifts = []
    pictures = sorted((data / "datasets" / "coco-val100-seg").rglob("*.jpg"))[:12]
    with load(eight[0]) as predictor:
        for path in pictures:
            batch = ImageBatch([cv2.imread(str(path))], (320, 320))
            (wanted,), (found,) = (
                select(each.run(batch), conf=0.25, iou=0.7, max_det=300) for each in (weights, predictor)
            )
            for box, score, label in zip(wanted.xyxy, wanted.confidence, wanted.classes, strict=True):
                if score > 0.5:
                    near = (found.classes == label) & (np.abs(found.xyxy - box).max(1, initial=0) < 16)
                    strong, lost = strong + 1, lost + (not near.any())
                    shifts.extend(np.abs(found.confidence[near] - score)[:1])
    assert strong > 25
    assert lost <= 1
    assert np.mean(shifts) < 0.05


def test_calibrating_tells_how_far_it_is_and_prints_nothing(eight, n_seg_pt, photos, tmp_path, capfd):
    assert "calibrating: batch 1 of 16" in eight[1]
    given = {"int8": True, "data": photos, "imgsz": 64, "batch": 2, "nms": True, "conf": 0.1}
    path = Path(YOLO(n_seg_pt).export(format="openvino", **given, output=tmp_path / "x", isolate=False))
    assert capfd.readouterr() == ("", "")
    assert [file.name for file in sorted(path.iterdir())] == ["metadata.yaml", "x.bin", "x.xml"]
    with load(path) as predictor:
        assert isinstance(predictor.run(noise(3, *SMALL)), Selected)


def test_without_pictures_or_without_nncf_there_is_no_int8(n_seg_pt, photos, tmp_path, monkeypatch):
    with pytest.raises(OptionError, match="needs pictures to calibrate with: give data="):
        YOLO(n_seg_pt).export(format="openvino", int8=True)
    from segkit.core.backend import format as formats

    monkeypatch.setattr(formats, "installed_version", lambda name: None if name == "nncf" else "9999")
    with pytest.raises(MissingDependencyError, match=r'nncf>=2\.19, not installed.*pip install "nncf'):
        YOLO(n_seg_pt).export(format="openvino", int8=True, data=photos, isolate=False, output=tmp_path / "x")
    assert not [*tmp_path.iterdir()]


# -- what a predictor promises


def test_eight_threads_get_each_their_own_results(made, weights):
    batches = [noise(1, *SMALL, seed) for seed in range(4)]
    wanted = [weights.run(batch) for batch in batches]
    with load(made()) as predictor, ThreadPoolExecutor(8) as pool:
        for number, raw in enumerate(pool.map(predictor.run, batches * 8)):
            assert max(errors(raw, wanted[number % 4])) <= 5e-3


@pytest.mark.parametrize("options", [{}, {"batch": 2}, {"dynamic": True}], ids=str)
def test_pictures_side_by_side_give_the_same_as_one_after_the_other(made, options):
    batch = noise(5, *SMALL)
    with load(made(**options)) as one, load(made(**options), hint="throughput") as other:
        assert max(errors(other.run(batch), one.run(batch))) <= 1e-3


def test_threads_and_hint_reach_the_runtime(made):
    with load(made(), threads=1) as predictor:
        assert predictor._compiled.get_property("INFERENCE_NUM_THREADS") == 1
        assert str(predictor._compiled.get_property("PERFORMANCE_HINT")).endswith("LATENCY")
    with load(made(), hint="throughput") as predictor:
        assert str(predictor._compiled.get_property("PERFORMANCE_HINT")).endswith("THROUGHPUT")
    with pytest.raises(OptionError, match="hint"):
        load(made(), hint="quick")


def test_an_option_of_running_a_file_is_given_to_predict(made, bus):
    model = YOLO(made(dynamic=True))
    assert len(model.predict(bus, imgsz=320, hint="throughput")[0]) == len(model.predict(bus, imgsz=320)[0]) > 2
    with pytest.raises(OptionError, match="hint='quick' is not usable"):
        model.predict(bus, hint="quick")
    with pytest.raises(OptionError, match="Unknown option 'hnt'"):
        model.predict(bus, hnt="latency")


class Machine:
    """An OpenVINO on another machine."""

    def __init__(self, *devices):
        self.available_devices = list(devices)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        *[("cpu", "CPU"), ("CPU", "CPU"), ("gpu", "GPU"), ("gpu:1", "GPU.1"), ("intel:gpu", "GPU")],
        *[("npu", "NPU"), ("npu:0", "NPU"), ("intel:npu", "NPU"), ("auto", "AUTO")],
    ],
)
def test_a_device_has_the_name_that_users_give_it(name, wanted):
    assert device(Machine("CPU", "GPU.0", "GPU.1", "NPU"), name) == wanted


def test_a_device_that_is_not_there_is_refused_with_those_that_are(made):
    with pytest.raises(OptionError, match="OpenVINO offers auto, cpu here; OpenVINO does not run on NVIDIA's"):
        device(Machine("CPU"), "cuda:0")
    with pytest.raises(OptionError, match="device='tpu' is not usable: OpenVINO offers"):
        load(made(), device="tpu")


def test_another_size_than_the_files_is_refused_with_what_to_do(made):
    with load(made()) as predictor, pytest.raises(OptionError, match=r"takes 64x64 only.*dynamic=True"):
        predictor.run(noise(1, 64, 96))


# -- metadata, recognition, inspection


@pytest.mark.parametrize(
    ("options", "name"), [({}, "best_openvino_model"), ({"int8": True}, "best_int8_openvino_model")], ids=str
)
def test_a_folder_has_the_name_that_users_know(options, name):
    assert BACKEND.format.artefact_name("best", BACKEND.format.parse_export_options(options)) == name


def test_a_file_says_what_was_sealed_in_it(n_seg_pt, tmp_path):
    path = tmp_path / "a.b_openvino_model"
    sealed = export(n_seg_pt, path, batch=2, nms=True, conf=0.1)
    assert sorted(file.name for file in path.iterdir()) == ["a.b.bin", "a.b.xml", "metadata.yaml"]
    assert BACKEND.read_metadata(path) == BACKEND.read_metadata(path / "a.b.xml") == sealed
    plain = yaml.safe_load((path / "metadata.yaml").read_text(encoding="utf-8"))  # as other tools read it
    assert plain["names"][1] == "कुत्ता"
    assert (plain["imgsz"], plain["batch"], plain["stride"], plain["task"]) == ([64, 64], 2, 32, "segment")


def test_a_graph_says_what_model_api_needs(made):
    model = ov.Core().read_model(next(made().glob("*.xml")))
    info = {key: str(value) for key, value in model.get_rt_info(["model_info"]).value.items()}
    assert info["model_type"] == "YOLO-seg"
    assert info["labels"].split()[:3] == ["cat", "कुत्ता", "traffic_light"]
    assert (info["resize_type"], info["pad_value"]) == ("fit_to_window_letterbox", "114")
    assert str(model.get_parameters()[0].get_layout()) == "[N,C,H,W]"
    selecting = ov.Core().read_model(next(made(nms=True).glob("*.xml")))
    assert not selecting.has_rt_info(["model_info", "model_type"])  # there is no wrapper for it


def test_an_export_tells_nothing_about_the_machine_that_made_it(made):
    content = b"".join(file.read_bytes() for options in ({}, {"dynamic": True}) for file in made(**options).iterdir())
    for trace in (str(Path(__file__).parent.parent), sys.prefix, str(Path.home()), "site-packages"):
        assert trace.encode() not in content


@pytest.mark.parametrize("name", ["model", "model.onnx", "model_saved_model"])
def test_a_folder_is_known_by_its_content_whatever_its_name(made, tmp_path, name):
    shutil.copytree(made(), tmp_path / name)
    assert default_registry().recognise(tmp_path / name).format.name == "openvino"
    assert default_registry().recognise(next((tmp_path / name).glob("*.xml"))).format.name == "openvino"


def test_an_inspection_tells_tensors_operators_weights_and_writer(made):
    plain = BACKEND.inspect(made())
    assert plain.inputs == (TensorInfo("images", "float32", (1, 3, 64, 64)),)
    assert plain.outputs == (
        TensorInfo("output0", "float32", (1, 116, 84)),
        TensorInfo("output1", "float32", (1, 32, 16, 16)),
    )
    assert plain.producer.startswith("segkit 1.2.3, OpenVINO 20")
    assert "76 Convolution" in plain.facts["operators"]
    assert plain.facts["precision"] == "fp32"
    free = BACKEND.inspect(made(dynamic=True, nms=True))
    assert free.inputs[0].shape == (None, 3, None, None)
    assert free.outputs[0].shape == (None, 300, 38)
    assert BACKEND.inspect(made(dynamic=True)).outputs[0].shape == (None, 116, None)
    assert BACKEND.inspect(made(half=True)).facts["precision"] == "fp16"


def test_reading_about_a_file_needs_no_runtime(made):
    code = """if True:
        import sys
        from pathlib import Path
        from segkit.core.backend.registry import default_registry
        backend = default_registry().recognise(Path(sys.argv[1]))
        assert backend.read_metadata(Path(sys.argv[1])).names[0] == "cat"
        assert backend.inspect(Path(sys.argv[1])).outputs
        assert not {"torch", "openvino", "nncf"} & {*sys.modules}, "a runtime was imported"
    """
    child = subprocess.run([sys.executable, "-c", code, made()], capture_output=True, text=True)
    assert child.returncode == 0, child.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no stacks for signals")
def test_a_signal_finds_its_stack_after_another_thread_has_closed_the_file(made):
    code = """
import os, signal, sys, threading, time
import numpy as np
from segkit import YOLO
models = [YOLO(sys.argv[1])]
models[0].predict(np.zeros((64, 64, 3), "uint8"), imgsz=64)
closing = threading.Thread(target=models.clear)
closing.start()
closing.join()
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(10)
except KeyboardInterrupt:
    print("heard")
"""
    child = subprocess.run([sys.executable, "-c", code, made()], capture_output=True, text=True)
    assert (child.returncode, child.stdout.splitlines()[-1:]) == (0, ["heard"]), child.stderr


def test_nobody_is_told_and_nothing_is_left_in_the_users_home(made, tmp_path):
    """Both packages report their import already, and write an identity for it into the home."""
    code = """if True:
        import logging, socket, sys
        from pathlib import Path
        def called(*_):
            print("a call")
            raise OSError
        socket.getaddrinfo = socket.socket.connect = called
        from segkit.plugins.openvino import OpenVinoBackend, exporter, int8
        backend = OpenVinoBackend()
        backend.load(Path(sys.argv[1]), backend.format.parse_load_options({})).close()
        import openvino, nncf
        from openvino.tools.ovc import telemetry_utils
        assert "openvino_telemetry" not in sys.modules
        assert "stub" in telemetry_utils.tm.__name__
        assert logging.getLoggerClass() is logging.Logger
    """
    quiet = {"CI", "TF_BUILD", "JENKINS_URL"}  # under CI they keep quiet by themselves
    environment = {name: value for name, value in os.environ.items() if name not in quiet} | {"HOME": str(tmp_path)}
    child = subprocess.run([sys.executable, "-c", code, made()], env=environment, capture_output=True, text=True)
    assert (child.returncode, child.stdout) == (0, ""), child.stderr
    for module in ("openvino", "nncf"):  # as segkit doctor looks at them
        subprocess.run(
            [sys.executable, "-m", "segkit._probe", module], env=environment, capture_output=True, check=True
        )
    assert not [*tmp_path.iterdir()]


# -- files of other tools


def written(folder, metadata=None, *, kind=np.float32, transposed=False, info=None, sides=3):
    """What another tool might have written: outputs of a network with three classes, from the picture itself."""
    images = ops.parameter([1, sides, 64, 64], kind, name="x")
    level = ops.reduce_mean(images, ops.constant([1]), keep_dims=True)
    level = ops.slice(ops.reshape(level, ops.constant([1, 1, -1]), False), *map(ops.constant, ([0], [84], [1], [2])))
    boxes = ops.constant(np.broadcast_to(np.array([32, 16, 64, 32], kind)[None, :, None], (1, 4, 84)).copy())
    parts = [boxes, level, *(ops.multiply(level, ops.constant(kind(factor))) for factor in (0.5, 0.1))]
    head = ops.concat([*parts, ops.broadcast(level, ops.constant([1, 32, 84]))], 1)
    if transposed:
        head = ops.transpose(head, ops.constant([0, 2, 1]))
    step = ops.strided_slice(images, [0, 0, 0, 0], [1, 1, 64, 64], [1, 1, 4, 4], [0] * 4, [0] * 4)
    model = ov.Model([ops.broadcast(step, ops.constant([1, 32, 16, 16])), head], [images], "theirs")
    for key, value in (info or {}).items():
        model.set_rt_info(value, ["model_info", key])
    folder.mkdir()
    ov.save_model(model, folder / "theirs.xml", compress_to_fp16=False)
    if metadata is not None:
        (folder / "metadata.yaml").write_text(yaml.safe_dump(metadata), encoding="utf-8")
    return folder


THEIRS = {
    "description": "a model",
    "author": "Somebody",
    "date": "2024-05-01T10:00:00.123456",
    "version": "8.2.0",
    "license": "MIT",
    "stride": 32,
    "task": "segment",
    "batch": 1,
    "imgsz": [64, 64],
    "names": {0: "a", 1: "b", 2: "c"},
    "args": {"batch": 1, "half": False, "int8": False, "dynamic": False, "nms": False},
}


@pytest.mark.parametrize("metadata", [None, THEIRS], ids=["none", "usual"])
@pytest.mark.parametrize("kind", [{}, {"transposed": True}, {"kind": np.float16}], ids=str)
def test_files_of_other_tools_run_whatever_their_layout(tmp_path, metadata, kind):
    path = written(tmp_path / "best_openvino_model", metadata, **kind)
    batch = noise(3, *SMALL)
    with load(path) as predictor:
        raw = predictor.run(batch)
    assert raw.boxes[2, :, 83].tolist() == [32, 16, 64, 32]
    np.testing.assert_allclose(raw.scores[:, 0], batch.f32_nchw.mean(1).reshape(3, -1)[:, :84], atol=1e-3)
    np.testing.assert_allclose(raw.prototypes[:, 31], batch.f32_nchw[:, 0, ::4, ::4], atol=1e-3)
    read = BACKEND.read_metadata(path)
    assert (read.segkit, read.imgsz, read.dynamic_size) == (None, (64, 64), False)


def test_what_another_tool_says_of_its_file_is_told(tmp_path):
    seen = BACKEND.inspect(written(tmp_path / "x", THEIRS))
    assert (seen.facts["author"], seen.facts["version"]) == ("Somebody", "8.2.0")
    assert seen.producer.startswith("OpenVINO 20")
    dated = written(tmp_path / "y")
    (dated / "metadata.yaml").write_text("date: 2024-05-01T10:00:00\nnames: [a, b, c]\n", encoding="utf-8")
    assert BACKEND.read_metadata(dated).date == "2024-05-01 10:00:00"


def test_a_graph_alone_is_named_by_its_labels(tmp_path):
    path = written(tmp_path / "x", info={"labels": "red green_apple blue"}) / "theirs.xml"
    assert BACKEND.read_metadata(path).names == {0: "red", 1: "green_apple", 2: "blue"}
    with load(path) as predictor:
        assert predictor.run(noise(1, *SMALL)).scores.shape == (1, 3, 84)


@pytest.mark.parametrize(
    ("change", "problem"), [({"sides": 4}, "input is 1x4x64x64, not pictures"), ({"kind": np.float64}, "input is f64")]
)
def test_an_input_that_is_no_picture_is_refused(tmp_path, change, problem):
    with pytest.raises(ModelFileError, match=problem):
        load(written(tmp_path / "x", **change))


# -- files that are not what they seem


def test_a_flipped_bit_is_found_in_weights_and_graph(copied):
    for suffix in ("bin", "xml"):
        (file,) = copied.glob(f"*.{suffix}")
        whole = file.read_bytes()
        place = whole.rindex(b'strides="2') + 9 if suffix == "xml" else len(whole) // 2
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ModelFileError, match=rf"n-seg\.{suffix} is damaged, or was changed after its export"):
            load(copied)
        file.write_bytes(whole)
    load(copied).close()


def test_the_weights_stand_for_the_graph_beside_them(copied):
    (weights,) = copied.glob("*.bin")
    assert default_registry().recognise(weights).format.name == "openvino"
    assert BACKEND.read_metadata(weights) == BACKEND.read_metadata(copied)
    load(weights).close()


def test_a_folder_of_any_name_without_its_graph_is_told(copied, tmp_path):
    path = Path(shutil.move(copied, tmp_path / "renamed"))
    next(path.glob("*.xml")).unlink()
    assert default_registry().recognise(path).format.name == "openvino"
    with pytest.raises(ModelFileError, match=r"no graph in the folder: an OpenVINO model is NAME\.xml and NAME\.bin"):
        load(path)


def test_the_devices_of_the_help_are_those_of_openvino():
    (device,) = (row for row in BACKEND.format.describe(BACKEND.format.load_options) if row.name == "device")
    assert device.help == "where to run: cpu, gpu, gpu:1, npu, or auto"


def test_a_file_that_was_changed_on_purpose_runs_without_its_checksums(copied):
    (file,) = copied.glob("*.xml")
    file.write_bytes(file.read_bytes() + b"<!-- mine -->".replace(b"<!-- mine -->", b"\n"))
    described = yaml.safe_load((copied / "metadata.yaml").read_text(encoding="utf-8"))
    del described["checksums"], described["segkit"]
    (copied / "metadata.yaml").write_text(yaml.safe_dump(described), encoding="utf-8")
    load(copied).close()


def test_missing_and_short_weights_are_told(copied):
    (file,) = copied.glob("*.bin")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ModelFileError, match=r"n-seg\.bin is cut off: it has 13,\d+,\d+ bytes of 13,"):
        load(copied)
    file.unlink()
    with pytest.raises(ModelFileError, match=r"weights are missing: n-seg\.bin belongs beside n-seg\.xml"):
        load(copied)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the file is empty"),
        (b"<!DOCTYPE html><html>404</html>", "an HTML page"),
        (b"<annotation/>", "XML, but not an OpenVINO graph"),
        (b"PK\x03\x04", "not an OpenVINO graph, which is XML"),
        (b'<?xml version="1.0"?><net name="x" version="11"><layers>', "damaged: no element found"),
        (b'<net name="x" version="11"><layers><layer id="0"/></layers></net>', "damaged: 'type' is missing"),
        (b'<net name="x" version="11"><!DOCTYPE a></net>', "declares a type of document"),
        (b'<net name="x" version="11"></net>', "OpenVINO refuses it|takes 0 inputs"),
    ],
)
def test_what_is_no_graph_is_named(copied, content, problem):
    (file,) = copied.glob("*.xml")
    file.write_bytes(content)
    (copied / "metadata.yaml").unlink()
    with pytest.raises(ModelFileError, match=problem) as refusal:
        load(copied)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("names: [", "not YAML"),
        ("- 1\n- 2\n", "has no keys"),
        ("imgsz: wide\n", "imgsz"),
        ("a: &x 1\nb: *x\n", "alias"),
    ],
)
def test_metadata_that_make_no_sense_are_told(copied, text, problem):
    (copied / "metadata.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ModelFileError, match=problem):
        BACKEND.read_metadata(copied)


def test_a_folder_without_a_graph_or_with_several_is_told(copied, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelFileError, match="there is no graph in the folder"):
        load(tmp_path / "empty")
    (file,) = copied.glob("*.xml")
    shutil.copy(file, copied / "other.xml")
    with pytest.raises(ModelFileError, match=r"several graphs in the folder, n-seg\.xml, other\.xml: name one"):
        load(copied)
    load(file).close()
    (copied / "other.xml").write_text("<annotation/>")  # somebody's labels
    load(copied).close()


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_graph_never_gives_more_than_a_clear_refusal(made, tmp_path, seed):
    """Without checksums, as in files of other tools."""
    random = np.random.default_rng(seed)
    folder = Path(shutil.copytree(made(), tmp_path / "x"))
    (folder / "metadata.yaml").unlink()
    (file,) = folder.glob("*.xml")
    whole = bytearray(file.read_bytes())
    for place in random.integers(0, len(whole), 20):
        whole[place] = random.integers(32, 127)
    file.write_bytes(whole)
    refusals = []
    for action in (load, BACKEND.inspect, BACKEND.read_metadata):
        try:
            action(folder)
        except SegkitError as refusal:
            refusals.append(str(refusal))
    assert not any("\n" in text for text in refusals)


def test_the_command_line_says_in_one_line_what_is_wrong(copied, bus, tmp_path):
    next(copied.glob("*.bin")).unlink()
    command = [sys.executable, "-m", "segkit.cli", "predict", str(copied), str(bus), "--no-save"]
    child = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert child.returncode == 2
    assert "weights are missing" in child.stderr
    assert "Traceback" not in child.stderr
    shown = subprocess.run(
        [sys.executable, "-m", "segkit.cli", "inspect", str(copied), "--json"], capture_output=True, text=True
    )
    assert "weights are missing" in json.dumps(shown.stdout + shown.stderr)
