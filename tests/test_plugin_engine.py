"""TensorRT plans: built for real by TensorRT-RTX, which needs no GPU for it, and refused where they cannot run.

Running them takes a GPU. What surrounds that (buffers, streams, profiles, portions, errors) is tried with a double
whose plans onnxruntime computes (`fakes/cuda_on_cpu.py`); the conformance suite runs the real thing wherever it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import onnx
import pytest
import tensorrt_on_cpu
from cuda_on_cpu import Cuda, CUdevice_attribute, CUresult, CUstream_flags
from hypothesis import given
from hypothesis import strategies as st
from pretended_gpu import pretend

from segkit import YOLO
from segkit.conformance import reference as made_up
from segkit.core.backend import ExportJob, Feature, Metadata, Precision, Seal
from segkit.core.backend.calibration import PictureCalibration
from segkit.core.backend.registry import default_registry
from segkit.core.errors import (
    ExportError,
    MissingDependencyError,
    ModelFileError,
    OptionError,
    RuntimeFailure,
    UnsupportedError,
)
from segkit.core.inference.session import Session
from segkit.plugins.engine import EngineBackend, container, declared, devices, fitting, runtimes
from segkit.plugins.engine.container import pack, read_engine
from segkit.plugins.engine.cuda import Buffer, Buffers, Driver, Gpu
from segkit.plugins.engine.fitting import Device, check_device, numbers, runtime_for
from segkit.plugins.engine.log import plain
from segkit.plugins.engine.profiles import Profile, choose, portion, words

pytestmark = pytest.mark.usefixtures("translated_once")

BACKEND = EngineBackend()
ONNX = default_registry().get("onnx")
NAMES = {0: "cat", 1: "कुत्ता", **{index: f"class {index}" for index in range(2, 80)}}
SIZE = (64, 64)
RTX = runtimes.RTX.version()
ADA = ("NVIDIA Pretend 4090", (8, 9))
NOTHING = ({}, {}, 0, 0, [])
"""What is left on the double of a GPU when all is closed."""
ENDED = [("IExecutionContext", True), ("ICudaEngine", True), ("Runtime", True)]
"""What TensorRT made, in the order in which it has to go: each while the GPU's context is current."""

built_here = pytest.mark.skipif(RTX is None, reason="TensorRT-RTX is not installed")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A small network, seeded."""
    return made_up.seeded_weights(tmp_path_factory.mktemp("seeded") / "seeded-seg.safetensors", scale="t", names=NAMES)


@pytest.fixture(scope="module")
def upstream(weights, tmp_path_factory, translated_once):
    """The ONNX file that the engine's options ask for, each made once: upstream(half=True) → path."""
    folder, known = tmp_path_factory.mktemp("upstream"), {}

    def make(**options):
        asked = ONNX.format.parse_source_options(BACKEND.source_options(parsed(**options)))
        key = repr(asked)
        if key not in known:
            known[key] = folder / f"{len(known)}.onnx"
            pictures = PictureCalibration(made_up.pictures(4, asked.imgsz, seed=3).u8_nhwc)
            ONNX.export(ExportJob(weights, None, known[key], asked, metadata_for(asked), pictures))
        return known[key]

    return make


@pytest.fixture(scope="module")
def made(upstream, tmp_path_factory):
    """Plans of TensorRT-RTX, each made once: made(half=True) → path."""
    folder, known = tmp_path_factory.mktemp("engine"), {}

    def make(**options):
        key = repr(sorted(options.items()))
        if key not in known:
            known[key] = build(upstream(**options), folder / f"{len(known)}.engine", **options)
        return known[key]

    return make


def parsed(**options):
    return BACKEND.format.parse_export_options({"imgsz": SIZE} | options)


def metadata_for(options):
    seal = Seal(
        precision=options.precision,
        dynamic_batch=options.dynamic,
        dynamic_size=options.dynamic,
        strides=(8, 16, 32),
        toolchain={"segkit": "1.2.3"},
    )
    return Metadata(names=NAMES, batch=options.batch, imgsz=options.imgsz, segkit=seal)


def build(source, path, **options):
    asked = parsed(**options)
    BACKEND.export(ExportJob(None, source, path, asked, metadata_for(asked)))
    return path


def plan_of(path):
    file = read_engine(path)
    return path.read_bytes()[file.start :]


# -- real plans of TensorRT-RTX


@built_here
def test_a_file_is_the_length_of_its_metadata_the_metadata_and_the_plan(made):
    content = made().read_bytes()
    (length,) = struct.unpack("<I", content[:4])
    document = json.loads(content[4 : 4 + length])
    assert content[4 + length :][:4] == b"vtrt"
    assert document["names"]["1"] == "कुत्ता"
    assert (document["imgsz"], document["batch"], document["stride"], document["task"]) == ([64, 64], 1, 32, "segment")
    assert document["engine"]["runtime"] == "rtx"
    assert document["engine"]["version"] == RTX
    assert document["engine"]["targets"] == ["sm80+"]
    assert document["engine"]["platform"] == fitting.here()
    assert "gpu" not in document["engine"]


@built_here
@pytest.mark.parametrize("options", [{}, {"half": True}, {"int8": True}, {"dynamic": True, "batch": 4}], ids=str)
def test_every_precision_and_free_sides_are_built(made, options):
    file = read_engine(made(**options))
    metadata, block = file.metadata(), file.built
    assert metadata.precision == parsed(**options).precision
    assert block.size == len(plan_of(file.path))
    assert [tensor.name for tensor in (*block.inputs, *block.outputs)] == ["images", "output0", "output1"]
    assert {tensor.dtype for tensor in (*block.inputs, *block.outputs)} == {"float32"}
    if "dynamic" in options:
        assert block.inputs[0].shape == (-1, 3, -1, -1)
        assert block.profiles == (((1, 3, 32, 32), (4, 3, 64, 64), (4, 3, 640, 640)),)
    else:
        assert block.inputs[0].shape == (1, 3, 64, 64)
        assert block.profiles == ()


@built_here
def test_half_plans_hold_half_the_weights(made):
    assert len(plan_of(made(half=True))) < len(plan_of(made()))


@built_here
def test_the_first_bytes_of_a_plan_tell_runtime_version_and_length(made):
    plan = read_engine(made()).plan
    assert plan.runtime == "rtx"
    assert ".".join(map(str, plan.version)) == RTX
    assert plan.size == len(plan_of(made()))


