"""Folders of SavedModel, ours and other tools': they run as the weights do, and say clearly when they cannot."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import weakref
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from damaging import damaged

from segkit.core.backend import Anchors, ExportJob, Metadata, Seal, Selected, TensorInfo
from segkit.core.backend import format as formats
from segkit.core.backend.registry import default_registry
from segkit.core.errors import (
    ExportError,
    MissingDependencyError,
    ModelFileError,
    OptionError,
    SegkitError,
    UnsupportedError,
)
from segkit.core.images import ImageBatch
from segkit.core.inference.decode import select
from segkit.plugins.saved_model import SavedModelBackend
from segkit.plugins.saved_model.folder import SUMS, Folder
from segkit.plugins.shared.sums import check_sums

if find_spec("tensorflow") is None:
    pytest.skip("TensorFlow is not installed here", allow_module_level=True)

from tensorflow.core.protobuf import saved_model_pb2

from segkit.plugins.saved_model import exporter
from segkit.plugins.saved_model.lowering import OPERATORS
from segkit.plugins.saved_model.values import NHWC, Tensor
from segkit.plugins.shared.tensorflow import silent, tf

BACKEND = SavedModelBackend()
NAMES = {0: "cat", 1: "कुत्ता", **{index: f"class {index}" for index in range(2, 80)}}


def load(path, **options):
    return BACKEND.load(path, BACKEND.format.parse_load_options({"threads": 2} | options))


def export(weights, target, **options):
    parsed = BACKEND.format.parse_source_options(options)
    seal = Seal(
        head=parsed.head_layout(),
        selection=parsed.selection(),
        precision=parsed.precision,
        dynamic_batch=parsed.dynamic,
        dynamic_size=parsed.dynamic,
        toolchain={"segkit": "1.2.3", "tensorflow-cpu": "4.5.6"},
    )
    metadata = Metadata(names=NAMES, batch=parsed.batch, imgsz=parsed.imgsz, date="2026-01-02T03:04:05", segkit=seal)
    BACKEND.export(ExportJob(weights, None, target, parsed, metadata))
    return metadata


def noise(batch, height, width, seed=0):
    return ImageBatch.from_f32(np.random.default_rng(seed).random((batch, 3, height, width), np.float32))


@pytest.fixture(scope="module", autouse=True)
def _captured_once():
    """Exports of this module share the captured program of equal networks: it takes seconds."""
    capture, programs = exporter.capture, {}

    def captured(model, **options):
        options["head"] = options["head"].model_copy(update={"nms": False})
        key = f"{model} {options}"
        if key not in programs:
            programs[key] = capture(model, **options)
        return programs[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporter, "capture", captured)
        yield


@pytest.fixture(scope="module")
def made(n_seg_pt, tmp_path_factory):
    """Artefacts of the trained weights for 64x64, each made once: made(half=True) → path."""
    folder, cache = tmp_path_factory.mktemp("saved_model"), {}

    def make(**options):
        key = repr(sorted(options.items()))
        if key not in cache:
            cache[key] = folder / f"{len(cache)}_saved_model"
            export(n_seg_pt, cache[key], **({"imgsz": (64, 64)} | options))
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


def copied(source, folder, change=None, *, sums=True):
    """A copy of an artefact, its program changed; without `sums` as another tool would have left it."""
    target = folder / "copy_saved_model"
    shutil.copytree(source, target)
    if change is not None:
        file = target / "saved_model.pb"
        file.write_bytes(change(file.read_bytes()))
    if not sums:
        (target / "metadata.yaml").unlink()
    return target


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


@pytest.mark.parametrize("shape", [(1, 320, 480), (3, 64, 96), (2, 96, 64), (1, 64, 64)], ids=str)
def test_a_dynamic_export_takes_any_batch_and_size(made, weights, shape):
    batch = noise(*shape)
    with load(made(dynamic=True)) as predictor:
        assert max(errors(predictor.run(batch), weights.run(batch))) <= 5e-3


@pytest.mark.parametrize("boxes", ["pixels", "unit"])
@pytest.mark.parametrize("dynamic", [False, True], ids=["fixed", "dynamic"])
def test_what_other_formats_start_from_is_read_too(made, weights, boxes, dynamic):
    """One output each, channels last; boxes in units of the input's sides."""
    path = made(outputs="split", boxes=boxes, dynamic=dynamic, imgsz=(64, 96))
    shapes = {port.info.name: port.info.shape for port in Folder.find(path).outline.outputs}
    batch, anchors = (None, None) if dynamic else (1, 126)
    assert shapes["scores"] == (batch, anchors, 80)
    assert shapes["boxes"] == (batch, anchors, 4)
    given = noise(1, 64, 96)
    with load(path) as predictor:
        assert max(errors(predictor.run(given), weights.run(given))) <= 5e-3


