"""Files for the Edge TPU: what is compiled is made for real, and computed by LiteRT on the CPU; neither Google's
compiler nor the device is here, nor on any package registry. How the one is called and read is tried with a stand-in
(`fakes/pretended_edge_tpu_compiler.py`), the other with a delegate that does nothing.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_tpu_on_cpu import OnCpu
from pretended_edge_tpu_compiler import ABORTED, HEAD, IN_PART, KILLED, WHOLE, one_operator, put_on_path

from segkit import YOLO
from segkit.conformance import BackendSuite
from segkit.conformance import reference as made_up
from segkit.conformance.bench import Bench
from segkit.conformance.gaps import need, plain
from segkit.conformance.golden import GOLDEN
from segkit.conformance.settings import Settings
from segkit.conformance.stage import Notes
from segkit.conformance.subject import Labelled, Subject, generated
from segkit.conformance.tolerance import Bounds
from segkit.core.backend import ExportJob, Feature, GapKind, Match, Metadata, Precision, Seal, TensorInfo
from segkit.core.backend.calibration import PictureCalibration
from segkit.core.backend.registry import Registry, default_registry
from segkit.core.errors import ExportError, ModelFileError, OptionError, RuntimeFailure, UnsupportedError
from segkit.core.images import ImageBatch
from segkit.core.inference.session import Session
from segkit.plugins.edgetpu import WITHOUT_COMPILER, EdgeTpuBackend, compiler, declared, devices, running
from segkit.plugins.edgetpu.compiler import compile_network
from segkit.plugins.edgetpu.cutting import cut
from segkit.plugins.edgetpu.decoding import SIDES, Scale, boxes, scores
from segkit.plugins.edgetpu.devices import delegate_name, tpu_is_here
from segkit.plugins.edgetpu.file import EdgeFile, digest, write_file
from segkit.plugins.edgetpu.graph import Call, Graph, Tensor, read_graph
from segkit.plugins.edgetpu.log import Mapped, Row, complaint
from segkit.plugins.edgetpu.supported import BEHIND, left_on_cpu

if find_spec("tensorflow") is None or find_spec("ai_edge_litert") is None:
    pytest.skip("TensorFlow or LiteRT is not installed here", allow_module_level=True)

BACKEND, ON_CPU = EdgeTpuBackend(), OnCpu()
BOTH = declared(with_tpu=True)
SIZE = (64, 64)
ANCHORS = 84
NAMES = {0: "cat", 1: "कुत्ता", 2: "circle", 3: "star", 4: "ring"}
MAKE = "shutil.copy(folder / 'made', made)"
COPY = "made.write_bytes(given.read_bytes())"


def picture_in(folder):
    """A folder with a picture to calibrate with."""
    folder.mkdir()
    cv2.imwrite(str(folder / "0.png"), made_up.pictures(1, SIZE).u8_nhwc[0])
    return folder


def metadata_of(options):
    seal = Seal(head=options.head_layout(), precision=options.precision, toolchain={"segkit": "1.2.3"})
    return Metadata(names=NAMES, batch=1, imgsz=options.imgsz, date="2026-01-02T03:04:05", segkit=seal)


@pytest.fixture(scope="module")
def integers(tmp_path_factory):
    """The file that is compiled: of the suite's own model."""
    registry = default_registry()
    saved_model, tflite = registry.get("saved_model"), registry.get("tflite")
    folder = tmp_path_factory.mktemp("edgetpu")
    options = BOTH.parse_export_options({"imgsz": SIZE})
    between = tflite.format.parse_source_options(BACKEND.source_options(options))
    first = saved_model.format.parse_source_options(tflite.source_options(between))
    saved_model.export(ExportJob(GOLDEN, None, folder / "model_saved_model", first, metadata_of(first)))
    shown = PictureCalibration(made_up.pictures(8, SIZE, seed=3).u8_nhwc, 1)
    job = ExportJob(None, folder / "model_saved_model", folder / "model.tflite", between, metadata_of(between), shown)
    tflite.export(job)
    return folder / "model.tflite"


@pytest.fixture(scope="module")
def uncompiled(integers, tmp_path_factory):
    """The same, gone through all but the compiler."""
    options = ON_CPU.format.parse_export_options({"imgsz": SIZE})
    target = tmp_path_factory.mktemp("uncompiled") / "model_uncompiled.tflite"
    ON_CPU.export(ExportJob(None, integers, target, options, metadata_of(options)))
    return target