@built_here
def test_named_gpus_are_built_for_and_no_others(made):
    path = made(runtime="rtx", target="sm75,SM89")
    assert read_engine(path).built.targets == ("sm75", "sm89")
    assert b"accelerators={sm75 sm89 }" in plan_of(path)  # the plan's own description of itself


@built_here
def test_the_gpus_that_can_be_named_are_those_that_the_runtime_builds_for(upstream, tmp_path, monkeypatch):
    real = runtimes.imported(runtimes.RTX).ComputeCapability.__members__
    assert {name.lower() for name in real if name.startswith("SM")} == set(runtimes.RTX_TARGETS)
    monkeypatch.setattr("segkit.plugins.engine.RTX_TARGETS", ("sm99",))  # another version of the runtime might
    with pytest.raises(ExportError, match=r"does not build for sm99, but for sm75, sm80, .*sm89"):
        build(upstream(), tmp_path / "x.engine", runtime="rtx", target="sm99")


@built_here
@pytest.mark.parametrize(
    ("written", "meant"),
    [("sm86,SM89, ", ("sm86", "sm89")), (89, ("sm89",)), ("89,sm89", ("sm89",)), (["SM75", 120], ("sm75", "sm120"))],
    ids=str,
)
def test_gpus_and_runtimes_may_be_written_as_people_do(written, meant):
    asked = parsed(runtime="RTX", target=written)
    assert (asked.runtime, asked.target) == (runtimes.RuntimeName.RTX, meant)


@built_here
def test_a_network_that_the_runtime_cannot_build_is_refused_in_its_words(weights, tmp_path):
    asked = ONNX.format.parse_export_options({"imgsz": SIZE, "nms": True})
    ONNX.export(ExportJob(weights, None, tmp_path / "nms.onnx", asked, metadata_for(asked)))
    with pytest.raises(ExportError, match=r"TensorRT-RTX cannot build the network \(.*NonMaxSuppression") as refusal:
        build(tmp_path / "nms.onnx", tmp_path / "x.engine")
    assert ".cpp::" not in str(refusal.value)


@built_here
def test_a_file_that_is_no_network_is_refused(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"rubbish")
    with pytest.raises(ExportError, match="TensorRT-RTX does not understand the network"):
        build(tmp_path / "x.onnx", tmp_path / "x.engine")


@built_here
def test_two_plans_of_one_file_are_equal(upstream, made, tmp_path):
    assert plan_of(build(upstream(), tmp_path / "again.engine")) == plan_of(made())


@built_here
def test_the_default_of_unsymmetric_int8_would_not_be_understood(weights, tmp_path):
    """Why `source_options` asks for the symmetric form; if this starts to build, it need not."""
    asked = ONNX.format.parse_export_options({"imgsz": SIZE, "int8": True})
    pictures = PictureCalibration(made_up.pictures(2, SIZE, seed=3).u8_nhwc)
    ONNX.export(ExportJob(weights, None, tmp_path / "int8.onnx", asked, metadata_for(asked), pictures))
    with pytest.raises(ExportError, match="zero point"):
        build(tmp_path / "int8.onnx", tmp_path / "x.engine")


