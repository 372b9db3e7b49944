"""ncnn models, ours and other tools': they run as the weights do, and say clearly when they cannot."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ncnn
import numpy as np
import pytest
import torch
import yaml

from segkit import YOLO
from segkit.core.backend import Anchors, ExportJob, Feature, Metadata, Seal, TensorInfo
from segkit.core.backend.described import METADATA
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
from segkit.plugins.ncnn import NcnnBackend
from segkit.plugins.ncnn.folder import BIN, PARAM, Files
from segkit.plugins.ncnn.graph import Layer, parse
from segkit.plugins.ncnn.vulkan import has_loader
from segkit.plugins.ncnn.weights import locate, numbers, packed

BACKEND = NcnnBackend()
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
        toolchain={"segkit": "1.2.3", "pnnx": "20261020"},
    )
    metadata = Metadata(names=NAMES, batch=parsed.batch, imgsz=parsed.imgsz, segkit=seal)
    BACKEND.export(ExportJob(weights, None, target, parsed, metadata))
    return metadata


def noise(batch, height, width, seed=0):
    return ImageBatch.from_f32(np.random.default_rng(seed).random((batch, 3, height, width), np.float32))


@pytest.fixture(scope="module")
def made(n_seg_pt, tmp_path_factory):
    """Artefacts of the trained weights, each made once: made(half=True) → path."""
    folder, cache = tmp_path_factory.mktemp("ncnn"), {}

    def make(**options):
        key = repr(sorted(options.items()))
        if key not in cache:
            cache[key] = folder / f"{len(cache)}_ncnn_model"
            export(n_seg_pt, cache[key], **options)
        return cache[key]

    return make


@pytest.fixture
def small(made, tmp_path):
    """A copy of an artefact for 64x64, to be damaged."""
    return shutil.copytree(made(imgsz=(64, 64)), tmp_path / "small_ncnn_model")


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


def undescribed(model):
    """The same without metadata, as of a tool that writes none."""
    (model / METADATA).unlink()
    return model


def described(model, **keys):
    """The same as another tool describes it."""
    usual = {"task": "segment", "stride": 32, "batch": 1, "imgsz": [64, 64], "names": NAMES, "args": {"half": False}}
    (model / METADATA).write_text(yaml.safe_dump(usual | keys, allow_unicode=True), encoding="utf-8")
    return model


# -- numbers


@pytest.mark.parametrize("options", [{}, {"dynamic": True, "imgsz": (64, 64)}], ids=str)
def test_an_export_gives_the_numbers_measured_elsewhere(made, reference, options):
    stored = np.load(reference / "forward_n.npz")
    batch = ImageBatch.from_u8(np.ascontiguousarray(stored["input_u8"].transpose(0, 2, 3, 1)))
    wanted = Anchors.from_joined(stored["output0"], np.load(reference / "forward_n_proto.npz")["output1"])
    with load(made(**options)) as predictor:
        boxes, scores, coefficients, prototypes = errors(predictor.run(batch), wanted)
    assert boxes <= 5e-3
    assert scores <= 2e-5
    assert coefficients <= 1e-4
    assert prototypes <= 1e-4


@pytest.mark.parametrize("shape", [(1, 320, 480), (3, 64, 96), (2, 96, 64), (1, 32, 32)], ids=str)
def test_a_dynamic_export_takes_any_batch_and_size(made, weights, shape):
    batch = noise(*shape)
    with load(made(dynamic=True, imgsz=(64, 64))) as predictor:
        assert max(errors(predictor.run(batch), weights.run(batch))) <= 5e-3


def test_half_files_are_half_the_size_and_compute_in_float32(made, weights):
    path = made(half=True, imgsz=(64, 64))
    plain = made(imgsz=(64, 64))
    assert (path / BIN).stat().st_size < 0.55 * (plain / BIN).stat().st_size
    batch = noise(1, 64, 64)
    with load(path) as predictor:
        found = errors(predictor.run(batch), weights.run(batch))
    for error, bound in zip(found, (4, 0.03, 0.1, 0.2), strict=True):
        assert 0 < error <= bound
    # Rounded weights are all that differs: the same numbers written as float32 give the same outputs, bit by bit.
    graph, content = Files.of(path).graph(), (path / BIN).read_bytes()
    blocks = [(each, numbers(each, content)) for each in locate(graph, content)[0]]
    widened = shutil.copytree(plain, path.with_name("widened"))
    (widened / BIN).write_bytes(
        b"".join(packed(values.astype(np.float32), tagged=each.block.tagged) for each, values in blocks)
    )
    described(widened)
    with load(path) as one, load(widened) as other:
        assert errors(one.run(batch), other.run(batch)) == [0, 0, 0, 0]


def test_weights_beyond_half_precision_are_refused(tmp_path, n_seg_pt):
    from segkit.core.model import load_network, save_network

    network = load_network(n_seg_pt)
    with torch.no_grad():
        network.model[0].conv.weight[0] = 1e6
    save_network(network, tmp_path / "large.safetensors")
    with pytest.raises(ExportError, match=r"model\.0\.conv\.weight.*exceed half precision"):
        export(tmp_path / "large.safetensors", tmp_path / "large", half=True, imgsz=(64, 64))
    assert not (tmp_path / "large").exists()


def test_two_exports_are_the_same_files(n_seg_pt, made, tmp_path):
    export(n_seg_pt, tmp_path / "again", imgsz=(64, 64))
    for name in (PARAM, BIN, METADATA):
        assert (tmp_path / "again" / name).read_bytes() == (made(imgsz=(64, 64)) / name).read_bytes()


def test_an_export_leaves_three_files_and_nothing_elsewhere(n_seg_pt, tmp_path, monkeypatch):
    """pnnx writes a dozen of them."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    model = YOLO(n_seg_pt).export(format="ncnn", imgsz=64, output=tmp_path / "a b é_ncnn_model")
    assert sorted(item.name for item in Path(model).iterdir()) == [METADATA, BIN, PARAM]
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_failure_of_pnnx_is_told_with_its_last_words(n_seg_pt, tmp_path, monkeypatch):
    from segkit.plugins.ncnn import exporter

    monkeypatch.setattr(exporter, "_trace", lambda program, target: target.write_bytes(b"no network"))
    with pytest.raises(ExportError, match="pnnx ") as failure:
        export(n_seg_pt, tmp_path / "x", imgsz=(64, 64))
    assert "\n" not in str(failure.value)
    assert "network.pnnx.param" in failure.value.log


