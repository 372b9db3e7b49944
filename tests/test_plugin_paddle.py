"""Folders of Paddle, ours and other tools': they run as the weights do, and say clearly when they cannot."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from segkit.core.backend import Anchors, ExportJob, Metadata, Seal, TensorInfo
from segkit.core.backend import format as formats
from segkit.core.backend.registry import default_registry
from segkit.core.errors import (
    ExportError,
    MissingDependencyError,
    ModelFileError,
    OptionError,
    RuntimeFailure,
    SegkitError,
    UnsupportedError,
)
from segkit.core.images import ImageBatch
from segkit.plugins.paddle import PaddleBackend, exporter
from segkit.plugins.paddle.folder import Folder
from segkit.plugins.paddle.importing import paddle
from segkit.plugins.paddle.lowering import OPERATORS

BACKEND = PaddleBackend()
NAMES = {0: "cat", 1: "कुत्ता", **{index: f"class {index}" for index in range(2, 80)}}


def load(path, **options):
    return BACKEND.load(path, BACKEND.format.parse_load_options({"threads": 2} | options))


def export(weights, target, **options):
    parsed = BACKEND.format.parse_export_options(options)
    seal = Seal(
        head=parsed.head_layout(),
        precision=parsed.precision,
        dynamic_batch=parsed.dynamic,
        dynamic_size=parsed.dynamic,
        toolchain={"segkit": "1.2.3", "paddlepaddle": "4.5.6"},
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
    folder, cache = tmp_path_factory.mktemp("paddle"), {}

    def make(**options):
        key = repr(sorted(options.items()))
        if key not in cache:
            cache[key] = folder / f"{len(cache)}_paddle_model"
            export(n_seg_pt, cache[key], imgsz=(64, 64), **options)
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


def copied(source, folder, **changes):
    """A copy of an artefact; changes are by the file's ending: json=lambda content: …."""
    target = folder / "copy_paddle_model"
    shutil.copytree(source, target)
    for ending, change in changes.items():
        (file,) = target.glob(f"*.{ending}")
        file.write_bytes(change(file.read_bytes()))
    return target


def without_sums(source, folder, **changes):
    """The same as another tool would have left it: nothing tells what the files should be."""
    target = copied(source, folder, **changes)
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


def test_one_predictor_of_a_dynamic_export_takes_one_shape_after_the_other(made, weights):
    shapes = [(1, 64, 64), (2, 64, 96), (1, 96, 64)] * 2 + [(1, 32 * side, 64) for side in range(3, 30)]
    with load(made(dynamic=True)) as predictor:
        for shape in (*shapes, (1, 64, 64)):
            raw = predictor.run(noise(*shape))
        assert max(errors(raw, weights.run(noise(1, 64, 64)))) <= 5e-3


def test_a_half_file_is_half_the_size_and_keeps_the_objects(made, weights):
    path = made(half=True)
    size = {name: (folder / "inference.pdiparams").stat().st_size for name, folder in (("half", path), ("", made()))}
    assert size["half"] < 0.51 * size[""]
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


def test_two_exports_are_the_same_files(n_seg_pt, made, tmp_path):
    export(n_seg_pt, tmp_path / "again", imgsz=(64, 64))
    for file in made().iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes(), file.name


def test_a_folder_holds_each_parameter_once_and_nothing_of_this_machine(made):
    folder = made()
    assert sorted(file.name for file in folder.iterdir()) == [
        "inference.json",
        "inference.pdiparams",
        "metadata.yaml",
    ]
    numbers = sum(np.prod(tensor.shape) for tensor in Folder.find(folder).outline.parameters)
    assert 4 * numbers < (folder / "inference.pdiparams").stat().st_size < 4.02 * numbers
    content = b"".join(file.read_bytes() for file in folder.iterdir())
    for trace in (str(Path(__file__).parent.parent), sys.prefix, os.environ.get("HOME", "/root")):
        assert trace.encode() not in content


def test_exporting_and_running_are_quiet(n_seg_pt, made, tmp_path, capfd):
    export(n_seg_pt, tmp_path / "x", imgsz=(64, 64))
    with load(tmp_path / "x") as predictor:
        predictor.run(noise(1, 64, 64))
    assert capfd.readouterr() == ("", "")


