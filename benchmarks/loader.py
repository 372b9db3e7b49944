"""Training batches at 640 with mosaic and all default augmentation, milliseconds a sample, against the peer: loader.py

Both sides have as many workers and the same pictures: 128 of them, kept in memory (cache=ram), or 2,048 that are links
to these, more than any side keeps, read from their files. A run takes the next 16 batches of 16 from a loader that has
been running, after 8 that are not counted: what was made ahead in the other side's turn is none of its speed.

Two cases have a small network learn from every batch, on the CPU, beside the workers: who makes batches quickly but
keeps all cores from the network has won nothing. The row of the network alone, on one batch again and again, is what
no loader can better.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count, repeat
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import torch
from common import DATA, QUIET, ROOT, THREADS, Options, Side, in_turns, options, peer_absent, row, title

from segkit.core.data.augment import TrainingSamples
from segkit.core.data.dataset import open_dataset
from segkit.core.data.loader import TrainBatch, TrainLoader
from segkit.core.data.order import Order

SET = DATA / "datasets" / "coco128-seg"
BATCH, DROPPED, COUNTED = 16, 8, 16
SIDE = 640
COPIES = 16
BOUND = "<= 0.667 of the peer"


class Case(NamedTuple):
    """What is measured: pictures as often as `copies` says, where they are kept, by whom batches are made, for whom."""

    copies: int
    cache: str
    workers: int
    learning: bool = False

    @property
    def words(self) -> str:
        """The heading of its table."""
        who = f"{self.workers} workers" if self.workers else "no workers"
        beside = ", beside a network that learns" if self.learning else ""
        return f"A sample of {128 * self.copies} pictures, cache={self.cache}, {who}{beside}"


CASES = (
    *(Case(1, "ram", workers) for workers in (0, 1, 2)),
    *(Case(COPIES, "off", workers) for workers in (1, 2)),
    *(Case(copies, cache, 2, learning=True) for copies, cache in ((1, "ram"), (COPIES, "off"))),
)

LEARNER = """
import torch
def learner():
    torch.manual_seed(0)
    widths, layers = (3, 16, 32, 64), []
    for wide, wider in zip(widths, widths[1:]):
        layers += [torch.nn.Conv2d(wide, wider, 3, 4, 1), torch.nn.BatchNorm2d(wider), torch.nn.SiLU()]
    network = torch.nn.Sequential(*layers)
    optimizer = torch.optim.SGD(network.parameters(), 0.01)
    def step(images):
        network(images.float() / 255).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return step
"""
"""Defines the network that learns, the same one for both sides."""

PEER = """
import os, sys, time
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
import torch
from ultralytics.cfg import get_cfg
from ultralytics.data import build_dataloader, build_yolo_dataset
pictures, cache, workers, batch, side, dropped, counted, threads, learning = sys.argv[1:10]
batch, side, dropped, counted = map(int, (batch, side, dropped, counted))
torch.set_num_threads(int(threads))
cfg = get_cfg(overrides={"task": "segment", "imgsz": side, "cache": "ram" if cache == "ram" else False})
names = dict(enumerate(sys.argv[10:]))
data = {"names": names, "nc": len(names), "channels": 3}
found = build_yolo_dataset(cfg, pictures, batch, data, mode="train")
loader = build_dataloader(found, batch, int(workers), shuffle=True, rank=-1)
step = learner() if learning == "True" else lambda images: None
def stream():
    while True:
        yield from loader
batches = stream()
for _ in sys.stdin:
    for _ in range(dropped):
        step(next(batches)["img"])
    start = time.perf_counter()
    for _ in range(counted):
        images = next(batches)["img"]
        assert images.shape == (batch, 3, side, side), images.shape
        step(images)
    taken = time.perf_counter() - start
    print(taken * 1e3 / counted / batch, file=answers, flush=True)
"""
"""Runs in the peer's environment, through its public interface: builds its data set and loader, and times batches."""


