"""Models by name and by address, as a user meets them: what is used, what is fetched, what is said."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from file_server import FileServer, Reply
from hypothesis import given
from hypothesis import strategies as st

from segkit import YOLO
from segkit.cli import main
from segkit.core.backend.registry import default_registry
from segkit.core.errors import ModelFileError, OptionError, SegkitError
from segkit.core.hub import cache, cache_folder, is_cached, resolve
from segkit.core.hub.addresses import _place, _split
from segkit.core.hub.known import Identity, addresses_of, known
from segkit.core.notices import progress

NAME, UNCHECKED = "yolov8n-seg.pt", "yolov8m-seg.pt"
BODY, OTHER = b"one version" * 1000, b"another one" * 1000
DIGEST = hashlib.sha256(BODY).hexdigest()

Refused = Callable[[str | Path], str]


@pytest.fixture(autouse=True)
def home(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, a cache beside it, the server as mirror, and BODY as the known release of NAME."""
    monkeypatch.delenv("SEGKIT_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("SEGKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SEGKIT_WEIGHTS_URL", server.url)
    monkeypatch.setitem(known().weights, NAME, (Identity("0" * 64, 5), Identity(DIGEST, len(BODY))))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def refused(model: str | Path) -> str:
    """The error that a user reads."""
    with pytest.raises(ModelFileError) as caught:
        resolve(model)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# -- by name ----------------------------------------------------------------------------------------------------------


def test_a_name_is_fetched_once_and_then_comes_from_the_cache(
    server: FileServer, home: Path, capsys: pytest.CaptureFixture[str]
):
    server.serve(f"/{NAME}", BODY)
    path = resolve(NAME)
    assert path == home / "cache" / "weights" / NAME
    assert path.read_bytes() == BODY
    said = capsys.readouterr().err.splitlines()
    assert said == [
        f"{NAME}: not here yet; downloading {server.url}/{NAME} into '{path.parent}'",
        f"{NAME}: by Ultralytics under AGPL-3.0, and so is what is exported from it; segkit itself is Apache-2.0",
        f"{NAME}: 11.0 kB",
    ]
    server.log.clear()
    assert resolve(Path(NAME)) == path
    assert server.log == []
    assert capsys.readouterr().err == ""


def test_a_file_in_the_working_folder_wins(server: FileServer):
    server.serve(f"/{NAME}", BODY)
    resolve(NAME)
    server.log.clear()
    Path(NAME).write_bytes(b"mine")
    assert resolve(NAME) == Path(NAME)
    assert server.log == []


def test_a_file_put_into_the_cache_by_hand_is_used(server: FileServer, home: Path):
    target = home / "cache" / "weights" / NAME
    target.parent.mkdir(parents=True)
    target.write_bytes(b"brought on a stick")
    assert resolve(NAME) == target
    assert server.log == []


def test_a_file_of_the_cache_that_was_cut_since_is_fetched_again(server: FileServer):
    server.serve(f"/{NAME}", BODY)
    os.truncate(resolve(NAME), 100)
    assert resolve(NAME).read_bytes() == BODY


def test_offline_says_where_the_file_belongs(server: FileServer, home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SEGKIT_OFFLINE", "1")
    assert refused(NAME) == (
        f"Cannot load model '{NAME}': it is neither in the working folder nor in the cache, and SEGKIT_OFFLINE forbids "
        f"to download it; put the file at '{home / 'cache' / 'weights' / NAME}' or into the working folder."
    )
    assert server.log == []
    assert not (home / "cache").exists()


def test_the_second_release_is_asked_where_the_first_has_no_such_file(
    server: FileServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("SEGKIT_WEIGHTS_URL")
    table = known()
    monkeypatch.setattr("segkit.core.hub.known.known", lambda: table.__class__(
        table.owner, table.licence, (f"{server.url}/new/{{name}}", f"{server.url}/old/{{name}}"), table.weights
    ))  # fmt: skip
    server.serve(f"/old/{NAME}", BODY)
    assert resolve(NAME).read_bytes() == BODY
    assert [asked.path for asked in server.log] == [f"/new/{NAME}", f"/old/{NAME}"]


def test_weights_without_a_digest_on_record_say_so_and_may_not_change_later(
    server: FileServer, capsys: pytest.CaptureFixture[str]
):
    server.serve(f"/{UNCHECKED}", BODY)
    path = resolve(UNCHECKED)
    said = capsys.readouterr().err
    assert f"could not be checked, because none is on record; what came has {DIGEST}" in said
    path.unlink()
    server.serve(f"/{UNCHECKED}", OTHER)
    words = refused(UNCHECKED)
    assert f"its SHA-256 is {hashlib.sha256(OTHER).hexdigest()}, which is not that of the file that was" in words
    assert f"delete '{path}.json' if the new one is right" in words
    Path(f"{path}.json").unlink()
    assert resolve(UNCHECKED).read_bytes() == OTHER


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("yolov8n-sg.pt", "no such file or folder, nor published weights of that name. Did you mean 'yolov8n-seg.pt'?"),
        ("YOLOv8n-seg.pt", "Did you mean 'yolov8n-seg.pt'?"),
        ("yolov8n-seg", "Did you mean 'yolov8n-seg.pt'?"),
        ("models/yolov8n-seg.pt", "no such file or folder; 'yolov8n-seg.pt' alone means the published weights."),
        ("./yolov8n-seg.pt", "no such file or folder; 'yolov8n-seg.pt' alone means the published weights."),
        (Path("https://host/best.pt"), "give an address as text: as a Path it has lost a '/'."),
    ],
)
def test_what_is_nearly_a_name_gets_a_hint(server: FileServer, model: str | Path, words: str):
    assert refused(model).endswith(words)
    assert server.log == []


@pytest.mark.parametrize("model", ["best.pt", "models/best.pt", "yolov8n-seg.yaml", "~nobody-here/best.pt", "nul\0.pt"])
def test_any_other_path_is_left_as_it_is(server: FileServer, model: str):
    assert str(resolve(model)) == model
    assert server.log == []


def test_a_neighbour_is_nearer_than_a_name(server: FileServer):
    Path("yolov8n-seg-rooms.pt").touch()
    with pytest.raises(ModelFileError, match=r"Did you mean 'yolov8n-seg-rooms\.pt'\?$"):
        YOLO("yolov8n-seg-room.pt")
    Path("yolov8n-seg.pt").symlink_to("gone.pt")
    with pytest.raises(ModelFileError, match=r"a link to 'gone\.pt', which does not exist"):
        YOLO("yolov8n-seg.pt")


@pytest.mark.parametrize(
    ("mirror", "address"),
    [
        ("https://host/weights", "https://host/weights/yolov8n-seg.pt"),
        ("https://host/weights/", "https://host/weights/yolov8n-seg.pt"),
        ("https://host/get?file={name}&key=1", "https://host/get?file=yolov8n-seg.pt&key=1"),
    ],
)
def test_a_mirror_is_a_base_or_a_template(mirror: str, address: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SEGKIT_WEIGHTS_URL", mirror)
    assert addresses_of(NAME) == [address]


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("SEGKIT_WEIGHTS_URL", "/mnt/weights", "give an http(s) address, with {name} where the file's name belongs"),
        ("SEGKIT_TIMEOUT", "soon", "give a number of seconds"),
        ("SEGKIT_TIMEOUT", "-1", "give a number of seconds"),
        ("SEGKIT_TIMEOUT", "nan", "give a number of seconds"),
    ],
)
def test_a_variable_that_makes_no_sense_is_an_error(
    variable: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(variable, value)
    with pytest.raises(OptionError) as caught:
        resolve(NAME)
    assert str(caught.value) == f"Option {variable}={value!r} is not usable: {words}."


def test_the_table_is_sound(reference: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()
    monkeypatch.delenv("SEGKIT_WEIGHTS_URL", raising=False)
    facts = json.loads((reference / "known_weights.json").read_text())
    recorded = {(each["name"], each["sha256"], each["size"]) for each in facts["files"]}
    table = {(name, each.sha256, each.size) for name, releases in known().weights.items() for each in releases}
    assert table == recorded
    assert addresses_of("x.pt") == [address.replace("{name}", "x.pt") for address in facts["release_urls"]]
    assert {f"yolov8{scale}-seg.pt" for scale in "nsmlx"} <= set(known().weights)


# -- by address -------------------------------------------------------------------------------------------------------


def test_an_address_is_fetched_once_and_asked_whether_it_changed(server: FileServer, home: Path):
    address = server.serve("/models/best.pt", BODY)
    path = resolve(address)
    assert path.name == "best.pt"
    assert path.is_relative_to(home / "cache" / "addresses")
    assert resolve(address) == path
    assert [asked.headers.get("if-none-match") for asked in server.log] == [None, Reply(BODY).etag]
    server.serve("/models/best.pt", OTHER)
    assert resolve(address) == path
    assert path.read_bytes() == OTHER


def test_a_server_that_ignores_the_question_is_believed_by_its_tag(server: FileServer):
    address = server.serve("/best.pt", Reply(BODY), Reply(BODY, ignore_conditions=True, stall=0))
    resolve(address)
    assert resolve(address).read_bytes() == BODY
    assert len(server.log) == 2


def test_a_server_without_tags_is_believed_by_the_length(server: FileServer):
    address = server.serve("/best.pt", Reply(BODY, tag=""), Reply(BODY, tag="", stall=0), Reply(OTHER + b"!", tag=""))
    resolve(address)
    assert resolve(address).read_bytes() == BODY
    assert resolve(address).read_bytes() == OTHER + b"!"


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(status=404), "the server answered 404 Not Found; the one downloaded on 2"),
        (Reply(b"<html>log in</html>"), "the server sent a web page, not a file. The one downloaded on 2"),
    ],
)
def test_an_address_that_went_bad_does_not_take_away_what_is_here(
    server: FileServer, reply: Reply, words: str, capsys: pytest.CaptureFixture[str]
):
    address = server.serve("/best.pt", BODY, reply)
    resolve(address)
    assert resolve(address).read_bytes() == BODY
    assert words in capsys.readouterr().err