def test_an_operator_that_paddle_is_not_told_about_is_named_with_what_to_do(n_seg_pt, tmp_path, monkeypatch):
    monkeypatch.delitem(OPERATORS._functions, torch.ops.aten.silu.default)
    with pytest.raises(ExportError, match=r"aten\.silu\.default of layer model\.0;.*in segkit\.plugins\.paddle\.l"):
        export(n_seg_pt, tmp_path / "x", imgsz=(64, 64))


def test_an_export_leaves_paddle_in_the_mode_it_was_in(made):
    made()
    assert paddle().in_dynamic_mode()


# -- options


def test_a_file_of_a_fixed_batch_takes_any_number_of_pictures(n_seg_pt, tmp_path, weights):
    export(n_seg_pt, tmp_path / "two", imgsz=(64, 64), batch=2)
    batch = noise(5, 64, 64)
    with load(tmp_path / "two") as predictor:
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


def test_a_device_that_this_build_lacks_is_refused_with_those_it_has(made):
    if paddle().is_compiled_with_cuda():
        pytest.skip("this build of Paddle has CUDA")
    with pytest.raises(
        OptionError, match=r"device='cuda:0'.*Paddle offers cpu here; for cuda install paddlepaddle-gpu"
    ):
        load(made(), device=0)
    with pytest.raises(OptionError, match=r"device='foo' is not usable: Paddle offers cpu here\.$"):
        load(made(), device="foo")
    load(made(), device="CPU").close()


def test_the_devices_of_the_help_are_those_of_paddle():
    (device,) = (row for row in BACKEND.format.describe(BACKEND.format.load_options) if row.name == "device")
    assert device.help == "where to run: cpu, or with paddlepaddle-gpu cuda, cuda:1"


def test_its_import_leaves_no_folder_in_the_users_cache(tmp_path):
    code = "from segkit.plugins.paddle.importing import paddle; paddle()"
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"HOME": str(tmp_path)}, check=True)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_any_name_that_lacks_a_part_is_told_what(made, tmp_path):
    for ending, problem in (("json", "no program of Paddle"), ("pdiparams", r"no parameters \(\*\.pdiparams\)")):
        path = Path(shutil.copytree(made(), tmp_path / ending))
        (path / f"inference.{ending}").unlink()
        assert default_registry().recognise(path).format.name == "paddle"
        with pytest.raises(ModelFileError, match=problem):
            load(path)


@pytest.mark.parametrize(("option", "way_out"), [("int8", "half=True"), ("nms", "selects after")])
def test_a_gap_is_refused_with_a_way_out(option, way_out):
    with pytest.raises(UnsupportedError, match=rf"not-implemented.*{way_out}"):
        BACKEND.format.parse_export_options({option: True})


def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setattr(formats, "installed_version", lambda name: None if name.startswith("paddle") else "99")
    with pytest.raises(MissingDependencyError, match=r'pip install "paddlepaddle>=3\.2,<3\.3"'):
        BACKEND.format.require(formats.Feature.PREDICT)


# -- metadata, recognition, inspection


def test_a_folder_says_what_was_sealed_in_it(n_seg_pt, tmp_path):
    sealed = export(n_seg_pt, tmp_path / "a", imgsz=(64, 64), half=True)
    assert BACKEND.read_metadata(tmp_path / "a") == sealed
    notes = yaml.safe_load((tmp_path / "a" / "metadata.yaml").read_text(encoding="utf-8"))  # as other tools do
    assert notes["names"] == NAMES
    assert (notes["imgsz"], notes["batch"], notes["stride"], notes["task"]) == ([64, 64], 1, 32, "segment")
    assert isinstance(notes["date"], str)


def test_other_runtimes_find_the_tensors_by_the_usual_names(made):
    found = paddle().inference.Config(*(str(made() / f"inference.{ending}") for ending in ("json", "pdiparams")))
    found.disable_glog_info()
    predictor = paddle().inference.create_predictor(found)
    assert predictor.get_input_names() == ["images"]
    assert predictor.get_output_names() == ["output0", "output1"]


@pytest.mark.parametrize("name", ["best_paddle_model", "renamed.bin", "model"])
def test_a_folder_is_known_by_its_content_whatever_its_name(made, tmp_path, name):
    shutil.copytree(made(), tmp_path / name)
    assert default_registry().recognise(tmp_path / name).format.name == "paddle"
    assert default_registry().recognise(tmp_path / name / "inference.json").format.name == "paddle"
    with load(tmp_path / name / "inference.json") as predictor:
        assert predictor.run(noise(1, 64, 64)).boxes.shape == (1, 4, 84)