def test_int8_asks_for_signed_values_around_zero_and_float_biases(upstream):
    graph = onnx.load(upstream(int8=True)).graph
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    rounding = [node for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert len(rounding) > 50
    for node in rounding:
        assert tensors[node.input[2]].dtype == np.int8
        assert not tensors[node.input[2]].any()
    biases = [node.input[2] for node in graph.node if node.op_type == "Conv" and len(node.input) > 2]
    assert {tensors[name].dtype for name in biases} == {np.dtype(np.float32)}


def test_in_int8_nothing_is_rounded_between_a_layer_and_the_end_of_its_silu(upstream):
    graph = onnx.load(upstream(int8=True)).graph
    makers = {name: node for node in graph.node for name in node.output}
    rounded = [makers[node.input[0]].op_type for node in graph.node if node.op_type == "QuantizeLinear"]
    assert "Conv" not in rounded
    assert "Sigmoid" not in rounded
    assert "Mul" in rounded


def test_a_symmetric_int8_file_keeps_the_objects_of_the_float_file(n_seg_pt, bus, data, tmp_path):
    """As onnxruntime computes it: the numbers that a plan is built from."""
    floats = YOLO(n_seg_pt).export_to("onnx", imgsz=320, output=tmp_path / "float.onnx", isolate=False).path
    asked = ONNX.format.parse_source_options({"imgsz": 320, "precision": "int8", "symmetric": True})
    pictures = sorted((data / "datasets" / "coco128-seg").rglob("*.jpg"))[:12]
    calibration = PictureCalibration.of_pictures((cv2.imread(str(path)) for path in pictures), (320, 320))
    target = tmp_path / "int8.onnx"
    ONNX.export(ExportJob(n_seg_pt, None, target, asked, ONNX.read_metadata(floats), calibration))
    assert target.stat().st_size < 0.3 * floats.stat().st_size
    one, other = YOLO(floats).predict(bus)[0], YOLO(target).predict(bus)[0]
    assert len(one) >= 4
    assert sorted(other.boxes.cls.tolist()) == sorted(one.boxes.cls.tolist())


# -- the container


@pytest.fixture
def file(tmp_path):
    """A file of ours around a pretended plan: file(runtime="standard") → path."""

    def write(plan=None, **changes):
        runtime = changes.get("runtime", "rtx")
        version = changes.get("version", RTX or "1.7.1.116")
        plan = fake_plan(runtime, version) if plan is None else plan
        facts = {"runtime": runtime, "version": version, "targets": ("sm89",), "platform": fitting.here()}
        facts |= {"size": len(plan), "sha256": container.hashlib.sha256(plan).hexdigest()} | changes
        path = tmp_path / "model.engine"
        path.write_bytes(pack(metadata_for(parsed()), container.Built(**facts), plan))
        return path

    return write


def fake_plan(runtime, version, body=b"x" * 1000):
    mark = {"rtx": b"vtrt", "standard": b"ftrt"}[runtime]
    return struct.pack("<4sI8xQ4B", mark, 0, 28 + len(body), *map(int, version.split("."))) + body


def test_a_plain_plan_reads_a_file_beside_it_unless_that_names_another(tmp_path):
    path = tmp_path / "model.engine"
    path.write_bytes(plan := fake_plan("standard", "10.13.3.9"))
    assert BACKEND.recognises(path).confidence == 100
    assert BACKEND.read_metadata(path) is None
    said = {"names": {"0": "cat"}, "task": "segment", "engine": {"sha256": hashlib.sha256(plan).hexdigest()}}
    for name, imgsz in (("model.json", 320), ("model.engine.json", 640)):  # the longer name wins
        (tmp_path / name).write_text(json.dumps(said | {"imgsz": [imgsz, imgsz]}))
        assert BACKEND.read_metadata(path).imgsz == (imgsz, imgsz)
    path.write_bytes(plan[:-1] + b"y")
    assert BACKEND.read_metadata(path) is None, "they are of another plan"
    (tmp_path / "model.json").write_text(json.dumps({"names": {"0": "dog"}, "imgsz": [96, 96]}))  # of another tool
    assert BACKEND.read_metadata(path).names == {0: "dog"}


@pytest.mark.parametrize(
    "unrelated",
    ["[1]", "{", '{"images": [], "annotations": []}', '{"names": {"0": "dog"}}', '{"engine": "v8"}', '{"engine": {}}'],
)
def test_a_file_of_anybody_beside_a_plain_plan_is_left_alone(tmp_path, unrelated):
    path = tmp_path / "m.engine"
    path.write_bytes(fake_plan("standard", "10.13.3.9"))
    (tmp_path / "m.json").write_text(unrelated)
    assert BACKEND.read_metadata(path) is None


def test_what_stands_in_front_serves_beside_the_plan_alone(file, tmp_path):
    found = read_engine(file())
    (tmp_path / "alone.engine").write_bytes(plan_of(found.path))
    (tmp_path / "alone.json").write_bytes(found.path.read_bytes()[4 : found.start])
    assert BACKEND.read_metadata(tmp_path / "alone.engine") == found.metadata()
    assert read_engine(tmp_path / "alone.engine").built == found.built


def test_a_file_of_another_tool_is_read(tmp_path):
    header = json.dumps(
        {"author": "somebody", "stride": 32, "task": "segment", "batch": 1, "imgsz": [640, 640], "names": {"0": "cat"}}
    ).encode()
    path = tmp_path / "theirs.engine"
    path.write_bytes(struct.pack("<I", len(header)) + header + fake_plan("standard", "10.9.0.34"))
    metadata = BACKEND.read_metadata(path)
    assert metadata.names == {0: "cat"}
    assert metadata.segkit is None
    found = BACKEND.inspect(path)
    assert found.producer == "TensorRT 10.9.0.34"
    assert found.facts["author"] == "somebody"
    assert found.facts["runtime"] == "standard"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the file is empty"),
        (b"x", "neither a plan"),
        (b"<!DOCTYPE html><html>", "HTML page"),
        (b"PK\x03\x04" + bytes(100), "zip archive"),
        (b"vtrt", "no plan of TensorRT"),
        (struct.pack("<I", 100) + b'{"a": 1}', "cut off in its metadata"),
        (struct.pack("<I", 8) + b'{"a": 1,' + fake_plan("rtx", "1.7.1.116"), "no JSON object"),
        (struct.pack("<I", 8) + b'{"a": 1}' + bytes(100), "no plan of TensorRT"),
        (fake_plan("rtx", "1.7.1.116")[:-10], r"cut off: its plan has 1,018 of 1,028 bytes"),
        (struct.pack("<I", 0xFFFFFFFF) + b"{" * 100, "neither a plan"),
        (struct.pack("<I", 50000) + b"[" * 50000 + fake_plan("rtx", "1.7.1.116"), "neither a plan"),
    ],
)
def test_what_is_no_engine_is_refused_and_named(tmp_path, content, problem):
    path = tmp_path / "model.engine"
    path.write_bytes(content)
    for look in (BACKEND.read_metadata, BACKEND.inspect, lambda path: BACKEND.load(path, load_options())):
        with pytest.raises(ModelFileError, match=problem):
            look(path)


def test_a_folder_and_nothing_are_refused(tmp_path):
    with pytest.raises(ModelFileError, match="it is a folder"):
        BACKEND.read_metadata(tmp_path)
    with pytest.raises(ModelFileError, match="no such file"):
        BACKEND.read_metadata(tmp_path / "none.engine")


def test_a_plan_that_has_lost_bytes_is_refused_by_all_and_one_that_has_changed_when_it_is_loaded(file):
    path = file()
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(ModelFileError, match="cut off"):
        BACKEND.read_metadata(path)
    path.write_bytes(whole[:-500] + b"y" + whole[-499:])
    assert BACKEND.read_metadata(path).names == NAMES
    with pytest.raises(ModelFileError, match="has changed since it was built"):
        BACKEND.load(path, load_options())


def test_metadata_of_the_plan_that_make_no_sense_are_refused(file):
    path = file()
    path.write_bytes(path.read_bytes().replace(b'"runtime": "rtx"', b'"runtime": "xtr"'))
    with pytest.raises(ModelFileError, match=r"engine\.runtime"):
        BACKEND.read_metadata(path)