@pytest.fixture(scope="module")
def compiled(integers):
    """What a compiled file looks like."""
    return one_operator(cut(EdgeFile(integers).network).content)


# -- what the Edge TPU runs


def test_every_operator_of_the_network_is_one_of_the_edge_tpu(integers):
    whole, (content, outputs) = EdgeFile(integers).graph, cut(EdgeFile(integers).network)
    graph = read_graph(content)
    assert [call.operator for call in whole.calls if call not in graph.calls]  # what the CPU would have to run
    assert left_on_cpu(whole)[0].operator == "SOFTMAX"
    assert left_on_cpu(graph) == []
    assert len(graph.calls) > 200
    found = {outputs[info.name]: (info.dtype, info.shape) for _, info in graph.outputs}
    assert found == {
        "distances": ("int8", (1, ANCHORS, 64)),
        "logits": ("int8", (1, ANCHORS, len(NAMES))),
        "coefficients": ("int8", (1, ANCHORS, 32)),
        "prototypes": ("int8", (1, 16, 16, 32)),
    }
    assert graph.inputs[0][1].dtype == "int8"


def test_what_is_decoded_outside_is_what_the_network_decodes(integers, uncompiled):
    """But for its own rounding: two steps of 4 pixels for boxes (some reach 500), steps of 1/256 for scores."""
    batch, tflite = made_up.pictures(2, SIZE), default_registry().get("tflite")
    with tflite.load(integers, tflite.format.parse_load_options({})) as predictor:
        wanted = predictor.run(batch)
    with ON_CPU.load(uncompiled, ON_CPU.format.parse_load_options({})) as predictor:
        found = predictor.run(batch)
    assert np.abs(found.boxes - wanted.boxes).max() < 8
    assert np.abs(found.scores - wanted.scores).max() < 1 / 128
    assert np.array_equal(found.coefficients, wanted.coefficients)
    assert np.array_equal(found.prototypes, wanted.prototypes)


def test_distances_are_decoded_as_means_of_their_distributions():
    scale, size, bins = Scale(0.1, -3), (32, 64), 16
    distances = np.random.default_rng(0).integers(-128, 128, (2, 8 + 2, SIDES * bins)).astype(np.int8)
    raw = scale.real(distances).astype(float).reshape(2, 10, SIDES, bins)
    likely = np.exp(raw) / np.exp(raw).sum(-1, keepdims=True)
    left, top, right, bottom = np.moveaxis((likely * np.arange(bins)).sum(-1), -1, 0)
    x = np.array([0.5, 1.5, 2.5, 3.5] * 2 + [0.5, 1.5])
    y = np.array([0.5] * 4 + [1.5] * 4 + [0.5] * 2)
    stride = np.array([16] * 8 + [32] * 2)
    wanted = np.stack([x + (right - left) / 2, y + (bottom - top) / 2, left + right, top + bottom], 1) * stride
    assert np.allclose(boxes(distances, scale, size, (16, 32)), wanted, atol=1e-3)
    assert np.allclose(scores(distances, scale), 1 / (1 + np.exp(-scale.real(distances).astype(float))), atol=1e-6)
    steep = boxes(distances, Scale(0.6, 127), size, (16, 32))  # 150 between the least and the most likely
    assert np.isfinite(steep).all()


def test_another_network_is_refused(integers):
    content, _ = cut(EdgeFile(integers).network)
    with pytest.raises(ValueError, match=r"its outputs are .* not boxes, scores, coefficients and prototypes"):
        cut(content)


def tensor(*shape, dtype="int8", data=b""):
    return Tensor(TensorInfo("x", dtype, shape), data)


def numbers(*values):
    return tensor(len(values), dtype="int32", data=np.array(values, "<i4").tobytes())


