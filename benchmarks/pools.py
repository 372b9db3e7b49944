"""PyTorch and onnxruntime: the predictor against plain networks, and two pools of threads in one process: pools.py

Threads of a pool that have nothing to do spin for a while, because work often comes soon, and so hold the cores that
another pool needs. Timed is one prediction of each runtime: in a process without the other, beside it, and right after
it; after a bare session of onnxruntime with its defaults, whose threads go on spinning when a run has ended; and with
the spinning of OpenMP that torch has by default, which shows on a machine that others use too.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from common import BUS, THREADS, Options, Side, bare_session, in_turns, options, row, timed, title

from segkit import YOLO
from segkit.core.images import ImageBatch
from segkit.core.images.reading import read_picture

ALONE = "--alone"
"""Makes this script the other process: it predicts once for every line on standard input, and answers milliseconds."""

OWN_SPINNING = {"GOMP_SPINCOUNT": "300000"}
"""What GNU's OpenMP does where nobody says anything."""


def predictor(model: Path) -> Side:
    """One prediction from a decoded picture."""
    opened, picture = YOLO(model), read_picture(BUS)
    return lambda: opened.predict(picture, threads=THREADS)


def answer_alone(model: Path) -> None:
    """Be a process with one runtime."""
    predict = predictor(model)
    for _ in sys.stdin:
        print(timed(predict), flush=True)
    assert not {"torch", "onnxruntime"} <= sys.modules.keys()


@contextmanager
def elsewhere(model: Path, **environment: str) -> Iterator[Callable[[], float]]:
    """One prediction in a process of its own."""
    command = [sys.executable, __file__, ALONE, str(model)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asked, said = process.stdin, process.stdout

        def ask() -> float:
            print("again", file=asked, flush=True)
            return float(said.readline())

        yield ask
        asked.close()


def networks(given: Options) -> dict[str, Side]:
    """The network alone: segkit's predictor, and as scripts run it."""
    from segkit.core.inference.arguments import PredictArguments
    from segkit.core.model import load_network

    session = YOLO(given.weights)._session(PredictArguments(threads=THREADS))
    import torch  # now: segkit's settings for its threads hold for all rows

    batch = ImageBatch([read_picture(BUS)], (640, 640))
    pixels = torch.from_numpy(batch.f32_nchw)
    plain, fused = load_network(given.weights), load_network(given.weights)
    fused.fuse()

    def without_gradients() -> None:
        with torch.inference_mode():
            fused(pixels)

    return {
        "plain: as loaded, with autograd": lambda: plain(pixels),
        "plain: fused, without autograd": without_gradients,
        "segkit: also channels_last": lambda: session.compute(batch),
    }


def after(first: Side, then: Side) -> Callable[[], float]:
    """The time of one right after the other."""

    def run() -> float:
        first()
        return timed(then)

    return run


def print_networks(given: Options) -> None:
    """A table of PyTorch alone."""
    times = in_turns(networks(given), given.rounds(8), given.runs(3))
    title(f"The network in PyTorch, {THREADS} threads, against a plain one")
    names = list(times)
    for name in names:
        row(name, times[name], times[names[0]] if name != names[0] else None)


def print_pools(given: Options) -> None:
    """A table of both in one process."""
    onnx, pytorch, bare = predictor(given.model), predictor(given.weights), bare_session(given.model, THREADS)
    pixels = ImageBatch([read_picture(BUS)], (640, 640)).f32_nchw
    with elsewhere(given.model) as alone, elsewhere(given.weights, **OWN_SPINNING) as spinning:
        times = in_turns(
            {
                "onnx, no torch in the process": alone,
                "onnx, torch loaded, has run": onnx,
                "onnx right after PyTorch": after(pytorch, onnx),
                "PyTorch": pytorch,
                "PyTorch right after segkit's onnx": after(onnx, pytorch),
                "PyTorch right after a bare session": after(lambda: bare(pixels), pytorch),
                "PyTorch with its own spinning": spinning,
            },
            given.rounds(10),
            given.runs(3),
        )
    title(f"Whole predictions of one picture from an array, {THREADS} threads each")
    for name, taken in times.items():
        base = "PyTorch" if name.startswith("PyTorch") else "onnx, no torch in the process"
        row(name, taken, times[base] if name != base else None)


if __name__ == "__main__":
    if ALONE in sys.argv:
        answer_alone(Path(sys.argv[-1]))
    else:
        told = options(__doc__)
        print_networks(told)
        print_pools(told)