@given(st.binary(max_size=200))
def test_no_bytes_make_it_stumble(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.bin"
    for whole in (content, struct.pack("<I", len(content)) + content, struct.pack("<I", 2) + b"{}" + content):
        path.write_bytes(whole)
        assert container.holds_plan(path) in (True, False)
        with contextlib.suppress(ModelFileError):
            BACKEND.inspect(path)


# -- refusals: another runtime, version, platform, GPU


def load_options(**options):
    return BACKEND.format.parse_load_options(options)


def installed(monkeypatch, **versions):
    """Pretend that these runtimes are installed, and no other."""
    versions = {runtimes.RuntimeName(name): version for name, version in versions.items()}
    monkeypatch.setattr(runtimes.Runtime, "version", lambda self: versions.get(self.name))


@pytest.mark.parametrize(
    ("changes", "here", "words"),
    [
        ({"runtime": "rtx", "version": "1.6.1.120"}, {"rtx": "1.7.1.116"}, ("TensorRT-RTX 1.6.1.120", "1.7.1.116")),
        (
            {"runtime": "rtx", "version": "1.7.1.116"},
            {"standard": "10.13.3.9"},
            ("RTX 1.7.1.116", "TensorRT 10.13.3.9"),
        ),
        (
            {"runtime": "standard", "version": "10.9.0.34"},
            {"rtx": "1.7.1.116"},
            ("TensorRT 10.9.0.34", "RTX 1.7.1.116"),
        ),
        ({"runtime": "standard", "version": "10.9.0.34"}, {"standard": "11.4.0.106"}, ("10.9.0.34", "11.4.0.106")),
    ],
    ids=str,
)
def test_another_version_or_runtime_is_refused_before_load_and_both_are_named(monkeypatch, file, changes, here, words):
    installed(monkeypatch, **here)
    with pytest.raises(ModelFileError) as refusal:
        BACKEND.load(file(**changes), load_options())
    assert all(word in str(refusal.value) for word in words), refusal.value
    assert "\n" not in str(refusal.value)


def test_the_version_of_a_plain_plan_is_its_own(monkeypatch, tmp_path):
    path = tmp_path / "plain.engine"
    path.write_bytes(fake_plan("standard", "10.9.0.34"))
    installed(monkeypatch, standard="10.13.3.9")
    with pytest.raises(ModelFileError, match=r"built by TensorRT 10\.9\.0\.34 and TensorRT 10\.13\.3\.9 is installed"):
        BACKEND.load(path, load_options())


@pytest.mark.parametrize(
    ("built", "there", "same"),
    [("10.3.0.30", "10.3.0", True), ("10.3.0.30", "10.3.1", False)],
)
def test_a_package_may_leave_out_the_last_number_of_its_version(monkeypatch, tmp_path, built, there, same):
    path = tmp_path / "plain.engine"
    path.write_bytes(fake_plan("standard", built))
    installed(monkeypatch, standard=there)
    file = read_engine(path)
    if same:
        assert runtime_for(file).name == "standard"
    else:
        with pytest.raises(ModelFileError, match=f"built by TensorRT {built} and TensorRT {there} is installed"):
            runtime_for(file)


def test_without_its_runtime_a_file_names_what_to_install(monkeypatch, file):
    installed(monkeypatch)
    for runtime, line in (
        ("rtx", 'pip install "tensorrt-rtx-cu13-libs>=1.7" "tensorrt-rtx-cu13-bindings>=1.7"'),
        ("standard", 'pip install "tensorrt>=10.0"'),
    ):
        with pytest.raises(MissingDependencyError) as refusal:
            BACKEND.load(file(runtime=runtime, version="1.7.1.116"), load_options())
        assert str(refusal.value).endswith(f"Run: {line}")


def test_another_platform_is_refused(file):
    with pytest.raises(ModelFileError, match=rf"built on windows-x86_64 and this is {fitting.here()}"):
        BACKEND.load(file(platform="windows-x86_64"), load_options())


@pytest.mark.parametrize(
    ("targets", "capability", "fits"),
    [
        (("sm89",), (8, 9), True),
        (("sm89",), (8, 6), False),
        (("sm75", "sm120"), (12, 0), True),
        (("sm80+",), (12, 1), True),
        (("sm80+",), (8, 0), True),
        (("sm80+",), (7, 5), False),
        ((), (7, 5), True),
        (("nonsense",), (7, 5), False),
    ],
    ids=str,
)
def test_a_gpu_of_another_kind_is_refused_and_both_are_named(file, targets, capability, fits):
    built = read_engine(file(targets=targets)).built
    device = Device(0, "NVIDIA Pretend", capability)
    if fits:
        check_device(Path("x"), built, device)
        return
    with pytest.raises(ModelFileError) as refusal:
        check_device(Path("x"), built, device)
    assert f"built for GPUs of the kinds {', '.join(targets)} and this is NVIDIA Pretend" in str(refusal.value)
    assert f"runtime=rtx target={device.kind}" in str(refusal.value)


@pytest.mark.parametrize("capability", [(9, 0), (10, 0), (8, 7)], ids=str)
def test_nobody_is_sent_to_a_target_that_would_be_refused(file, capability):
    built, device = read_engine(file(targets=("sm89",))).built, Device(0, "NVIDIA H100", capability)
    with pytest.raises(ModelFileError, match=r"again on this GPU with runtime=standard: TensorRT-RTX builds for sm75"):
        check_device(Path("x"), built, device)


def test_another_model_of_the_same_kind_runs_a_standard_plan_and_is_told_of(file, capsys):
    built = read_engine(file(runtime="standard", version="10.9.0.34", gpu="NVIDIA L4")).built
    check_device(Path("x.engine"), built, Device(0, "NVIDIA L4", (8, 9)))
    assert not capsys.readouterr().err
    check_device(Path("x.engine"), built, Device(0, "NVIDIA L40S", (8, 9)))
    assert "x.engine was built on NVIDIA L4 and this is NVIDIA L40S" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "device", "words"),
    [
        ({"dla": 1}, "cuda:0", "built for a DLA: run it with device=dla:1"),
        ({}, "dla:1", "built for a GPU: run it with device=0, or export it again with device=dla:1"),
        ({"runtime": "rtx", "version": "1.7.1.116"}, "dla:0", "TensorRT-RTX, which knows no DLA"),
    ],
    ids=str,
)
def test_a_plan_for_a_dla_is_not_taken_for_one_of_the_gpu(file, changes, device, words):
    path = file(**{"runtime": "standard", "version": "10.9.0.34"} | changes)
    with pytest.raises(ModelFileError, match=words):
        BACKEND.load(path, load_options(device=device))


def test_the_gpu_that_a_standard_plan_was_built_on_is_named(file):
    built = read_engine(file(runtime="standard", version="10.9.0.34", gpu="NVIDIA L4")).built
    with pytest.raises(ModelFileError, match=r"built for NVIDIA L4 \(sm89\) and this is NVIDIA T4 \(sm75\)"):
        check_device(Path("x"), built, Device(0, "NVIDIA T4", (7, 5)))


@pytest.mark.skipif(devices.gpu_is_here(), reason="there is a GPU here")
def test_without_a_gpu_running_is_refused_as_declared(file):
    gap = BACKEND.format.support.gap(Feature.PREDICT)
    assert gap.kind == "needs-hardware"
    for load in (lambda path: BACKEND.load(path, load_options()), lambda path: Session(BACKEND, path, load_options())):
        with pytest.raises(UnsupportedError, match=r"needs-hardware.*NVIDIA GPU") as refusal:
            load(file())
        assert refusal.value.reason == gap.reason


@pytest.mark.skipif(devices.gpu_is_here(), reason="there is a GPU here")
def test_a_damaged_file_is_damaged_also_where_none_could_run(file):
    path = file()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelFileError, match="cut off"):
        Session(BACKEND, path, load_options())


