"""Downloads and the world around a process: others that want the same, signals, full disks, certificates, terminals."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from file_server import FileServer, Reply

NAME = "yolov8m-seg.pt"
BODY = os.urandom(400_000)
DIGEST = hashlib.sha256(BODY).hexdigest()
RESOLVE = """
import sys
from segkit.core.errors import SegkitError
from segkit.core.hub import resolve
try:
    print(resolve(sys.argv[1]), flush=True)
except SegkitError as error:
    print(type(error).__name__, error, file=sys.stderr)
    raise SystemExit(error.exit_code)
"""


@pytest.fixture
def environment(server: FileServer, tmp_path: Path) -> dict[str, str]:
    """Variables of a child whose cache is empty and whose mirror is the server."""
    own = {"SEGKIT_CACHE": str(tmp_path / "cache"), "SEGKIT_WEIGHTS_URL": server.url, "no_proxy": "127.0.0.1"}
    return {name: value for name, value in os.environ.items() if name != "SEGKIT_OFFLINE"} | own


def begin(environment: dict[str, str], model: str, *before: str) -> subprocess.Popen[str]:
    """A process that resolves `model`, begun by the command `before`."""
    command = [*before, sys.executable, "-P", "-c", RESOLVE, model]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, cwd="/", stdout=pipe, stderr=pipe, text=True)


def test_of_two_processes_one_downloads_and_the_other_waits_for_it(
    server: FileServer, environment: dict[str, str], tmp_path: Path
):
    server.serve(f"/{NAME}", Reply(BODY, stall=1000), Reply(BODY))
    environment["SEGKIT_TIMEOUT"] = "100"
    first = begin(environment, NAME)
    assert server.stalled.wait(60)
    second = begin(environment, NAME)
    assert second.stderr is not None
    said = second.stderr.readline()
    assert said == f"{NAME}: another process is downloading it; waiting for that, at most 10 minutes\n"
    server.let_go.set()
    ends = [process.communicate(timeout=100) for process in (first, second)]
    assert [process.returncode for process in (first, second)] == [0, 0], ends
    path = tmp_path / "cache" / "weights" / NAME
    assert [out.strip() for out, _ in ends] == [str(path)] * 2
    assert path.read_bytes() == BODY
    assert [asked.start for asked in server.log] == [None, 1000], "both requests are the first process's"
    assert ends[1][1] == "", "it has nothing more to say"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal here")
def test_a_process_that_is_killed_leaves_no_file_and_the_next_one_goes_on(
    server: FileServer, environment: dict[str, str], tmp_path: Path
):
    server.serve(f"/{NAME}", Reply(BODY, stall=150_000), Reply(BODY))
    victim = begin(environment, NAME)
    assert server.stalled.wait(60)
    folder = tmp_path / "cache" / "weights"
    partial = folder / f"{NAME}.partial"
    while not partial.exists() or partial.stat().st_size < 100_000:
        assert victim.poll() is None
        time.sleep(0.01)
    victim.kill()
    victim.communicate(timeout=60)
    assert victim.returncode == -signal.SIGKILL
    assert not (folder / NAME).exists()
    out, err = begin(environment, NAME).communicate(timeout=100)
    assert out.strip() == str(folder / NAME), err
    assert (folder / NAME).read_bytes() == BODY
    assert (server.log[-1].start or 0) >= 100_000
    assert "of it here already" in err
    assert {path.name for path in folder.iterdir()} <= {NAME, f"{NAME}.json", f"{NAME}.lock"}


def test_ctrl_c_ends_a_download_at_once_and_keeps_what_came(
    server: FileServer, environment: dict[str, str], tmp_path: Path
):
    server.serve(f"/{NAME}", Reply(BODY, stall=5000))
    command = [sys.executable, "-P", "-m", "segkit.cli", "info", NAME]
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert server.stalled.wait(60)
        partial = tmp_path / "cache" / "weights" / f"{NAME}.partial"
        while not partial.exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "Error: interrupted."
    assert partial.exists()


def has_own_mounts() -> bool:
    """Whether a process may have a small disk of its own here."""
    if not shutil.which("unshare"):
        return False
    command = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("announce", "words"),
    [(True, "the disk has no room for its 400.0 kB"), (False, "no space left on device")],
    ids=["known before", "met on the way"],
)
def test_a_full_disk(server: FileServer, environment: dict[str, str], tmp_path: Path, announce: bool, words: str):
    if not has_own_mounts():
        pytest.skip("no disk of 200 kB can be had here (unshare, tmpfs)")
    server.serve(f"/{NAME}", Reply(BODY, announce=announce))
    disk = tmp_path / "cache"
    disk.mkdir()
    own = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    mount = f"mount -t tmpfs -o size=200k tmpfs '{disk}' && exec \"$@\""
    process = begin(environment, NAME, *own, mount, "sh")
    out, err = process.communicate(timeout=100)
    assert (process.returncode, out) == (2, ""), err
    last = err.splitlines()[-1]
    assert last.startswith(f"OutputError Cannot write '{disk / 'weights' / NAME}': {words}")
    assert last.endswith(f"; SEGKIT_CACHE names another folder to keep models in, now '{disk}'.")


def certificate(folder: Path) -> Path:
    """Key and certificate of this machine, signed by nobody else."""
    if not shutil.which("openssl"):
        pytest.skip("openssl makes the certificate of the test's server, and is not here")
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([*command, "-days", "2", *files, *names], check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes((folder / "key.pem").read_bytes() + (folder / "cert.pem").read_bytes())
    return both


def test_https_is_never_left_for_http(server: FileServer, environment: dict[str, str], tmp_path: Path):
    pem = certificate(tmp_path)
    with FileServer(pem) as secure:
        environment["SSL_CERT_FILE"] = str(pem)
        secure.serve("/ok.pt", BODY)
        out, err = begin(environment, f"{secure.url}/ok.pt").communicate(timeout=100)
        assert Path(out.strip()).read_bytes() == BODY, err
        assert "plain http" not in err
        down = secure.serve("/down.pt", Reply(status=302, headers={"Location": server.serve("/x.pt", BODY)}))
        process = begin(environment, down)
        _, err = process.communicate(timeout=100)
        assert process.returncode == 2
        assert "it redirects from https to http, which is refused" in err
        assert server.log == [], "not even asked"
        up = server.serve("/up.pt", Reply(status=302, headers={"Location": f"{secure.url}/ok.pt"}))
        out, err = begin(environment, up).communicate(timeout=100)
        assert Path(out.strip()).read_bytes() == BODY, err


def test_a_certificate_that_nobody_vouches_for_is_refused(environment: dict[str, str], tmp_path: Path):
    with FileServer(certificate(tmp_path)) as secure:
        address = secure.serve("/best.pt", BODY)
        process = begin(environment, address)
        _, err = process.communicate(timeout=100)
    assert process.returncode == 2
    assert "certificate verify failed" in err


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals here")
def test_on_a_terminal_there_is_a_bar(server: FileServer, environment: dict[str, str]):
    import pty

    server.serve(f"/{NAME}", Reply(BODY, cut=100_000), Reply(BODY))
    mine, theirs = pty.openpty()
    command = [sys.executable, "-P", "-c", RESOLVE, NAME]
    environment |= {"COLUMNS": "100", "TERM": "xterm", "NO_COLOR": "1"}
    with subprocess.Popen(command, env=environment, cwd="/", stdout=subprocess.DEVNULL, stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        try:
            while piece := os.read(mine, 65536):
                seen += piece
        except OSError:  # how Linux says that the other side is closed
            pass
        os.close(mine)
    assert process.returncode == 0
    text = seen.decode()
    assert "━" in text
    assert "400.0/400.0 kB" in text
    assert "[?25h" in text, "the cursor is back"
    assert "trying again in 1 s" in text


def test_the_commands_of_the_page_about_weights_run(
    server: FileServer, environment: dict[str, str], tmp_path: Path, n_seg_pt: Path, data: Path, bus: Path
):
    page = (Path(__file__).parent.parent / "docs" / "weights.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert block.count("segkit ") >= 4
    # Of these weights no digest is on record, so that the stand-in of the test may be served for them.
    script = block.replace("yolov8n-seg.pt", NAME).replace("https://example.com", server.url)
    weights = n_seg_pt.read_bytes()
    server.serve(f"/{NAME}", weights)
    server.serve("/models/best.onnx", (data / "foreign" / "yolov8n-seg.onnx").read_bytes())
    shutil.copy(bus, tmp_path)
    function = f'set -e\nsegkit() {{ "{sys.executable}" -P -m segkit.cli "$@"; }}\n'
    command = ["bash", "-c", function + script]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(server.asked(f"/{NAME}")) == 1, "the cache serves the other commands"
