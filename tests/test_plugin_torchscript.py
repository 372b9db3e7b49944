"""TorchScript files, ours and other tools': they run as the weights do, and say clearly when they cannot."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from segkit.core.backend import Anchors, ExportJob, Metadata, Seal, Selected, TensorInfo
from segkit.core.backend.registry import default_registry
from segkit.core.errors import ModelFileError, OptionError, RuntimeFailure, SegkitError, UnsupportedError
from segkit.core.images import ImageBatch
from segkit.plugins.torchscript import TorchScriptBackend
from segkit.plugins.torchscript.archive import LARGEST, open_archive
from segkit.plugins.torchscript.quiet import no_deprecations

BACKEND = TorchScriptBackend()
NAMES = {0: "cat", 1: "कुत्ता", **{index: f"class {index}" for index in range(2, 80)}}


def load(path, **options):
    return BACKEND.load(path, BACKEND.format.parse_load_options({"threads": 2} | options))


def export(weights, target, **options):
    parsed = BACKEND.format.parse_export_options(options)
    seal = Seal(
        head=parsed.head_layout(),
        selection=parsed.selection(),
        precision=parsed.precision,
        dynamic_batch=parsed.dynamic,
        dynamic_size=parsed.dynamic,
        toolchain={"segkit": "1.2.3", "torch": torch.__version__},
    )
    metadata = Metadata(names=NAMES, batch=parsed.batch, imgsz=parsed.imgsz, segkit=seal)
    BACKEND.export(ExportJob(weights, None, target, parsed, metadata))
    return metadata


def noise(batch, height, width, seed=0):
    return ImageBatch.from_f32(np.random.default_rng(seed).random((batch, 3, height, width), np.float32))


@pytest.fixture(scope="session")
def made(n_seg_pt, tmp_path_factory):
    """Artefacts of the trained weights, each made once: made(half=True) → path."""
    folder, cache = tmp_path_factory.mktemp("torchscript"), {}

    def make(**options):
        key = repr(sorted(options.items()))
        if key not in cache:
            cache[key] = folder / f"{len(cache)}.torchscript"
            export(n_seg_pt, cache[key], **options)
        return cache[key]

    return make


@pytest.fixture(scope="session")
def weights(n_seg_pt):
    """The weights themselves, as segkit runs them."""
    backend = default_registry().get("pytorch")
    with backend.load(n_seg_pt, backend.format.parse_load_options({"threads": 2})) as predictor:
        yield predictor


def errors(raw, wanted):
    """Largest error of boxes, scores, coefficients, prototypes."""
    pairs = [(getattr(raw, name), getattr(wanted, name)) for name in ("boxes", "scores", "coefficients", "prototypes")]
    return [float(np.abs(got - want).max()) for got, want in pairs]


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


@pytest.mark.parametrize("shape", [(1, 320, 480), (3, 64, 96), (2, 96, 64)], ids=str)
def test_a_dynamic_export_takes_any_batch_and_size(made, weights, shape):
    batch = noise(*shape)
    with load(made(dynamic=True, imgsz=(64, 64))) as predictor:
        assert max(errors(predictor.run(batch), weights.run(batch))) <= 5e-3


def test_freezing_changes_no_number_and_makes_the_file_smaller(made):
    batch = noise(1, 64, 64)
    plain, frozen = made(imgsz=(64, 64)), made(imgsz=(64, 64), optimize=True)
    with load(plain) as one, load(frozen) as other:
        assert max(errors(other.run(batch), one.run(batch))) <= 2e-4
    assert frozen.stat().st_size < plain.stat().st_size
    with no_deprecations():
        assert not list(torch.jit.load(str(frozen)).parameters())


def test_half_files_are_half_the_size_and_take_and_give_float32(made, weights):
    path = made(half=True, imgsz=(64, 64))
    assert path.stat().st_size < 0.55 * made(imgsz=(64, 64)).stat().st_size
    batch = noise(1, 64, 64)
    with load(path) as predictor:  # on a CPU: half weights, float32 arithmetic
        rounded = errors(predictor.run(batch), weights.run(batch))
    with torch.inference_mode(), no_deprecations():  # as others run it: float16 arithmetic
        outputs = torch.jit.load(str(path))(torch.from_numpy(batch.f32_nchw))
    assert [output.dtype for output in outputs] == [torch.float32, torch.float32]
    others = errors(Anchors.from_joined(*(output.numpy() for output in outputs)), weights.run(batch))
    for boxes, scores, coefficients, prototypes in (rounded, others):
        assert 0 < boxes <= 4
        assert 0 < scores <= 0.03
        assert 0 < coefficients <= 0.1
        assert 0 < prototypes <= 0.2


def test_a_frozen_half_file_runs_too(made, weights):
    batch = noise(1, 64, 64)
    with load(made(half=True, optimize=True, imgsz=(64, 64))) as predictor:
        assert 0 < errors(predictor.run(batch), weights.run(batch))[0] <= 4


def test_two_exports_are_the_same_file(n_seg_pt, made, tmp_path):
    export(n_seg_pt, tmp_path / "again.torchscript", imgsz=(64, 64))
    batch = noise(1, 64, 64)
    with load(made(imgsz=(64, 64))) as one, load(tmp_path / "again.torchscript") as other:
        assert errors(one.run(batch), other.run(batch)) == [0, 0, 0, 0]


@pytest.mark.parametrize("options", [{}, {"nms": True, "half": True, "dynamic": True}], ids=str)
def test_no_device_and_no_path_of_this_machine_is_left_in_a_file(made, options):
    with zipfile.ZipFile(made(imgsz=(64, 64), **options)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    # A device that the tracer wrote down is where a value is born, and must not be where it is used.
    for code in (content.decode() for name, content in parts.items() if name.endswith(".py")):
        born = re.findall(r"(\w+) = torch.arange\(.*device=torch.device\(.cpu.\)", code)
        assert len(born) == code.count("torch.device(")
        for name in born:
            uses = re.findall(rf"(\w+)\({name}\b", code)
            assert uses == ["type_as"], (name, uses)
    text = b"".join(parts.values())
    assert str(Path(torch.__file__).parent.parent).encode() not in text
    assert str(Path(__file__).parent.parent).encode() not in text


# -- what a predictor promises


def test_eight_threads_get_each_their_own_results(made, weights):
    batches = [noise(1, 64, 64, seed) for seed in range(4)]
    wanted = [weights.run(batch) for batch in batches]
    with load(made(imgsz=(64, 64))) as predictor, ThreadPoolExecutor(8) as pool:
        for number, raw in enumerate(pool.map(predictor.run, batches * 16)):
            assert max(errors(raw, wanted[number % 4])) <= 5e-3


def test_a_file_of_a_fixed_batch_takes_any_number_of_pictures(made, weights):
    batch = noise(5, 64, 64)
    with load(made(imgsz=(64, 64), batch=2)) as predictor:
        predictor.warm_up()
        assert max(errors(predictor.run(batch), weights.run(batch))) <= 5e-3


def test_another_size_than_the_files_is_refused_with_what_to_do(made):
    with load(made(imgsz=(64, 64))) as predictor, pytest.raises(OptionError, match=r"takes 64x64 only.*dynamic=True"):
        predictor.run(noise(1, 64, 96))


def test_an_unknown_device_is_refused_with_those_that_exist(made):
    with pytest.raises(OptionError, match=r"device='cuda:97'.*torch offers cpu"):
        load(made(imgsz=(64, 64)), device="cuda:97")


def test_int8_is_a_gap_with_a_way_out():
    with pytest.raises(UnsupportedError, match=r"int8 \(not-implemented\).*half=True.*onnx"):
        BACKEND.format.parse_export_options({"int8": True})


def test_weights_beyond_half_precision_are_refused_by_name(tmp_path, n_seg_pt):
    from segkit.core.model import load_network, save_network

    network = load_network(n_seg_pt)
    with torch.no_grad():
        network.model[0].conv.weight[0] = 1e6
    save_network(network, tmp_path / "large.safetensors")
    with pytest.raises(SegkitError, match=r"model\.0\.conv\.weight.*exceed half precision"):
        export(tmp_path / "large.safetensors", tmp_path / "large.torchscript", half=True, imgsz=(64, 64))
    assert not (tmp_path / "large.torchscript").exists()


# -- metadata, recognition, inspection


def test_a_file_says_what_was_sealed_in_it(n_seg_pt, tmp_path):
    path = tmp_path / "a.torchscript"
    sealed = export(n_seg_pt, path, imgsz=(64, 96), batch=2, nms=True, conf=0.1)
    assert BACKEND.read_metadata(path) == sealed
    assert sealed.selection is not None
    assert sealed.selection.conf == 0.1
    with zipfile.ZipFile(path) as archive:  # where other tools look for it
        (name,) = [name for name in archive.namelist() if name.endswith("extra/config.txt")]
        assert json.loads(archive.read(name))["names"]["1"] == "कुत्ता"


@pytest.mark.parametrize("name", ["model.pt", "model.torchscript", "model"])
def test_a_file_is_known_by_its_content_whatever_its_name(made, n_seg_pt, tmp_path, name):
    shutil.copy(made(imgsz=(64, 64)), tmp_path / name)
    assert default_registry().recognise(tmp_path / name).format.name == "torchscript"
    shutil.copy(n_seg_pt, tmp_path / name)
    assert default_registry().recognise(tmp_path / name).format.name == "pytorch"


def test_reading_about_a_file_needs_no_torch(made):
    code = """if True:
        import sys
        from pathlib import Path
        from segkit.core.backend.registry import default_registry
        backend = default_registry().recognise(Path(sys.argv[1]))
        assert backend.read_metadata(Path(sys.argv[1])).names[0] == "cat"
        assert backend.inspect(Path(sys.argv[1])).outputs
        assert "torch" not in sys.modules, "torch was imported"
    """
    child = subprocess.run([sys.executable, "-c", code, made(imgsz=(64, 64))], capture_output=True, text=True)
    assert child.returncode == 0, child.stderr


def test_torchs_notices_of_deprecation_reach_nobody(made, bus, tmp_path):
    command = [sys.executable, "-W", "always", "-m", "segkit.cli", "predict", str(made(imgsz=(64, 64))), str(bus)]
    child = subprocess.run([*command, "--no-save"], capture_output=True, text=True, cwd=tmp_path)
    assert child.returncode == 0, child.stderr
    assert "deprecated" not in child.stderr


def test_an_inspection_tells_tensors_operators_weights_and_writer(made):
    plain = BACKEND.inspect(made())
    assert plain.inputs == (TensorInfo("images", "float32", (1, 3, 640, 640)),)
    assert [tensor.shape for tensor in plain.outputs] == [(1, 116, 8400), (1, 32, 160, 160)]
    assert plain.producer == f"segkit 1.2.3, torch {torch.__version__}"
    assert plain.facts["signature"] == "(images: Tensor) -> Tuple[Tensor, Tensor]"
    assert "77 _convolution" in plain.facts["operators"]
    assert plain.facts["precision"] == "fp32"
    assert plain.facts["weights"].startswith("3,42")
    free = BACKEND.inspect(made(imgsz=(64, 64), dynamic=True, half=True, nms=True))
    assert free.inputs[0].shape == ("batch", 3, "height", "width")
    assert free.outputs[0].shape == ("batch", 300, 38)
    assert free.facts["precision"] == "fp16"


# -- files of other tools


class Foreign(torch.nn.Module):
    """What another tool might have traced: outputs of the shapes of a network with three classes, from one weight."""

    def __init__(self, transposed=False, nested=False, dtype=torch.float32):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones((), dtype=dtype))
        self.register_buffer("box", torch.tensor([32, 16, 64, 32], dtype=dtype))
        self.transposed, self.nested = transposed, nested

    def forward(self, images):
        level = images.mean(1).flatten(1)[:, :84, None] * self.gain  # 84 anchors of a 64x64 input
        boxes = self.box.expand(images.shape[0], 84, 4)
        head = torch.cat((boxes, level, level * 0.5, level * 0.1, level.expand(-1, -1, 32)), 2)
        head = head if self.transposed else head.transpose(1, 2)
        prototypes = images[:, :1, ::4, ::4].expand(-1, 32, -1, -1) * self.gain
        return (head, (prototypes,)) if self.nested else (head, prototypes)


def foreign(path, config, dtype=torch.float32, **kind):
    with no_deprecations(), torch.no_grad():
        module = torch.jit.trace(Foreign(dtype=dtype, **kind), torch.zeros((1, 3, 64, 64), dtype=dtype))
        extra = {} if config is None else {"config.txt": json.dumps(config)}
        torch.jit.save(module, str(path), _extra_files=extra)
    return path


CONFIG = {
    "stride": 32,
    "task": "segment",
    "batch": 1,
    "imgsz": [64, 64],
    "names": {"0": "a", "1": "b", "2": "c"},
    "args": {},
}


@pytest.mark.parametrize("config", [None, {}, CONFIG], ids=["none", "empty", "usual"])
@pytest.mark.parametrize("kind", [{}, {"transposed": True}, {"nested": True}], ids=str)
def test_files_of_other_tools_run_whatever_their_layout(tmp_path, config, kind):
    path = foreign(tmp_path / "f.torchscript", config, **kind)
    batch = noise(3, 64, 64)
    with load(path) as predictor:
        raw = predictor.run(batch)
    assert raw.boxes[2, :, 83].tolist() == [32, 16, 64, 32]
    np.testing.assert_allclose(raw.scores[:, 0], batch.f32_nchw.mean(1).reshape(3, -1)[:, :84], rtol=1e-6)
    np.testing.assert_array_equal(raw.prototypes[:, 31], batch.f32_nchw[:, 0, ::4, ::4])
    metadata = BACKEND.read_metadata(path)
    assert metadata.segkit is None
    assert metadata.dynamic_size == (config is not CONFIG)  # it does not say, so a caller may


def test_half_files_of_other_tools_are_given_half(tmp_path):
    path = foreign(tmp_path / "h.torchscript", CONFIG | {"args": {"half": True}}, torch.float16)
    with load(path) as predictor:
        raw = predictor.run(noise(1, 64, 64))
    assert raw.scores.dtype == np.float32
    assert raw.scores.max() == np.float16(raw.scores.max())


def test_a_selection_of_another_tool_is_taken_as_one(tmp_path):
    class Selecting(torch.nn.Module):
        def forward(self, images):
            rows = images.new_zeros((1, 300, 38))
            rows[:, 0, :6] = images.new_tensor([1.0, 2, 30, 40, 0.9, 1])
            return rows, images[:, :1, ::4, ::4].expand(-1, 32, -1, -1)

    path = tmp_path / "nms.torchscript"
    with no_deprecations():
        module = torch.jit.trace(Selecting(), torch.zeros((1, 3, 64, 64)))
        config = CONFIG | {"args": {"nms": True, "conf": 0.5}}
        torch.jit.save(module, str(path), _extra_files={"config.txt": json.dumps(config)})
    with load(path) as predictor:
        raw = predictor.run(noise(1, 64, 64))
    assert isinstance(raw, Selected)
    assert [raw.xyxy[0].tolist(), raw.classes[0].tolist()] == [[[1, 2, 30, 40]], [1]]


def test_an_inspection_of_another_tools_file_tells_what_it_can(tmp_path):
    seen = BACKEND.inspect(foreign(tmp_path / "f.pt", CONFIG | {"author": "Somebody", "version": "8.1.0"}))
    assert (seen.inputs, seen.outputs, seen.producer) == ((), (), None)
    assert seen.facts["author"] == "Somebody"
    assert seen.facts["signature"].startswith("(images: Tensor)")


def test_a_module_that_is_no_segmentation_network_is_refused(tmp_path):
    with no_deprecations():
        torch.jit.save(torch.jit.trace(torch.nn.ReLU(), torch.zeros(1, 3, 64, 64)), str(tmp_path / "r.torchscript"))
    with load(tmp_path / "r.torchscript") as predictor, pytest.raises(ModelFileError, match="not belong to a segment"):
        predictor.run(noise(1, 64, 64))


def test_a_failure_is_told_in_torchs_last_words_and_with_what_to_give(tmp_path):
    with no_deprecations():
        module = torch.jit.trace(torch.nn.Linear(64, 4), torch.zeros(1, 3, 64, 64))
        torch.jit.save(module, str(tmp_path / "l.torchscript"))
    with load(tmp_path / "l.torchscript") as predictor, pytest.raises(RuntimeFailure) as failure:
        predictor.run(noise(1, 64, 96))
    assert "shapes cannot be multiplied" in str(failure.value)
    assert "does not say which imgsz and batch" in str(failure.value)
    assert "\n" not in str(failure.value)


# -- damaged and hostile files


def rewritten(source, target, change):
    """A copy of an archive with its parts changed: change(name without root, bytes) → bytes, or None to leave out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            root, _, name = info.filename.partition("/")
            content = change(name, old.read(info))
            if content is not None:
                new.writestr(f"{root}/{name}", content, info.compress_type)
    return target


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (b"{", "cannot be understood: it is no JSON object"),
        (b"[1, 2]", "cannot be understood: it is no JSON object"),
        (b"\xff\xfe", "cannot be understood"),
        (b"[" * 100_000, "cannot be understood"),
        (b'{"imgsz": "wide"}', "imgsz"),
    ],
    ids=["cut", "list", "bytes", "deep", "impossible"],
)
def test_metadata_that_make_no_sense_are_told(made, tmp_path, config, problem):
    path = rewritten(
        made(imgsz=(64, 64)), tmp_path / "x", lambda name, old: config if name == "extra/config.txt" else old
    )
    with pytest.raises(ModelFileError, match=problem):
        BACKEND.read_metadata(path)


