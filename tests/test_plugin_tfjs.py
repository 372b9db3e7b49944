"""Graph models of TensorFlow.js, ours and other tools': they run as the weights do, and say clearly when they can't."""

from __future__ import annotations

import base64
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec

import numpy as np
import pytest
import yaml

from segkit.core.backend import ExportJob, Feature, Metadata, Precision, Seal, TensorInfo
from segkit.core.backend.registry import default_registry
from segkit.core.errors import (
    ExportError,
    MissingDependencyError,
    ModelFileError,
    OptionError,
    RuntimeFailure,
    SegkitError,
)
from segkit.core.images import ImageBatch
from segkit.plugins.pb import PbBackend
from segkit.plugins.saved_model import SavedModelBackend
from segkit.plugins.tfjs import TfJsBackend, packages, process
from segkit.plugins.tfjs.folder import METADATA, PROGRAM, SUMS, digest

if find_spec("tensorflow") is None:
    pytest.skip("TensorFlow is not installed here", allow_module_level=True)

from segkit.plugins.tfjs.exporter import graph_pb2
from segkit.plugins.tfjs.graph import KERNELS, fused, pruned
from segkit.plugins.tfjs.weights import precisions, shards, store

BACKEND = TfJsBackend()
NAMES = {0: "cat", 1: "कुत्ता", **{index: f"class {index}" for index in range(2, 80)}}

node = pytest.mark.usefixtures("tensorflow_js")


def load(path, **options):
    return BACKEND.load(path, BACKEND.format.parse_load_options(options))


def noise(batch, height, width, seed=0):
    return ImageBatch.from_f32(np.random.default_rng(seed).random((batch, 3, height, width), np.float32))


def metadata_of(parsed):
    seal = Seal(
        precision=parsed.precision,
        dynamic_batch=parsed.dynamic,
        dynamic_size=parsed.dynamic,
        toolchain={"segkit": "1.2.3", "tensorflow-cpu": "4.5.6"},
    )
    return Metadata(names=NAMES, batch=parsed.batch, imgsz=parsed.imgsz, date="2026-01-02T03:04:05", segkit=seal)


@pytest.fixture(scope="module")
def made(n_seg_pt, tmp_path_factory):
    """Artefacts of the trained weights for 64x64, each made once: made(half=True) → path."""
    folder, cache = tmp_path_factory.mktemp("tfjs"), {}

    def make(**options):
        key = repr(sorted(options.items()))
        if key not in cache:
            parsed = BACKEND.format.parse_export_options({"imgsz": (64, 64)} | options)
            chain = [(BACKEND, parsed)]
            for source in (PbBackend(), SavedModelBackend()):
                above, asked = chain[-1]
                chain.append((source, source.format.parse_source_options(above.source_options(asked))))
            upstream = None
            for number, (backend, asked) in enumerate(reversed(chain)):
                target = folder / f"{len(cache)}-{number}-{backend.format.artefact_name('model', asked)}"
                backend.export(ExportJob(None if upstream else n_seg_pt, upstream, target, asked, metadata_of(parsed)))
                upstream = target
            cache[key] = upstream
        return cache[key]

    return make


@pytest.fixture(scope="module")
def weights(n_seg_pt):
    """The weights themselves, as segkit runs them."""
    backend = default_registry().get("pytorch")
    with backend.load(n_seg_pt, backend.format.parse_load_options({"threads": 2})) as predictor:
        yield predictor


@pytest.fixture
def copy(made, tmp_path):
    """A copy to damage."""
    return shutil.copytree(made(), tmp_path / "model_web_model")


def errors(raw, wanted):
    """Largest error of boxes, scores, coefficients, prototypes."""
    pairs = [(getattr(raw, name), getattr(wanted, name)) for name in ("boxes", "scores", "coefficients", "prototypes")]
    return [float(np.abs(got - want).max()) for got, want in pairs]


# -- it computes what the weights compute


@node
@pytest.mark.parametrize("shape", [(1, 96, 160), (3, 64, 96), (1, 64, 64)], ids=str)
def test_a_dynamic_export_takes_any_batch_and_size(made, weights, shape):
    batch = noise(*shape)
    with load(made(dynamic=True)) as predictor:
        assert max(errors(predictor.run(batch), weights.run(batch))) <= 5e-3


@node
def test_a_file_of_a_fixed_batch_takes_any_number_of_pictures_and_keeps_what_it_gave(made, weights):
    batch, other = noise(3, 64, 64), noise(1, 64, 64, seed=1)
    with load(made(batch=2)) as predictor:
        predictor.warm_up()
        given = predictor.run(batch)
        predictor.run(other)
    assert max(errors(given, weights.run(batch))) <= 5e-3


