"""Frozen graphs, ours and other tools': they run as the weights do, and say clearly when they cannot."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref
from contextlib import suppress
from importlib.util import find_spec

import numpy as np
import pytest
from damaging import damaged

from segkit import YOLO
from segkit.conformance.golden import GOLDEN
from segkit.core.backend import Anchors, ExportJob, Metadata, Seal, Selected, TensorInfo
from segkit.core.backend.registry import default_registry
from segkit.core.errors import ModelFileError, OptionError
from segkit.core.images import ImageBatch
from segkit.plugins.pb import PbBackend
from segkit.plugins.pb.file import SUM, GraphFile, digest
from segkit.plugins.pb.outline import NOTES
from segkit.plugins.saved_model import SavedModelBackend

if find_spec("tensorflow") is None:
    pytest.skip("TensorFlow is not installed here", allow_module_level=True)

from segkit.plugins.shared.operators import touching
from segkit.plugins.shared.tensorflow import tf

BACKEND, SOURCE = PbBackend(), SavedModelBackend()
NAMES = {0: "cat", 1: "कुत्ता", **{index: f"class {index}" for index in range(2, 80)}}


def load(path, **options):
    return BACKEND.load(path, BACKEND.format.parse_load_options({"threads": 2} | options))


def noise(batch, height, width, seed=0):
    return ImageBatch.from_f32(np.random.default_rng(seed).random((batch, 3, height, width), np.float32))


def metadata_of(parsed):
    seal = Seal(
        head=parsed.head_layout(),
        selection=parsed.selection(),
        precision=parsed.precision,
        dynamic_batch=parsed.dynamic,
        dynamic_size=parsed.dynamic,
        toolchain={"segkit": "1.2.3", "tensorflow-cpu": "4.5.6"},
    )
    return Metadata(names=NAMES, batch=parsed.batch, imgsz=parsed.imgsz, date="2026-01-02T03:04:05", segkit=seal)


@pytest.fixture(scope="module")
def made(n_seg_pt, tmp_path_factory):
    """Artefacts of the trained weights for 64x64, each made once: made(half=True) → path."""
    folder, cache = tmp_path_factory.mktemp("pb"), {}

    def make(**options):
        key = repr(sorted(options.items()))
        if key not in cache:
            parsed = BACKEND.format.parse_export_options({"imgsz": (64, 64)} | options)
            source = SOURCE.format.parse_source_options(BACKEND.source_options(parsed))
            upstream = folder / f"{len(cache)}_saved_model"
            SOURCE.export(ExportJob(n_seg_pt, None, upstream, source, metadata_of(parsed)))
            cache[key] = folder / f"{len(cache)}.pb"
            BACKEND.export(ExportJob(None, upstream, cache[key], parsed, metadata_of(parsed)))
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


@pytest.mark.parametrize("shape", [(1, 320, 480), (3, 64, 96), (1, 64, 64)], ids=str)
def test_a_dynamic_export_takes_any_batch_and_size(made, weights, shape):
    batch = noise(*shape)
    with load(made(dynamic=True)) as predictor:
        assert max(errors(predictor.run(batch), weights.run(batch))) <= 5e-3


def test_a_half_file_is_half_the_size(made, weights):
    assert made(half=True).stat().st_size < 0.53 * made().stat().st_size
    batch = noise(1, 64, 64)
    with load(made(half=True)) as predictor:
        boxes, scores, *_ = errors(predictor.run(batch), weights.run(batch))
    assert 0 < boxes <= 4
    assert 0 < scores <= 0.03


def test_a_closed_predictor_lets_its_graph_go_at_once(made):
    predictor = load(made())
    graph = weakref.ref(predictor._session.graph)
    gc.disable()
    try:
        predictor.close()
        assert graph() is None  # of 4 MB, which would stay until Python collects
    finally:
        gc.enable()


def test_what_is_selected_inside_comes_out_in_rows(made):
    with load(made(nms=True, conf=0.001)) as predictor:
        assert isinstance(predictor.run(noise(2, 64, 64)), Selected)


def test_a_graph_is_flat_and_has_the_usual_names(made):
    graph = tf.compat.v1.GraphDef.FromString(made().read_bytes())
    assert not graph.library.function
    names = {node.name for node in graph.node}
    assert {"images", "output0", "output1", NOTES} <= names
    assert sum(node.op == "Transpose" for node in graph.node) == 1


def test_the_sum_is_that_of_all_that_comes_before_the_notes(made):
    file = GraphFile(made())
    graph = tf.compat.v1.GraphDef.FromString(made().read_bytes())
    (text,) = graph.node[-1].attr["value"].tensor.string_val
    assert json.loads(text)[SUM] == digest(file.content[: file.outline.body])


def test_a_file_says_what_was_sealed_in_it(made):
    parsed = BACKEND.format.parse_export_options({"imgsz": (64, 64)})
    assert BACKEND.read_metadata(made()) == metadata_of(parsed)


def test_an_inspection_tells_tensors_operators_weights_and_writer(made):
    plain = BACKEND.inspect(made())
    assert plain.inputs == (TensorInfo("images", "float32", (1, 64, 64, 3)),)
    assert plain.outputs == (
        TensorInfo("output0", "float32", (1, 116, 84)),
        TensorInfo("output1", "float32", (1, 16, 16, 32)),
    )
    assert plain.producer == "segkit 1.2.3, tensorflow-cpu 4.5.6"
    assert "Conv2D" in plain.facts["operators"]
    assert plain.facts["precision"] == "fp32"
    assert BACKEND.inspect(made(half=True)).facts["precision"] == "fp16"


@pytest.mark.parametrize("name", ["best.pb", "renamed.bin", "model"])
def test_a_file_is_known_by_its_content_whatever_its_name(made, tmp_path, name):
    (tmp_path / name).write_bytes(made().read_bytes())
    assert default_registry().recognise(tmp_path / name).format.name == "pb"


def test_another_size_than_the_files_is_refused_with_what_to_do(made):
    with load(made()) as predictor, pytest.raises(OptionError, match=r"takes 64x64 only.*dynamic=True"):
        predictor.run(noise(1, 64, 96))


def test_a_file_of_a_fixed_batch_takes_any_number_of_pictures(made, weights):
    batch = noise(3, 64, 64)
    with load(made(batch=2)) as predictor:
        predictor.warm_up()
        assert max(errors(predictor.run(batch), weights.run(batch))) <= 5e-3


SERVED = """
import sys
import numpy as np, tensorflow as tf
graph = tf.compat.v1.GraphDef.FromString(open(sys.argv[1], "rb").read())
with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    tf.import_graph_def(graph, name="")
    found = session.run(["output0:0", "output1:0"], {"images:0": np.load(sys.argv[2])})