@pytest.mark.parametrize(
    ("operator", "inputs", "why"),
    [
        ("SPLIT_V", [tensor(1, 8, 8, 4)], "not among the operators"),
        ("ADD", [tensor(1, 8, 8, 4, dtype="float32")], "computes in float32"),
        ("ADD", [tensor(2, 8, 8, 4)], "only the last 3 sides"),
        ("ADD", [tensor(1, None, 8, 4)], "its size is free"),
        ("SOFTMAX", [tensor(1, 84, 4, 16)], "of one row"),
        ("SOFTMAX", [tensor(1, 16_001)], "of 16,000 numbers at most"),
        ("PAD", [tensor(1, 8, 8, 4), numbers(1, 1, 0, 0, 0, 0, 0, 0)], "not along the batch"),
        ("SPLIT", [numbers(0), tensor(1, 8, 8, 4)], "not along the batch"),
        ("MEAN", [tensor(1, 8, 8, 4), numbers(-4)], "not along the batch"),
        ("CONCATENATION", [tensor(1, 8), tensor(1, 8, data=b"\1" * 8)], "no constant but one of zeros"),
        ("STRIDED_SLICE", [tensor(8, 8), numbers(0, 0), numbers(8, 8), numbers(2, 1)], "strides of 1"),
        ("SOFTMAX", [tensor(1, 16_000)], None),
        ("PAD", [tensor(1, 8, 8, 4), numbers(0, 0, 1, 1, 1, 1, 0, 0)], None),
        ("SPLIT", [numbers(3), tensor(1, 8, 8, 4)], None),
        ("CONCATENATION", [tensor(1, 8), tensor(1, 8, data=bytes(8))], None),
    ],
)
def test_a_limit_of_the_edge_tpu_is_seen(operator, inputs, why):
    tensors = (*inputs, tensor(1, 8, 8, 4), tensor(1, 8, 8, 4))
    last = len(inputs)
    calls = (Call(operator, tuple(range(last)), (last,), None), Call("RELU", (last,), (last + 1,), None))
    found = left_on_cpu(Graph(tensors, calls, (), ()))
    assert [each.operator for each in found] == ([operator, "RELU"] if why else [])
    if why:
        assert why in found[0].why
        assert found[1].why == BEHIND


# -- the compiler


def test_what_the_compiler_says_is_read():
    whole = Mapped.parse(WHOLE)
    assert (whole.version, whole.segments, whole.operators, whole.on_tpu) == ("16.0.384591198", 1, 31, 31)
    assert (whole.on_chip, whole.free, whole.streamed, whole.cpu) == ("3.33MiB", "4.40MiB", "0.00B", ())
    part = Mapped.parse(IN_PART)
    assert (part.operators, part.on_tpu, part.streamed) == (273, 263, "128.00KiB")
    assert [row.operator for row in part.cpu] == ["CONV_2D", "SOFTMAX", "MUL"]
    assert part.cpu[2] == Row("MUL", 2, "More than one subgraph is not supported")
    assert Mapped.of(json.loads(json.dumps(part.to_plain()))) == part


@pytest.mark.parametrize("text", ["", "nothing of interest", HEAD])
def test_a_log_that_says_little_is_no_error(text):
    assert Mapped.parse(text).operators == 0


@pytest.mark.parametrize(
    "plain",
    [
        *(None, 3, "x", {"a": 1}, {"cpu": 5}, {"cpu": [["ADD"]]}, {"cpu": [["A", "b", "c"]]}),
        *({"operators": "many"}, {"segments": None}, {"on_tpu": float("inf")}),
    ],
)
def test_what_others_write_about_a_compilation_is_left_out(plain):
    assert Mapped.of(plain) is None


def test_numbers_that_others_wrote_as_texts_are_told_all_the_same():
    facts = Mapped.of({"operators": "1200", "on_tpu": "3", "on_chip": 5, "version": 16}).facts()
    assert facts["on the Edge TPU"] == "3 of 1,200 operators, in 0 segments"


def test_the_complaint_is_the_line_that_says_why():
    assert complaint(ABORTED) == "ERROR: Didn't find op for builtin opcode 'CONV_2D' version '9'"
    assert complaint(KILLED) == "Compilation child process killed after timeout period. Compilation failed!"
    assert complaint("one\ntwo\n\n") == "two"
    assert complaint("") == ""