def test_versions_are_compared_by_their_numbers():
    assert numbers("10.13.3.9.post1") == (10, 13, 3, 9)
    assert numbers("1.7.1.116") == (1, 7, 1, 116)


# -- options


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"target": "sm89"}, r"target.*needs runtime=rtx"),
        ({"runtime": "rtx", "target": "rtx4090"}, "target='rtx4090'.*builds for sm75, .*sm121"),
        ({"runtime": "rtx", "target": "sm10"}, "target='sm10'.*builds for sm75"),
        ({"runtime": "rtx", "target": "sm90"}, "target='sm90'.*export on a GPU of another kind with runtime=standard"),
        ({"runtime": "rtx", "device": "cuda:5"}, r"device=cuda:5 .*needs runtime=standard.*target="),
        ({"max_imgsz": 1280}, r"needs dynamic=True"),
        ({"dynamic": True, "imgsz": 640, "max_imgsz": 320}, r"imgsz=\(640, 640\) is larger"),
        ({"device": "cpu"}, r"NVIDIA devices alone"),
        ({"runtime": "rtx", "device": "dla:0", "half": True}, r"knows no DLA"),
        ({"device": "dla:0"}, r"half=True or int8=True"),
        ({"device": "dla:0", "half": True, "dynamic": True}, r"one size"),
        ({"workspace": 0}, "workspace"),
        ({"runtime": "lean"}, "runtime"),
    ],
    ids=str,
)
def test_options_that_do_not_go_together_are_refused(options, problem):
    with pytest.raises(OptionError, match=problem):
        BACKEND.format.parse_export_options(options)


def test_a_standard_plan_needs_a_gpu_to_build_and_its_package(monkeypatch):
    installed(monkeypatch)
    monkeypatch.setattr(devices, "DRIVERS", ())
    with pytest.raises(UnsupportedError, match=r"runtime=standard \(needs-hardware\).*runtime=rtx"):
        parsed(runtime="standard")
    monkeypatch.setattr(devices, "DRIVERS", ("/",))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(MissingDependencyError, match=r'Run: pip install "tensorrt>=10\.0"$'):
        parsed(runtime="standard")
    with pytest.raises(MissingDependencyError, match=r'"tensorrt-rtx-cu13-bindings>=1\.7"$'):
        parsed(runtime="rtx")


@pytest.mark.parametrize("device", ["dla:0", "cuda:5"])
def test_a_device_that_is_named_is_never_passed_over_for_rtx(monkeypatch, device):
    installed(monkeypatch, rtx="1.7")
    monkeypatch.setattr(devices, "DRIVERS", ())
    with pytest.raises(UnsupportedError, match=rf"device={device}, which needs runtime=standard \(needs-hardware"):
        parsed(device=device, half=True)
    monkeypatch.setattr(devices, "DRIVERS", ("/",))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(MissingDependencyError, match=r'Run: pip install "tensorrt>=10\.0"$'):
        parsed(device=device, half=True)
    assert parsed(device="0").asked_runtime is None, "the default, which says nothing"


def test_what_is_missing_depends_on_the_gpu(monkeypatch):
    monkeypatch.setattr("segkit.core.backend.format.installed_version", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r'Run: pip install "tensorrt>=10\.0" "cuda-bindings>=12\.9"$'):
        declared(with_gpu=True).require(Feature.EXPORT)
    with pytest.raises(MissingDependencyError, match=r"libs>=1\.7.*bindings>=1\.7"):
        declared(with_gpu=False).require(Feature.EXPORT)


@pytest.mark.parametrize(
    ("with_gpu", "here", "chosen"),
    [
        (True, {"standard": "10.0", "rtx": "1.7"}, "standard"),
        (True, {"rtx": "1.7"}, "rtx"),
        (False, {"standard": "10.0", "rtx": "1.7"}, "rtx"),
    ],
)
def test_the_runtime_is_chosen_by_what_is_there(monkeypatch, with_gpu, here, chosen):
    installed(monkeypatch, **here)
    assert runtimes.preferred(with_gpu=with_gpu).name == chosen


def test_without_a_gpu_the_standard_runtime_does_not_help(monkeypatch):
    installed(monkeypatch, standard="10.0")
    with pytest.raises(MissingDependencyError, match="tensorrt-rtx"):
        runtimes.preferred(with_gpu=False)


def test_hidden_gpus_are_not_there(monkeypatch):
    monkeypatch.setattr(devices, "DRIVERS", ("/",))
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert not devices.gpu_is_here()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert devices.gpu_is_here()


def test_the_onnx_file_is_asked_for_what_the_plan_must_be():
    assert BACKEND.source_options(parsed(int8=True, dynamic=True, batch=3, simplify=False)) == {
        "imgsz": SIZE,
        "batch": 3,
        "precision": Precision.INT8,
        "dynamic": True,
        "simplify": False,
        "symmetric": True,
    }
    assert BACKEND.source_options(parsed(half=True))["symmetric"] is False


# -- planning


FREE = Profile((1, 3, 32, 32), (4, 3, 640, 640), (8, 3, 1280, 1280))
SMALL = Profile((1, 3, 32, 32), (1, 3, 320, 320), (2, 3, 640, 640))


@pytest.mark.parametrize(
    ("shape", "index"),
    [
        ((1, 3, 320, 320), 1),
        ((4, 3, 640, 640), 0),
        ((2, 3, 64, 64), 1),
        ((8, 3, 1280, 1280), 0),
        ((9, 3, 32, 32), None),
    ],
)
def test_the_profile_made_for_the_nearest_shape_is_chosen(shape, index):
    assert choose([FREE, SMALL], shape) == index


@pytest.mark.parametrize(
    ("profiles", "count", "size", "wanted"),
    [
        ([Profile.fixed((2, 3, 64, 64))], 5, (64, 64), 2),
        ([Profile.fixed((2, 3, 64, 64))], 1, (64, 64), 2),
        ([Profile.fixed((2, 3, 64, 64))], 1, (64, 96), None),
        ([FREE], 3, (64, 96), 3),
        ([FREE], 20, (64, 96), 8),
        ([FREE, SMALL], 20, (640, 640), 8),
        ([FREE, SMALL], 1, (32, 32), 1),
        ([Profile.fixed((4, 3, 64, 64)), Profile.fixed((1, 3, 64, 64))], 3, (64, 64), 1),
        ([FREE], 1, (1312, 32), None),
    ],
)
def test_pictures_go_in_the_largest_portions_that_fit(profiles, count, size, wanted):
    assert portion(profiles, count, size) == wanted


