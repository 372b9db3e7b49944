"""Files of TensorFlow Lite, ours and other tools': they run as the weights do, and say clearly when they cannot."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections import Counter
from contextlib import suppress
from importlib.util import find_spec

import numpy as np
import pytest
from damaging import damaged
from hypothesis import given
from hypothesis import strategies as st

from segkit.core.backend import ExportJob, Metadata, Seal, TensorInfo
from segkit.core.backend.calibration import PictureCalibration
from segkit.core.backend.registry import default_registry
from segkit.core.errors import ModelFileError, OptionError, UnsupportedError
from segkit.core.images import ImageBatch
from segkit.core.images.reading import read_picture
from segkit.plugins.saved_model import SavedModelBackend
from segkit.plugins.shared.flatbuffer import Table
from segkit.plugins.tflite import TfLiteBackend
from segkit.plugins.tflite.file import SUM, LiteFile, digest
from segkit.plugins.tflite.observing import step_through
from segkit.plugins.tflite.outline import TYPES, read_calls

if find_spec("ai_edge_litert") is None:
    pytest.skip("LiteRT is not installed here", allow_module_level=True)

BACKEND, SOURCE = TfLiteBackend(), SavedModelBackend()
NAMES = {0: "cat", 1: "कुत्ता", **{index: f"class {index}" for index in range(2, 80)}}


def load(path, **options):
    return BACKEND.load(path, BACKEND.format.parse_load_options({"threads": 2} | options))


def noise(batch, height, width, seed=0):
    return ImageBatch.from_f32(np.random.default_rng(seed).random((batch, 3, height, width), np.float32))


def metadata_of(parsed):
    toolchain = {"segkit": "1.2.3", "tensorflow-cpu": "4.5.6"}
    seal = Seal(head=parsed.head_layout(), precision=parsed.precision, toolchain=toolchain)
    return Metadata(names=NAMES, batch=parsed.batch, imgsz=parsed.imgsz, date="2026-01-02T03:04:05", segkit=seal)


@pytest.fixture(scope="module")
def made(n_seg_pt, bus, data, tmp_path_factory):
    """Artefacts of the trained weights for 64x64, each made once: made(half=True) → path."""
    folder, cache = tmp_path_factory.mktemp("tflite"), {}

    def make(**options):
        key = repr(sorted(options.items()))
        if key not in cache:
            parsed = BACKEND.format.parse_export_options({"imgsz": (64, 64)} | options)
            source = SOURCE.format.parse_source_options(BACKEND.source_options(parsed))
            upstream = folder / f"{len(cache)}_saved_model"
            SOURCE.export(ExportJob(n_seg_pt, None, upstream, source, metadata_of(parsed.model_copy())))
            shown = None
            if parsed.needs_calibration():
                pictures = [bus, *sorted((data / "datasets" / "coco128-seg").rglob("*.jpg"))[:8]]
                shown = PictureCalibration.of_pictures(map(read_picture, pictures), parsed.imgsz)
            cache[key] = folder / f"{len(cache)}.tflite"
            told = metadata_of(parsed)
            BACKEND.export(ExportJob(None, upstream, cache[key], parsed, told, shown, report=lambda text: None))
        return cache[key]

    return make


@pytest.fixture(scope="module")
def weights(n_seg_pt):
    """The weights themselves, as segkit runs them."""
    backend = default_registry().get("pytorch")
    with backend.load(n_seg_pt, backend.format.parse_load_options({"threads": 2})) as predictor:
        yield predictor


def errors(raw, wanted):
    """Largest error of boxes, scores, coefficients, prototypes."""
    pairs = [(getattr(raw, name), getattr(wanted, name)) for name in ("boxes", "scores", "coefficients", "prototypes")]
    return [float(np.abs(got - want).max()) for got, want in pairs]


@pytest.mark.parametrize("options", [{}, {"batch": 2}, {"imgsz": (64, 96)}], ids=str)
def test_an_export_gives_the_numbers_of_the_weights(made, weights, options):
    size = options.get("imgsz", (64, 64))
    batch = noise(3, *size)
    with load(made(**options)) as predictor:
        predictor.warm_up()
        assert max(errors(predictor.run(batch), weights.run(batch))) <= 5e-3


def test_a_half_file_is_half_the_size(made, weights):
    assert made(half=True).stat().st_size < 0.53 * made().stat().st_size
    batch = noise(1, 64, 64)
    with load(made(half=True)) as predictor:
        boxes, scores, *_ = errors(predictor.run(batch), weights.run(batch))
    assert 0 < boxes <= 4
    assert 0 < scores <= 0.03


def test_int8_computes_in_bytes_and_keeps_boxes_and_scores(made, weights, bus):
    path = made(int8=True, imgsz=(320, 320))
    assert path.stat().st_size < 0.35 * made().stat().st_size
    outline = LiteFile(path).outline
    assert sorted(port.info.name for port in outline.outputs) == ["boxes", "coefficients", "prototypes", "scores"]
    assert outline.operators["TRANSPOSE"] == 0
    assert outline.weights["int8"] > 3_000_000
    numbers = {
        tensor.text(3): tensor.number(1, "<b") for tensor in Table.root(path.read_bytes()).tables(2)[0].tables(0)
    }
    calls = read_calls(path.read_bytes())
    behind = calls[next(place for place, call in enumerate(calls) if call.operator == "SOFTMAX") :]
    decoded = [name for call in behind if call.operator in ("ADD", "SUB", "SPLIT") for name in call.outputs]
    assert len(decoded) >= 5
    assert {TYPES[numbers[name]] for name in decoded} == {"float32"}
    batch = ImageBatch([read_picture(bus)], (320, 320))
    with load(path) as predictor:
        found, wanted = predictor.run(batch), weights.run(batch)
    seen = wanted.scores.max(1)[0] > 0.5
    assert np.abs(found.scores - wanted.scores)[0][:, seen].max() <= 0.2
    assert np.abs(found.boxes - wanted.boxes)[0][:, seen].max() <= 4


def test_full_integer_leaves_no_float_and_keeps_boxes_and_scores(made, weights, bus):
    path = made(int8=True, quantize="full_integer", imgsz=(320, 320))
    outline = LiteFile(path).outline
    assert {port.info.dtype for port in (*outline.inputs, *outline.outputs)} == {"int8"}
    assert outline.inputs[0].info.shape == (1, 320, 320, 3)
    assert set(outline.weights) <= {"int8", "int32"}
    assert not outline.operators["DEQUANTIZE"]
    batch = ImageBatch([read_picture(bus)], (320, 320))
    with load(path) as predictor:
        found, wanted = predictor.run(batch), weights.run(batch)
    seen = wanted.scores.max(1)[0] > 0.5
    assert np.abs(found.scores - wanted.scores)[0][:, seen].max() <= 0.2
    assert np.abs(found.boxes - wanted.boxes)[0][:, seen].max() <= 8


def test_dynamic_range_rounds_the_weights_alone_and_needs_no_pictures(made, weights, bus):
    path = made(int8=True, quantize="dynamic_range", imgsz=(320, 320))
    assert path.stat().st_size < 0.35 * made().stat().st_size
    assert LiteFile(path).outline.outputs == LiteFile(made(imgsz=(320, 320))).outline.outputs
    batch = ImageBatch([read_picture(bus)], (320, 320))
    with load(path) as predictor:
        found, wanted = predictor.run(batch), weights.run(batch)
    seen = wanted.scores.max(1)[0] > 0.5
    assert np.abs(found.scores - wanted.scores)[0][:, seen].max() <= 0.1
    assert np.abs(found.boxes - wanted.boxes)[0][:, seen].max() <= 2


def test_a_way_to_quantise_needs_int8():
    with pytest.raises(OptionError, match=r"quantize=dynamic_range .* needs int8=True"):
        BACKEND.format.parse_export_options({"quantize": "dynamic_range"})


def test_the_whole_file_holds_one_transpose(made):
    assert LiteFile(made()).outline.operators["TRANSPOSE"] == 1


@pytest.mark.parametrize("option", ["dynamic", "nms"])
def test_a_gap_is_refused_with_a_way_out(option):
    with pytest.raises(UnsupportedError, match=r"not-implemented.*saved_model"):
        BACKEND.format.parse_export_options({option: True})


def test_another_size_and_another_device_are_refused(made):
    with load(made()) as predictor, pytest.raises(OptionError, match="takes 64x64 only"):
        predictor.run(noise(1, 64, 96))
    with pytest.raises(OptionError, match="run on the cpu"):
        load(made(), device="cuda")


def test_the_archive_behind_the_network_is_read_by_others(made):
    with zipfile.ZipFile(made()) as archive:  # as other tools do
        assert archive.namelist() == ["metadata.json"]
        notes = json.loads(archive.read("metadata.json"))
    assert notes["names"]["1"] == NAMES[1]
    assert (notes["imgsz"], notes["batch"], notes["stride"], notes["task"]) == ([64, 64], 1, 32, "segment")
    content = made().read_bytes()
    assert notes[SUM] == digest(content[: content.rindex(b"PK\x03\x04")])


def test_a_file_says_what_was_sealed_in_it(made):
    parsed = BACKEND.format.parse_export_options({"imgsz": (64, 64)})
    assert BACKEND.read_metadata(made()) == metadata_of(parsed)


def test_an_inspection_tells_tensors_operators_weights_and_writer(made):
    plain = BACKEND.inspect(made())
    assert plain.inputs == (TensorInfo("images", "float32", (1, 64, 64, 3)),)
    outputs = {tensor.name: tensor.shape for tensor in plain.outputs}
    assert outputs == {"output0": (1, 116, 84), "output1": (1, 16, 16, 32)}
    assert plain.producer == "segkit 1.2.3, tensorflow-cpu 4.5.6"
    assert "CONV_2D" in plain.facts["operators"]
    assert plain.facts["precision"] == "fp32"
    assert BACKEND.inspect(made(half=True)).facts["precision"] == "fp16"


def test_running_is_quiet(made, capfd):
    with load(made()) as predictor:
        predictor.run(noise(1, 64, 64))
    assert capfd.readouterr() == ("", "")


ALONE = """
import sys
from pathlib import Path
import numpy as np
from segkit.core.backend.registry import default_registry
from segkit.core.images import ImageBatch
backend = default_registry().recognise(Path(sys.argv[1]))
with backend.load(Path(sys.argv[1]), backend.format.parse_load_options({})) as predictor:
    predictor.run(ImageBatch.from_f32(np.zeros((1, 3, 64, 64), np.float32)))