# -- what a predictor promises


def test_eight_threads_get_each_their_own_results(made, weights):
    """A net is shared by all threads, an extractor belongs to a run."""
    batches = [noise(1, 64, 64, seed) for seed in range(4)]
    wanted = [weights.run(batch) for batch in batches]
    with load(made(imgsz=(64, 64))) as predictor, ThreadPoolExecutor(8) as pool:
        for number, raw in enumerate(pool.map(predictor.run, batches * 16)):
            assert max(errors(raw, wanted[number % 4])) <= 5e-3


def test_the_number_of_threads_changes_no_object(made):
    batch = noise(1, 64, 64)
    with load(made(imgsz=(64, 64)), threads=1) as one, load(made(imgsz=(64, 64)), threads=3) as other:
        assert max(errors(one.run(batch), other.run(batch))) <= 1e-3


def test_a_file_of_a_batch_takes_any_number_of_pictures(made, weights):
    batch = noise(5, 64, 64)
    path = made(imgsz=(64, 64), batch=2)
    assert BACKEND.read_metadata(path).batch == 2
    with load(path) as predictor:
        predictor.warm_up()
        assert max(errors(predictor.run(batch), weights.run(batch))) <= 5e-3


def test_other_sizes_are_refused_with_what_to_do(made):
    with load(made(imgsz=(64, 64))) as predictor, pytest.raises(OptionError, match=r"takes 64x64 only.*dynamic=True"):
        predictor.run(noise(1, 64, 96))
    with (
        load(made(imgsz=(64, 64), dynamic=True)) as predictor,
        pytest.raises(OptionError, match="multiples of 32"),
    ):
        predictor.run(noise(1, 70, 96))


