"""Several processes that train together: they compute what one would, and none is waited for in vain."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from tiny_training import OPTIONS, lay_down

SCRIPT = """\
import json, os, sys
import torch
from segkit import YOLO
from segkit.core.training.learner import Learner

frozen, options = sys.argv[1] == "frozen", json.loads(sys.argv[2])
rank, losses, begin, learn = os.environ.get("RANK", "0"), [], Learner.begin_epoch, Learner.learn


def begin_epoch(self):
    begin(self)
    for module in self.network.modules() if frozen else ():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()


def noted(self, batch, iteration):
    losses.append(learn(self, batch, iteration).tolist())
    torch.save({name: each.detach().clone() for name, each in self.network.named_parameters()}, f"weights-{rank}.pt")
    return torch.tensor(losses[-1])


Learner.begin_epoch, Learner.learn = begin_epoch, noted
YOLO("tiny.yaml").train(**options)
with open(f"losses-{rank}.json", "w") as file:
    json.dump(losses, file)
"""

QUIET = {"OMP_NUM_THREADS": "1"}


def _script(folder: Path, *, processes: int, frozen: bool, pictures: int = 11, **changes: Any) -> str:
    """Run the script in `folder`, in one process or by torchrun in several; what it said."""
    lay_down(folder, train=pictures)
    (folder / "script.py").write_text(SCRIPT, encoding="utf-8")
    options = OPTIONS | {"data": "shapes/data.yaml", "project": "runs", "name": "run"} | changes
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)] if processes > 1 else []
    done = subprocess.run(
        [sys.executable, *launcher, "script.py", "frozen" if frozen else "free", json.dumps(options)],
        cwd=folder, env=os.environ | QUIET, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr


def _losses(folder: Path, rank: int = 0) -> torch.Tensor:
    return torch.tensor(json.loads((folder / f"losses-{rank}.json").read_text(encoding="utf-8")))


@pytest.mark.slow
@pytest.mark.parametrize("pictures", [11, 9], ids=["uneven shares", "a batch with nothing for the second"])
def test_the_first_losses_of_two_processes_are_those_of_one(tmp_path: Path, pictures: int) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, processes in ((one, 1), (two, 2)):
        folder.mkdir()
        _script(folder, processes=processes, frozen=True, epochs=2, pictures=pictures)
    expected = _losses(one)
    assert len(expected) == 6, "the same batches: three an epoch"
    assert torch.allclose(_losses(two), expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(_losses(two, 0), _losses(two, 1)), "every process knows the loss of all"


@pytest.mark.slow
def test_processes_hold_the_same_weights_and_one_of_them_writes(tmp_path: Path) -> None:
    said = _script(tmp_path, processes=2, frozen=False, epochs=2)
    assert said.count("epoch 2/2") == 1, "one of them speaks"
    mine, other = (torch.load(tmp_path / f"weights-{rank}.pt", weights_only=True) for rank in (0, 1))
    assert mine.keys() == other.keys()
    assert all(torch.equal(each, other[name]) for name, each in mine.items())
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["run"]
    rows = (tmp_path / "runs" / "run" / "results.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 3, "a header and an epoch a row, once"


COMMAND = """\
import json, sys
from segkit import YOLO

print(YOLO(sys.argv[1]).train(**json.loads(sys.argv[2])).save_dir)
"""


def _begun(folder: Path, model: str, **options: Any) -> subprocess.Popen[str]:
    """A training in two processes on the CPU, which runs on."""
    (folder / "command.py").write_text(COMMAND, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "command.py", model, json.dumps(options)],
        cwd=folder, env=os.environ | QUIET, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def _worker(parent: subprocess.Popen[str], rank: int) -> psutil.Process:
    """One of the processes that train."""
    for process in psutil.Process(parent.pid).children(recursive=True):
        if "segkit.core.training.worker" in process.cmdline() and process.environ().get("RANK") == str(rank):
            return process
    raise AssertionError(f"there is no process {rank}")


def _wait_for(path: Path, rows: int, parent: subprocess.Popen[str]) -> None:
    ends = time.monotonic() + 300
    while not path.exists() or len(path.read_text(encoding="utf-8").splitlines()) < rows:
        assert parent.poll() is None, parent.communicate()[1]
        assert time.monotonic() < ends, f"{path} never had {rows} rows"
        time.sleep(0.02)


@pytest.mark.slow
def test_a_killed_process_ends_the_others_by_name_and_the_run_goes_on(tmp_path: Path) -> None:
    lay_down(tmp_path)
    options = OPTIONS | {"device": "cpu,cpu", "epochs": 6, "project": "runs", "name": "run"}
    parent = _begun(tmp_path, "tiny.yaml", data="shapes/data.yaml", **options)
    _wait_for(tmp_path / "runs" / "run" / "results.csv", 3, parent)
    _worker(parent, 1).send_signal(signal.SIGKILL)
    _, err = parent.communicate(timeout=120)
    assert parent.returncode != 0
    assert "process 1 of the training was killed by SIGKILL" in err
    assert "resume=True" in err

    again = _begun(tmp_path, "runs/run/weights/last.pt", resume=True)
    out, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    assert out.strip().endswith("runs/run")
    rows = (tmp_path / "runs" / "run" / "results.csv").read_text(encoding="utf-8").splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ["1", "2", "3", "4", "5", "6"]


@pytest.mark.slow
@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["to one", "to all, as a terminal does"])
def test_ctrl_c_stops_all_processes_and_says_how_to_go_on(tmp_path: Path, send: Callable[[int, int], None]) -> None:
    lay_down(tmp_path)
    options = OPTIONS | {"device": "cpu,cpu", "epochs": 50, "project": "runs", "name": "run"}
    parent = _begun(tmp_path, "tiny.yaml", data="shapes/data.yaml", **options)
    _wait_for(tmp_path / "runs" / "run" / "results.csv", 2, parent)
    workers = [_worker(parent, rank) for rank in (0, 1)]
    send(parent.pid, signal.SIGINT)
    _, err = parent.communicate(timeout=120)
    assert parent.returncode != 0
    assert "resume=True" in err
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive
    state = torch.load(tmp_path / "runs" / "run" / "weights" / "last.pt", weights_only=True)
    assert "training" in state, "what a run needs to go on"


@pytest.mark.slow
def test_what_a_process_has_to_say_is_said_once_and_alone(tmp_path: Path) -> None:
    lay_down(tmp_path)
    command = [sys.executable, "-m", "segkit.cli", "train", "model=tiny.yaml", "data=shapes", "freeze=99", "imgsz=64"]
    done = subprocess.run(
        [*command, "device=cpu,cpu"], cwd=tmp_path, env=os.environ | QUIET, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 2
    last = [line for line in done.stderr.splitlines() if line.strip()][-1]
    assert last.startswith("Error: Option freeze=99 is not usable")
    assert "Traceback" not in done.stderr
    assert "torch" not in done.stderr


@pytest.mark.slow
def test_an_architecture_by_name_is_trained_by_several_and_signals_are_as_before(tmp_path: Path) -> None:
    lay_down(tmp_path)
    code = (
        "import signal; from segkit import YOLO; before = signal.getsignal(signal.SIGINT)\n"
        "YOLO('yolov8t-seg.yaml').train(data='shapes', epochs=1, imgsz=64, batch=4, workers=0, plots=False,"
        " device=['cpu', 'cpu'])\n"
        "assert signal.getsignal(signal.SIGINT) is before"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ | QUIET, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "segment" / "train" / "weights" / "best.pt").exists()