def test_a_half_file_is_half_the_size_and_keeps_the_objects(made, weights):
    path = made(half=True)
    size = {name: (folder / "saved_model.pb").stat().st_size for name, folder in (("half", path), ("", made()))}
    assert size["half"] < 0.53 * size[""]
    batch = noise(1, 64, 64)
    with load(path) as predictor:
        boxes, scores, coefficients, prototypes = errors(predictor.run(batch), weights.run(batch))
    assert 0 < boxes <= 4
    assert 0 < scores <= 0.03
    assert 0 < coefficients <= 0.1
    assert 0 < prototypes <= 0.2


def test_weights_beyond_half_precision_are_refused_by_name(tmp_path, n_seg_pt):
    from segkit.core.model import load_network, save_network

    network = load_network(n_seg_pt)
    with torch.no_grad():
        network.model[0].conv.weight[0] = 1e6
    save_network(network, tmp_path / "large.safetensors")
    with pytest.raises(SegkitError, match=r"model_0_conv_weight' exceed half precision"):
        export(tmp_path / "large.safetensors", tmp_path / "large", half=True, imgsz=(64, 64))


def test_prediction_finds_the_objects_of_the_weights(n_seg_pt, bus, made):
    from segkit import YOLO

    wanted = YOLO(n_seg_pt)(bus, imgsz=320, rect=False)[0]
    found = YOLO(made(dynamic=True))(bus, imgsz=320, rect=False)[0]
    assert found.boxes.cls.tolist() == wanted.boxes.cls.tolist()
    np.testing.assert_allclose(found.boxes.conf, wanted.boxes.conf, atol=2e-5)
    np.testing.assert_allclose(found.boxes.xyxy, wanted.boxes.xyxy, atol=1e-2)


@pytest.mark.parametrize("agnostic", [False, True], ids=["by-class", "agnostic"])
def test_what_is_selected_inside_is_what_is_selected_outside(made, agnostic):
    limits = {"conf": 1e-5, "iou": 0.5, "max_det": 20}
    path = made(nms=True, dynamic=True, agnostic_nms=agnostic, **limits)
    batch = noise(3, 64, 96)
    with load(made(dynamic=True)) as plain, load(path) as selecting:
        wanted = select(plain.run(batch), agnostic=agnostic, **limits)
        found = selecting.run(batch)
    assert isinstance(found, Selected)
    assert sum(map(len, wanted)) > 20
    for number, picture in enumerate(wanted):
        np.testing.assert_array_equal(found.xyxy[number], picture.xyxy)
        np.testing.assert_array_equal(found.confidence[number], picture.confidence)
        np.testing.assert_array_equal(found.classes[number], picture.classes)
        np.testing.assert_array_equal(found.coefficients[number], picture.coefficients)


def test_the_whole_graph_holds_one_transpose(made):
    """What converters put around every layer."""
    assert Folder.find(made()).outline.operators["Transpose"] == 1
    assert Folder.find(made(outputs="split", boxes="unit")).outline.operators["Transpose"] == 0


def test_a_file_holds_each_weight_once_and_nothing_of_this_machine(made):
    folder = made()
    size = (folder / "saved_model.pb").stat().st_size
    numbers = sum(Folder.find(folder).outline.weights.values())
    assert 4 * numbers < size < 4.1 * numbers
    content = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    for trace in (str(Path(__file__).parent.parent), sys.prefix):
        assert trace.encode() not in content