@node
def test_two_threads_compute_the_same(made):
    batch = noise(1, 64, 64)
    with load(made(), threads=1) as one, load(made(), threads=2) as two:
        assert max(errors(one.run(batch), two.run(batch))) <= 1e-3


@node
@pytest.mark.parametrize(("option", "share", "pixels", "score"), [("half", 0.53, 4, 0.03), ("int8", 0.36, 30, 0.3)])
def test_a_smaller_file_has_its_weights_rounded_and_nothing_else(made, weights, option, share, pixels, score):
    def size(path):
        return sum(file.stat().st_size for file in path.glob("*.bin"))

    path = made(**{option: True})
    assert size(path) < share * size(made())
    with load(path) as predictor:
        boxes, scores, *_ = errors(predictor.run(noise(1, 64, 64)), weights.run(noise(1, 64, 64)))
    assert 0 < boxes <= pixels
    assert 0 < scores <= score
    kinds = {each["name"]: each.get("quantization", {}).get("dtype") for each in manifest(path)}
    graph = json.loads((path / PROGRAM).read_text())["modelTopology"]["node"]
    biases = {each["input"][2] for each in graph if each["op"] == "_FusedConv2D"}
    assert {kinds[name] for name in biases} == {None}


@node
def test_another_size_than_the_files_is_refused_with_what_to_do(made):
    with load(made()) as predictor, pytest.raises(OptionError, match=r"takes 64x64 only.*dynamic=True"):
        predictor.run(noise(1, 64, 96))


def test_another_device_than_the_processor_is_refused(made):
    with pytest.raises(OptionError, match="WebAssembly runs on the CPU only"):
        load(made(), device="cuda")


# -- what is in the folder


def manifest(path):
    return json.loads((path / PROGRAM).read_text())["weightsManifest"][0]["weights"]


def test_every_bias_is_in_its_convolution_and_every_operator_has_a_kernel(made):
    program = json.loads((made() / PROGRAM).read_text())
    operators = [each["op"] for each in program["modelTopology"]["node"]]
    assert set(operators) <= KERNELS
    assert operators.count("_FusedConv2D") == 75
    assert (operators.count("Conv2D"), operators.count("BiasAdd")) == (1, 1)  # without a bias; a transposed one
    fused_with = {
        str(each["attr"]["fused_ops"]["list"]["s"])
        for each in program["modelTopology"]["node"]
        if "fused_ops" in each.get("attr", {})
    }
    assert fused_with == {str([base64.b64encode(b"BiasAdd").decode()])}


def test_what_a_bias_is_added_to_stays_if_something_else_uses_it():
    graph = graph_pb2.GraphDef()
    for name, op, *inputs in (
        ("images", "Placeholder"),
        ("kernel", "Const"),
        ("bias", "Const"),
        ("conv", "Conv2D", "images", "kernel"),
        ("sum", "BiasAdd", "conv", "bias"),
        ("passed", "Identity", "sum"),
        ("both", "AddV2", "passed:0", "conv"),
        ("unused", "Sigmoid", "conv"),
        ("output0", "Identity", "both"),
    ):
        graph.node.add(name=name, op=op, input=inputs)
    left = fused(pruned(graph, ["output0"]))
    assert [each.op for each in left.node] == [
        "Placeholder",
        "Const",
        "Const",
        "Conv2D",
        "BiasAdd",
        "AddV2",
        "Identity",
    ]
    assert list(left.node[-2].input) == ["sum", "conv"]


def test_an_operator_that_tensorflow_js_lacks_ends_the_export_by_name(tmp_path):
    graph = graph_pb2.GraphDef()
    graph.node.add(name="output0", op="Identity", input=["best"])
    graph.node.add(name="best", op="NthElement")
    (tmp_path / "x.pb").write_bytes(graph.SerializeToString())
    parsed = BACKEND.format.parse_export_options({})
    with pytest.raises(ExportError, match="no 'NthElement' that runs in WebAssembly"):
        BACKEND.export(ExportJob(None, tmp_path / "x.pb", tmp_path / "x", parsed, metadata_of(parsed)))
    assert not (tmp_path / "x").exists()


def constant(values):
    graph = graph_pb2.GraphDef()
    made = graph.node.add(name="kernel", op="Const")
    from tensorflow.python.framework import tensor_util

    made.attr["value"].tensor.CopyFrom(tensor_util.make_tensor_proto(values))
    return made