np.savez(sys.argv[3], *found)
assert not {"segkit", "torch"} & set(sys.modules)
"""


def test_plain_tensorflow_runs_it_without_segkit_and_torch(made, weights, tmp_path):
    batch = noise(1, 64, 64)
    np.save(tmp_path / "images.npy", batch.f32_nchw.transpose(0, 2, 3, 1))
    places = [str(made()), str(tmp_path / "images.npy"), str(tmp_path / "found.npz")]
    child = subprocess.run([sys.executable, "-c", SERVED, *places], capture_output=True, text=True)
    assert child.returncode == 0, child.stderr[-2000:]
    found = np.load(tmp_path / "found.npz")
    raw = Anchors.from_joined(found["arr_0"], found["arr_1"].transpose(0, 3, 1, 2))
    assert max(errors(raw, weights.run(batch))) <= 5e-3


# -- files of other tools


def silenced(path, target):
    """The same graph as another tool would have left it."""
    file = GraphFile(path)
    target.write_bytes(file.content[: file.outline.body])
    return target


def test_a_graph_that_says_nothing_runs_by_its_shapes(made, tmp_path, weights):
    path = silenced(made(), tmp_path / "best.pb")
    metadata = BACKEND.read_metadata(path)
    assert (metadata.imgsz, metadata.batch, metadata.names, metadata.segkit) == ((64, 64), 1, {}, None)
    batch = noise(1, 64, 64)
    with load(path) as predictor:
        assert max(errors(predictor.run(batch), weights.run(batch))) <= 5e-3


def test_classes_of_a_graph_that_says_nothing_are_named_by_a_data_set(made, tmp_path):
    path = silenced(made(), tmp_path / "best.pb")
    picture, data = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8), tmp_path / "shapes.yaml"
    names = [f"shape {index}" for index in range(80)]
    data.write_text(f"train: .\nnames: {names}\n")
    seen = YOLO(path).predict(picture, conf=0.0, data=data)[0]
    assert list(seen.names.values()) == names
    assert YOLO(GOLDEN).predict(picture, data=data)[0].names == YOLO(GOLDEN).names, "the file has its own"
    data.write_text("train: .\nnames: [one]\n")
    with pytest.raises(OptionError, match=r"Option data=.*it has 1 classes, and the model has \d"):
        YOLO(path).predict(picture, conf=0.0, data=data)


def test_a_file_beside_tells_the_names_and_the_sum(made, tmp_path):
    path = silenced(made(), tmp_path / "best.pb")
    beside = tmp_path / "best.pb.yaml"
    beside.write_text(f"names: [a, b]\n{SUM}: {digest(path.read_bytes())}\n")
    assert BACKEND.read_metadata(path).names == {0: "a", 1: "b"}
    load(path).close()
    path.write_bytes(path.read_bytes().replace(b"images", b"pixels"))
    with pytest.raises(ModelFileError, match=r"not what best\.pb\.yaml has the sum of"):
        load(path)
    beside.write_text("[1]")
    with pytest.raises(ModelFileError, match=r"best\.pb\.yaml beside it cannot be understood"):
        BACKEND.read_metadata(path)


# -- damaged and hostile files


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda content: content[: len(content) // 2], "or damaged: byte"),
        (lambda content: b"", "it is empty"),
        (lambda content: b"<html>", "no frozen graph"),
        (lambda content: b"\n\n\n\n", "no frozen graph"),
        (lambda content: content[:50000] + bytes([content[50000] ^ 1]) + content[50001:], "damaged"),
        (lambda content: content[:-64], "damaged|cannot be understood"),
    ],
)
def test_what_is_damaged_is_told(made, tmp_path, change, problem):
    path = tmp_path / "x.pb"
    path.write_bytes(change(made().read_bytes()))
    with pytest.raises(ModelFileError, match=problem) as refusal:
        load(path)
    assert "\n" not in str(refusal.value)


def test_a_graph_that_writes_files_is_refused(tmp_path):
    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.float32, [1, 64, 64, 3], "images")
        with tf.control_dependencies([tf.io.write_file("/tmp/x", "x")]):
            tf.identity(images, "output0")
    (tmp_path / "x.pb").write_bytes(graph.as_graph_def().SerializeToString())
    with pytest.raises(ModelFileError, match=r"calls 'WriteFile', which no network does: hostile\?"):
        load(tmp_path / "x.pb")


@pytest.mark.parametrize("operator", ["PrintV2", "SaveV2", "RestoreV2", "ImmutableConst", "DebugIdentityV2", "PyFunc"])
@pytest.mark.parametrize("name", ["x", NOTES])
def test_an_operator_that_touches_files_is_refused_whatever_it_is_called(tmp_path, operator, name):
    graph = tf.compat.v1.GraphDef()
    graph.node.add(name="images", op="Placeholder")
    graph.node.add(name=name, op=operator)
    (tmp_path / "x.pb").write_bytes(graph.SerializeToString())
    with pytest.raises(ModelFileError, match=f"calls '{operator}', which no network does"):
        BACKEND.inspect(tmp_path / "x.pb")


@pytest.mark.parametrize("operator", ["TextLineReaderV2", "FixedLengthRecordDatasetV2", "CreateSummaryFileWriter"])
def test_kinds_of_operators_are_known_by_their_names(operator):
    assert touching([operator, "Conv2D", "StridedSlice", "MergeSummary", "Restorable"]) == [operator]


@pytest.mark.parametrize("sides", [[1 << 20, 1 << 21], [1] * 65], ids=["large", "many"])
def test_a_tensor_larger_than_any_is_damage(tmp_path, sides):
    graph = tf.compat.v1.GraphDef()
    shape = graph.node.add(name="x", op="Const").attr["value"].tensor.tensor_shape
    for side in sides:
        shape.dim.add(size=side)
    (tmp_path / "x.pb").write_bytes(graph.SerializeToString())
    with pytest.raises(ModelFileError, match="a tensor that is larger than any"):
        BACKEND.inspect(tmp_path / "x.pb")


def test_any_damage_is_refused_in_one_line(made, tmp_path):
    content, path = made().read_bytes(), tmp_path / "x.pb"
    body = GraphFile(made()).outline.body
    for damage in damaged(content[:body]):
        path.write_bytes(damage + content[body:])
        with pytest.raises(ModelFileError) as refusal:
            load(path)
        assert "\n" not in str(refusal.value)


def test_whatever_is_damaged_in_a_graph_without_a_sum_it_is_read_or_refused(made, tmp_path):
    path = silenced(made(), tmp_path / "x.pb")
    for damage in damaged(path.read_bytes()):
        path.write_bytes(damage)
        with suppress(ModelFileError):
            BACKEND.inspect(path)
        BACKEND.recognises(path)


def test_any_file_under_the_name_is_refused(data, tmp_path):
    path = tmp_path / "x.pb"
    path.write_bytes((data / "foreign" / "yolov8n-seg.onnx").read_bytes())
    with pytest.raises(ModelFileError, match="no frozen graph of TensorFlow"):
        load(path)