def test_exporting_and_running_are_quiet(n_seg_pt, tmp_path, capfd):
    export(n_seg_pt, tmp_path / "x", imgsz=(64, 64))
    with load(tmp_path / "x") as predictor:
        predictor.run(noise(1, 64, 64))
    assert capfd.readouterr() == ("", "")


def test_an_operator_that_tensorflow_is_not_told_about_is_named_with_what_to_do(n_seg_pt, tmp_path, monkeypatch):
    monkeypatch.delitem(OPERATORS._functions, torch.ops.aten.silu.default)
    with pytest.raises(ExportError, match=r"aten\.silu\.default of layer model\.0;.*in segkit\.plugins\.saved_"):
        export(n_seg_pt, tmp_path / "x", imgsz=(64, 64))


class _Of(torch.nn.Module):
    """A function as a layer."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


class _Scaled(torch.nn.Module):
    """Arithmetic with numbers that are known when the graph is built, of fewer dimensions than the map."""

    def __init__(self):
        super().__init__()
        self.register_buffer("gain", torch.arange(8.0).view(8, 1, 1))

    def forward(self, x):
        return (x - self.gain * 2) * self.gain / (self.gain + 1.5)


def _anchors(x):
    """What is computed with sides that are free."""
    rows = torch.arange(x.shape[2]).type_as(x).view(-1, 1).expand(x.shape[2], x.shape[3])
    return torch.stack([x * rows, x + rows], 1)


LAYERS = {
    "grouped": torch.nn.Conv2d(8, 12, 3, 2, 1, groups=4),
    "depthwise": torch.nn.Conv2d(8, 8, 3, padding=1, groups=8),
    "depthwise-multiplied": torch.nn.Conv2d(8, 24, 3, 2, 1, groups=8),
    "depthwise-uneven": torch.nn.Conv2d(8, 8, 3, (2, 1), 1, groups=8),
    "dilated": torch.nn.Conv2d(8, 4, 3, padding=2, dilation=2),
    "oblong": torch.nn.Conv2d(8, 4, (1, 5), (1, 2), (0, 2), bias=False),
    "transposed": torch.nn.ConvTranspose2d(8, 5, 3, 2, 1),
    "pooled": torch.nn.MaxPool2d(3, 2, 1),
    "enlarged": torch.nn.Upsample(scale_factor=2.0),
    "silu": torch.nn.SiLU(),
    "sigmoid": torch.nn.Sigmoid(),
    "softmax": torch.nn.Softmax(1),
    "scaled": _Scaled(),
    "added": _Of(lambda x: torch.add(x.transpose(2, 3), x.transpose(2, 3).sigmoid(), alpha=2)),
    "subtracted": _Of(lambda x: torch.sub(x, 3, alpha=0.5) / x.sigmoid()),
    "joined": _Of(lambda x: torch.cat([x, x.sigmoid() * x], 1)),
    "joined-across": _Of(lambda x: torch.cat([x.view(*x.shape[:2], -1), (x * 2).view(*x.shape[:2], -1)], 2)),
    "split": _Of(lambda x: torch.cat(x.split([3, 5], 1)[::-1], 1)),
    "divided": _Of(lambda x: x.view(x.shape[0], 2, 4, -1).transpose(1, 2)),
    "stacked": _Of(lambda x: torch.stack([x, x * 2], 2)),
    "expanded": _Of(lambda x: x.unsqueeze(1).expand(-1, 3, -1, -1, -1)),
    "anchors": _Of(_anchors),
    "ones": _Of(lambda x: x * x.new_ones(x.shape[2], x.shape[3])),
}


@cache
def _captured(name, free):
    torch.manual_seed(0)
    shapes = {0: torch.export.Dim("batch"), 2: 2 * torch.export.Dim("rows", min=2)} if free else None
    exported = torch.export.export(
        LAYERS[name].eval(), (torch.rand(2, 8, 12, 16),), dynamic_shapes=[shapes] if free else None, strict=False
    )
    return _Program(exported.run_decompositions({}))


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")  # torch warns about itself
@pytest.mark.parametrize("free", [False, True], ids=["fixed", "free"])
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_of_any_kind_gives_torchs_numbers(name, free):
    """What other networks have, and newer heads: grouped and depthwise convolutions among them."""
    program, given = _captured(name, free), torch.rand(2, 8, 12, 16)
    spec = tf.TensorSpec([None, None, None, 8] if free else [2, 12, 16, 8], tf.float32)

    def network(images):
        made = OPERATORS.run(program, Tensor(images, NHWC), lambda name, weight: weight.numpy())
        return made["out"].natural().data

    function = tf.function(network, input_signature=[spec], autograph=False)
    found = function(given.numpy().transpose(0, 2, 3, 1)).numpy()
    with torch.no_grad():
        np.testing.assert_allclose(found, LAYERS[name](given).numpy(), atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")
def test_every_operator_of_the_table_is_among_these_layers():
    seen = {node.target for name in LAYERS for free in (False, True) for node in _captured(name, free).graph}
    assert {*OPERATORS._functions} - seen == set()


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")
def test_a_layer_that_is_not_implemented_is_named():
    LAYERS["turned"] = torch.nn.MaxPool2d(2, ceil_mode=True)
    try:
        program = _captured("turned", False)
    finally:
        del LAYERS["turned"]
    with pytest.raises(ExportError, match=r"aten\.max_pool2d.*pooling with dilation or rounded up is not implemented"):
        OPERATORS.run(program, Tensor(tf.zeros([2, 12, 16, 8]), NHWC), lambda name, weight: weight.numpy())


class _Program:
    """As much of a captured program as the walk asks for."""

    output_names = ("out",)

    def __init__(self, exported):
        self.graph = tuple(exported.graph.nodes)
        names = {**exported.graph_signature.inputs_to_parameters, **exported.graph_signature.inputs_to_buffers}
        self.weights = {name: exported.state_dict[target].detach() for name, target in names.items()}


# -- options


def test_a_closed_predictor_lets_its_graph_go_at_once(made):
    predictor = load(made())
    graph = weakref.ref(predictor._session.graph)
    gc.disable()
    try:
        predictor.close()
        assert graph() is None  # of 4 MB, which would stay until Python collects
    finally:
        gc.enable()


def test_a_file_of_a_fixed_batch_takes_any_number_of_pictures(made, weights):
    batch = noise(5, 64, 64)
    with load(made(batch=2)) as predictor:
        predictor.warm_up()
        assert max(errors(predictor.run(batch), weights.run(batch))) <= 5e-3


def test_another_size_than_the_files_is_refused_with_what_to_do(made):
    with load(made()) as predictor, pytest.raises(OptionError, match=r"takes 64x64 only.*dynamic=True"):
        predictor.run(noise(1, 64, 96))


@pytest.mark.parametrize("threads", [None, 1, 3])
def test_any_number_of_threads_gives_the_same_numbers(made, weights, threads):
    batch = noise(1, 64, 64)
    with load(made(), threads=threads) as predictor:
        assert max(errors(predictor.run(batch), weights.run(batch))) <= 5e-3


def test_a_device_that_this_machine_lacks_is_refused_with_those_it_has(made):
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("this machine has a GPU that TensorFlow knows")
    with pytest.raises(OptionError, match=r"device='cuda:0'.*TensorFlow offers cpu here"):
        load(made(), device=0)


def test_int8_is_refused_with_a_way_out():
    with pytest.raises(UnsupportedError, match=r"unsupported-by-runtime.*half=True.*onnx"):
        BACKEND.format.parse_export_options({"int8": True})


def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setattr(formats, "installed_version", lambda name: None if name.startswith("t") else "99")
    with pytest.raises(MissingDependencyError, match=r'pip install "tensorflow-cpu>=2\.18"'):
        BACKEND.format.require(formats.Feature.PREDICT)


# -- metadata, recognition, inspection


def test_a_folder_says_what_was_sealed_in_it(n_seg_pt, tmp_path):
    sealed = export(n_seg_pt, tmp_path / "a", imgsz=(64, 64), half=True)
    assert BACKEND.read_metadata(tmp_path / "a") == sealed
    notes = yaml.safe_load((tmp_path / "a" / "metadata.yaml").read_text(encoding="utf-8"))  # as other tools do
    assert notes["names"] == NAMES
    assert (notes["imgsz"], notes["batch"], notes["stride"], notes["task"]) == ([64, 64], 1, 32, "segment")
    assert isinstance(notes["date"], str)


@pytest.mark.parametrize("name", ["best_saved_model", "renamed.bin", "model"])
def test_a_folder_is_known_by_its_content_whatever_its_name(made, tmp_path, name):
    shutil.copytree(made(), tmp_path / name)
    assert default_registry().recognise(tmp_path / name).format.name == "saved_model"
    assert default_registry().recognise(tmp_path / name / "saved_model.pb").format.name == "saved_model"
    with load(tmp_path / name / "saved_model.pb") as predictor:
        assert predictor.run(noise(1, 64, 64)).boxes.shape == (1, 4, 84)


def test_an_inspection_tells_signature_operators_weights_and_writer(made):
    plain = BACKEND.inspect(made())
    assert plain.inputs == (TensorInfo("images", "float32", (1, 64, 64, 3)),)
    assert plain.outputs == (
        TensorInfo("output0", "float32", (1, 116, 84)),
        TensorInfo("output1", "float32", (1, 16, 16, 32)),
    )
    assert plain.producer == f"segkit 1.2.3, tensorflow {tf.__version__}"
    assert plain.facts["signature"] == "serving_default"
    assert "75 Conv2D" in plain.facts["operators"] or "76 Conv2D" in plain.facts["operators"]
    assert plain.facts["precision"] == "fp32"
    assert plain.facts["weights"].startswith("3,4")
    free = BACKEND.inspect(made(dynamic=True))
    assert free.inputs[0].shape == (None, None, None, 3)
    assert free.outputs[0].shape == (None, 116, None)
    assert BACKEND.inspect(made(half=True)).facts["precision"] == "fp16"
    assert BACKEND.inspect(made(nms=True)).outputs[0].shape == (1, 300, 38)


ABOUT = """
import sys
from pathlib import Path
from segkit.core.backend.registry import default_registry
backend = default_registry().recognise(Path(sys.argv[1]))
assert backend.read_metadata(Path(sys.argv[1])).names[0] == "cat"
assert backend.inspect(Path(sys.argv[1])).outputs
assert not {"tensorflow", "torch"} & set(sys.modules), "a runtime was imported"
"""


def test_reading_about_a_folder_needs_no_runtime(made):
    child = subprocess.run([sys.executable, "-c", ABOUT, made()], capture_output=True, text=True)
    assert child.returncode == 0, child.stderr


# -- in a process of its own

SERVED = """
import importlib.abc, sys
class Nothing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in ("segkit", "torch"):
            raise ImportError(name)