assert not {"tensorflow", "torch"} & set(sys.modules)
"""


def test_running_needs_neither_torch_nor_tensorflow(made):
    child = subprocess.run([sys.executable, "-c", ALONE, made()], capture_output=True, text=True)
    assert (child.returncode, child.stdout, child.stderr) == (0, "", "")


# -- files of other tools


def test_a_file_of_another_tool_finds_the_same_objects(data, bus, n_seg_pt):
    from segkit import YOLO

    path = data / "foreign" / "yolov8n-seg_int8.tflite"
    metadata = BACKEND.read_metadata(path)
    assert (metadata.imgsz, metadata.batch, metadata.names[5]) == ((640, 640), 1, "bus")
    found, wanted = (YOLO(model)(bus, imgsz=640, rect=False, conf=0.5)[0] for model in (path, n_seg_pt))
    assert Counter(wanted.boxes.cls.tolist()) <= Counter(found.boxes.cls.tolist())  # it adds a lesser one
    assert len(found) <= len(wanted) + 1


def test_a_file_that_is_compiled_for_another_processor_is_read_and_refused(data):
    path = data / "foreign" / "best128_full_integer_quant_edgetpu.tflite"
    assert BACKEND.read_metadata(path).imgsz == (128, 128)
    with pytest.raises(ModelFileError, match="compiled for the Edge TPU and runs nowhere else"):
        load(path)


# -- damaged files


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda content: content[: len(content) // 2], "damaged|refuses"),
        (lambda content: content[:-64], "damaged"),
        (lambda content: b"", "it is empty"),
        (lambda content: b"<html>" * 9, "no file of TensorFlow Lite"),
        (lambda content: content[:200000] + bytes([content[200000] ^ 1]) + content[200001:], "damaged"),
        (lambda content: content[:8] + b"\xff" * 64 + content[72:], "damaged"),
    ],
)
def test_what_is_damaged_is_told(made, tmp_path, change, problem):
    path = tmp_path / "x.tflite"
    path.write_bytes(change(made().read_bytes()))
    with pytest.raises(ModelFileError, match=problem) as refusal:
        load(path)
    assert "\n" not in str(refusal.value)


def test_any_damage_to_the_network_is_refused_in_one_line(made, tmp_path):
    content, path = made().read_bytes(), tmp_path / "x.tflite"
    begin = content.rindex(b"PK\x03\x04")
    for damage in damaged(content[:begin]):
        path.write_bytes(damage + content[begin:])
        with pytest.raises(ModelFileError) as refusal:
            load(path)
        assert "\n" not in str(refusal.value)


def test_whatever_is_damaged_in_a_file_without_a_sum_it_is_read_or_refused(data, tmp_path):
    path = tmp_path / "x.tflite"
    for damage in damaged((data / "foreign" / "yolov8n-seg_int8.tflite").read_bytes()):
        path.write_bytes(damage)
        with suppress(ModelFileError):
            BACKEND.inspect(path)
        BACKEND.recognises(path)


def test_any_file_under_the_name_is_refused(data, tmp_path):
    path = tmp_path / "x.tflite"
    path.write_bytes((data / "foreign" / "yolov8n-seg.onnx").read_bytes())
    with pytest.raises(ModelFileError, match="no file of TensorFlow Lite"):
        load(path)
    (tmp_path / "y.tflite").mkdir()
    with pytest.raises(ModelFileError, match="it is a folder"):
        load(tmp_path / "y.tflite")


@given(st.integers(1, 1 << 26), st.integers(1, 1024))
def test_the_numbers_that_are_counted_are_of_every_channel(numbers, channels):
    step = step_through(numbers * channels, channels)
    assert len({index * step % channels for index in range(channels)}) == channels
    assert step <= max(1, numbers * channels // 65536) + 40, "few are counted"