FAILURES = {
    "code": (ABORTED, "sys.exit(1)", "ended with code 1 (it says: ERROR: Didn't find op for builtin opcode"),
    "crash": (HEAD, "os.kill(os.getpid(), 11)", "crashed with SIGSEGV"),
    "signal": (HEAD, "os.kill(os.getpid(), 40)", "crashed with signal 40"),
    "no end": (HEAD, "import time; time.sleep(60)", "was still at work after 1 seconds (timeout=… gives it more)"),
    "nothing": (KILLED, "", "made no file (it says: Compilation child process killed after timeout period"),
    "half": (WHOLE, "made.write_bytes(given.read_bytes()[:999])", "made a file that is damaged"),
    "nothing mapped": (WHOLE, COPY, "put nothing of the network on the Edge TPU"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_compiler_that_fails_is_told_in_one_line_with_a_way_out(integers, tmp_path, monkeypatch, case):
    says, does, problem = FAILURES[case]
    put_on_path(monkeypatch, tmp_path / "bin", says, does)
    monkeypatch.setattr(compiler, "GRACE", 0)
    with pytest.raises(ExportError) as failure:
        compile_network(EdgeFile(integers).network, 1 if case == "no end" else 60)
    text = str(failure.value)
    assert text.startswith(f"Export to edgetpu failed: edgetpu_compiler {problem}")
    assert text.endswith(f"; {WITHOUT_COMPILER}.")
    assert "\n" not in text
    assert HEAD.splitlines()[0] in failure.value.log


def test_a_compiler_that_cannot_be_started_is_told(integers, tmp_path, monkeypatch):
    put_on_path(monkeypatch, tmp_path / "bin", "", "")
    (tmp_path / "bin" / "edgetpu_compiler").write_bytes(b"\x7fELF of another processor")
    with pytest.raises(ExportError, match=r"edgetpu_compiler cannot be started \(exec format error\)"):
        compile_network(EdgeFile(integers).network, 60)


def test_the_compiler_sees_neither_blanks_nor_an_archive(integers, compiled, tmp_path, monkeypatch):
    put_on_path(monkeypatch, tmp_path / "bin and more", WHOLE, "import shutil; " + MAKE, compiled)
    place = tmp_path / "मॉडल ü"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    made = compile_network(EdgeFile(integers).network, 77)
    assert (made.content, made.mapped.on_tpu) == (compiled, 31)
    folder, *words = (tmp_path / "bin and more" / "called.txt").read_text().splitlines()
    assert words == ["-s", "-t", "77", "-o", ".", "model.tflite"]
    assert Path(folder).parent == place
    assert list(place.iterdir()) == []


def test_an_export_compiles_tells_and_keeps_what_was_said(integers, compiled, tmp_path, monkeypatch):
    """From the command line to the file, in a process of its own."""
    put_on_path(monkeypatch, tmp_path / "bin", IN_PART, "import shutil; " + MAKE, compiled)
    pictures, out = picture_in(tmp_path / "pictures"), tmp_path / "out and more"
    target = out / "golden_edgetpu.tflite"
    told = [f"imgsz={SIZE[0]}", f"data={pictures}", f"output={target}"]
    command = [sys.executable, "-m", "segkit.cli", "export", str(GOLDEN), "format=edgetpu", *told]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "operators are for the Edge TPU\n" in done.stderr
    assert "on the Edge TPU: 263 of 273 operators, in 1 segment; on the CPU: 1 CONV_2D (More than one" in done.stderr
    assert [item.name for item in out.iterdir()] == [target.name]
    assert default_registry().recognise(target).format.name == "edgetpu"
    metadata = BACKEND.read_metadata(target)
    assert (metadata.imgsz, metadata.precision, metadata.segkit.head.outputs) == (SIZE, Precision.INT8, "split")
    found = BACKEND.inspect(target)
    assert found.inputs == (TensorInfo("serving_default_images:0", "int8", (1, *SIZE, 3)),)
    assert found.facts["operators"] == "1 for the Edge TPU"
    assert found.facts["compiler"] == "Edge TPU Compiler 16.0.384591198"
    assert found.facts["weights on the chip"] == "3.29MiB, 2.56MiB left"
    assert found.facts["weights sent for each picture"] == "128.00KiB"


# -- what is declared


def test_without_the_compiler_what_it_would_be_given_is_kept_and_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    weights = shutil.copy(GOLDEN, tmp_path / "mine.pt")
    with pytest.raises(UnsupportedError) as refusal:
        YOLO(weights).export(format="edgetpu", imgsz=64, data=picture_in(tmp_path / "seen"), isolate=False)
    text, kept = str(refusal.value), tmp_path / "mine_full_integer_quant.tflite"
    assert (refusal.value.kind, refusal.value.exit_code) == (GapKind.NEEDS_TOOL, 2)
    assert "https://coral.ai/docs/edgetpu/compiler" in text
    assert f"kept at '{kept}': run 'edgetpu_compiler {kept.name}'" in text
    assert "\n" not in text
    assert sorted(item.name for item in tmp_path.iterdir()) == ["mine.pt", kept.name, "seen"]
    assert "to be compiled (" in BACKEND.inspect(kept).facts["operators"]


def test_without_compiling_the_file_for_the_compiler_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    weights = shutil.copy(GOLDEN, tmp_path / "mine.pt")
    options = {"imgsz": 64, "data": picture_in(tmp_path / "seen"), "compile": False, "isolate": False}
    made = Path(YOLO(weights).export(format="edgetpu", **options))
    assert made == tmp_path / "mine_full_integer_quant.tflite"
    assert default_registry().recognise(made).format.name == "edgetpu"
    assert "to be compiled (" in BACKEND.inspect(made).facts["operators"]
    with pytest.raises(ModelFileError, match="'edgetpu_compiler mine_full"):
        BACKEND.load(made, BACKEND.format.parse_load_options({}))


@pytest.mark.parametrize(
    ("options", "error", "problem"),
    [
        ({"precision": "fp32"}, OptionError, "the Edge TPU computes in 8 bits only"),
        ({"half": True}, UnsupportedError, "the Edge TPU computes in 8 bits only"),
        ({"batch": 2}, OptionError, "one picture at a time"),
        ({"dynamic": True}, UnsupportedError, "one picture of one size"),
        ({"nms": True}, UnsupportedError, "no operator that selects"),
        ({"timeout": 1}, OptionError, "timeout"),
    ],
)
def test_what_the_chip_cannot_is_refused(options, error, problem):
    with pytest.raises(error, match=problem):
        BOTH.parse_export_options(options)


def test_int8_goes_without_saying():
    assert BOTH.parse_export_options({}) == BOTH.parse_export_options({"precision": "int8"})
    assert BOTH.parse_export_options({"int8": True}).needs_calibration()


# -- devices


@pytest.mark.parametrize(
    ("device", "name"), [("tpu", ""), ("tpu:1", ":1"), ("usb", "usb"), ("usb:0", "usb:0"), ("pci:2", "pci:2")]
)
def test_devices_are_called_as_the_runtime_calls_them(device, name):
    assert delegate_name(BOTH.parse_load_options({"device": device}).device) == name


@pytest.mark.parametrize("device", ["cpu", "cuda", "0", "usb:x", ""])
def test_other_devices_are_refused(device):
    with pytest.raises(OptionError, match="runs on Edge TPUs alone"):
        BOTH.parse_load_options({"device": device})


@pytest.mark.skipif(sys.platform != "linux", reason="where devices are files")
def test_an_edge_tpu_is_seen_on_pcie_and_on_usb(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "PCIE", tmp_path)
    monkeypatch.setattr(devices, "USB", tmp_path / "usb")
    assert not tpu_is_here()
    stick = tmp_path / "usb" / "1-2"
    stick.mkdir(parents=True)
    for product in ("9301", "9302"):
        (stick / "idVendor").write_text("18d1\n")
        (stick / "idProduct").write_text(f"{product}\n")
        assert tpu_is_here() == (product == "9302")
    shutil.rmtree(stick)
    (tmp_path / "apex_0").touch()
    assert tpu_is_here()


def test_a_runtime_that_is_not_installed_is_told(monkeypatch):
    monkeypatch.setattr(running, "library", lambda: "libedgetpu-of-nobody.so.1")
    with pytest.raises(UnsupportedError, match=r"needs-tool.*libedgetpu-of-nobody.so.1.*coral.ai.*is not installed"):
        running.delegate("tpu")


DELEGATE = """
#include <stdio.h>
#include <string.h>
struct Delegate { void* data; int (*prepare)(void*, struct Delegate*); void* others[3]; long long flags; void* last; };
static int prepare(void* context, struct Delegate* self) { return 0; }
static struct Delegate only = {0, prepare, {0}, 0, 0};
void* tflite_plugin_create_delegate(char** keys, char** values, size_t count, void (*complain)(const char*)) {
    if (count == 1 && !strcmp(keys[0], "device") && !strcmp(values[0], "usb:0")) return &only;
    complain("no such device");
    return 0;
}
void tflite_plugin_destroy_delegate(void* delegate) {}
"""
"""Opens usb:0, and leaves every operator to the CPU."""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A delegate like that of the Edge TPU's runtime."""
    folder = tmp_path_factory.mktemp("library")
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler to make a delegate with")
    (folder / "delegate.c").write_text(DELEGATE)
    made = folder / "libedgetpu.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", made, folder / "delegate.c"], check=True)
    return made