sys.meta_path.insert(0, Nothing())
import numpy as np, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
call = model.signatures["serving_default"]
images = np.load(sys.argv[2])
found = call(images=tf.constant(images))
again = model.network(tf.constant(images))
np.testing.assert_allclose(found["output0"], again["output0"], atol=1e-4)
np.savez(sys.argv[3], **{name: value.numpy() for name, value in found.items()})
"""


def test_plain_tensorflow_serves_it_without_segkit_and_torch(made, weights, tmp_path):
    batch = noise(1, 64, 64)
    np.save(tmp_path / "images.npy", batch.f32_nchw.transpose(0, 2, 3, 1))
    places = [str(made()), str(tmp_path / "images.npy"), str(tmp_path / "found.npz")]
    child = subprocess.run([sys.executable, "-c", SERVED, *places], capture_output=True, text=True)
    assert child.returncode == 0, child.stderr[-2000:]
    found = np.load(tmp_path / "found.npz")
    raw = Anchors.from_joined(found["output0"], found["output1"].transpose(0, 3, 1, 2))
    assert max(errors(raw, weights.run(batch))) <= 5e-3


KERAS = """
import sys
import keras, numpy as np
model = keras.models.load_model(sys.argv[1] + "/model.keras")
found = model.predict(np.load(sys.argv[2]), verbose=0)
np.savez(sys.argv[3], **found)
assert not {"segkit", "torch"} & set(sys.modules)
"""


def test_keras_loads_the_model_that_is_saved_beside(made, weights, tmp_path):
    path, batch = made(keras=True), noise(2, 64, 64)
    np.save(tmp_path / "images.npy", batch.f32_nchw.transpose(0, 2, 3, 1))
    places = [str(path), str(tmp_path / "images.npy"), str(tmp_path / "found.npz")]
    child = subprocess.run([sys.executable, "-c", KERAS, *places], capture_output=True, text=True)
    assert child.returncode == 0, child.stderr[-2000:]
    found = np.load(tmp_path / "found.npz")
    raw = Anchors.from_joined(found["output0"], found["output1"].transpose(0, 3, 1, 2))
    assert max(errors(raw, weights.run(batch))) <= 5e-3
    with load(path) as predictor:
        assert max(errors(predictor.run(batch), weights.run(batch))) <= 5e-3
    with pytest.raises(OptionError, match="keras=True and nms=True exclude each other"):
        BACKEND.format.parse_export_options({"keras": True, "nms": True})


BESIDE = """
import logging, os, signal, sys
{first}
environment, handlers = dict(os.environ), logging.root.handlers[:]
before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
from pathlib import Path
import numpy as np
from segkit.core.backend.registry import default_registry
from segkit.core.images import ImageBatch
backend = default_registry().get("saved_model")
with backend.load(Path(sys.argv[1]), backend.format.parse_load_options({{}})) as predictor:
    raw = predictor.run(ImageBatch.from_f32(np.zeros((1, 3, 64, 64), np.float32)))