def test_compressed_metadata_and_another_root_are_read(made, tmp_path):
    path = tmp_path / "x"
    with zipfile.ZipFile(made(imgsz=(64, 64))) as old, zipfile.ZipFile(path, "w") as new:
        for info in old.infolist():
            name = info.filename.partition("/")[2]
            new.writestr(f"another root/{name}", old.read(info), 8 if name.startswith("extra") else info.compress_type)
    assert BACKEND.read_metadata(path) == BACKEND.read_metadata(made(imgsz=(64, 64)))
    with load(path) as predictor:
        assert predictor.run(noise(1, 64, 64)).boxes.shape == (1, 4, 84)


def test_a_flipped_bit_in_a_weight_is_found(made, tmp_path):
    content = bytearray(made(imgsz=(64, 64)).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "x.torchscript").write_bytes(content)
    with pytest.raises(ModelFileError, match=r"damaged at .*Bad CRC-32"):
        load(tmp_path / "x.torchscript")


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "empty"), (b"<html>", "HTML page"), (b"PK\x03\x04" + b"x" * 99, "cut off"), (b"other", "no zip archive")],
    ids=["empty", "page", "cut", "other"],
)
def test_what_is_no_archive_is_named(tmp_path, content, problem):
    (tmp_path / "x.torchscript").write_bytes(content)
    with pytest.raises(ModelFileError, match=problem):
        load(tmp_path / "x.torchscript")