def test_offline_an_address_comes_from_the_cache(server: FileServer, monkeypatch: pytest.MonkeyPatch):
    address = server.serve("/best.pt", BODY)
    path = resolve(address)
    server.log.clear()
    monkeypatch.setenv("SEGKIT_OFFLINE", "1")
    assert resolve(address) == path
    assert "it is not in the cache" in refused(f"{server.url}/other.pt")
    assert "SEGKIT_OFFLINE forbids to download it; download it yourself" in refused(f"{server.url}/other.pt")
    assert server.log == []


def test_a_digest_in_the_address_is_checked_and_spares_the_question(server: FileServer):
    address = server.serve("/best.pt", BODY)
    path = resolve(f"{address}#sha256={DIGEST.upper()}")
    assert resolve(f"{address}#sha256={DIGEST}") == path
    assert len(server.log) == 1
    wrong = "0" * 64
    words = refused(f"{address}#sha256={wrong}")
    assert f"its SHA-256 is {DIGEST}, which is not that of the digest in its address" in words
    assert path.read_bytes() == BODY, "what was right before is still there"
    for fragment in ("sha256=12", "md5=00", "main"):
        assert "after '#' only sha256= with 64 hex digits is understood" in refused(f"{address}#{fragment}")


def test_plain_http_says_how_to_have_it_checked_unless_it_was(server: FileServer, capsys: pytest.CaptureFixture[str]):
    address = server.serve("/best.pt", BODY)
    resolve(address)
    said = capsys.readouterr().err
    assert f"to have it checked, add #sha256={DIGEST} to its address" in said
    server.serve("/other.pt", BODY)
    resolve(f"{server.url}/other.pt#sha256={DIGEST}")
    assert "plain http" not in capsys.readouterr().err