def test_a_json_document_and_a_folder_of_something_else_are_not_taken(tmp_path):
    (tmp_path / "data.json").write_text("{}")
    (tmp_path / "metadata.yaml").write_text("task: segment\n")
    for path in (tmp_path, tmp_path / "data.json"):
        assert BACKEND.recognises(path) is None


def test_an_inspection_tells_tensors_operators_weights_and_writer(made):
    plain = BACKEND.inspect(made())
    assert plain.inputs == (TensorInfo("images", "float32", (1, 3, 64, 64)),)
    assert plain.outputs == (
        TensorInfo("output0", "float32", (1, 116, 84)),
        TensorInfo("output1", "float32", (1, 32, 16, 16)),
    )
    assert plain.producer == "segkit 1.2.3, paddlepaddle 4.5.6"
    assert "76 conv2d" in plain.facts["operators"]
    assert plain.facts["precision"] == "fp32"
    assert plain.facts["weights"].startswith("3,4")
    free = BACKEND.inspect(made(dynamic=True))
    assert free.inputs[0].shape == (None, 3, None, None)
    assert free.outputs[0].shape == (None, 116, None)
    assert BACKEND.inspect(made(half=True)).facts["precision"] == "fp16"


ABOUT = """
import sys
from pathlib import Path
from segkit.core.backend.registry import default_registry
backend = default_registry().recognise(Path(sys.argv[1]))
assert backend.read_metadata(Path(sys.argv[1])).names[0] == "cat"
assert backend.inspect(Path(sys.argv[1])).outputs
assert not {"paddle", "torch"} & set(sys.modules), "a runtime was imported"
"""


def test_reading_about_a_folder_needs_no_runtime(made):
    child = subprocess.run([sys.executable, "-c", ABOUT, made()], capture_output=True, text=True)
    assert child.returncode == 0, child.stderr


# -- what the import of Paddle does to a process

BESIDE = """
import logging, os, signal, sys
{first}
signal.signal(signal.SIGTERM, lambda *_: print("ended in good order"))
environment, handlers = dict(os.environ), logging.root.handlers[:]
from pathlib import Path
import numpy as np
from segkit.core.backend.registry import default_registry
from segkit.core.images import ImageBatch
backend = default_registry().get("paddle")
with backend.load(Path(sys.argv[1]), backend.format.parse_load_options({{}})) as predictor:
    raw = predictor.run(ImageBatch.from_f32(np.zeros((1, 3, 64, 64), np.float32)))
assert "torch" not in sys.modules
assert raw.boxes.shape == (1, 4, 84)
changed = {{name for name, value in os.environ.items() if environment.get(name) != value}}
assert changed <= {{"LD_LIBRARY_PATH"}}, changed  # which OpenCV prepends to
assert logging.root.handlers == handlers
{then}
os.kill(os.getpid(), signal.SIGTERM)
"""


def beside(path, first="", then="", threads=None):
    code = BESIDE.format(first=first, then=then)
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment |= {"OMP_NUM_THREADS": threads} if threads else {}
    command = [sys.executable, "-W", "error", "-c", code, path]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("threads", [None, "1", "2"])
def test_running_leaves_the_process_as_it_was_and_needs_no_torch(made, threads):
    child = beside(made(), threads=threads)
    assert (child.returncode, child.stdout, child.stderr) == (0, "ended in good order\n", "")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("tensorflow") is None, reason="TensorFlow is not installed here")
def test_it_runs_behind_tensorflow_in_one_process(made):
    """Both libraries carry protobuf: without a guard the second one dies in the other's."""
    first = 'import warnings; warnings.simplefilter("ignore"); import tensorflow as tf'
    then = "assert tf.constant([1.0, 2.0]).numpy().sum() == 3"
    child = beside(made(), first, then)
    assert child.returncode == 0, child.stderr[-2000:]


# -- folders of other tools