def test_the_network_is_given_to_the_device_that_was_asked_for(uncompiled, library, monkeypatch, capfd):
    from segkit.plugins.edgetpu.predictor import EdgeTpuPredictor

    monkeypatch.setattr(running, "library", lambda: str(library))
    file, options = EdgeFile(uncompiled), BOTH.parse_load_options({"device": "usb:0", "threads": 2})
    batch = made_up.pictures(3, SIZE)
    with EdgeTpuPredictor(file, options, file.metadata(), [running.delegate("usb:0")]) as predictor:
        predictor.warm_up()
        found = predictor.run(batch)
    with ON_CPU.load(uncompiled, ON_CPU.format.parse_load_options({})) as predictor:
        wanted = predictor.run(batch)
    assert np.array_equal(found.boxes, wanted.boxes)
    with pytest.raises(RuntimeFailure, match=r"device=usb:7 cannot be opened: is it plugged in.*no such device"):
        running.delegate("usb:7")
    assert capfd.readouterr() == ("", "")


def test_a_compiled_file_needs_the_delegate(compiled, library, tmp_path, monkeypatch):
    path = tmp_path / "x_edgetpu.tflite"
    path.write_bytes(compiled)
    monkeypatch.setattr(running, "library", lambda: str(library))
    monkeypatch.setattr(EdgeTpuBackend, "format", BOTH)
    with pytest.raises(ModelFileError, match="the runtime refuses it"):  # this delegate knows no such operator
        BACKEND.load(path, BOTH.parse_load_options({"device": "usb:0"}))


