"""Files of TensorFlow Lite, ours and other tools': they run as the weights do, and say clearly when they cannot."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import warnings
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
from segkit.plugins.edgetpu import EdgeTpuBackend
from segkit.plugins.saved_model import SavedModelBackend
from segkit.plugins.shared.flatbuffer import Table
from segkit.plugins.shared.notes import read_entry
from segkit.plugins.shared.quiet import unsaid, unwarned
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


# -- damaged and hostile files


def test_a_graph_that_writes_files_is_refused(data, tmp_path):
    content, path = (data / "foreign" / "best128_full_integer_quant_edgetpu.tflite").read_bytes(), tmp_path / "x.tflite"
    texts = [struct.pack("<I", len(name)) + name for name in (b"edgetpu-custom-op", b"FlexWriteFile")]
    path.write_bytes(content.replace(texts[0], texts[1] + bytes(4)))
    with pytest.raises(ModelFileError, match=r"calls 'WriteFile', which no network does: hostile\?"):
        BACKEND.inspect(path)


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


def lengthened(content, packing):
    """Notes of 2 MB behind a network, of which the archive says that they are short."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", packing) as archive:
        archive.writestr("metadata.json", " " * (1 << 21))
    packed = stream.getvalue()
    return content + packed.replace(struct.pack("<I", 1 << 21), struct.pack("<I", 9))


@pytest.mark.parametrize(
    ("packing", "problem"),
    [
        (zipfile.ZIP_DEFLATED, "too long|damaged"),
        (zipfile.ZIP_BZIP2, "packed in"),
        (zipfile.ZIP_LZMA, "packed in"),
    ],
    ids=["deflated", "bzip2", "lzma"],
)
def test_notes_that_unpack_to_more_than_they_say_are_refused(data, tmp_path, packing, problem):
    path, content = tmp_path / "x.tflite", (data / "foreign" / "yolov8n-seg_int8.tflite").read_bytes()
    path.write_bytes(lengthened(content[: content.rindex(b"PK\x03\x04")], packing))
    for backend in (BACKEND, EdgeTpuBackend()):
        with pytest.raises(ModelFileError, match=problem):
            backend.read_metadata(path)


def test_notes_that_cannot_be_unpacked_are_told(tmp_path):
    path = tmp_path / "x.tflite"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", "{}" * 999)
    content = bytearray(path.read_bytes())
    content[30 + len("metadata.json")] = 0xFF  # a kind of block that there is none of
    path.write_bytes(content)
    with zipfile.ZipFile(path) as archive, pytest.raises(ValueError, match="invalid block type"):
        read_entry(archive, archive.infolist()[0])


def aliased(times):
    """A table with a list of one other table many times over, which has a list of as many numbers."""
    head = struct.pack("<I", 12) + struct.pack("<HHH", 6, 8, 4) + bytes(2)  # root; fields at 4: one, 4 behind a table
    outer = struct.pack("<iI", 8, 4)
    entries = 16 + 4 + 4  # where the list of tables begins
    inner = entries + 4 * times
    places = b"".join(struct.pack("<I", inner - (entries + 4 * number)) for number in range(times))
    content = head + outer + struct.pack("<I", times) + places
    return content + struct.pack("<iI", inner - 4, 4) + struct.pack("<I", times) + bytes(4 * times)


@pytest.mark.parametrize("times", [3, 1000])
def test_lists_that_lead_to_one_place_again_and_again_are_refused(times):
    tables = Table.root(aliased(times)).tables(0)
    assert len(tables) == times
    assert tables[0].numbers(0) == [0] * times
    if times > 3:
        with pytest.raises(ValueError, match="again and again"):
            [table.numbers(0) for table in tables]


def test_a_file_that_leaves_batch_and_size_free_takes_any(tmp_path):
    from segkit.plugins.shared.tensorflow import silent, tf

    def network(images):
        level = tf.reduce_mean(images, [1, 2, 3])[:, None, None]
        head = tf.tile(level, [1, 116, 84])
        return head, tf.tile(images[:, ::4, ::4, :1], [1, 1, 1, 32])

    for name, shape in (("batch", [None, 64, 64, 3]), ("all", [None, None, None, 3])):
        with silent(), unsaid():
            function = tf.function(network, input_signature=[tf.TensorSpec(shape, tf.float32)], autograph=False)
            content = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()]).convert()
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(content)
        batch = noise(3, 64, 64)
        with load(path) as predictor:
            found = predictor.run(batch)
        np.testing.assert_allclose(found.scores[:, 0, 0], batch.f32_nchw.mean((1, 2, 3)), atol=1e-5)
        np.testing.assert_array_equal(found.prototypes[:, 0], batch.f32_nchw[:, 0, ::4, ::4])


def test_two_threads_that_want_silence_leave_standard_error_as_it_was(capfd):
    first, second = unsaid(), unsaid()
    with unwarned(), warnings.catch_warnings(record=True) as seen:
        warnings.warn("one", stacklevel=1)
    assert not seen
    first.__enter__()
    second.__enter__()
    os.write(2, b"INFO: one\nsomething else\n")
    first.__exit__(None, None, None)
    os.write(2, b"I0000 two\n")
    second.__exit__(None, None, None)
    os.write(2, b"INFO: three\n")
    assert capfd.readouterr().err == "something else\nINFO: three\n"


def test_silence_needs_no_standard_error(monkeypatch, capfd):
    monkeypatch.setattr(sys, "stderr", None)
    with unsaid():
        os.write(2, b"INFO: one\ntwo\n")
    assert capfd.readouterr().err == "two\n"


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