LEGACY = """
import os, sys, warnings
os.environ["FLAGS_enable_pir_api"] = "0"
warnings.simplefilter("ignore")
import paddle
paddle.enable_static()
images = paddle.static.data("x0", [1, 3, 64, 64], "float32")
gain = paddle.static.create_parameter([1], "float32", "gain", default_initializer=paddle.nn.initializer.Constant(1.0))
level = paddle.reshape(paddle.mean(images, 1), [1, 1, 4096])[:, :, :84] * gain
boxes = paddle.ones([1, 4, 84]) * 48
head = paddle.concat([boxes, level, level * 0.5, level * 0.1, paddle.expand(level, [1, 32, 84])], 1)
prototypes = paddle.expand(images[:, :1, ::4, ::4], [1, 32, 16, 16]) * gain
executor = paddle.static.Executor(paddle.CPUPlace())
executor.run(paddle.static.default_startup_program())
paddle.static.save_inference_model(sys.argv[1], [images], [head, prototypes], executor)
"""

USUAL = """author: Somebody
version: 8.1.0
stride: 32
task: segment
batch: 1
imgsz:
- 64
- 64
names:
  0: a
  1: b
  2: c
"""


@pytest.fixture(scope="module")
def legacy(tmp_path_factory):
    """A folder as tools made it before Paddle 3: a protobuf message, other names."""
    folder = tmp_path_factory.mktemp("legacy") / "yolov8n-seg_paddle_model"
    folder.mkdir()
    command = [sys.executable, "-c", LEGACY, str(folder / "model")]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "metadata.yaml").write_text(USUAL)
    return folder


def test_a_program_of_an_earlier_paddle_runs(legacy):
    assert default_registry().recognise(legacy).format.name == "paddle"
    batch = noise(2, 64, 64)
    with load(legacy) as predictor:
        raw = predictor.run(batch)
    assert raw.boxes[1, :, 83].tolist() == [48] * 4
    np.testing.assert_allclose(raw.scores[:, 0], batch.f32_nchw.mean(1).reshape(2, -1)[:, :84], rtol=1e-5)
    np.testing.assert_array_equal(raw.prototypes[:, 31], batch.f32_nchw[:, 0, ::4, ::4])
    metadata = BACKEND.read_metadata(legacy)
    assert (metadata.names, metadata.imgsz, metadata.dynamic_size, metadata.segkit) == (
        {0: "a", 1: "b", 2: "c"},
        (64, 64),
        False,
        None,
    )


def test_an_inspection_of_another_tools_folder_tells_what_it_can(legacy):
    seen = BACKEND.inspect(legacy)
    assert seen.inputs == (TensorInfo("x0", "float32", (1, 3, 64, 64)),)
    assert [tensor.shape for tensor in seen.outputs] == [(1, 39, 84), (1, 32, 16, 16)]
    assert (seen.producer, seen.facts["author"]) == (None, "Somebody")
    assert (seen.facts["program"], seen.facts["weights"]) == ("program (protobuf)", "1 float32 in 1 tensors")


def test_a_folder_that_says_nothing_about_itself_runs_by_its_program(made, tmp_path, weights):
    path = without_sums(made(), tmp_path)
    metadata = BACKEND.read_metadata(path)
    assert (metadata.imgsz, metadata.batch, metadata.dynamic_size) == ((64, 64), 1, False)
    batch = noise(1, 64, 64)
    with load(path) as predictor:
        assert max(errors(predictor.run(batch), weights.run(batch))) <= 5e-3


def test_a_folder_of_two_programs_asks_which(made, tmp_path):
    path = copied(made(), tmp_path)
    for ending in ("json", "pdiparams"):
        shutil.copy(path / f"inference.{ending}", path / f"model.{ending}")
    with pytest.raises(ModelFileError, match=r"several programs: inference\.json, model\.json; give one"):
        BACKEND.read_metadata(path)
    assert BACKEND.read_metadata(path / "model.json").names == NAMES


# -- damaged and hostile folders