def test_sizes_are_named_as_users_write_them():
    assert words([Profile.fixed((2, 3, 64, 96))]) == "64x96"
    assert words([FREE, SMALL]) == "32x32 to 1280x1280 or 32x32 to 640x640"


def test_what_a_runtime_says_loses_the_places_in_its_source():
    assert plain("[tacticSupply.cpp::getSupportedFormats::48] Error Code 2: no\n more") == "Error Code 2: no"
    assert plain("ModelImporter.cpp:140: While parsing\n") == "While parsing"
    assert plain("") == ""


# -- with the double


@pytest.fixture
def gpus(monkeypatch, tmp_path):
    """A machine with GPUs and TensorRT, both pretended: gpus(("name", (8, 9)), …) → the driver."""
    yield pretend(monkeypatch, tmp_path / "site")
    sys.modules.pop("tensorrt", None)


@pytest.fixture
def cuda(gpus):
    return gpus(ADA)


@pytest.fixture
def standard(cuda, upstream, tmp_path):
    """Plans of the double: standard(half=True) → path."""
    return lambda **options: build(upstream(**options), tmp_path / f"{len(list(tmp_path.iterdir()))}.engine", **options)


@pytest.fixture(scope="module")
def expected(weights):
    """The outputs of the weights themselves."""
    network = made_up.network_of(weights)
    return lambda batch: made_up.outputs_of(network, batch)


def errors(raw, wanted):
    """Largest error of boxes, scores, coefficients, prototypes."""
    pairs = [(getattr(raw, name), getattr(wanted, name)) for name in ("boxes", "scores", "coefficients", "prototypes")]
    return [float(np.abs(got - want).max()) for got, want in pairs]


@built_here
def test_the_double_has_no_names_that_the_real_classes_lack():
    real = runtimes.imported(runtimes.RTX)
    for name, kind in vars(tensorrt_on_cpu).items():
        if not isinstance(kind, type) or kind.__module__ != "tensorrt_on_cpu":
            continue
        own = {each for each in vars(kind) if not each.startswith("_")} - {"take", "model"}
        lacking = sorted(each for each in own if not hasattr(getattr(real, name), each))
        assert not lacking, f"{name} has no {', '.join(lacking)}"


@pytest.mark.parametrize("options", [{}, {"half": True}, {"int8": True}], ids=str)
def test_a_plan_built_on_a_gpu_says_so_and_computes(standard, expected, options):
    path = standard(**options)
    built = read_engine(path).built
    assert (built.runtime, built.version, built.gpu, built.targets) == ("standard", "10.13.3.9", ADA[0], ("sm89",))
    batch = made_up.pictures(1, SIZE)
    with BACKEND.load(path, load_options()) as predictor:
        boxes, *others = errors(predictor.run(batch), expected(batch))
    exact = not options
    assert boxes <= (5e-3 if exact else 30)
    assert max(others) <= (1e-3 if exact else 3)


def test_float_is_not_rounded_to_ten_bits_and_options_reach_the_builder(standard):
    content = plan_of(standard(workspace=1.5))
    assert b'"TF32": false' in content
    assert f'"WORKSPACE": {3 << 29}'.encode() in content


def test_a_dla_is_told_to_the_builder_and_to_the_runtime(standard, monkeypatch):
    cores = []
    monkeypatch.setattr(
        tensorrt_on_cpu.Runtime, "DLA_core", property(fset=lambda self, core: cores.append(core)), raising=False
    )
    path = standard(half=True, device="dla:1")
    assert read_engine(path).built.dla == 1
    assert b'"device": "DLA", "core": 1, "GPU_FALLBACK": true' in plan_of(path)
    BACKEND.load(path, load_options(device="dla:1")).close()
    assert cores == [1]


def test_a_free_plan_takes_any_batch_and_size_in_its_range(standard, expected):
    path = standard(dynamic=True, batch=4, max_imgsz=(96, 128))
    with BACKEND.load(path, load_options()) as predictor:
        predictor.warm_up()
        for count, size in ((1, SIZE), (6, (64, 96)), (2, (96, 128)), (1, (32, 32))):
            batch = made_up.pictures(count, size, seed=count)
            assert max(errors(predictor.run(batch), expected(batch))) <= 5e-3
        for size in ((96, 160), (64, 80)):
            with pytest.raises(OptionError, match=r"32x32 to 96x128 only, in multiples of 32.*max_imgsz"):
                predictor.run(made_up.pictures(1, size))


def test_a_fixed_plan_takes_any_number_of_pictures_and_no_other_size(standard, expected):
    with BACKEND.load(standard(), load_options()) as predictor:
        batch = made_up.pictures(3, SIZE)
        assert max(errors(predictor.run(batch), expected(batch))) <= 5e-3
        with pytest.raises(OptionError, match=r"takes 64x64 only.*dynamic=True"):
            predictor.run(made_up.pictures(1, (64, 96)))


def test_outputs_belong_to_the_caller_and_nothing_is_left_on_the_gpu(standard, cuda):
    predictor = BACKEND.load(standard(), load_options())
    first = predictor.run(made_up.pictures(1, SIZE, seed=1))
    before = first.boxes.copy(), first.prototypes.copy()
    taken = cuda.allocations
    second = predictor.run(made_up.pictures(1, SIZE, seed=2))
    assert cuda.allocations == taken == 6, "the buffers of the first run, three on each side, serve the second"
    assert not np.array_equal(first.boxes, second.boxes)
    predictor.close()
    assert (before[0] == first.boxes).all()
    assert (before[1] == first.prototypes).all()
    assert cuda.left == NOTHING
    assert cuda.ended[-3:] == ENDED


def refuse(monkeypatch):
    monkeypatch.setattr(tensorrt_on_cpu, "__version__", "10.13.3.8")
    return ["Runtime"]


def take_two(monkeypatch):
    monkeypatch.setattr(tensorrt_on_cpu.ICudaEngine, "get_tensor_mode", lambda *_: tensorrt_on_cpu.TensorIOMode.INPUT)
    return ["ICudaEngine", "Runtime"]


def have_no_room(monkeypatch):
    monkeypatch.setattr(tensorrt_on_cpu.ICudaEngine, "create_execution_context", lambda _: None)
    return ["ICudaEngine", "Runtime"]