def test_eight_bits_keep_nought_and_are_at_most_half_a_step_off():
    values = np.random.default_rng(0).normal(1, 1, (40, 40)).astype(np.float32)
    values[::3] = 0
    stored = store(constant(values), BACKEND.format.parse_export_options({"int8": True}).precision)
    how = stored.spec["quantization"]
    read = np.frombuffer(stored.content, np.uint8).reshape(40, 40) * np.float32(how["scale"]) + np.float32(how["min"])
    assert np.abs(read[::3]).max() < 1e-6
    assert np.abs(read - values).max() <= how["scale"] * 0.501


def test_the_smallest_layers_have_16_bits_where_8_are_asked_for_unless_half_precision_overflows():
    layers = {
        name: np.full(size, peak)
        for name, size, peak in (("a", 100, 1), ("b", 2000, 1e5), ("c", 900, 1), ("d", 9000, 1))
    }
    assert precisions(layers, Precision.INT8) == {"a": "fp16", "b": "int8", "c": "fp16", "d": "int8"}
    assert set(precisions(layers, Precision.FP32).values()) == {Precision.FP32}


def test_half_precision_that_would_overflow_ends_the_export():
    parsed = BACKEND.format.parse_export_options({"half": True})
    with pytest.raises(ExportError, match="'kernel' exceed half precision"):
        store(constant(np.full((40, 40), 1e5, np.float32)), parsed.precision)


def test_weights_of_more_than_a_shard_are_cut(made):
    assert [len(content) for _, content in shards([store(constant(np.zeros((3 << 19,), np.float32)), None)])] == [
        4 << 20,
        2 << 20,
    ]
    assert [path.name for path in sorted(made().glob("*.bin"))] == [
        f"group1-shard{index}of4.bin" for index in (1, 2, 3, 4)
    ]


def test_a_file_says_what_was_sealed_in_it_in_yaml_and_for_javascript(made):
    parsed = BACKEND.format.parse_export_options({"imgsz": (64, 64)})
    assert BACKEND.read_metadata(made()) == metadata_of(parsed)
    told = json.loads((made() / PROGRAM).read_text())["userDefinedMetadata"]
    assert told["names"]["1"] == "कुत्ता"
    notes = yaml.safe_load((made() / METADATA).read_text())
    assert notes["names"][1] == "कुत्ता"
    assert notes[SUMS] == {path.name: digest(path) for path in made().iterdir() if path.name != METADATA}


def test_an_inspection_tells_tensors_operators_weights_and_writer(made):
    plain = BACKEND.inspect(made())
    assert plain.inputs == (TensorInfo("images", "float32", (1, 64, 64, 3)),)
    assert plain.outputs == (
        TensorInfo("output0", "float32", (1, 116, 84)),
        TensorInfo("output1", "float32", (1, 16, 16, 32)),
    )
    assert plain.producer == "segkit 1.2.3, tensorflow-cpu 4.5.6"
    assert "_FusedConv2D" in plain.facts["operators"]
    assert plain.facts["precision"] == "fp32"
    assert BACKEND.inspect(made(half=True)).facts["precision"] == "fp16"
    assert BACKEND.inspect(made(int8=True)).facts["precision"] == "int8"
    assert BACKEND.inspect(made(dynamic=True)).inputs == (TensorInfo("images", "float32", (None, None, None, 3)),)


def test_a_folder_is_known_by_its_content_whatever_its_name_and_by_its_model_json(copy):
    renamed = copy.rename(copy.with_name("anything"))
    for path in (renamed, renamed / PROGRAM):
        assert default_registry().recognise(path).format.name == "tfjs"


# -- files of other tools


def foreign(path, **notes):
    """The same graph as another tool would have left it: without a signature, with metadata of its own or none."""
    program = json.loads((path / PROGRAM).read_text())
    for key in ("signature", "userDefinedMetadata", "generatedBy", "format"):
        del program[key]
    program["convertedBy"] = "TensorFlow.js Converter v4.22.0"
    (path / PROGRAM).write_text(json.dumps(program))
    (path / METADATA).unlink()
    if notes:
        (path / METADATA).write_text(yaml.safe_dump(notes))
    return path


@node
def test_a_graph_that_says_nothing_runs_by_its_shapes(copy, weights):
    metadata = BACKEND.read_metadata(foreign(copy))
    assert (metadata.imgsz, metadata.batch, metadata.names, metadata.segkit) == ((64, 64), 1, {}, None)
    batch = noise(1, 64, 64)
    with load(copy) as predictor:
        assert max(errors(predictor.run(batch), weights.run(batch))) <= 5e-3
    assert BACKEND.inspect(copy).producer == "TensorFlow.js Converter v4.22.0"


