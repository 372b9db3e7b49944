"""What the benchmarks share: their options, timing in turns, lines that print a ratio beside its bound, the peer.

Absolute times depend on the machine and on who else uses it, so two things are compared only when they are timed in
turns in one run: a block of one, a block of the other, and again. Printed are two ratios: of the medians of the blocks,
taken pair by pair, and of the fastest runs, which a busy machine disturbs least.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("SEGKIT_TEST_DATA") or ROOT.parent / "shared" / "data")
BUS = DATA / "images" / "bus.jpg"
FOLDER = DATA / "datasets" / "coco128-seg" / "images" / "train2017"
CROWD = FOLDER / "000000000164.jpg"
"""A shelf of small things: 92 objects at a confidence of .05."""

WEIGHTS = DATA / "checkpoints" / "yolov8n-seg.pt"
THREADS = 2

QUIET = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}
"""The peer's environment variables that keep it from the network, from installing and from chatting."""


@dataclass(frozen=True)
class Options:
    """What every benchmark may be told."""

    model: Path
    weights: Path
    peer: Path | None
    quick: bool

    def rounds(self, usual: int) -> int:
        """How often to take turns."""
        return 1 if self.quick else usual

    def runs(self, usual: int = 5) -> int:
        """How many runs in one turn."""
        return 1 if self.quick else usual


def parser_of(what: str | None) -> argparse.ArgumentParser:
    """What every benchmark may be told; `what` is its docstring."""
    parser = argparse.ArgumentParser(description=(what or "").partition("\n")[0])
    parser.add_argument("--peer", type=Path, help="Python of an environment with the peer, which is run as a black box")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="a YOLOv8n-seg checkpoint")
    parser.add_argument("--model", type=Path, help="its ONNX file at 640 (default: exported to runs/benchmarks)")
    parser.add_argument("--quick", action="store_true", help="as few turns as possible: does it run at all?")
    return parser


def options(what: str | None) -> Options:
    """Read the command line; `what` is the benchmark's docstring. The ONNX file is exported once and kept."""
    parser = parser_of(what)
    given = parser.parse_args()
    if given.peer is not None and not given.peer.is_file():
        parser.error(f"--peer is a Python interpreter; there is no '{given.peer}'")
    missing = [path for path in (given.weights, BUS, FOLDER) if not path.exists()]
    if missing:
        parser.error(f"'{missing[0]}' is not there: set SEGKIT_TEST_DATA to the folder of test data")
    return Options(given.model or exported(given.weights), given.weights, given.peer, given.quick)


def exported(weights: Path) -> Path:
    """The ONNX file of `weights`."""
    target = ROOT / "runs" / "benchmarks" / f"{weights.stem}.onnx"
    if not target.exists():
        from segkit import YOLO

        target.parent.mkdir(parents=True, exist_ok=True)
        YOLO(weights).export(format="onnx", output=target)
    return target


def bare_session(model: Path, threads: int) -> Callable[[Any], Any]:
    """`InferenceSession.run` and nothing else, with the runtime's defaults: input to outputs."""
    import onnxruntime as ort

    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.log_severity_level = 3
    session = ort.InferenceSession(str(model), settings, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda pixels: session.run(None, {name: pixels})


# -- timing ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Times:
    """Milliseconds of one side: of every run, block by block."""

    blocks: list[list[float]]

    @property
    def best(self) -> float:
        """The fastest run."""
        return min(map(min, self.blocks))

    @property
    def median(self) -> float:
        """Over all runs."""
        return statistics.median(each for block in self.blocks for each in block)

    def over(self, other: Times) -> tuple[float, float]:
        """Ratios to another side: of medians pair by pair, and of the fastest runs."""
        medians = (map(statistics.median, side.blocks) for side in (self, other))
        return statistics.median(one / two for one, two in zip(*medians, strict=True)), self.best / other.best


Side = Callable[[], object]
"""Runs once. What it returns counts as its milliseconds where it is a float; otherwise the time it took does."""


def in_turns(sides: Mapping[str, Side], rounds: int, runs: int) -> dict[str, Times]:
    """Blocks of `runs` of each side, in turns. A pause and an uncounted run come first: no side pays for the other."""
    taken: dict[str, list[list[float]]] = {name: [] for name in sides}
    for side in sides.values():
        side()
    for _ in range(rounds):
        for name, side in sides.items():
            time.sleep(0.03)
            side()
            taken[name].append([timed(side) for _ in range(runs)])
    return {name: Times(blocks) for name, blocks in taken.items()}


def timed(side: Side) -> float:
    """Milliseconds of one run."""
    start = time.perf_counter()
    said = side()
    return said if isinstance(said, float) else (time.perf_counter() - start) * 1e3


# -- printing -------------------------------------------------------------------------------------------------------


def title(text: str) -> None:
    """The heading of a table."""
    print(f"\n{text}\n{'':52s} {'median':>10s} {'fastest':>10s}   ratio: median, fastest   bound")


def row(name: str, times: Times, to: Times | None = None, bound: str = "") -> None:
    """A side with its times and, where there is something to hold it against, its ratios."""
    line = f"{name:52s} {times.median:7.2f} ms {times.best:7.2f} ms"
    if to is not None:
        medians, fastest = times.over(to)
        line += f"   {medians:10.3f} {fastest:10.3f}    {bound}"
    print(line.rstrip(), flush=True)


def peer_absent() -> None:
    """Instead of the peer's rows."""
    print("peer absent (give its interpreter: --peer PYTHON)", flush=True)


# -- the peer -------------------------------------------------------------------------------------------------------


class Peer:
    """The peer in a process of its own, asked over a pipe, so that its turns alternate with ours."""

    def __init__(self, python: Path, model: Path) -> None:
        """Start it; it loads `model`."""
        settings = ROOT / "runs" / "benchmarks" / "peer"
        settings.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [str(python), "-P", str(Path(__file__).with_name("peer.py")), str(model), str(THREADS)],
            env=os.environ | QUIET | {"YOLO_CONFIG_DIR": str(settings)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, **question: Any) -> dict[str, float]:
        """One prediction; see peer.py for questions and answers."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(question, default=str), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"the peer ended with exit code {self._process.wait()} at {question}")
        found: dict[str, float] = json.loads(answer)
        return found

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End its process."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def peer_of(given: Options) -> Iterator[Peer | None]:
    """The peer, or None where there is none."""
    if given.peer is None:
        yield None
        return
    with Peer(given.peer, given.model) as peer:
        yield peer