@pytest.mark.parametrize("fail", [refuse, take_two, have_no_room])
def test_what_the_runtime_made_is_gone_before_the_context_where_loading_fails(standard, cuda, monkeypatch, fail):
    path = standard()
    cuda.ended.clear()
    ended = [(name, True) for name in fail(monkeypatch)]
    with pytest.raises((ModelFileError, RuntimeFailure)) as failure:
        BACKEND.load(path, load_options())
    assert cuda.ended == ended, f"while the error stands: {failure.value}"
    assert cuda.left == NOTHING


def test_what_the_runtime_made_is_gone_before_the_context_where_a_run_fails(standard, cuda, monkeypatch):
    monkeypatch.setattr(tensorrt_on_cpu.IExecutionContext, "execute_async_v3", lambda *_: False)
    predictor = BACKEND.load(standard(), load_options())
    cuda.ended.clear()
    with pytest.raises(RuntimeFailure) as failure:
        predictor.run(made_up.pictures(1, SIZE))
    predictor.close()
    assert cuda.ended == ENDED, f"while the error stands: {failure.value}"
    assert cuda.left == NOTHING


@pytest.mark.parametrize("function", ["cuMemFree", "cuMemFreeHost", "cuStreamSynchronize", "cuStreamDestroy"])
def test_closing_goes_on_where_a_step_of_it_fails(standard, cuda, function):
    """As after an illegal access, when every call says so."""
    predictor = BACKEND.load(standard(), load_options())
    predictor.run(made_up.pictures(1, SIZE))
    cuda.ended.clear()
    cuda.failing.add(function)
    with pytest.raises(RuntimeFailure, match=f"{function} gives CUDA_ERROR_ILLEGAL_ADDRESS"):
        predictor.close()
    memory, locked, *others = cuda.left
    assert (cuda.ended, others) == (ENDED, [0, 0, []])
    assert (len(memory), len(locked)) == (3 * (function == "cuMemFree"), 3 * (function == "cuMemFreeHost"))


def test_a_gpu_that_gives_no_stream_is_left_again(cuda):
    cuda.failing.add("cuStreamCreate")
    with pytest.raises(RuntimeFailure, match="cuStreamCreate gives"):
        Gpu.open(0)
    assert cuda.left == NOTHING


def test_a_builder_is_gone_before_the_context_where_it_fails(cuda, weights, tmp_path):
    asked = ONNX.format.parse_export_options({"imgsz": SIZE, "nms": True})
    ONNX.export(ExportJob(weights, None, tmp_path / "nms.onnx", asked, metadata_for(asked)))
    with pytest.raises(ExportError) as failure:
        build(tmp_path / "nms.onnx", tmp_path / "x.engine")
    assert sorted(cuda.ended) == [("Builder", True), ("INetworkDefinition", True)], failure.value
    assert cuda.left == NOTHING


def test_threads_take_turns_and_each_has_the_context(standard, expected):
    batches = [made_up.pictures(1, SIZE, seed=seed) for seed in range(4)]
    wanted = [expected(batch) for batch in batches]
    session = Session(BACKEND, standard(), load_options())
    with ThreadPoolExecutor(8) as pool:
        for number, (raw, _) in enumerate(pool.map(session.compute, batches * 4)):
            assert max(errors(raw, wanted[number % 4])) <= 5e-3
    session.close()


def test_a_half_input_is_given_half_numbers(standard, upstream, expected, tmp_path):
    """As files of other tools have it."""
    from onnx import TensorProto, helper

    model = onnx.load(upstream())
    entry = model.graph.input[0]
    entry.type.tensor_type.elem_type = TensorProto.FLOAT16
    for node in model.graph.node:
        node.input[:] = ["wide" if name == "images" else name for name in node.input]
    model.graph.node.insert(0, helper.make_node("Cast", ["images"], ["wide"], to=TensorProto.FLOAT))
    onnx.save(model, tmp_path / "half.onnx")
    path = build(tmp_path / "half.onnx", tmp_path / "half.engine")
    assert read_engine(path).built.inputs[0].dtype == "float16"
    batch = made_up.pictures(1, SIZE)
    with BACKEND.load(path, load_options()) as predictor:
        assert 0 < errors(predictor.run(batch), expected(batch))[0] < 1


def test_a_plain_plan_of_another_tool_runs(standard, expected, tmp_path):
    path = tmp_path / "plain.engine"
    path.write_bytes(plan_of(standard()))
    batch = made_up.pictures(1, SIZE)
    with BACKEND.load(path, load_options()) as predictor:
        assert max(errors(predictor.run(batch), expected(batch))) <= 5e-3


def test_another_gpu_is_refused_before_the_runtime_sees_the_plan(gpus, standard, monkeypatch):
    path = standard()
    cuda = gpus(("NVIDIA Pretend T4", (7, 5)))
    monkeypatch.setattr(tensorrt_on_cpu.Runtime, "deserialize_cuda_engine", None)
    with pytest.raises(ModelFileError, match=r"NVIDIA Pretend 4090 \(sm89\) and this is NVIDIA Pretend T4 \(sm75\)"):
        BACKEND.load(path, load_options())
    assert cuda.retained == 0


def test_a_gpu_that_is_not_there_is_refused_with_those_that_are(gpus, standard):
    path = standard()
    gpus(ADA, ("NVIDIA Pretend T4", (7, 5)))
    with pytest.raises(OptionError, match=r"cuda:0 NVIDIA Pretend 4090 \(sm89\), cuda:1 NVIDIA Pretend T4 \(sm75\)"):
        BACKEND.load(path, load_options(device=2))
    with pytest.raises(ModelFileError, match="T4"):
        BACKEND.load(path, load_options(device="cuda:1"))


def test_a_driver_that_does_not_start_says_why(gpus, standard):
    path = standard()
    gpus(starts=100)
    with pytest.raises(RuntimeFailure, match="cuInit gives CUDA_ERROR_NO_DEVICE: in other words"):
        BACKEND.load(path, load_options())