def test_addresses_that_differ_in_the_query_are_different_models(server: FileServer, home: Path):
    one = resolve(server.serve("/get?id=1&token=secret", BODY))
    other = resolve(server.serve("/get?id=2", OTHER))
    assert (one.read_bytes(), other.read_bytes()) == (BODY, OTHER)
    notes = "".join(path.read_text() for path in home.glob("cache/**/*.json"))
    assert "/get" in notes
    assert "secret" not in notes


def test_spaces_and_letters_of_any_language_may_be_in_an_address(server: FileServer):
    server.serve("/m%C3%BCde%20Modelle/best%20one.pt?x=%C3%A4", BODY)
    assert resolve(f"{server.url}/müde Modelle/best one.pt?x=ä").name == "best one.pt"


@pytest.mark.parametrize(
    "address", ["http://", "http://[bad/x.pt", "https://:0/x.pt", "http://host:port/x.pt", "http://a:b@host/x.pt"]
)
def test_a_malformed_address_is_one_line(address: str):
    shown = address.replace("a:b@", "***@")
    assert refused(address).startswith(f"Cannot load model '{shown}': ")


def test_secrets_of_an_address_are_never_shown(
    server: FileServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    resolve(server.serve("/a.pt?sig=hunter2&id=1", BODY))
    said = [refused(f"{server.url}/absent.pt?token=hunter2"), refused(f"{server.url}/a.pt?token=hunter2#md5=1")]
    monkeypatch.setenv("SEGKIT_WEIGHTS_URL", f"{server.url}/none/{{name}}?access_token=hunter2")
    said.append(refused(NAME))
    monkeypatch.setenv("SEGKIT_OFFLINE", "1")
    said += [refused(f"{server.url}/b.pt?token=hunter2"), capsys.readouterr().err]
    assert [text.count("***") > 0 for text in said] == [True] * 5
    assert "hunter2" not in "".join(said)


@given(st.text(max_size=300))
def test_no_address_leads_out_of_the_cache(name: str):
    try:
        address, _ = _split(f"https://host/{name}")
        path = _place(address)
    except SegkitError:
        return
    assert path.parent.parent == cache_folder() / "addresses"
    assert path.name not in ("", ".", "..")
    assert len(os.fsencode(path.name)) <= 250
    assert path.name.isprintable()


# -- the cache --------------------------------------------------------------------------------------------------------


def test_the_cache_is_the_system_s_own_unless_it_is_chosen(monkeypatch: pytest.MonkeyPatch, home: Path):
    assert cache_folder() == home / "cache"
    monkeypatch.setenv("SEGKIT_CACHE", "here")
    assert cache_folder() == home / "work" / "here"
    monkeypatch.setenv("SEGKIT_CACHE", "~/models")
    assert cache_folder() == Path.home() / "models"
    monkeypatch.delenv("SEGKIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "xdg"))
    if sys.platform == "linux":
        assert cache_folder() == home / "xdg" / "segkit"
    assert not cache_folder().exists(), "asking where it is makes nothing"


def test_a_lock_that_is_never_released_is_not_waited_for_for_ever(
    server: FileServer, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(cache, "LOCK_WAIT", 0.3)
    with cache.locked(home / "cache" / "weights" / NAME, NAME):
        words = refused(NAME)
    assert "another process is downloading it; waiting for that, at most 0.005 minutes" in capsys.readouterr().err
    assert f"another process has been downloading it for 0.005 minutes; '{home}" in words
    server.serve(f"/{NAME}", BODY)
    assert resolve(NAME).read_bytes() == BODY, "the lock is free again"


def test_progress_is_one_line_where_no_terminal_is(capsys: pytest.CaptureFixture[str]):
    with progress("a.pt", 2_000_000, 500_000) as advance:
        advance(1_500_000)
    with progress("b.pt", None) as advance:
        advance(1)
    assert capsys.readouterr().err == "a.pt: 2.0 MB, 500.0 kB of it here already\nb.pt: of unknown size\n"


def test_a_local_model_asks_nothing_of_the_hub(n_seg_pt: Path):
    code = (
        "import sys; from segkit import YOLO; YOLO(sys.argv[1]); given = set(sys.modules);"
        "print(sorted({'filelock', 'platformdirs', 'http.client', 'urllib.request', 'segkit.core.hub'} & given))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code, str(n_seg_pt)], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# -- with real weights ------------------------------------------------------------------------------------------------


def test_real_weights_by_name_predict_and_their_exports_land_in_the_working_folder(
    server: FileServer, n_seg_pt: Path, bus: Path, home: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "fakes"))
    default_registry.cache_clear()
    default_registry().register("blob", "fake_formats")
    server.serve(f"/{UNCHECKED}", n_seg_pt.read_bytes())
    model = YOLO(UNCHECKED)
    assert is_cached(model.path)
    assert sorted(model.predict(bus)[0].summary(), key=lambda row: row["name"])[0]["name"] == "bus"
    try:
        assert model.export(format="blob", isolate=False) == "yolov8m-seg_blob_model"
        assert sorted(path.name for path in (home / "work").iterdir()) == ["yolov8m-seg_blob_model"]
        assert not is_cached(Path("yolov8m-seg_blob_model"))
    finally:
        default_registry.cache_clear()


def test_real_weights_are_taken_over_by_name_or_address(
    server: FileServer, data: Path, capsys: pytest.CaptureFixture[str]
):
    address = server.serve("/yolov8x.pt", (data / "checkpoints" / "yolov8n.pt").read_bytes())
    for weights in ("yolov8x.pt", address):
        YOLO("yolov8n-seg.yaml").load(weights)
        assert "yolov8x.pt: 355 of 417 tensors taken over" in capsys.readouterr().err


def test_an_artefact_at_an_address_runs_on_the_command_line_without_torch(server: FileServer, data: Path, bus: Path):
    address = server.serve("/m/yolov8n-seg.onnx", (data / "foreign" / "yolov8n-seg.onnx").read_bytes())
    code = (
        "import sys; from segkit.cli import main;"
        f"print(main(['predict', 'model={address}', 'source={bus}', 'save=False']), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert "4 persons, 1 bus" in done.stdout
    assert done.stdout.endswith("0 False\n")


def test_a_hostile_checkpoint_from_an_address_is_read_as_data(server: FileServer, home: Path):
    import pickle

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(home / "ran"),)

    address = server.serve("/best.pt", pickle.dumps(Bomb()))
    with pytest.raises(ModelFileError):
        YOLO(address).names  # noqa: B018 - reading the names opens the file
    assert not (home / "ran").exists()


@pytest.mark.parametrize("command", [("info",), ("predict", "source=bus.jpg"), ("export", "format=onnx")])
def test_every_command_ends_with_one_line_and_code_2_where_nothing_can_be_fetched(
    server: FileServer, command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
):
    name, *words = command
    assert main([name, f"model={NAME}", *words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines()[-1].startswith(f"Error: Cannot load model '{NAME}': the server answered 404 Not Found")