@pytest.mark.parametrize(
    ("device", "problem"),
    [
        ("cuda:0", "ncnn runs on cpu, or with Vulkan"),
        ("0", "ncnn runs on cpu, or with Vulkan"),
        ("vulkan:x", "ncnn runs on cpu, or with Vulkan"),
        ("vulkan:97", r"ncnn finds (no GPU with a Vulkan driver|vulkan:0.*) here"),
    ],
)
def test_a_device_that_is_not_there_is_refused_with_what_is(made, device, problem):
    with pytest.raises(OptionError, match=problem):
        load(made(imgsz=(64, 64)), device=device)


@pytest.mark.parametrize("options", [{}, {"dynamic": True}], ids=str)
def test_a_gpu_gives_the_numbers_of_the_processor(made, weights, options):
    """Any driver will do, one that computes in software, too."""
    if not has_loader() or ncnn.get_gpu_count() == 0:
        pytest.skip("ncnn finds no Vulkan driver")
    batch = noise(2, 64, 64)
    with load(made(imgsz=(64, 64), **options), device="vulkan") as predictor:
        assert max(errors(predictor.run(batch), weights.run(batch))) <= 5e-3


def test_without_the_systems_library_of_vulkan_nothing_is_printed(made, monkeypatch, capfd):
    monkeypatch.setattr("segkit.plugins.ncnn.vulkan.ctypes.CDLL", lambda name: (_ for _ in ()).throw(OSError()))
    monkeypatch.setattr("segkit.plugins.ncnn.vulkan.sys.platform", "linux")
    monkeypatch.delenv("NCNN_VULKAN_DRIVER", raising=False)
    with pytest.raises(OptionError, match="no GPU with a Vulkan driver"):
        load(made(imgsz=(64, 64)), device="vulkan")
    assert capfd.readouterr().err == ""


def test_the_devices_of_the_help_are_those_of_ncnn_and_it_is_needed_to_run():
    (device,) = (row for row in BACKEND.format.describe(BACKEND.format.load_options) if row.name == "device")
    assert "vulkan:1" in device.help
    assert "cuda" not in device.help
    assert [set(need.needed_for) for need in BACKEND.format.requires if need.name == "ncnn"] == [{Feature.PREDICT}]


def test_weights_in_a_folder_of_any_name_without_their_graph_are_told(small, tmp_path):
    path = Path(shutil.move(small, tmp_path / "renamed"))
    (path / PARAM).unlink()
    assert default_registry().recognise(path).format.name == "ncnn"
    with pytest.raises(ModelFileError, match=r"no ncnn graph \(model\.ncnn\.param\) is in this folder"):
        load(path)


def test_gaps_have_a_way_out():
    with pytest.raises(UnsupportedError, match=r"int8 \(not-implemented\).*half=True"):
        BACKEND.format.parse_export_options({"int8": True})
    with pytest.raises(UnsupportedError, match=r"nms \(unsupported-by-runtime\).*selects outside"):
        BACKEND.format.parse_export_options({"nms": True})


def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setattr("segkit.core.backend.format.installed_version", lambda name: None if name == "pnnx" else "99")
    from segkit.core.backend import Feature

    with pytest.raises(MissingDependencyError, match=r'pip install "pnnx>=\d+"'):
        BACKEND.format.require(Feature.EXPORT)


# -- metadata, recognition, inspection


def test_a_model_says_what_was_sealed_in_it_where_others_look(n_seg_pt, tmp_path):
    sealed = export(n_seg_pt, tmp_path / "a", imgsz=(64, 96), batch=2)
    assert BACKEND.read_metadata(tmp_path / "a") == sealed
    plain = yaml.safe_load((tmp_path / "a" / METADATA).read_text(encoding="utf-8"))
    assert plain["names"][1] == "कुत्ता"  # a number, as other readers expect
    assert plain["imgsz"] == [64, 96]
    assert (plain["task"], plain["stride"], plain["batch"]) == ("segment", 32, 2)


