"""A predictor that misbehaves is one clear line in its format's name, never an exception from deep inside."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from segkit.core.backend import Anchors, Concurrency, LoadOptions, Metadata, Selected
from segkit.core.backend.returned import metadata_of
from segkit.core.errors import ModelFileError, OptionError, RuntimeFailure
from segkit.core.images import ImageBatch
from segkit.core.inference.runner import RUNNERS

FAKES = Path(__file__).parent / "fakes"
BATCH = ImageBatch.from_u8(np.zeros((2, 64, 96, 3), np.uint8))
F32 = np.float32


@pytest.fixture
def backend(monkeypatch):
    monkeypatch.syspath_prepend(str(FAKES))
    import fake_formats

    class Mine(fake_formats.Serial):
        def load(self, path, options):
            return fake_formats.SquarePredictor(None)

    return Mine()


@pytest.fixture
def runner(backend):
    """A runner whose predictor is bent by the test."""

    def make(kind=Concurrency.PARALLEL, **methods):
        predictor = backend.load(None, None)
        for name, method in methods.items():
            setattr(predictor, name, method)
        backend.load = lambda path, options: predictor
        return RUNNERS[kind](backend, Path("x"), LoadOptions())

    return make


def good() -> Anchors:
    shapes = (2, 4, 5), (2, 3, 5), (2, 8, 5), (2, 8, 16, 24)
    return Anchors(*(np.zeros(shape, F32) for shape in shapes))


def selected() -> Selected:
    rows = [np.zeros((1, 4), F32)] * 2, [np.zeros(1, F32)] * 2, [np.zeros(1, np.int64)] * 2, [np.zeros((1, 8), F32)] * 2
    return Selected(*map(tuple, rows), np.zeros((2, 8, 16, 24), F32))


def each(change) -> Anchors:
    raw = good()
    return Anchors(*(change(getattr(raw, field.name)) for field in fields(raw)))


@pytest.mark.parametrize(
    "raw",
    [
        good(),
        selected(),
        each(lambda a: np.asfortranarray(a)[..., ::-1]),
        each(lambda a: np.broadcast_to(a[:1, :1, :1, ...], a.shape)),  # read-only
        replace(selected(), confidence=(np.zeros(0, F32),) * 2, xyxy=(np.zeros((0, 4), F32),) * 2,
                classes=(np.zeros(0, np.int32),) * 2, coefficients=(np.zeros((0, 8), F32),) * 2),
    ],
    ids=["anchors", "selected", "strided", "read-only", "nothing found"],
)  # fmt: skip
def test_outputs_of_the_contract_pass_untouched(runner, raw):
    assert runner(run=lambda batch: raw).run(BATCH) is raw


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (None, "it returned NoneType, not Anchors or Selected"),
        ((1, 2), "it returned tuple"),
        (each(lambda a: a.astype(np.float64)), "boxes is float64, not float32"),
        (each(lambda a: a.astype(np.float16)), "boxes is float16, not float32"),
        (each(lambda a: a.tolist()), "boxes is list, not a numpy array"),
        (each(lambda a: np.concatenate([a, a])), r"boxes has the shape \(4, 4, 5\), not \(2, 4, any\)"),
        (each(lambda a: a[:0]), r"boxes has the shape \(0, 4, 5\)"),
        (each(lambda a: a.swapaxes(1, 2)), r"boxes has the shape \(2, 5, 4\)"),
        (replace(good(), scores=np.zeros((2, 3, 6), F32)), r"scores has the shape \(2, 3, 6\), not \(2, any, 5\)"),
        (replace(good(), prototypes=np.zeros((2, 7, 16, 24), F32)), r"prototypes has .*, not \(2, 8, 16, 24\)"),
        (replace(good(), prototypes=np.zeros((2, 16, 24, 8), F32)), "prototypes has the shape"),
        (Selected((), (), (), (), good().prototypes), "xyxy has 0 entries, not 2"),
        (replace(selected(), classes=(np.zeros(1, F32),) * 2), r"classes\[0\] is float32, not int"),
        (replace(selected(), xyxy=(np.zeros((2, 4), F32),) * 2), r"xyxy\[0\] has the shape \(2, 4\), not \(1, 4\)"),
        (replace(selected(), xyxy=None), "TypeError"),
    ],
)
def test_other_outputs_are_told_by_name(runner, raw, words):
    with pytest.raises(RuntimeFailure, match=f"The serial runtime failed: .*{words}") as caught:
        runner(run=lambda batch: raw).run(BATCH)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", list(Concurrency))
@pytest.mark.parametrize("method", ["run", "warm_up", "close"])
@pytest.mark.parametrize(
    ("mishap", "words"), [(lambda: {}["x"], "KeyError: 'x'"), (lambda: sys.exit("bye"), "SystemExit: bye")]
)
def test_whatever_a_predictor_raises_is_a_failure_of_its_runtime(runner, kind, method, mishap, words):
    made = runner(kind, **{method: lambda *args: mishap()})
    with pytest.raises(RuntimeFailure, match=words):
        getattr(made, method)(*([BATCH] if method == "run" else []))


def test_a_deliberate_error_passes_as_it_is(runner):
    def refuse(batch):
        raise OptionError.invalid("imgsz", 1, "no")

    with pytest.raises(OptionError, match="imgsz=1"):
        runner(run=refuse).run(BATCH)


@pytest.mark.parametrize("kind", list(Concurrency))
@pytest.mark.parametrize(
    ("load", "words"),
    [
        (lambda path, options: {}["weights"], "KeyError: 'weights'"),
        (lambda path, options: sys.exit(3), "SystemExit: 3"),
        (lambda path, options: None, r"load\(\) returned NoneType, not a Predictor"),
    ],
)
def test_a_file_that_cannot_be_loaded_unforeseen(backend, kind, load, words):
    backend.load = load
    with pytest.raises(RuntimeFailure, match=words):
        RUNNERS[kind](backend, Path("x"), LoadOptions())


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (lambda path: {}["names"], "'serial' fails to read its metadata .KeyError: 'names'"),
        (lambda path: {"names": {}}, "'serial' reads dict for its metadata"),
    ],
)
def test_metadata_that_a_plugin_cannot_read_names_file_and_plugin(backend, read, words):
    backend.read_metadata = read
    with pytest.raises(ModelFileError, match=f"'x.serial': the plugin of {words}"):
        metadata_of(backend, Path("x.serial"))
    for fine in (None, Metadata()):
        backend.read_metadata = lambda path, fine=fine: fine
        assert metadata_of(backend, Path("x")) is fine


@pytest.mark.parametrize("kind", list(Concurrency))
def test_closing_waits_for_the_run_under_way_and_refuses_later_ones(runner, kind):
    inside, leave = threading.Event(), threading.Event()
    closed = []

    def slow(batch):
        inside.set()
        assert leave.wait(30)
        assert not closed, "closed under a run"
        return good()

    made = runner(kind, run=slow, close=lambda: closed.append(True))
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(made.run, BATCH)
        assert inside.wait(30)
        closing = pool.submit(made.close)
        while not made._closed:
            pass
        with pytest.raises(RuntimeFailure, match=r"it was closed before this call"):
            made.run(BATCH)
        leave.set()
        assert running.result(30) is not None
        closing.result(30)
    assert closed == [True]
    with pytest.raises(RuntimeFailure, match=r"The serial runtime failed: it was closed before this call"):
        made.warm_up()
    made.close()
    assert closed == [True], "closed twice"


@pytest.mark.parametrize("kind", list(Concurrency))
def test_runs_overlap_only_where_the_format_allows_it(runner, kind):
    meeting = threading.Barrier(2)

    def meet(batch):
        try:
            meeting.wait(5 if kind is Concurrency.PARALLEL else 0.2)
        except threading.BrokenBarrierError:
            return None  # nobody came: refused below, as no output of the contract
        return good()

    made = runner(kind, run=meet)
    with ThreadPoolExecutor(2) as pool:
        outcomes = [each.exception() for each in [pool.submit(made.run, BATCH) for _ in range(2)]]
    assert [outcome is None for outcome in outcomes] == [kind is Concurrency.PARALLEL] * 2
    made.close()
