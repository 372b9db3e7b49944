"""Hostile, damaged and foreign files: nothing is executed or absurdly allocated, and the user reads what it is."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import pickle
import struct
import tracemalloc
import zipfile
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit.core.errors import ModelFileError, SegkitError, UnsafeCheckpointError
from segkit.core.model import SegmentationNetwork, load_config, load_network, read_checkpoint, save_network
from segkit.core.model.pickles import DamagedPickle, Method, RefusedGlobal, read_pickle


def archive(path: Path, data: bytes, blocks: dict[str, bytes] | None = None, **options: Any) -> Path:
    """A `.pt` file around a hand-made pickle."""
    with zipfile.ZipFile(path, "w", **options) as file:
        file.writestr("archive/data.pkl", data)
        file.writestr("archive/byteorder", "little")
        for key, block in (blocks or {}).items():
            file.writestr(f"archive/data/{key}", block)
    return path


# -- hand-made pickles: opcodes in words ---------------------------------------------------------------------------

REDUCE, BUILD, NEWOBJ, TUPLE1, TUPLE2, EMPTY, DICT, STOP = b"R", b"b", b"\x81", b"\x85", b"\x86", b")", b"}", b"."


def name(dotted: str) -> bytes:
    """The opcode GLOBAL."""
    module, _, attribute = dotted.rpartition(".")
    return f"c{module}\n{attribute}\n".encode()


def text(value: str) -> bytes:
    """The opcode BINUNICODE."""
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def call(dotted: str, *arguments: bytes) -> bytes:
    """GLOBAL, its arguments as a tuple, REDUCE."""
    return name(dotted) + b"(" + b"".join(arguments) + b"t" + REDUCE


DETECT = "ultralytics.nn.modules.head.Detect"
TOUCH = text("touch EXECUTED")

HOSTILE: dict[str, tuple[bytes, str]] = {
    "os.system": (call("os.system", TOUCH), "os.system"),
    "posix.system": (call("posix.system", TOUCH), "posix.system"),
    "eval": (call("builtins.eval", text("open('EXECUTED', 'w')")), "builtins.eval"),
    "exec of Python 2": (call("__builtin__.exec", text("open('EXECUTED', 'w')")), "__builtin__.exec"),
    "import": (call("builtins.__import__", text("os")), "builtins.__import__"),
    "subprocess": (call("subprocess.Popen", text("touch EXECUTED")), "subprocess.Popen"),
    "torch.hub": (call("torch.hub.load", text("evil/repo"), text("model")), "torch.hub.load"),
    "torch.load": (call("torch.load", text("other.pt")), "torch.load"),
    "torch.serialization": (call("torch.serialization.load", text("other.pt")), "torch.serialization.load"),
    "runpy": (call("runpy.run_path", text("evil.py")), "runpy.run_path"),
    "numpy loads pickles": (call("numpy.load", text("evil.npy")), "numpy.load"),
    "getattr of a module": (call("builtins.getattr", name("os.path"), text("os")), "os.path"),
    "getattr chain": (
        call("__builtin__.getattr", call("__builtin__.getattr", name(DETECT), text("forward")), text("__globals__")),
        f"{DETECT}.forward.__globals__",
    ),
    "getattr of dunder": (call("__builtin__.getattr", name(DETECT), text("__init__")), f"{DETECT}.__init__"),
    "getattr of a torch module": (
        call("__builtin__.getattr", name("torch.nn.functional"), text("torch")),
        "torch.nn.functional.torch",
    ),
    "a method is called": (
        call("__builtin__.getattr", name(DETECT), text("forward")) + b"(" + TOUCH + b"t" + REDUCE,
        f"{DETECT}.forward",
    ),
    "a class with arguments": (call(DETECT, TOUCH), DETECT),
    "a function of nn": (call("torch.nn.utils.parametrize.cached", TOUCH), "torch.nn.utils.parametrize.cached"),
    "new object with arguments": (name(DETECT) + TOUCH + TUPLE1 + NEWOBJ, DETECT),
    "build on a class": (name(DETECT) + DICT + text("forward") + text("x") + b"s" + BUILD, DETECT),
    "build on a function": (name("collections.OrderedDict") + DICT + BUILD, "collections.OrderedDict"),
    "build on text": (text("abc") + DICT + BUILD, "str"),
    "items of an object": (name(DETECT) + EMPTY + NEWOBJ + text("a") + text("b") + b"s", "Inert"),
    "copyreg": (call("copyreg._reconstructor", name(DETECT)), "copyreg._reconstructor"),
    "copyreg of Python 2": (call("copy_reg._reconstructor", name(DETECT)), "copy_reg._reconstructor"),
    "copyreg adds": (call("copyreg.add_extension", text("os"), text("system")), "copyreg.add_extension"),
    "extension registry": (b"\x82\x01", "copyreg extension 1"),
    "instance": (b"(" + TOUCH + b"ios\nsystem\n", "os.system"),
    "object": (b"(" + name("os.system") + TOUCH + b"o", "os.system"),
    "stack global": (b"\x8c\x02os\x8c\x06system\x93", "os.system"),
    "a dotted stack global": (b"\x8c\x08builtins\x8c\x0deval.__call__\x93", "builtins.eval.__call__"),
    "a look-alike package": (call("ultralytics_evil.run"), "ultralytics_evil.run"),
    "a look-alike of torch.nn": (call("torch.nnx.Conv"), "torch.nnx.Conv"),
    "a function that unpickles": (call("pickle.loads", TOUCH), "pickle.loads"),
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("where", ["archive", "bare"])
def test_a_hostile_pickle_is_refused_by_name_and_not_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str, where: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, dotted = HOSTILE[case]
    data = b"\x80\x04" + DICT + text("model") + code + b"s" + STOP
    path = tmp_path / "evil.pt"
    _ = archive(path, data) if where == "archive" else path.write_bytes(data)
    with pytest.raises(UnsafeCheckpointError) as caught:
        load_network(path)
    assert caught.value.name == dotted
    assert f"'{dotted}'" in str(caught.value)
    assert "nothing was executed" in str(caught.value)
    assert not (tmp_path / "EXECUTED").exists()


def test_genuine_reduce_tricks_of_pickle_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.write_text, (Path("EXECUTED"), "x")

    for protocol in range(2, 6):
        torch.save({"model": Evil()}, tmp_path / "evil.pt", pickle_protocol=protocol)
        with pytest.raises(UnsafeCheckpointError):
            load_network(tmp_path / "evil.pt")
    assert not (tmp_path / "EXECUTED").exists()


def test_the_method_reference_of_published_files_is_data() -> None:
    tree = read_pickle(b"\x80\x02" + call("__builtin__.getattr", name(DETECT), text("forward")) + STOP)
    assert tree == Method(f"{DETECT}.forward")


def test_the_reader_agrees_with_pickle_on_plain_values() -> None:
    value = {"a": [1, -2, 3.5, None, True, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)], 5: {"b": b"x"}, "long": 1 << 70}
    for protocol in range(2, 6):
        assert read_pickle(pickle.dumps(value, protocol)) == value


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.tuples(x, x)))
def test_any_plain_value_is_read_as_pickle_reads_it(value: Any) -> None:
    assert read_pickle(pickle.dumps(value, 4)) == value


@given(st.binary(max_size=200))
def test_any_bytes_give_an_answer_or_a_refusal(data: bytes) -> None:
    with contextlib.suppress(DamagedPickle, RefusedGlobal):
        read_pickle(data)


# -- bombs and lies -----------------------------------------------------------------------------------------------


def deep(opening: bytes, closing: bytes, depth: int = 200_000) -> bytes:
    return b"\x80\x04" + opening * depth + b"N" + closing * depth


LAUGHS = text("ha") + b"\x85\x94" + b"".join(b"h" + bytes([level]) + b"\x86\x94" for level in range(60))
"""A tuple of two that are the same tuple of two, and so on: 60 objects, and an exabyte as text. Memos 0 to 60."""

MODULE = "ultralytics.nn.tasks.SegmentationModel"


def repeated(prelude: bytes, one: bytes) -> bytes:
    """`one`, 4000 times, after something that it takes from memo 0."""
    return b"\x80\x04" + prelude + b"\x940(" + one * 4000 + b"t" + STOP


def checkpoint(**entries: bytes) -> bytes:
    """A dict with a model of one tensor and the given entries."""
    items = b"".join(text(key) + value for key, value in entries.items())
    return b"\x80\x04" + DICT + b"(" + items + b"u" + STOP


def model(**state: bytes) -> bytes:
    """A foreign module of one tensor with the given attributes."""
    parts = {"_modules": DICT, "_parameters": DICT + text("model.0.w") + b"Ns"} | state
    return name(MODULE) + EMPTY + NEWOBJ + DICT + b"(" + b"".join(text(k) + v for k, v in parts.items()) + b"u" + BUILD


LONG_LIST = b"](" + b"K\x01" * 100_000 + b"e"
LONG_DICT = DICT + b"(" + b"".join(b"J" + struct.pack("<i", index) + b"N" for index in range(50_000)) + b"u"
LONG_PAIRS = b"](" + b"".join(b"J" + struct.pack("<i", index) + b"N\x86" for index in range(50_000)) + b"e"
DEEP_LISTS = b"]" * 100_000 + b"a" * 99_999

BOMBS = {
    "laughs in a device": checkpoint(device=LAUGHS + b"0" + call("torch.device", b"h\x3b")),
    "laughs in a path": checkpoint(path=LAUGHS + b"0" + call("pathlib.PosixPath", b"h\x3b")),
    "laughs in a name": b"\x80\x04" + LAUGHS + b"h\x01\x93" + STOP,
    "laughs as a version": checkpoint(version=LAUGHS, model=model()),
    "laughs as a number of classes": checkpoint(model=model(yaml=DICT + text("nc") + LAUGHS + b"s")),
    "laughs as a layer": checkpoint(model=model(yaml=DICT + text("backbone") + b"]" + LAUGHS + b"as")),
    "deep lists as a layer": checkpoint(model=model(yaml=DICT + text("backbone") + b"]" + DEEP_LISTS + b"as")),
    "laughs as our layers": checkpoint(
        segkit=DICT + text("config") + DICT + text("layers") + LAUGHS + b"ss", model=model()
    ),
    "a number that cannot be printed": checkpoint(version=b"\x8b" + struct.pack("<i", 4000) + b"\x7f" * 4000),
    "copies of a long list": repeated(LONG_LIST, call("torch.Size", b"h\x00")),
    "copies of a long text": repeated(text("x" * 100_000), call("_codecs.encode", b"h\x00")),
    "copies of pairs": repeated(LONG_PAIRS, call("collections.OrderedDict", b"h\x00")),
    "copies of a long state": repeated(LONG_DICT, name(MODULE) + EMPTY + NEWOBJ + b"h\x00" + BUILD),
    "deep tuples": deep(b"", TUPLE1) + STOP,
    "a deep tuple as a key": b"\x80\x04" + DICT + deep(b"", TUPLE1)[2:] + b"Ns" + STOP,
    "deep tuples in a set": b"\x80\x04\x8f(" + deep(b"", TUPLE1)[2:] + b"\x90" + STOP,
    "deep lists": b"\x80\x04" + b"]" * 200_000 + b"a" * 199_999 + STOP,
    "deep objects": b"\x80\x04" + (DICT + text("a")) * 100_000 + b"N" + b"s" * 100_000 + STOP,
    "a memo of two thousand million": b"\x80\x04Nr\xff\xff\xff\x7f" + STOP,
    "text of four thousand million": b"\x80\x04X\xff\xff\xff\xff" + STOP,
    "bytes beyond any memory": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f" + STOP,
    "a frame beyond any memory": b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f" + STOP,
    "laughs by the billion": b"\x80\x04" + b"]" + b"".join(b"q\x00(" + b"h\x00" * 9 + b"t" for _ in range(60)) + STOP,
    "an empty stack": b"\x80\x04" + REDUCE + STOP,
    "a mark alone": b"\x80\x04(" + STOP,
    "no mark": b"\x80\x04t" + STOP,
    "nothing": b"",
    "no end": b"\x80\x04N",
}


@pytest.mark.parametrize("case", BOMBS)
def test_a_pickle_bomb_is_a_damaged_file(tmp_path: Path, case: str) -> None:
    with pytest.raises(ModelFileError):
        load_network(archive(tmp_path / "bomb.pt", BOMBS[case]))


def tensor(
    size: tuple[int, ...], stride: tuple[int, ...], *, key: str = "0", kind: str = "Float", offset: int = 0
) -> bytes:
    def whole(value: int) -> bytes:
        raw = value.to_bytes(16, "little", signed=True)
        return b"\x8a" + bytes([len(raw)]) + raw

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(whole(value) for value in values) + b"t"

    storage = b"(" + text("storage") + name(f"torch.{kind}Storage") + text(key) + text("cpu") + whole(1 << 40) + b"tQ"
    ordered = name("collections.OrderedDict") + EMPTY + REDUCE
    arguments = storage + whole(offset) + numbers(size) + numbers(stride) + b"\x89" + ordered
    return name("torch._utils._rebuild_tensor_v2") + b"(" + arguments + b"t" + REDUCE


LIES = {
    "more than the block": tensor((100, 100), (100, 1)),
    "a stride beyond the block": tensor((2, 2), (1 << 40, 1)),
    "an offset beyond the block": tensor((2,), (1,), offset=1 << 60),
    "a huge tensor of one number": tensor((1 << 20, 1 << 20), (0, 0)),
    "beyond 64 bits": tensor((1 << 70,), (1 << 70,)),
    "a negative size": tensor((-1,), (1,)),
    "a negative stride": tensor((4,), (-1,)),
    "a negative offset": tensor((4,), (1,), offset=-1),
    "more sizes than strides": tensor((2, 2), (1,)),
    "thirty dimensions": tensor((1,) * 30, (1,) * 30),
    "a missing block": tensor((2,), (1,), key="7"),
    "a block outside the archive": tensor((2,), (1,), key="../data.pkl/../../../etc/passwd"),
    "complex numbers": tensor((2,), (1,), kind="ComplexFloat"),
}


@pytest.mark.parametrize("case", LIES)
def test_a_tensor_that_lies_about_its_size_is_refused(tmp_path: Path, case: str) -> None:
    data = b"\x80\x02" + DICT + text("model.0.conv.weight") + LIES[case] + b"s" + STOP
    with pytest.raises(ModelFileError):
        _ = read_checkpoint(archive(tmp_path / "lie.pt", data, {"0": bytes(64)})).state


def test_a_stride_that_is_never_used_may_be_anything(tmp_path: Path) -> None:
    data = b"\x80\x02" + DICT + text("model.0.w") + tensor((1,), (1 << 70,)) + b"s" + STOP
    state = read_checkpoint(archive(tmp_path / "one.pt", data, {"0": struct.pack("<f", 3)})).state
    assert state["model.0.w"].tolist() == [3]


def test_one_block_has_one_type(tmp_path: Path) -> None:
    items = text("model.0.a") + tensor((1,), (1,)) + b"s" + text("model.0.b") + tensor((1,), (1,), kind="Half") + b"s"
    path = archive(tmp_path / "two.pt", b"\x80\x02" + DICT + items + STOP, {"0": bytes(8)})
    with pytest.raises(ModelFileError, match="shares its numbers with another type"):
        _ = read_checkpoint(path).state


def test_overlapping_blocks_do_not_multiply_memory(tmp_path: Path) -> None:
    """Each block holds all those that follow: a zip as small as one of them unpacks to the square of its size."""
    keys = [f"archive/data/{index}" for index in range(50)]
    items = b"".join(text(f"model.0.w{i}") + tensor((1,), (1,), key=str(i)) + b"s" for i in range(len(keys)))
    parts = {"archive/data.pkl": b"\x80\x02" + DICT + items + STOP}
    nested = bytes(20_000)
    for key in reversed(keys):
        parts[key] = nested
        nested = zip_entry(key, nested) + nested
    path = tmp_path / "overlap.pt"
    path.write_bytes(zip_of_overlaps(parts, keys, nested))
    with pytest.raises(ModelFileError, match=r"far too large|damaged or cut off"):
        _ = read_checkpoint(path).state


def zip_entry(key: str, content: bytes) -> bytes:
    """The local header of a stored entry."""
    fields = (0x04034B50, 20, 0, 0, 0, 0, zlib.crc32(content), len(content), len(content), len(key), 0)
    return struct.pack("<IHHHHHIIIHH", *fields) + key.encode()


def zip_of_overlaps(parts: dict[str, bytes], nested_keys: list[str], nested: bytes) -> bytes:
    """A zip of the first of `parts`, then of the others, which lie inside each other in `nested`."""
    first, content = next(iter(parts.items()))
    body = zip_entry(first, content) + content
    places = {first: 0}
    at = len(body)
    for key in nested_keys:
        places[key] = at
        at += len(zip_entry(key, b""))
    directory = b""
    for key, place in places.items():
        size, crc = len(parts[key]), zlib.crc32(parts[key])
        fields = (0x02014B50, 20, 20, 0, 0, 0, 0, crc, size, size, len(key), 0, 0, 0, 0, 0, place)
        directory += struct.pack("<IHHHHHHIIIHHHHHII", *fields) + key.encode()
    count, start = len(places), len(body) + len(nested)
    return (
        body + nested + directory + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, len(directory), start, 0)
    )


def test_names_do_not_grow_without_end(tmp_path: Path) -> None:
    inner = model()
    for _ in range(12):
        inner = name(MODULE) + EMPTY + NEWOBJ + DICT + text("_modules") + DICT + b"h\x00" + inner + b"ss" + BUILD
    data = b"\x80\x04" + text("n" * 100_000) + b"\x940" + DICT + text("model") + inner + b"s" + STOP
    with pytest.raises(ModelFileError, match="nested without end"):
        load_network(archive(tmp_path / "names.pt", data))


def test_a_module_with_itself_a_hundred_thousand_times_is_refused_at_once(tmp_path: Path) -> None:
    items = b"".join(b"J" + struct.pack("<i", index) + b"h\x00" for index in range(100_000))
    state = DICT + text("_modules") + DICT + b"(" + items + b"us"
    data = b"\x80\x04" + name(MODULE) + EMPTY + NEWOBJ + b"\x94" + state + BUILD + STOP
    tracemalloc.start()
    with pytest.raises(ModelFileError, match="nested without end"):
        load_network(archive(tmp_path / "wide.pt", data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


def test_many_tensors_over_one_block_do_not_multiply_memory(tmp_path: Path) -> None:
    items = b"".join(text(f"model.0.w{index}") + tensor((1000,), (1,)) + b"s" for index in range(50))
    data = b"\x80\x02" + DICT + items + STOP
    with pytest.raises(ModelFileError, match="claims more numbers than the file holds"):
        _ = read_checkpoint(archive(tmp_path / "lie.pt", data, {"0": bytes(4000)})).state


def test_a_module_inside_itself_is_refused(tmp_path: Path) -> None:
    module = "ultralytics.nn.tasks.SegmentationModel"
    inner = DICT + text("a") + b"h\x00s" + text("b") + b"h\x00s"
    data = (
        b"\x80\x02" + name(module) + EMPTY + NEWOBJ + b"q\x00" + DICT + text("_modules") + inner + b"s" + BUILD + STOP
    )
    with pytest.raises(ModelFileError, match="nested without end"):
        load_network(archive(tmp_path / "loop.pt", data))


def test_compressed_parts_are_refused_unread(tmp_path: Path) -> None:
    data = b"\x80\x02" + text("x" * 50_000_000) + STOP
    path = archive(tmp_path / "zip-bomb.pt", data, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    with pytest.raises(ModelFileError, match="compressed"):
        load_network(path)


# -- files of other kinds, and damage -------------------------------------------------------------------------------


def scripted() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for part in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            file.writestr(f"model/{part}", b"\x80\x02N.")
    return buffer.getvalue()


def zipped(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(name, b"x")
    return buffer.getvalue()


FOREIGN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "html": (b"\n<!DOCTYPE html><html><body>404</body></html>", "an HTML page"),
    "html without doctype": (b"<html>", "an HTML page"),
    "xml": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML document"),
    "json": (b'{"message": "Not Found"}', "a JSON text"),
    "deep json": (b"[" * 5000, "a JSON text"),
    "text": (b"not a model\n", "a text file"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n", "a Git LFS pointer"),
    "legacy": (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", "torch's layout before 1.6"),
    "tar": (b"\0" * 257 + b"ustar" + b"\0" * 250, "a tar archive"),
    "pickle": (pickle.dumps({"a": [1]}, 4), "a bare pickle"),
    "gzip": (gzip.compress(b"x"), "gzip"),
    "jpeg": (b"\xff\xd8\xff\xe0" + bytes(20), "a JPEG picture"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(20), "a PNG picture"),
    "keras": (b"\x89HDF\r\n\x1a\n" + bytes(20), "HDF5"),
    "flatbuffer": (b"\x1c\0\0\0TFL3" + bytes(20), "a TensorFlow Lite model"),
    "noise": (bytes(range(128, 256)) * 8, "neither a torch checkpoint nor a safetensors file"),
    "script": (scripted(), "compiled to a script"),
    "document": (zipped("word/document.xml"), "a zip archive without a checkpoint"),
    "cut safetensors": (
        struct.pack("<Q", 40) + b'{"a":{"dtype":"F32","shape":[1],"data_of' + b"xx",
        "damaged safetensors",
    ),
    "safetensors of infinity": (struct.pack("<Q", 23) + b'{"a":{"shape":[1e999]}}', "damaged safetensors"),
    "safetensors of nonsense": (struct.pack("<Q", 8) + b'{"a":[]}', "damaged safetensors"),
}


@pytest.mark.parametrize("case", FOREIGN)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_file_of_another_kind_is_named(tmp_path: Path, case: str, suffix: str) -> None:
    content, what = FOREIGN[case]
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        load_network(path)
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such file"):
        load_network(tmp_path / "none.pt")
    with pytest.raises(ModelFileError, match="folder"):
        load_network(tmp_path)
    with pytest.raises(ModelFileError, match="too long"):
        load_network(tmp_path / f"{'x' * 300}.pt")


def test_relatives_are_named(tmp_path: Path, data: Path) -> None:
    with pytest.raises(ModelFileError, match="it is a detection model, not segmentation"):
        load_network(data / "checkpoints" / "yolov8n.pt")
    with pytest.raises(ModelFileError, match=r"cut off or damaged.*Download it again"):
        load_network(data / "checkpoints" / "truncated-official.pt")


def renamed(state: dict[str, Any], change: dict[str, str]) -> dict[str, Any]:
    """The state with parts of its names replaced."""
    out = {}
    for key, value in state.items():
        for old, new in change.items():
            key = key.replace(old, new)
        out[key] = value
    return out


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return SegmentationNetwork(load_config("yolov8n-seg.yaml", nc=2)).state_dict()


RELATIVES = {
    "a newer YOLO model": {"model.9.cv1": "model.10.m.0.attn"},
    "a pose or oriented-box model": {".proto.": ".unknown."},
    "not a YOLOv8 network: its weights are not named": {"model.": "backbone."},
    "a segmentation model of 24 layers": {"model.22.": "model.23."},
    "it has no model.2.cv2.conv.weight": {"model.2.cv2": "model.2.cv3"},
    "it has a model.2.extra": {"model.2.m.0.cv2.bn.num_batches_tracked": "model.2.extra"},
}


@pytest.mark.parametrize("what", RELATIVES)
def test_weights_of_another_network_are_named(tmp_path: Path, state: dict[str, torch.Tensor], what: str) -> None:
    changed = renamed(state, RELATIVES[what])
    if what.startswith("it has a"):
        changed |= {"model.2.m.0.cv2.bn.num_batches_tracked": torch.tensor(0)}
    torch.save(changed, tmp_path / "relative.pt")
    with pytest.raises(ModelFileError) as caught:
        load_network(tmp_path / "relative.pt")
    assert what in str(caught.value)


def test_a_tensor_of_another_shape_is_named(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    torch.save(state | {"model.4.m.1.cv1.conv.weight": torch.zeros(3, 3, 3, 3)}, tmp_path / "shape.pt")
    with pytest.raises(
        ModelFileError, match=r"model\.4\.m\.1\.cv1\.conv\.weight is \(3, 3, 3, 3\), not \(32, 32, 3, 3\)"
    ):
        load_network(tmp_path / "shape.pt")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_weights_that_are_no_numbers_are_named(tmp_path: Path, bad: float, suffix: str) -> None:
    network = SegmentationNetwork(load_config("yolov8n-seg.yaml", nc=2))
    with torch.no_grad():
        network.get_parameter("model.15.cv1.conv.weight")[3, 2] = bad
    save_network(network, tmp_path / f"nan{suffix}")
    with pytest.raises(ModelFileError, match=r"model\.15\.cv1\.conv\.weight holds NaN or infinity"):
        load_network(tmp_path / f"nan{suffix}")


def test_an_archive_without_weights_is_named(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "model": None}, tmp_path / "none.pt")
    with pytest.raises(ModelFileError, match="without the weights of a model"):
        load_network(tmp_path / "none.pt")


@pytest.mark.parametrize("change", [{"config": None}, {"names": 3}, {"config": {"nc": 1}}, {"names": {"x": "y"}}])
def test_a_damaged_block_of_ours_is_named(
    tmp_path: Path, state: dict[str, torch.Tensor], change: dict[str, Any]
) -> None:
    block = {"schema": 1, "config": load_config("yolov8n-seg.yaml", nc=2).model_dump(mode="json"), "names": {}} | change
    torch.save({"segkit": block, "state_dict": OrderedDict(state)}, tmp_path / "ours.pt")
    with pytest.raises(ModelFileError, match="its segkit block is damaged"):
        load_network(tmp_path / "ours.pt")


def test_weights_that_are_whole_numbers_are_named(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    whole = {key: value.to(torch.int8) if value.is_floating_point() else value for key, value in state.items()}
    torch.save(whole, tmp_path / "int8.pt")
    with pytest.raises(ModelFileError, match=r"tensor model\.0\.conv\.weight is stored as int8"):
        load_network(tmp_path / "int8.pt")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, state: dict[str, torch.Tensor]) -> tuple[bytes, bytes]:
    """The same weights as .pt and as .safetensors."""
    folder = tmp_path_factory.mktemp("saved")
    network = SegmentationNetwork(load_config("yolov8n-seg.yaml", nc=2))
    for suffix in ("pt", "safetensors"):
        save_network(network, folder / f"a.{suffix}")
    return (folder / "a.pt").read_bytes(), (folder / "a.safetensors").read_bytes()


@settings(max_examples=40)
@given(
    where=st.floats(0, 1), value=st.integers(0, 255), cut=st.booleans(), which=st.integers(0, 1), near=st.integers(0, 4)
)
def test_a_damaged_file_is_refused_or_loads(
    saved: tuple[bytes, bytes],
    tmp_path_factory: pytest.TempPathFactory,
    where: float,
    value: int,
    cut: bool,
    which: int,
    near: int,
) -> None:
    """Cut anywhere or with one byte changed, most often in the header or the directory."""
    content = bytearray(saved[which])
    span = (len(content), 60_000, 60_000, 4000, 4000)[near]
    index = int(where * (span - 1)) if near % 2 else len(content) - 1 - int(where * (span - 1))
    if cut:
        del content[index:]
    else:
        content[index] = value
    path = tmp_path_factory.mktemp("damaged") / "file.pt"
    path.write_bytes(content)
    with contextlib.suppress(SegkitError):
        load_network(path)
    path.unlink()


@pytest.mark.parametrize(("offset", "value"), [(6, b"\xff"), (46, b"\xff\xfe")], ids=["version", "name"])
def test_a_damaged_directory_is_refused(tmp_path: Path, offset: int, value: bytes) -> None:
    """Versions that do not exist and names that are no text: zipfile has an exception of its own for each."""
    path = archive(tmp_path / "a.pt", pickle.dumps({}, 2), {"é": b""})
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    content[entry + offset : entry + offset + len(value)] = value
    path.write_bytes(content)
    with pytest.raises(ModelFileError):
        read_checkpoint(path)


def test_a_flipped_bit_in_the_numbers_is_noticed(tmp_path: Path, saved: tuple[bytes, bytes]) -> None:
    content = bytearray(saved[0])
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        largest = max(file.infolist(), key=lambda info: info.file_size)
    content[largest.header_offset + 200 + largest.file_size // 2] ^= 1
    (tmp_path / "flipped.pt").write_bytes(content)
    with pytest.raises(ModelFileError, match="damaged or cut off"):
        load_network(tmp_path / "flipped.pt")


def test_the_safetensors_header_is_bounded(tmp_path: Path) -> None:
    header = json.dumps({"__metadata__": {"segkit": "[" * 100_000}}).encode()
    (tmp_path / "deep.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(ModelFileError, match="damaged safetensors"):
        load_network(tmp_path / "deep.safetensors")