@pytest.mark.parametrize("part", ["", PARAM, BIN], ids=["folder", "graph", "weights"])
def test_a_model_is_known_by_its_folder_or_a_file_in_it(made, weights, part):
    path = made(imgsz=(64, 64)) / part
    assert default_registry().recognise(path).format.name == "ncnn"
    batch = noise(1, 64, 64)
    with load(path) as predictor:
        assert max(errors(predictor.run(batch), weights.run(batch))) <= 5e-3


def test_a_model_is_known_by_its_content_whatever_its_name(small):
    small = small.rename(small.with_name("something.else"))
    (small / PARAM).rename(small / "yolo.param")
    (small / BIN).rename(small / "yolo.bin")
    assert default_registry().recognise(small).format.name == "ncnn"
    with load(small) as predictor:
        assert predictor.run(noise(1, 64, 64)).boxes.shape == (1, 4, 84)


def test_reading_about_a_model_needs_no_runtime_and_running_it_no_torch(made):
    code = """if True:
        import sys
        from pathlib import Path
        import numpy as np
        from segkit.core.backend.registry import default_registry
        from segkit.core.images import ImageBatch
        path = Path(sys.argv[1])
        backend = default_registry().recognise(path)
        assert backend.read_metadata(path).names[0] == "cat"
        assert backend.inspect(path).outputs
        assert not {"torch", "ncnn", "pnnx"} & set(sys.modules), "a runtime was imported"
        with backend.load(path, backend.format.parse_load_options({})) as predictor:
            predictor.run(ImageBatch.from_f32(np.zeros((1, 3, 64, 64), np.float32)))
        assert not {"torch", "pnnx"} & set(sys.modules), "torch was imported"
    """
    child = subprocess.run([sys.executable, "-c", code, made(imgsz=(64, 64))], capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    assert child.stderr == ""


def test_an_inspection_tells_tensors_layers_weights_and_writer(made):
    plain = BACKEND.inspect(made())
    assert plain.inputs == (TensorInfo("in0", "float32", (3, 640, 640)),)
    assert [(tensor.name, tensor.shape) for tensor in plain.outputs] == [
        ("out0", (116, 8400)),
        ("out1", (32, 160, 160)),
    ]
    assert plain.producer == "segkit 1.2.3, pnnx 20261020"
    assert "76 Convolution" in plain.facts["layers"]
    assert plain.facts["precision"] == "fp32"
    assert plain.facts["weights"].startswith("3,42")
    free = BACKEND.inspect(made(imgsz=(64, 64), dynamic=True, half=True))
    assert free.inputs[0].shape == (3, "height", "width")
    assert free.outputs[0].shape == (116, "anchors")
    assert free.facts["precision"] == "fp16"
    assert "float16" in free.facts["weights"]


# -- files of other tools


def test_a_graph_without_its_weights_is_inspected_and_refused(data):
    path = data / "foreign" / "yolov8n_seg.ncnn.param"
    assert default_registry().recognise(path).format.name == "ncnn"
    assert BACKEND.read_metadata(path).dynamic_size
    seen = BACKEND.inspect(path)
    assert seen.facts["outputs"] == "out0, out1, out2"
    assert "75 Convolution" in seen.facts["layers"]
    assert "yolov8n_seg.ncnn.bin" in seen.facts["note"]
    with pytest.raises(ModelFileError, match=r"its weights yolov8n_seg\.ncnn\.bin are not beside it") as refusal:
        load(path)
    assert "\n" not in str(refusal.value)


def test_a_model_that_another_tool_describes_runs(small, weights):
    described(small, author="Somebody", version="8.1.0", license="X")
    metadata = BACKEND.read_metadata(small)
    assert metadata.segkit is None
    assert metadata.names[0] == "cat"
    batch = noise(3, 64, 64)
    with load(small) as predictor:
        assert max(errors(predictor.run(batch), weights.run(batch))) <= 5e-3
    seen = BACKEND.inspect(small)
    assert (seen.facts["author"], seen.producer, seen.outputs) == ("Somebody", None, ())


def test_a_model_that_nobody_describes_tells_its_size_by_its_anchors(small, weights):
    undescribed(small)
    assert BACKEND.read_metadata(small).imgsz == (64, 64)
    batch = noise(1, 64, 64)
    with load(small) as predictor:
        assert max(errors(predictor.run(batch), weights.run(batch))) <= 5e-3


def test_sizes_that_contradict_each_other_are_told_before_ncnn_reads_beyond_its_memory(small, made, tmp_path):
    with pytest.raises(ModelFileError, match="says imgsz 96x96"):
        BACKEND.read_metadata(described(small, imgsz=[96, 96]))
    wide = shutil.copytree(made(imgsz=(64, 96)), tmp_path / "wide_ncnn_model")
    text = (wide / METADATA).read_text(encoding="utf-8")
    (wide / METADATA).write_text(text.replace("imgsz:\n- 64\n- 96\n", "imgsz:\n- 96\n- 64\n"), encoding="utf-8")
    for path in (wide, described(wide, imgsz=[96, 64])):  # the same number of anchors
        with pytest.raises(ModelFileError, match="says imgsz 96x64, and its graph was made for 64x96"):
            load(path)
    with load(undescribed(wide)) as predictor:
        with pytest.raises(OptionError, match="takes 64x96 only"):
            predictor.run(noise(1, 64, 64))
        assert predictor.run(noise(1, 64, 96)).boxes.shape == (1, 4, 126)


def test_a_first_layer_that_computes_in_place_leaves_the_pictures_alone(small):
    graph = parse((small / PARAM).read_text())
    graph.layers[graph.layers.index(graph.takers("in0")[0])].inputs[0] = "scaled"
    graph.layers.insert(3, Layer("BinaryOp", "scale", ["in0"], ["scaled"], {0: "2", 1: "1", 2: "0.5"}))
    (small / PARAM).write_text(str(graph))
    batch = noise(1, 64, 64)
    before = batch.f32_nchw.copy()
    with load(described(small)) as predictor:
        predictor.run(batch)
    np.testing.assert_array_equal(batch.f32_nchw, before)


def test_a_network_of_another_kind_is_refused(small):
    (small / PARAM).write_text("7767517\n2 2\nInput in0 0 1 in0\nReLU relu 1 1 in0 out0\n")
    (small / BIN).write_bytes(b"")
    with (
        load(described(small)) as predictor,
        pytest.raises(ModelFileError, match="not belong to a segmentation model"),
    ):
        predictor.run(noise(1, 64, 64))


def test_a_folder_with_several_graphs_asks_for_one(small):
    shutil.copy(small / PARAM, small / "a.param")
    assert Files.of(small).param.name == PARAM  # the usual name wins
    (small / PARAM).rename(small / "b.param")
    with pytest.raises(ModelFileError, match=r"several ncnn graphs .*a\.param, b\.param"):
        load(small)


# -- damaged files


@pytest.mark.parametrize("name", [PARAM, BIN])
def test_a_flipped_bit_is_found(small, name):
    content = bytearray((small / name).read_bytes())
    content[len(content) // 2] ^= 1
    (small / name).write_bytes(content)
    with pytest.raises(ModelFileError, match=rf"{name}.* is damaged"):
        load(small)


def test_a_meant_change_is_taken_once_the_sums_are_gone(small):
    (small / PARAM).write_text((small / PARAM).read_text() + "\n")
    with pytest.raises(ModelFileError, match=r"was changed .*remove 'checksums' and 'segkit' there"):
        load(small)
    described(small)
    load(small).close()


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda content: b"", "it ends after 0 bytes"),
        (lambda content: content[: len(content) // 2], "before the weights of 'conv_"),
        (lambda content: content[:-64], "it ends after"),
        (lambda content: content + b"1234", "4 bytes more than"),
        (lambda content: bytes(len(content)), "checksum"),
        (lambda content: b"\xff" * len(content), "no kind of number"),
    ],
    ids=["empty", "half", "cut", "long", "zeros", "ones"],
)
def test_weights_that_do_not_fit_their_graph_are_refused(small, damage, problem):
    (small / BIN).write_bytes(damage((small / BIN).read_bytes()))
    if problem != "checksum":  # zeros are weights like any other: only that tells
        described(small)
    with pytest.raises(ModelFileError, match=problem):
        load(small)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the file is empty"),
        ("<html>", "HTML page"),
        ("7767517\n", "number of layers"),
        ("7767517\n1 x\n", "number of layers"),
        ("7767517\n2 1\nInput in0 0 1 in0\n", "announces 2 layers and has 1"),
        ("7767517\n1 2\nInput in0 0 1 in0\n", "announces 2 blobs and has 1"),
        ("7767517\n1 1\nInput in0 0 9 in0\n", "line 3 is no layer"),
        ("7767517\n1 1\nInput in0 0 1 in0 0=\n", "line 3 is no layer"),
        ("7767517\n1 1\nReLU a 1 1 nowhere b\n", "takes 'nowhere', which no layer before it gives"),
        ("7767517\n2 1\nInput in0 0 1 in0\nReLU a 1 1 in0 in0\n", "another layer gives already"),
        ("7767517\n2 2\nInput in0 0 1 in0\nConvolution c 1 1 in0 a 0=0 1=3 6=9\n", "impossible sizes"),
        ("7767517\n2 2\nInput in0 0 1 in0\nConvolution c 1 1 in0 a 0=4 1=3 6=99\n", "impossible sizes"),
        ("7767517\n2 2\nInput in0 0 1 in0\nConvolution c 1 1 in0 a 0=9999999999 1=1 6=9\n", "too large"),
        ("7767517\n2 2\nInput in0 0 1 in0\nNewest c 1 1 in0 a\n", "knows no layer 'Newest'"),
        ("7767517\n1 2\nInput in0 0 2 in0 in1\n", "takes 2 inputs"),
    ],
    ids=range(15),
)
def test_graphs_that_make_no_sense_are_refused_in_one_line(small, text, problem):
    (small / PARAM).write_text(text)
    (small / BIN).write_bytes(b"")
    described(small)
    with pytest.raises(SegkitError, match=problem) as refusal:
        load(small / PARAM)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("text", ["[1, 2]", "{", "imgsz: wide\n", "names: {a: b}\n"], ids=range(4))
