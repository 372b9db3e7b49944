"""Every format on the same weights at 640, one picture a run, one thread and two: formats.py [--formats onnx,openvino]

Each file runs in a process of its own, which sleeps while it is not its turn. Beside every format stands the same
network in the file that the peer exports to it, run by the same predictor: what differs is the file.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from common import BUS, DATA, QUIET, ROOT, THREADS, in_turns, parser_of, peer_absent, row, title

from segkit import YOLO
from segkit.core.backend import Feature, Precision
from segkit.core.backend.options import BY_PRECISION
from segkit.core.backend.registry import default_registry
from segkit.core.errors import SegkitError
from segkit.core.images import ImageBatch
from segkit.core.images.reading import read_picture

FILES = ROOT / "runs" / "benchmarks" / "formats"
CALIBRATION = DATA / "datasets" / "coco128-seg" / "coco128-seg.yaml"
BASE = "onnx fp32"

BOUNDS = {
    "openvino fp32": (BASE, 1.10),
    "ncnn fp32": (BASE, 1.00),
    "paddle fp32": (BASE, 1.90),
    "openvino int8": ("openvino fp32", 0.55),
    "onnx int8": (BASE, 0.70),
    "tflite fp32": (BASE, 1.10),
    "tflite int8": ("tflite fp32", 0.40),
}
"""What a file is held against, with one thread, and the largest ratio."""

PEERS = 1.03
"""The largest ratio of a file of ours to the peer's."""


class Served:
    """A file in a process of its own. Called, it runs once and says how many milliseconds that took."""

    def __init__(self, path: Path, precision: str, threads: int) -> None:
        """Load it."""
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve", str(path), precision, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        )
        self.loaded = self()

    def __call__(self) -> float:
        """Milliseconds of a run."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"{' '.join(map(str, self._process.args))} ended with {self._process.wait()}")
        return float(json.loads(answer))

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End its process."""
        self._process.kill()
        self._process.communicate()