def test_a_folder_and_a_plain_zip_are_named(tmp_path):
    with pytest.raises(ModelFileError, match="folder"):
        BACKEND.read_metadata(tmp_path)
    with zipfile.ZipFile(tmp_path / "x.torchscript", "w") as archive:
        archive.writestr("a/readme.txt", "hello")
    with pytest.raises(ModelFileError, match="without compiled code"):
        BACKEND.read_metadata(tmp_path / "x.torchscript")


def test_code_that_makes_no_sense_is_refused_in_one_line(made, tmp_path):
    path = rewritten(
        made(imgsz=(64, 64)), tmp_path / "x", lambda name, old: b"def" if name.startswith("code/") else old
    )
    with pytest.raises(ModelFileError, match="torch refuses it") as refusal:
        load(path)
    assert "\n" not in str(refusal.value)


def test_a_small_file_that_unpacks_to_a_large_one_is_refused_early(made, tmp_path):
    path = tmp_path / "bomb.torchscript"
    shutil.copy(made(imgsz=(64, 64)), path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/code/large.py", bytes(LARGEST))
    assert path.stat().st_size < 20 << 20
    with pytest.raises(ModelFileError, match="hostile"):
        load(path)
    bomb = rewritten(
        made(imgsz=(64, 64)),
        tmp_path / "x",
        lambda name, old: b" " * (LARGEST + 1) if name == "extra/config.txt" else old,
    )
    with pytest.raises(ModelFileError, match="claims to hold 64 MB"):
        BACKEND.read_metadata(bomb)


def test_parts_that_overlap_are_refused(made, tmp_path):
    path = tmp_path / "x.torchscript"
    shutil.copy(made(imgsz=(64, 64)), path)
    with zipfile.ZipFile(path, "a") as archive:
        largest = max(archive.infolist(), key=lambda info: info.file_size)
        for number in range(200):  # other names for the same bytes
            twin = zipfile.ZipInfo(f"archive/data/twin{number}")
            twin.header_offset, twin.CRC = largest.header_offset, largest.CRC
            twin.file_size = twin.compress_size = largest.file_size
            archive.filelist.append(twin)
            archive.NameToInfo[twin.filename] = twin
        archive._didModify = True
    with pytest.raises(ModelFileError, match="damaged"):
        load(path)


def hostile(path, body):
    class Hostile(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(3))

        def forward(self, images):
            return images

    with no_deprecations():
        torch.jit.save(torch.jit.script(Hostile()), str(path.with_suffix(".plain")))
    return rewritten(
        path.with_suffix(".plain"),
        path,
        lambda name, old: old.replace(b"return images", body) if "code" in name else old,
    )


@pytest.mark.parametrize(
    "body",
    [
        'torch.save(images, "{}")\n    return images',
        'torch . \\\n save(images, "{}")\n    return images',
        't = torch\n    t.save(images, "{}")\n    return images',
        'x = torch.from_file("{}", True, 16)\n    return torch.add(images, torch.sum(torch.fill_(x, 1)))',
    ],
    ids=["save", "spread", "renamed", "map"],
)
def test_code_that_opens_files_is_refused_before_it_runs(tmp_path, body):
    """The language of such a file can write any file of the user's."""
    target = tmp_path / "written"
    path = hostile(tmp_path / "x.torchscript", body.format(target).encode())
    with pytest.raises(ModelFileError, match="its code opens files"):
        load(path)
    assert not target.exists()


def test_an_archive_that_two_readers_could_read_differently_is_refused(made, tmp_path):
    plain = made(imgsz=(64, 64))
    (tmp_path / "front.torchscript").write_bytes(b"x" * 64 + plain.read_bytes())
    shutil.copy(plain, tmp_path / "twice.torchscript")
    with (
        zipfile.ZipFile(tmp_path / "twice.torchscript", "a") as archive,
        pytest.warns(UserWarning, match="Duplicate name"),
    ):
        archive.writestr(next(name for name in archive.namelist() if name.endswith("data.pkl")), b"other")
    for name in ("front", "twice"):
        with pytest.raises(ModelFileError, match="same name, or bytes in front"):
            load(tmp_path / f"{name}.torchscript")


def test_a_signature_without_an_end_keeps_an_inspection_from_nothing(made, tmp_path):
    """The time that a search takes must not grow with the square of what a hostile file holds."""
    path = rewritten(
        made(imgsz=(64, 64)),
        tmp_path / "x.torchscript",
        lambda name, old: b"def forward(self, " * 200_000 if "graph/program" in name and name.endswith(".py") else old,
    )
    assert "signature" not in BACKEND.inspect(path).facts


def test_an_archive_closes_its_file(made):
    with open_archive(made(imgsz=(64, 64))) as archive:
        assert "constants.pkl" in archive.names
    with pytest.raises(ModelFileError, match="damaged"):
        archive.read("constants.pkl")