def test_metadata_that_make_no_sense_are_told(small, text):
    (small / METADATA).write_text(text)
    with pytest.raises(ModelFileError, match="cannot be understood"):
        BACKEND.read_metadata(small)


def test_what_is_missing_is_named(small, tmp_path):
    (small / PARAM).rename(tmp_path / "kept")
    with pytest.raises(ModelFileError, match=r"no ncnn graph \(model\.ncnn\.param\) is in this folder"):
        load(small)
    with pytest.raises(ModelFileError, match=r"their graph model\.ncnn\.param is not beside them"):
        load(small / BIN)
    (tmp_path / "kept").rename(small / PARAM)
    (small / BIN).unlink()
    with pytest.raises(ModelFileError, match=r"its weights model\.ncnn\.bin are not beside it"):
        load(small)


def test_a_text_of_a_graph_survives_being_read_and_written(made):
    text = (made(imgsz=(64, 64)) / PARAM).read_text()
    assert str(parse(text)).split() == text.split()


def test_plain_ncnn_runs_a_model_by_the_names_that_others_use(made):
    path = made(imgsz=(64, 64))
    with ncnn.Net() as net:
        assert net.load_param(str(path / PARAM)) == net.load_model(str(path / BIN)) == 0
        assert net.input_names() == ["in0"]
        assert sorted(net.output_names()) == ["out0", "out1"]