def flipped(content):
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize("ending", ["json", "pdiparams"])
def test_a_flipped_bit_is_found_before_paddle_sees_it(made, tmp_path, ending):
    path = copied(made(), tmp_path, **{ending: flipped})
    with pytest.raises(ModelFileError, match=rf"inference\.{ending} is damaged"):
        load(path)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"pdiparams": lambda content: content[:-64]}, r"pdiparams is damaged: it should have \d+ bytes and ends at"),
        ({"pdiparams": lambda content: b""}, r"pdiparams is damaged: it is empty"),
        ({"pdiparams": lambda content: b"<html>" * 99}, "byte 0 begins no tensor"),
        ({"pdiparams": lambda content: content + bytes(3)}, r"byte \d+ begins no tensor"),
        ({"pdiparams": lambda content: content + content}, "holds 310 tensors, and inference.json asks for 155: they"),
        ({"json": lambda content: content[:-64]}, r"inference\.json is damaged"),
        ({"json": lambda content: b""}, r"inference\.json is no program of Paddle: it is empty"),
        ({"json": lambda content: b"<html>"}, r"inference\.json is no program of Paddle"),
        ({"json": lambda content: content[:200] + b"[" * 99999}, r"inference\.json is damaged"),
        ({"json": lambda content: content.replace(b'"regions"', b'"reasons"')}, "missing or misplaced .KeyError"),
        (
            {"json": lambda content: content.replace(b"[16,3,3,3]", b"[3,16,3,3]")},
            r"holds '.*' as float32 16x3x3x3, and .* asks for float32 3x16x3x3",
        ),
        ({"json": lambda content: content.replace(b'"1.sigmoid"', b'"1.save_combine"')}, r"'save_combine'.*hostile\?"),
        ({"json": lambda content: content.replace(b"[1,3,64,64]", b"[1,3,64,99999]")}, "larger than any picture"),
        ({"json": lambda content: content.replace(b"[1,3,64,64]", b"[1,9,64,64]")}, "input is 1x9x64x64, not pictures"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_damaged_is_told_without_sums_too(made, tmp_path, changes, problem):
    path = without_sums(made(), tmp_path, **changes)
    with pytest.raises(ModelFileError, match=problem) as refusal:
        load(path)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("size", [0, 100, 5000, -1])
def test_a_cut_program_of_an_earlier_paddle_is_told(legacy, tmp_path, size):
    path = copied(legacy, tmp_path, pdmodel=lambda content: content[:size])
    with pytest.raises(ModelFileError):
        load(path)


@pytest.mark.parametrize(
    ("notes", "problem"),
    [("[1, 2]", "has no keys"), ("a: [", "is not YAML"), ("imgsz: wide", "imgsz"), ("names: 3", "names")],
)
def test_metadata_that_make_no_sense_are_told(made, tmp_path, notes, problem):
    path = copied(made(), tmp_path)
    (path / "metadata.yaml").write_text(notes)
    with pytest.raises(ModelFileError, match=f"cannot be understood.*{problem}"):
        BACKEND.read_metadata(path)


def test_what_is_missing_is_named(made, tmp_path):
    path = copied(made(), tmp_path)
    (path / "inference.pdiparams").unlink()
    with pytest.raises(ModelFileError, match=r"it has no parameters \(\*\.pdiparams\)"):
        BACKEND.read_metadata(path)
    (path / "inference.json").unlink()
    with pytest.raises(ModelFileError, match=r"no program of Paddle: \*\.json or \*\.pdmodel with \*\.pdiparams"):
        load(path)


def test_a_program_of_another_network_is_refused_by_its_outputs(n_seg_pt, tmp_path):
    module, program = paddle(), exporter.capture(n_seg_pt, imgsz=(64, 64))
    with exporter._static() as executor:
        images = module.static.data("images", [1, 3, 64, 64], "float32")
        gain = exporter._weights(program, half=False)("gain", torch.ones(1))
        module.static.save_inference_model(str(tmp_path / "a"), [images], [images * gain], executor)
    with (
        load(tmp_path) as predictor,
        pytest.raises(ModelFileError, match=r"not belong to a segmentation|classification"),
    ):
        predictor.run(noise(1, 64, 64))


def test_what_fails_in_a_run_is_told_in_paddles_last_words(made):
    with load(made(dynamic=True)) as predictor, pytest.raises(RuntimeFailure) as failure:
        predictor.run(ImageBatch.from_f32(np.zeros((1, 3, 64, 50), np.float32)))
    assert "\n" not in str(failure.value)
    assert re.search(r"paddle runtime failed: .*\w", str(failure.value))


def test_the_sums_are_those_of_the_files(made):
    sums = Folder.find(made()).notes()["checksums"]
    assert sorted(sums) == ["inference.json", "inference.pdiparams"]
    assert json.loads((made() / "inference.json").read_text())["base_code"]["magic"] == "pir"