assert "torch" not in sys.modules
assert raw.boxes.shape == (1, 4, 84)
changed = {{name for name, value in os.environ.items() if environment.get(name) != value}}
assert changed <= {{"LD_LIBRARY_PATH", "TF2_BEHAVIOR", "TPU_ML_PLATFORM", "KMP_INIT_AT_FORK"}}, changed
assert logging.root.handlers == handlers
assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
"""


def beside(path, first=""):
    command = [sys.executable, "-c", BESIDE.format(first=first), path]
    return subprocess.run(command, capture_output=True, text=True)


def test_running_leaves_the_process_as_it_was_and_needs_no_torch(made):
    child = beside(made())
    assert (child.returncode, child.stdout, child.stderr) == (0, "", "")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("paddle") is None, reason="Paddle is not installed here")
def test_it_runs_behind_paddle_in_one_process(made):
    child = beside(made(), "from segkit.plugins.paddle.importing import paddle; paddle()")
    assert child.returncode == 0, child.stderr[-2000:]


# -- folders of other tools


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """A folder as TensorFlow 1 made them: weights in files beside, names of its own, no word about itself."""
    folder = tmp_path_factory.mktemp("foreign") / "yolov8n-seg_saved_model"
    v1 = tf.compat.v1
    with silent(), tf.Graph().as_default(), v1.Session() as session:
        images = v1.placeholder(tf.float32, [1, 64, 64, 3], "x0")
        gain = v1.get_variable("gain", [1], initializer=v1.ones_initializer(), use_resource=True)
        level = tf.reshape(tf.reduce_mean(images, 3), [1, 1, 4096])[:, :, :84] * gain
        head = tf.concat([tf.ones([1, 4, 84]) * 48, level, level * 0.5, level * 0.1, tf.tile(level, [1, 32, 1])], 1)
        prototypes = tf.tile(images[:, ::4, ::4, :1], [1, 1, 1, 32]) * gain
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(folder), {"x": images}, {"a": head, "b": prototypes})
    return folder


def test_a_folder_of_tensorflow_1_with_its_weights_beside_runs(foreign):
    assert default_registry().recognise(foreign).format.name == "saved_model"
    metadata = BACKEND.read_metadata(foreign)
    assert (metadata.imgsz, metadata.batch, metadata.dynamic_size, metadata.names) == ((64, 64), 1, False, {})
    batch = noise(2, 64, 64)
    with load(foreign) as predictor:
        raw = predictor.run(batch)
    assert raw.boxes[1, :, 83].tolist() == [48] * 4
    np.testing.assert_allclose(raw.scores[:, 0], batch.f32_nchw.mean(1).reshape(2, -1)[:, :84], rtol=1e-5)
    np.testing.assert_array_equal(raw.prototypes[:, 31], batch.f32_nchw[:, 0, ::4, ::4])


def test_a_folder_that_says_nothing_about_itself_runs_by_its_signature(made, tmp_path, weights):
    path = copied(made(), tmp_path, sums=False)
    batch = noise(1, 64, 64)
    with load(path) as predictor:
        assert max(errors(predictor.run(batch), weights.run(batch))) <= 5e-3


# -- damaged and hostile folders


def flipped(content):
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def test_a_flipped_bit_is_found_before_tensorflow_sees_it(made, tmp_path):
    with pytest.raises(ModelFileError, match=r"its saved_model\.pb (is damaged|cannot be used)"):
        load(copied(made(), tmp_path, flipped))


def test_a_file_that_is_missing_is_told(made, tmp_path):
    path = copied(made(), tmp_path)
    victim = next(name for name in Folder.find(path).notes[SUMS] if name != "saved_model.pb")
    (path / victim).unlink()
    with pytest.raises(ModelFileError, match=f"its {victim} is damaged or was changed"):
        load(path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda content: content[:-64], r"cannot be used: byte \d+ is announced, but it ends at"),
        (lambda content: content[: len(content) // 2], r"cannot be used"),
        (lambda content: b"", r"is no SavedModel: it is empty"),
        (lambda content: b"<html>", r"is no SavedModel"),
        (lambda content: content[:2], r"no graph that is for running"),
    ],
)
def test_what_is_damaged_is_told_without_sums_too(made, tmp_path, change, problem):
    path = copied(made(), tmp_path, change, sums=False)
    with pytest.raises(ModelFileError, match=problem) as refusal:
        load(path)
    assert "\n" not in str(refusal.value)


def test_a_lone_signature_is_run_whatever_its_name(made, tmp_path):
    path = copied(made(), tmp_path, lambda content: content.replace(b"serving_default", b"another_version"), sums=False)
    assert BACKEND.inspect(path).facts["signature"] == "another_version"
    with load(path) as predictor:
        assert predictor.run(noise(1, 64, 64)).boxes.shape == (1, 4, 84)


def test_a_graph_that_reads_files_is_refused(tmp_path):
    with silent():
        module = tf.Module()
        module.f = tf.function(
            lambda images: {"output0": tf.io.read_file("/etc/passwd")},
            input_signature=[tf.TensorSpec([1, 64, 64, 3], tf.float32, "images")],
            autograph=False,
        )
        tf.saved_model.save(module, str(tmp_path / "a"), {"serving_default": module.f})
    with pytest.raises(ModelFileError, match=r"calls 'ReadFile', which no network does: hostile\?"):
        load(tmp_path / "a")


def saved(folder, network):
    """A folder of a network as TensorFlow saves it."""
    with silent():
        module = tf.Module()
        module.scale = tf.Variable(1.0)
        spec = tf.TensorSpec([1, 64, 64, 3], tf.float32, "images")
        module.f = tf.function(network(module), input_signature=[spec], autograph=False)
        tf.saved_model.save(module, str(folder), {"serving_default": module.f})
    return folder


def printing(module):
    def run(images):
        tf.print("x", output_stream="file://printed")
        return {"output0": images}

    return run


def saving(module):
    def run(images):
        tf.raw_ops.SaveV2(prefix="printed", tensor_names=["a"], shape_and_slices=[""], tensors=[images])
        return {"output0": images}

    return run


@pytest.mark.parametrize(("network", "operator"), [(printing, "PrintV2"), (saving, "SaveV2")])
def test_a_graph_that_writes_files_is_refused_and_its_own_saver_is_not(tmp_path, network, operator):
    plain = saved(tmp_path / "plain", lambda module: lambda images: {"output0": images * module.scale})
    Folder.find(plain).verify()
    assert b"SaveV2" in (plain / "saved_model.pb").read_bytes()
    with pytest.raises(ModelFileError, match=f"calls '{operator}', which no network does"):
        load(saved(tmp_path / "a", network))


def test_a_restorer_that_saves_is_refused(foreign, tmp_path):
    path = shutil.copytree(foreign, tmp_path / "a")
    content = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    content.meta_graphs[0].saver_def.restore_op_name = content.meta_graphs[0].saver_def.save_tensor_name
    (path / "saved_model.pb").write_bytes(content.SerializeToString())
    with pytest.raises(ModelFileError, match="which no network does"):
        load(path)


def test_the_graph_that_tensorflow_takes_is_read_and_all_are_looked_through(foreign, tmp_path):
    path = shutil.copytree(foreign, tmp_path / "a")
    content = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    other = content.meta_graphs.add()
    other.CopyFrom(content.meta_graphs[0])
    content.meta_graphs[0].meta_info_def.tags.append("gpu")
    other.signature_def["mine"].CopyFrom(other.signature_def.pop("serving_default"))
    (path / "saved_model.pb").write_bytes(content.SerializeToString())
    assert Folder.find(path).outline.signature == "mine"
    content.meta_graphs[0].graph_def.node.add(name="x", op="ReadFile")
    (path / "saved_model.pb").write_bytes(content.SerializeToString())
    with pytest.raises(ModelFileError, match="calls 'ReadFile'"):
        load(path)


@pytest.mark.parametrize(
    ("notes", "problem"),
    [("[1, 2]", "holds no keys"), ("a: [", "is not YAML"), ("imgsz: wide", "imgsz"), ("names: 3", "names")],
)
def test_metadata_that_make_no_sense_are_told(made, tmp_path, notes, problem):
    path = copied(made(), tmp_path)
    (path / "metadata.yaml").write_text(notes)
    with pytest.raises(ModelFileError, match=f"cannot be understood.*{problem}"):
        BACKEND.read_metadata(path)


def test_any_damage_is_refused_in_one_line(made, tmp_path):
    path = copied(made(), tmp_path)
    file = path / "saved_model.pb"
    for damage in damaged(file.read_bytes()):
        file.write_bytes(damage)
        with pytest.raises(ModelFileError) as refusal:
            load(path)
        assert "\n" not in str(refusal.value)


def test_whatever_is_damaged_in_a_program_without_a_sum_it_is_read_or_refused(made, tmp_path):
    path = copied(made(), tmp_path, sums=False)
    file = path / "saved_model.pb"
    for damage in damaged(file.read_bytes()):
        file.write_bytes(damage)
        with suppress(ModelFileError):
            BACKEND.inspect(path)
        BACKEND.recognises(path)


@pytest.mark.parametrize("ending", [f"{SUMS}:\n", "segkit:\n", f"{SUMS}: {{a: b}}\nsegkit:\n  head:\n"])
def test_metadata_cut_right_behind_a_key_are_damaged(foreign, tmp_path, ending):
    path = shutil.copytree(foreign, tmp_path / "a")
    (path / "metadata.yaml").write_text(f"batch: 1\n{ending}")
    with pytest.raises(ModelFileError, match="breaks off"):
        Folder.find(path).verify()


@pytest.mark.parametrize("name", ["/dev/zero", "../a/saved_model.pb", "variables/../saved_model.pb", "C:x"])
def test_sums_of_files_elsewhere_are_refused(foreign, tmp_path, name):
    path = shutil.copytree(foreign, tmp_path / "a")
    with pytest.raises(ModelFileError, match=r"which is no file of the folder: hostile\?"):
        check_sums({name: "0"}, path, path, "metadata.yaml")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_sums_are_of_files_alone(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    for name in ("pipe", "link"):
        with pytest.raises(ModelFileError, match=f"its {name} is damaged"):
            check_sums({name: "0"}, tmp_path, tmp_path, "metadata.yaml")


def test_metadata_that_break_off_do_not_switch_the_sums_off(made, tmp_path):
    path = copied(made(), tmp_path, flipped)
    notes = path / "metadata.yaml"
    whole = notes.read_text()
    for length in range(len(whole) // 20, len(whole), len(whole) // 20):
        notes.write_text(whole[:length])
        with pytest.raises(ModelFileError):
            load(path)