# -- running, on the CPU


def test_pictures_as_bytes_and_as_numbers_give_the_same(uncompiled):
    pixels = made_up.pictures(2, SIZE).u8_nhwc
    with ON_CPU.load(uncompiled, ON_CPU.format.parse_load_options({})) as predictor:
        one = predictor.run(ImageBatch.from_u8(pixels))
        other = predictor.run(ImageBatch.from_f32((pixels / np.float32(255)).transpose(0, 3, 1, 2)))
    assert one.boxes.shape == (2, 4, ANCHORS)
    assert np.array_equal(one.scores, other.scores)
    assert np.array_equal(one.prototypes, other.prototypes)


def test_another_size_is_refused_and_the_predictor_goes_on(uncompiled):
    with ON_CPU.load(uncompiled, ON_CPU.format.parse_load_options({})) as predictor:
        with pytest.raises(OptionError, match="takes 64x64 only"):
            predictor.run(made_up.pictures(1, (64, 96)))
        assert len(predictor.run(made_up.pictures(1, SIZE)).boxes) == 1


@pytest.fixture(scope="module")
def on_cpu():
    """All formats, and this one with the CPU at its end."""
    others = (entry.plugin for entry in default_registry().all() if entry.plugin.name != "edgetpu")
    known = Registry(dict.fromkeys(others))
    known.register("edge_tpu_on_cpu", "edge_tpu_on_cpu")
    return known


def test_what_is_compiled_sees_what_pytorch_sees(on_cpu, tmp_path):
    """Raw outputs, objects and scores of the suite's own model, by the suite's own bounds."""

    class Suite(BackendSuite):
        format = "edge_tpu_on_cpu"

    shown, observed, data = generated(tmp_path / "data")
    (tmp_path / "made").mkdir()
    bench = Bench(on_cpu, Suite.format, GOLDEN, tmp_path / "made", observed)
    golden = Subject("golden", bench, shown, Labelled(data, "test"))
    told = on_cpu, Settings(), Precision.INT8
    Suite().test_pictures_of_several_shapes(*told, golden)
    Suite().test_objects_are_the_same(*told, golden, Bounds(), Notes([]), tmp_path)
    Suite().test_scores_are_the_same(*told, golden, Bounds(), Notes([]))