def learner() -> Callable[[torch.Tensor], object]:
    """A step of the network that learns."""
    space: dict[str, Any] = {}
    exec(LEARNER, space)
    made: Callable[[torch.Tensor], object] = space["learner"]()
    return made


def timed(batches: Iterator[TrainBatch], step: Callable[[torch.Tensor], object] | None) -> Side:
    """Milliseconds a sample."""

    def run() -> float:
        for number in range(DROPPED + COUNTED):
            if number == DROPPED:
                start = perf_counter()
            images = next(batches).images
            assert images.shape == (BATCH, 3, SIDE, SIDE)
            if step is not None:
                step(images)
        return (perf_counter() - start) * 1e3 / COUNTED / BATCH

    return run


def ours(description: Path, case: Case, stack: ExitStack) -> dict[str, Side]:
    """Our loader; and the network alone where there is one."""
    dataset = open_dataset(description, "train", cache=False)
    samples = TrainingSamples(dataset, imgsz=(SIDE, SIDE))
    order = Order(len(dataset), BATCH, imgsz=(SIDE, SIDE))
    loader = stack.enter_context(TrainLoader(samples, order, workers=case.workers, cache=case.cache))
    whole = (batch for epoch in count() for batch in loader.epoch(epoch) if len(batch.indices) == BATCH)
    if not case.learning:
        return {"segkit": timed(whole, None)}
    return {"segkit": timed(whole, learner()), "the network alone": timed(repeat(next(whole).copied()), learner())}


@contextmanager
def peers(python: Path, pictures: Path, case: Case, names: list[str]) -> Iterator[Side]:
    """The peer's in a process of its own, asked over a pipe."""
    settings = ROOT / "runs" / "benchmarks" / "peer"
    settings.mkdir(parents=True, exist_ok=True)
    told = map(str, (case.workers, BATCH, SIDE, DROPPED, COUNTED, THREADS, case.learning))
    process = subprocess.Popen(
        [str(python), "-P", "-c", LEARNER + PEER, str(pictures), case.cache, *told, *names],
        env=os.environ | QUIET | {"YOLO_CONFIG_DIR": str(settings)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    ask, answers = process.stdin, process.stdout

    def run() -> float:
        print(file=ask, flush=True)
        answer = answers.readline()
        if not answer:
            raise SystemExit(f"the peer ended with exit code {process.wait()}")
        return float(answer)

    try:
        yield run
    finally:
        ask.close()  # its workers end with it, if it ends by itself
        process.wait()
        answers.close()


@contextmanager
def linked(copies: int) -> Iterator[Path]:
    """The data set in a folder that may be written to, its pictures so many times, as links."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copyfile(SET / f"{SET.name}.yaml", root / "data.yaml")
        for kind, suffix in (("images", "jpg"), ("labels", "txt")):
            place = root / kind / "train2017"
            place.mkdir(parents=True)
            for path in (SET / kind / "train2017").glob(f"*.{suffix}"):
                for copy in range(copies):
                    (place / f"{copy:02d}{path.name}").symlink_to(path)
        yield root


def compare(given: Options, case: Case) -> None:
    """Print a row a side."""
    with linked(case.copies) as root, ExitStack() as stack:
        description = root / "data.yaml"
        sides = ours(description, case, stack)
        if given.peer is not None:
            names = [*open_dataset(description, "train", cache=False).names.values()]
            pictures = root / "images" / "train2017"
            sides["the peer"] = stack.enter_context(peers(given.peer, pictures, case, names))
        times = in_turns(sides, given.rounds(3), 1)
    title(case.words)
    peer = times.get("the peer")
    row("segkit", times["segkit"], peer, BOUND if peer and case.cache == "ram" and not case.learning else "")
    for name in ("the network alone", "the peer"):
        if name in times:
            row(name, times[name])
    if peer is None:
        peer_absent()


def main() -> None:
    """Print the cases."""
    given = options(__doc__)
    torch.set_num_threads(THREADS)
    for case in (CASES[0], CASES[-1]) if given.quick else CASES:
        compare(given, case)


if __name__ == "__main__":
    main()
