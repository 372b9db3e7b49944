"""The demo: from nothing to a model in every format, with the figures and pictures that show what came of it.

Everything is done as a user would do it, with the same functions; `DemoReport.commands` are the commands for it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit._benchmark import require_packages
from segkit._benchmark_report import BenchmarkReport, BenchmarkRow, State
from segkit._demo_arguments import MODEL, DemoArguments
from segkit._demo_page import write_demo
from segkit._demo_pictures import draw_pictures
from segkit._demo_report import DemoReport, DemoRow, Overlap
from segkit.core.backend.faults import words
from segkit.core.backend.options import validate
from segkit.core.errors import SegkitError
from segkit.core.notices import notice

if TYPE_CHECKING:
    from segkit import YOLO

Compare = Callable[[Path, Path, Path], Mapping[str, float | None]]
"""What a file sees differently than weights do (the first of the two), in a folder of pictures: the totals of
`segkit.conformance.comparison.Comparison`.
"""

PAGE = "demo.html"
WEIGHTS = "model.pt"


def demo(compare: Compare, **options: Any) -> DemoReport:
    """Generate shapes, train, score, export to every format, time and compare; write it all down as one page.

    A format that fails is a row with the reason, and the others go on.

    Args:
        compare: holds a file against the weights.
        options: see `DemoArguments`; also `report`, a function that is called with a few words at each step (default:
            a notice).

    Raises:
        OptionError, UnknownFormatError: refused before any work.
        MissingDependencyError: what trains, scores or draws is not installed.
        TrainingError: the training cannot go on.
        OutputError: the results cannot be written.
    """
    from segkit import YOLO
    from segkit._benchmark_subjects import planned
    from segkit.core.inference.output import made_run_folder
    from segkit.core.validation.benchmark_arguments import BenchmarkArguments

    steps = _Steps(options.pop("report", None) or notice)
    args = validate(DemoArguments, options, "demo")
    require_packages(save=True)
    model = YOLO(MODEL)
    planned(model, validate(BenchmarkArguments, args.benchmark(), "demo"))  # a format that is not there
    with made_run_folder(args.project or "runs", args.name or "demo") as folder:
        return _made(model, args, folder, compare, steps)


def _made(model: YOLO, args: DemoArguments, folder: Path, compare: Compare, steps: _Steps) -> DemoReport:
    from segkit import YOLO
    from segkit.core.data.dataset import open_dataset
    from segkit.core.data.shapes.files import make_shapes

    by_hand = args.commands()
    with steps.step("generating shapes", by_hand["shapes"]):
        data = make_shapes(folder / "shapes", **args.shapes())
    with steps.step("training", by_hand["train"]):
        model.train(str(data), project=str(folder), name="train", **args.training())
    weights = Path(shutil.copyfile(folder / "train" / "weights" / "best.pt", folder / WEIGHTS))
    model = YOLO(weights)
    with steps.step("validating", by_hand["val"]):
        scores = model.val(data, split="test", plots=False, device=args.device)
    with steps.step("exporting and measuring", by_hand["benchmark"]):
        place = {"project": str(folder), "name": "formats"}
        found = model.benchmark(data, **args.benchmark(), **place, report=steps.told)
    with steps.step("comparing", "every format with PyTorch, object by object, and drawing"):
        rows = tuple(_row(row, found, weights, data.parent / "images" / "test", compare) for row in found.rows)
        shown = draw_pictures(open_dataset(data, "test"), _files(rows, weights), folder / "pictures", args)
    report = DemoReport(
        folder=folder,
        page=folder / PAGE,
        args=args,
        data=data,
        weights=weights,
        results=dict(scores.results_dict),
        mask_map50=float(scores.seg.map50),
        rows=rows,
        shown=shown,
        machine=dict(found.machine),
        seconds=dict(steps.seconds),
    )
    write_demo(report)
    return report


def _row(row: BenchmarkRow, found: BenchmarkReport, weights: Path, pictures: Path, compare: Compare) -> DemoRow:
    """A row of the benchmark, and how the file compares with the weights."""
    path = found.kept(row)
    if row.state is not State.OK or path is None:
        return DemoRow(row, path or (weights if row is found.rows[0] else None), reason=row.reason)
    try:
        return DemoRow(row, path, Overlap.of(compare(weights, path, pictures)))
    except Exception as error:  # a runtime may raise anything; the next format is not to suffer
        told = str(error) if isinstance(error, SegkitError) else words(error)
        return DemoRow(row, path, reason=" ".join(f"comparing failed: {told}".split()))


def _files(rows: tuple[DemoRow, ...], weights: Path) -> dict[str, Path]:
    """Format → file, of all that work; the weights first."""
    return {rows[0].row.format: weights} | {row.row.format: row.path for row in rows[1:] if row.works and row.path}


@dataclass
class _Steps:
    """Tells what is being done, and remembers how long it took."""

    told: Callable[[str], None]
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, what: str, how: str) -> Iterator[None]:
        self.told(f"{what}: {how}")
        start = time.perf_counter()
        yield
        self.seconds[what] = time.perf_counter() - start