def test_the_suite_knows_that_there_is_no_file_in_float32(on_cpu, tmp_path, monkeypatch):
    assert plain(BOTH) is Precision.INT8
    need(BOTH)
    need(BOTH, Precision.INT8)
    with pytest.raises(pytest.skip.Exception, match="files of this format are in int8, and not in fp32"):
        need(BOTH, Precision.FP32)
    with pytest.raises(pytest.skip.Exception, match="int8 is not asked for"):
        need(BOTH, wanted=[Precision.FP32])
    monkeypatch.setenv("PATH", str(tmp_path))
    bench = Bench(default_registry(), "edgetpu", GOLDEN, tmp_path)
    with pytest.raises(pytest.xfail.Exception, match=r"declared gap 'export' \(needs-tool\)"):
        bench.export(imgsz=SIZE, batch=1)


# -- files


def test_a_file_of_another_tool_is_known_read_and_refused(data):
    path = data / "foreign" / "best128_full_integer_quant_edgetpu.tflite"
    registry = default_registry()
    assert registry.recognise(path).format.name == "edgetpu"
    assert registry.get("tflite").recognises(path).confidence < Match.CONTENT
    metadata = BACKEND.read_metadata(path)
    assert (metadata.imgsz, metadata.batch, metadata.names[2]) == ((128, 128), 1, "Truk Besar")
    assert BACKEND.inspect(path).facts["operators"] == "1 for the Edge TPU"
    if BACKEND.format.support.gap(Feature.PREDICT):
        with pytest.raises(UnsupportedError, match=r"needs-hardware.*runs on an Edge TPU only"):
            Session(BACKEND, path, BACKEND.format.parse_load_options({}))


def test_a_file_of_whole_numbers_is_tensorflow_lite_s(integers):
    assert default_registry().recognise(integers).format.name == "tflite"


def test_a_file_that_was_compiled_by_hand_is_described_by_the_one_beside_it(uncompiled, compiled, tmp_path):
    path = tmp_path / "model_edgetpu.tflite"
    path.write_bytes(compiled)  # the compiler leaves out what is behind the network
    assert BACKEND.read_metadata(path).names == {}
    shutil.copy(uncompiled, tmp_path / "model.tflite")
    assert BACKEND.read_metadata(path).names[1] == "कुत्ता"
    assert sorted(EdgeFile(path).outputs.values()) == ["coefficients", "distances", "logits", "prototypes"]
    EdgeFile(path).verify()
    (tmp_path / "model.tflite").write_bytes(b"something else")
    assert BACKEND.read_metadata(path).names == {}


def test_metadata_and_the_words_of_the_compiler_lie_behind_the_network(compiled, tmp_path):
    path, told = tmp_path / "x_edgetpu.tflite", metadata_of(BOTH.parse_export_options({"imgsz": SIZE}))
    write_file(path, compiled, told, {"a": "logits"}, Mapped.parse(IN_PART))
    assert BACKEND.read_metadata(path) == told
    with zipfile.ZipFile(path) as archive:  # as other tools do
        notes = json.loads(archive.read("metadata.json"))
    assert (notes["names"]["1"], notes["sha256"]) == ("कुत्ता", digest(compiled))
    assert notes["edgetpu"]["log"]["on_tpu"] == 263
    assert EdgeFile(path).outputs == {"a": "logits"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda content: content[: len(content) // 2], "damaged"),
        (lambda content: content[:-64], "damaged"),
        (lambda content: b"", "it is empty"),
        (lambda content: b"<html>" * 9, "no file for the Edge TPU"),
        (lambda content: content[:200] + bytes([content[200] ^ 1]) + content[201:], "damaged"),
        (lambda content: content[:8] + b"\xff" * 64 + content[72:], "damaged"),
    ],
)
def test_what_is_damaged_is_told(compiled, tmp_path, change, problem):
    path, told = tmp_path / "x_edgetpu.tflite", metadata_of(BOTH.parse_export_options({"imgsz": SIZE}))
    write_file(path, compiled, told, {}, Mapped.parse(WHOLE))
    path.write_bytes(change(path.read_bytes()))
    for look in (BACKEND.inspect, lambda path: BACKEND.load(path, BACKEND.format.parse_load_options({}))):
        with pytest.raises(ModelFileError, match=problem) as refusal:
            look(path)
        assert "\n" not in str(refusal.value)