def test_too_little_memory_is_one_line_and_the_predictor_goes_on(standard, cuda, expected):
    batch = made_up.pictures(1, SIZE)
    with BACKEND.load(standard(), load_options()) as predictor:
        cuda.room = 1000
        with pytest.raises(RuntimeFailure, match="cuMemAlloc gives CUDA_ERROR_OUT_OF_MEMORY"):
            predictor.run(batch)
        cuda.room = 1 << 30
        cuda.failing.add("cuMemAllocHost")
        with pytest.raises(RuntimeFailure, match="cuMemAllocHost gives"):
            predictor.run(batch)
        assert cuda.memory == {}, "one side without the other serves nobody"
        cuda.failing.clear()
        assert cuda.stack == []
        cuda.room = 1 << 30
        assert max(errors(predictor.run(batch), expected(batch))) <= 5e-3


def test_a_plan_that_the_runtime_refuses_is_refused_in_its_words(standard, cuda, monkeypatch):
    path = standard()
    monkeypatch.setattr(tensorrt_on_cpu, "__version__", "10.13.3.8")
    with pytest.raises(ModelFileError, match=r"the runtime refuses it .*Serialization"):
        BACKEND.load(path, load_options())
    assert cuda.retained == 0


def test_a_failing_run_is_told_in_the_words_of_the_runtime(standard, monkeypatch):
    def fail(self, stream):
        self.engine.log.log(0, "[x.cpp::f::1] Error Code 1: Cuda Runtime (an illegal memory access)")
        return False

    monkeypatch.setattr(tensorrt_on_cpu.IExecutionContext, "execute_async_v3", fail)
    with (
        BACKEND.load(standard(), load_options()) as predictor,
        pytest.raises(RuntimeFailure, match=r"The engine runtime failed: Error Code 1.*illegal memory access"),
    ):
        predictor.run(made_up.pictures(1, SIZE))


def test_a_network_that_the_parser_refuses_is_named_by_its_node(cuda, weights, tmp_path):
    asked = ONNX.format.parse_export_options({"imgsz": SIZE, "nms": True})
    ONNX.export(ExportJob(weights, None, tmp_path / "nms.onnx", asked, metadata_for(asked)))
    with pytest.raises(ExportError, match=r"TensorRT does not understand the network \(NonMaxSuppression selection/"):
        build(tmp_path / "nms.onnx", tmp_path / "x.engine")


def test_a_runtime_that_cannot_be_imported_is_one_line(gpus, standard, tmp_path):
    path = standard()
    sys.modules.pop("tensorrt")
    (tmp_path / "site" / "tensorrt.py").write_text("raise ImportError('libnvinfer.so.10: cannot open\\nmore')")
    shutil.rmtree(tmp_path / "site" / "__pycache__", ignore_errors=True)
    with pytest.raises(
        RuntimeFailure, match=r"TensorRT 10\.13\.3\.9 cannot be imported \(libnvinfer\.so\.10: cannot open\)"
    ):
        BACKEND.load(path, load_options())


def test_buffers_grow_and_are_given_back():
    log = []
    gpu = SimpleNamespace(
        allocate=lambda size: log.append(f"gpu {size}") or len(log),
        allocate_host=lambda size: log.append(f"host {size}") or len(log),
        free=lambda address: log.append(f"gpu -{address}"),
        free_host=lambda address: log.append(f"host -{address}"),
    )
    buffers = Buffers(gpu)
    assert [buffers.of("a", size).device for size in (10, 5, 10, 20)] == [1, 1, 1, 5]
    buffers.close()
    buffers.close()
    assert log == ["gpu 10", "host 10", "host -2", "gpu -1", "gpu 20", "host 20", "host -6", "gpu -5"]


def test_a_gpu_that_is_closed_leaves_nothing(cuda):
    with Gpu.open(0) as gpu, gpu.current():
        assert gpu.stream == 555
        buffers = Buffers(gpu)
        sent = buffers.of("sent", 100)
        array = sent.array((2, 2), np.dtype(np.float32))
        array[:] = [[0, 1], [2, 3]]
        gpu.upload(sent, array.nbytes)
        back = Buffer(sent.size, sent.device, buffers.of("back", 16).host)
        gpu.download(back, 16)
        assert back.array((4,), np.dtype(np.float32)).tolist() != [0, 1, 2, 3], "it is queued"
        gpu.wait()
        assert back.array((4,), np.dtype(np.float32)).tolist() == [0, 1, 2, 3]
        buffers.close()
    gpu.close()
    assert cuda.left == NOTHING


def test_the_double_of_the_driver_has_no_names_that_the_bindings_lack():
    real = pytest.importorskip("cuda.bindings.driver")
    for name in (each for each in vars(Cuda) if each.startswith("cu")):
        assert hasattr(real, name), name
    for kind in (CUresult, CUdevice_attribute, CUstream_flags):
        assert {each.name: each.value for each in kind} == {
            each.name: int(getattr(getattr(real, kind.__name__), each.name)) for each in kind
        }


@pytest.mark.skipif(devices.gpu_is_here(), reason="there is a GPU here")
def test_the_bindings_say_that_there_is_no_driver():
    pytest.importorskip("cuda.bindings.driver")
    with pytest.raises(RuntimeFailure, match=r"the NVIDIA driver cannot be called \(cuInit: ") as failure:
        Driver.of_this_machine()
    assert "\n" not in str(failure.value)


def test_without_the_bindings_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "cuda-bindings>=12\.9"$'):
        Driver.of_this_machine()


# -- inspection


@built_here
def test_inspecting_tells_tensors_runtime_gpus_and_profile(made):
    found = BACKEND.inspect(made(dynamic=True, batch=4))
    assert found.producer == f"TensorRT-RTX {RTX}"
    assert found.inputs[0].shape == ("batch", 3, "height", "width")
    assert found.outputs[0].shape == ("batch", 4 + 80 + 32, "anchors")
    assert found.outputs[1].shape == ("batch", 32, "mask_height", "mask_width")
    assert found.facts["made for"] == "sm80+"
    assert found.facts["precision"] == "fp32"
    assert found.facts["profile"] == "1x3x32x32 to 4x3x640x640, best at 4x3x64x64"


def test_inspecting_tells_the_gpu_that_a_plan_was_built_on(file):
    found = BACKEND.inspect(file(runtime="standard", version="10.9.0.34", gpu="NVIDIA L4", dla=0))
    assert found.facts["made for"] == "sm89 (NVIDIA L4)"
    assert found.facts["DLA core"] == "0"


def test_the_doctor_does_not_take_the_two_runtimes_for_rivals():
    for with_gpu in (True, False):
        assert not any(need.rivals and need.alternatives for need in declared(with_gpu=with_gpu).requires)
    assert all(need.rivals for need in ONNX.format.requires)