def serve(path: Path, precision: str, threads: int) -> None:
    """In the process: answer until there are no more questions."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a runtime prints is no answer
    backend = default_registry().recognise(path)
    asked: dict[str, object] = {"threads": threads}
    if "precision" in type(backend.format.parse_load_options({})).model_fields:
        asked["precision"] = precision
    predictor = backend.load(path, backend.format.parse_load_options(asked))
    batch = ImageBatch([read_picture(BUS)], (640, 640))
    _ = batch.f32_nchw  # what is the same for every format is made once
    predictor.warm_up()
    for _ in sys.stdin:
        start = time.perf_counter()
        predictor.run(batch)
        print(json.dumps((time.perf_counter() - start) * 1e3), file=answers, flush=True)


def files(given: argparse.Namespace) -> Iterator[tuple[str, str, Path]]:
    """Name, precision and path of each file that can be made and run here; exported once and kept."""
    for entry in default_registry().all():
        fmt = entry.backend.format if entry.backend else None
        if fmt is None or (given.formats and fmt.name not in given.formats.split(",") and fmt.name not in BASE):
            continue
        if any(fmt.support.gap(each) for each in (Feature.EXPORT, Feature.PREDICT)):
            continue
        for precision in Precision:
            feature = BY_PRECISION.get(precision)
            if (feature and fmt.support.gap(feature)) or (given.quick and precision is not Precision.FP32):
                continue
            folder = FILES / f"{fmt.name}-{precision}"
            made = next(folder.glob("*"), None) if folder.is_dir() else None
            if made is None:
                folder.mkdir(parents=True, exist_ok=True)
                options = fmt.parse_export_options({"precision": precision})
                asked = {"data": CALIBRATION} if options.needs_calibration() else {}
                name = fmt.artefact_name(given.weights.stem, options)
                start = time.perf_counter()
                try:
                    YOLO(given.weights).export(format=fmt.name, precision=precision, output=folder / name, **asked)
                except SegkitError as error:
                    print(f"{fmt.name} {precision}: {error}", flush=True)
                    continue
                made = folder / name
                print(f"{fmt.name} {precision}: exported in {time.perf_counter() - start:.1f} s", flush=True)
            yield fmt.name, precision, made


def peers(given: argparse.Namespace, names: list[str]) -> Iterator[tuple[str, Path]]:
    """The files that the peer exports to these formats, where it can; exported once and kept."""
    for name in names:
        folder = FILES / f"peer-{name}"
        if not folder.is_dir():
            folder.mkdir(parents=True)
            weights = folder / given.weights.name
            weights.write_bytes(given.weights.read_bytes())
            code = (
                "import sys; from ultralytics import YOLO; "
                f"YOLO({str(weights)!r}).export(format={name!r}, imgsz=640, device='cpu')"
            )
            settings = os.environ | QUIET | {"YOLO_CONFIG_DIR": str(FILES.parent / "peer")}
            command = [str(given.peer), "-P", "-c", code]
            done = subprocess.run(command, capture_output=True, check=False, env=settings, cwd=folder)
            weights.unlink()
            for other in folder.glob("*.onnx") if name != "onnx" else ():  # what it left on the way
                other.unlink()
            if done.returncode:
                print(f"the peer exports no {name} here", flush=True)
        if made := next(folder.iterdir(), None):
            yield name, made


LITERT = """
import sys, torch, litert_torch
network = torch.export.load(sys.argv[1]).module()
pictures = torch.zeros(1, 640, 640, 3)
litert_torch.convert(litert_torch.to_channel_last_io(network, args=[0]), (pictures,)).export(sys.argv[2])
"""


def by_litert(given: argparse.Namespace) -> Path:
    """The file that litert-torch makes of the same network, in an environment of its own; made once and kept."""
    made = FILES / "litert-tflite" / f"{given.weights.stem}.tflite"
    if not made.exists():
        import torch

        from segkit.core.graph import capture

        made.parent.mkdir(parents=True, exist_ok=True)
        program = made.with_suffix(".pt2")
        torch.export.save(capture(given.weights).exported, program)
        command = [str(given.litert), "-c", LITERT, str(program), str(made)]
        subprocess.run(command, capture_output=True, check=True, env=os.environ | QUIET)
        program.unlink()
    return made


def size_of(path: Path) -> float:
    """Megabytes."""
    parts = [path] if path.is_file() else [part for part in path.rglob("*") if part.is_file()]
    return sum(part.stat().st_size for part in parts) / 1e6


def main() -> None:
    """A table for each number of threads."""
    if sys.argv[1:2] == ["--serve"]:
        serve(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
        return
    parser = parser_of(__doc__)
    parser.add_argument("--formats", default="", help="which ones, beside the one that all are held against")
    parser.add_argument("--litert", type=Path, help="python of an environment with litert-torch, for its .tflite file")
    given = parser.parse_args()
    made = {f"{name} {precision}": (path, str(precision)) for name, precision, path in files(given)}
    formats = list(dict.fromkeys(key.split()[0] for key in made))
    theirs = dict(peers(given, formats)) if given.peer else {}
    if given.litert:
        theirs["tflite"] = by_litert(given)
    rounds, runs = (1, 1) if given.quick else (6, 5)
    for threads in (1, THREADS):
        title(f"One picture at 640, n weights, {threads} thread{'s' if threads > 1 else ''}, over {BASE}")
        with ExitStack() as stack:
            sides = {
                name: stack.enter_context(Served(path, precision, threads)) for name, (path, precision) in made.items()
            }
            times = in_turns(sides, rounds=rounds, runs=runs)
        for name, (path, _) in made.items():
            to, most = BOUNDS.get(name, (BASE, 0.0))
            bound = f"<= {most:.2f} of {to}" if most and threads == 1 else f"{'':4s} of {to}" if to != BASE else ""
            row(f"{name} ({size_of(path):.1f} MB)", times[name], times[to], bound)
        for name, path in theirs.items():  # by themselves: what ran just before a side is the same for both
            ours, _ = made[f"{name} fp32"]
            with Served(ours, "fp32", threads) as one, Served(path, "fp32", threads) as other:
                pair = in_turns({"ours": one, "theirs": other}, rounds=rounds, runs=runs)
            row(f"{name} fp32, over the peer's file", pair["ours"], pair["theirs"], f"<= {PEERS}")
    if not given.peer:
        peer_absent()


if __name__ == "__main__":
    main()