def test_the_metadata_of_another_tool_is_read(copy):
    foreign(copy, names={0: "a", 1: "b"}, stride=32, task="segment", imgsz=[640, 640])
    metadata = BACKEND.read_metadata(copy)
    assert (metadata.names, metadata.imgsz) == ({0: "a", 1: "b"}, (64, 64))


@node
def test_an_operator_that_the_runtime_lacks_is_told(copy):
    program = json.loads((foreign(copy) / PROGRAM).read_text())
    next(each for each in program["modelTopology"]["node"] if each["op"] == "Softmax")["op"] = "Softmist"
    (copy / PROGRAM).write_text(json.dumps(program))
    with pytest.raises((ModelFileError, RuntimeFailure), match="Softmist"), load(copy) as predictor:
        predictor.run(noise(1, 64, 64))


# -- damaged and hostile files


def cut(name, share):
    def change(path):
        content = (path / name).read_bytes()
        (path / name).write_bytes(content[: int(len(content) * share)])

    return change


def flipped(path):
    content = bytearray((path / "group1-shard2of4.bin").read_bytes())
    content[1000] ^= 1
    (path / "group1-shard2of4.bin").write_bytes(content)


def without(name):
    return lambda path: (path / name).unlink()


def naming(other):
    def change(path):
        text = (path / PROGRAM).read_text().replace("group1-shard1of4.bin", other)
        (path / PROGRAM).write_text(text)
        (path / METADATA).unlink()

    return change


def written(name, text):
    return lambda path: (path / name).write_text(text)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (cut(PROGRAM, 0.5), r"its model\.json cannot be used"),
        (cut(PROGRAM, 0), r"its model\.json cannot be used"),
        (written(PROGRAM, "[" * 100_000), r"its model\.json cannot be used"),
        (
            written(PROGRAM, '{"format": "layers-model", "modelTopology": {}, "weightsManifest": []}'),
            "it is a layers-model",
        ),
        (
            written(PROGRAM, '{"modelTopology": {"node": 3}, "weightsManifest": []}'),
            "no graph of TensorFlow.js, or damaged",
        ),
        (without(PROGRAM), r"it has no model\.json"),
        (cut("group1-shard3of4.bin", 0.5), r"its weights should have \d+ bytes and have \d+"),
        (without("group1-shard3of4.bin"), "it lacks group1-shard3of4.bin"),
        (flipped, "its group1-shard2of4.bin is damaged or was changed"),
        (naming("../secret"), "which is no name of a file: hostile"),
        (naming("/etc/passwd"), "which is no name of a file: hostile"),
        (written(METADATA, "[1]"), "it holds no keys"),
    ],
)
def test_what_is_damaged_is_told(copy, change, problem):
    change(copy)
    with pytest.raises(ModelFileError, match=problem) as refusal:
        load(copy)
    assert "\n" not in str(refusal.value)


def test_sums_of_files_elsewhere_are_refused(copy):
    (copy / METADATA).write_text((copy / METADATA).read_text() + "  ../x: '0'\n")
    with pytest.raises(ModelFileError, match=r"names '\.\./x', which is no file of the folder: hostile\?"):
        load(copy)


def test_metadata_cut_anywhere_are_found_to_be_damaged(copy):
    text = (copy / METADATA).read_text()
    for length in range(0, len(text) - 1, 97):
        (copy / METADATA).write_text(text[:length])
        with pytest.raises(ModelFileError, match=r"metadata\.yaml"):
            BACKEND.read_metadata(copy)


# -- the process of Node


@node
def test_after_an_interrupt_the_next_answer_is_not_that_of_the_question_before(made, weights, monkeypatch):
    """Notebooks go on after Ctrl-C, with an answer still in the pipe."""
    one, other = noise(1, 64, 64), noise(1, 64, 64, seed=1)
    genuine = process._read

    def interrupted(stream, into):
        monkeypatch.setattr(process, "_read", genuine)
        raise KeyboardInterrupt

    with load(made()) as predictor:
        wanted = predictor.run(other)
        monkeypatch.setattr(process, "_read", interrupted)
        with pytest.raises(KeyboardInterrupt):
            predictor.run(one)
        assert max(errors(predictor.run(other), wanted)) <= 1e-6


@node
def test_a_process_that_died_is_started_anew_and_one_that_dies_again_is_told(made, weights, monkeypatch, tmp_path):
    batch = noise(1, 64, 64)
    with load(made()) as predictor:
        first = predictor._process._running
        first.kill()
        assert max(errors(predictor.run(batch), weights.run(batch))) <= 5e-3
        predictor._process._running.kill()
        (tmp_path / "worker.js").write_text('throw new Error("no more");')
        monkeypatch.setattr(packages, "PROGRAMS", tmp_path)
        with pytest.raises(RuntimeFailure, match="Node ended while it computed, twice: Error: no more"):
            predictor.run(batch)
    assert first.wait() == -signal.SIGKILL


@node
def test_closing_ends_the_process(made):
    predictor = load(made())
    running = predictor._process._running
    predictor.close()
    assert running.returncode == 0


@node
def test_a_predictor_that_nobody_closes_leaves_no_process(made):
    running = load(made())._process._running
    gc.collect()
    assert running.returncode == 0


HOLDER = """
import sys, time
from pathlib import Path
from segkit.core.backend import LoadOptions
from segkit.plugins.tfjs import TfJsBackend
predictor = TfJsBackend().load(Path(sys.argv[1]), LoadOptions(threads=2))
print(predictor._process._running.pid, flush=True)
time.sleep(100)
"""


@node
@pytest.mark.skipif(sys.platform == "win32", reason="asks for a process by its number")
def test_the_process_ends_with_the_one_that_started_it_even_if_that_is_killed(made):
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(made())], stdout=subprocess.PIPE, text=True) as holder:
        number = int(holder.stdout.readline())
        holder.kill()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("it still runs")


# -- what it needs


def test_without_the_packages_it_says_what_to_run(made, tmp_path, monkeypatch):
    monkeypatch.setenv("SEGKIT_TOOLS", str(tmp_path))
    assert not BACKEND.format.missing(Feature.EXPORT)
    with pytest.raises(MissingDependencyError, match=r"tfjs needs TensorFlow\.js in Node\.js.*Run: segkit tfjs setup"):
        BACKEND.format.require(Feature.PREDICT)
    command = [sys.executable, "-m", "segkit.cli", "predict", f"model={made()}", "source=x.jpg"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "Run: segkit tfjs setup" in done.stderr


def test_without_node_the_setup_says_so_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGKIT_TOOLS", str(tmp_path / "tools"))
    monkeypatch.setenv("PATH", str(tmp_path))
    command = [sys.executable, "-m", "segkit.cli", "tfjs", "setup"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "Error: Node.js is not found. Install version 18 or newer: https://nodejs.org\n"
    assert not (tmp_path / "tools").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="a program that is a script of sh")
def test_an_npm_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    if packages.node() is None:
        pytest.skip("Node.js is absent")
    npm = tmp_path / "npm"
    npm.write_text('#!/bin/sh\necho "npm error no such registry" >&2\nexit 1\n')
    npm.chmod(0o755)
    monkeypatch.setenv("SEGKIT_TOOLS", str(tmp_path / "tools"))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(SegkitError, match=r"npm has not installed the packages of TensorFlow\.js: no such registry"):
        packages.setup(lambda text: None)
    assert not (tmp_path / "tools").exists()


def test_the_list_of_packages_is_pinned_and_names_no_registry():
    wanted = json.loads((packages.PROGRAMS / "package.json").read_text())["dependencies"]
    locked = json.loads((packages.PROGRAMS / "package-lock.json").read_text())["packages"]
    for name, version in wanted.items():
        assert locked[f"node_modules/{name}"]["version"] == version
    installed = [each for name, each in locked.items() if name]
    assert all("integrity" in each and "resolved" not in each for each in installed)


def test_packages_that_are_there_in_part_only_are_not_ready(tmp_path, monkeypatch):
    """Else setup would say that all is well, and never mend it."""
    monkeypatch.setenv("SEGKIT_TOOLS", str(tmp_path))
    monkeypatch.setattr(packages, "node", lambda: "node")
    wanted = json.loads((packages.PROGRAMS / "package.json").read_text())["dependencies"]
    for name, version in wanted.items():
        assert packages.version() is None
        place = packages.folder() / "node_modules" / name
        place.mkdir(parents=True)
        (place / "package.json").write_text(json.dumps({"version": version}))
    assert packages.version() == wanted["@tensorflow/tfjs-core"]


def test_nothing_is_fetched_where_the_network_is_forbidden(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGKIT_TOOLS", str(tmp_path))
    monkeypatch.setenv("SEGKIT_OFFLINE", "1")
    monkeypatch.setattr(packages, "_node_version", lambda: "v20")
    with pytest.raises(SegkitError, match=r"SEGKIT_OFFLINE forbids the network: copy '.*tfjs-\w+' from a machine"):
        packages.setup(print)
    assert not any(tmp_path.iterdir())
