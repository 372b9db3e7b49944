"""Prediction through a session: concurrency, batches, sizes and refusals, on formats that do nothing else."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segkit.core.backend import Concurrency
from segkit.core.backend.pipeline import ModelCard, export, plan
from segkit.core.backend.registry import Registry
from segkit.core.errors import OptionError, RuntimeFailure, SourceError
from segkit.core.images.items import Frame, Item
from segkit.core.images.sources import open_sources
from segkit.core.inference.arguments import PredictArguments
from segkit.core.inference.session import MANY, Session

FAKES = Path(__file__).parent / "fakes"
CARD = ModelCard(names={0: "cat", 1: "dog"}, coefficients=4)
PICTURE = np.zeros((48, 64, 3), np.uint8)


@pytest.fixture
def make(monkeypatch, tmp_path):
    """Export a fake format and open a session on it."""
    monkeypatch.syspath_prepend(str(FAKES))
    import fake_formats

    registry = Registry()
    for name in fake_formats.NAMES:
        registry.register(name, "fake_formats")
    weights = tmp_path / "best.weights"
    weights.touch()

    def make(name: str, **options) -> Session:
        links = plan(registry, name, {"imgsz": 64, **options}, CARD, None)
        backend = links[-1].backend
        path = tmp_path / backend.format.artefact_name("best", links[-1].options)
        export(registry, links, weights, path, isolate=False)
        return Session(backend, path, backend.format.parse_load_options({}))

    return make


def run(session, source, **args):
    errors: list[SourceError] = []
    return list(session.predict(open_sources(source), PredictArguments(**args), errors.append)), errors


@pytest.mark.parametrize("name", ["serial", "bound"])
def test_a_session_keeps_the_threading_rules_of_its_predictor(make, name):
    session = make(name)
    results: list[int] = []

    def work():
        for result in session.predict(open_sources([PICTURE] * 5), PredictArguments(), lambda error: None):
            results.append(len(result))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [1] * 20
    session.close()


def test_boxes_and_masks_come_back_in_the_pixels_of_the_picture(make):
    (result,), _ = run(make("blob"), PICTURE)
    # The fake sees the middle half of a 64x64 input; the 48x64 picture has 8 rows of border above it.
    np.testing.assert_allclose(result.boxes.xyxy[0], [16, 8, 48, 40])
    assert result.names[int(result.boxes.cls[0])] == "cat"
    assert set(result.speed) == {"preprocess", "inference", "postprocess"}
    (native,), _ = run(make("blob"), PICTURE, retina_masks=True)
    assert native.masks.data.shape == (1, 48, 64)
    assert native.masks.data.sum() == 32 * 32


def test_pictures_are_run_in_the_batches_asked_for(make, monkeypatch):
    session = make("blob", dynamic=True)
    sizes = []
    original = session._runner.run
    monkeypatch.setattr(session._runner, "run", lambda batch: sizes.append(len(batch)) or original(batch))
    results, _ = run(session, [PICTURE] * 5, batch=2)
    assert sizes == [2, 2, 1]
    assert [result.path for result in results] == [f"image{number}.jpg" for number in range(5)]


def test_an_artefact_of_fixed_batch_is_fed_that_batch_unless_told_otherwise(make, monkeypatch):
    session = make("blob", batch=4)
    sizes = []
    original = session._runner.run
    monkeypatch.setattr(session._runner, "run", lambda batch: sizes.append(len(batch)) or original(batch))
    run(session, [PICTURE] * 5)
    run(session, [PICTURE] * 2, batch=1)
    assert sizes == [4, 1, 1, 1]


def numbered(count: int, log: list[str], *, live: bool = False, broken: tuple[int, ...] = ()):
    """Items that note when they are asked for."""
    for index in range(count):
        log.append(f"ask {index}")
        if index in broken:
            yield Item(index, f"{index}.jpg", error=SourceError(f"{index}.jpg", "broken"))
        else:
            yield Item(index, f"{index}.jpg", PICTURE, frame=Frame(index + 1, live=True) if live else None)


def test_one_picture_is_read_ahead_while_the_runtime_is_at_work(make):
    log: list[str] = []
    for result in make("blob", dynamic=True).predict(numbered(4, log), PredictArguments(batch=1), lambda error: None):
        log.append(f"give {result.path[0]}")
    assert log == ["ask 0", "give 0", "ask 1", "ask 2", "give 1", "ask 3", "give 2", "give 3"]


def test_a_live_picture_is_answered_before_the_next_is_asked_for(make):
    log: list[str] = []
    for result in make("blob").predict(numbered(3, log, live=True), PredictArguments(), lambda error: None):
        log.append(f"give {result.path[0]}")
    assert log == ["ask 0", "give 0", "ask 1", "give 1", "ask 2", "give 2"]


def test_unreadable_items_are_told_in_their_place(make):
    log: list[str] = []
    items = numbered(7, [], broken=(0, 3, 4, 6))
    for result in make("blob").predict(items, PredictArguments(), lambda error: log.append(f"error {error.source}")):
        log.append(f"result {result.path}")
    kinds = ["error", "result", "result", "error", "error", "result", "error"]
    assert log == [f"{kind} {index}.jpg" for index, kind in enumerate(kinds)]


@pytest.mark.parametrize("name", ["blob", "serial", "bound"])
def test_a_runtime_that_fails_at_one_picture_has_given_those_before_it(make, monkeypatch, name):
    session = make(name)
    original, calls = session._runner.run, []

    def fail_at_the_third(batch):
        calls.append(batch)
        if len(calls) == 3:
            raise RuntimeFailure(name, "out of memory")
        return original(batch)

    monkeypatch.setattr(session._runner, "run", fail_at_the_third)
    seen = []
    with pytest.raises(RuntimeFailure, match="out of memory"):
        seen.extend(session.predict(open_sources([PICTURE] * 6), PredictArguments(), lambda error: None))
    assert [result.path for result in seen] == ["image0.jpg", "image1.jpg"]
    assert len(run(session, [PICTURE] * 3)[0]) == 3, "the session works on"


def test_an_impossible_tensor_is_refused_after_what_came_before_it(make):
    torch = pytest.importorskip("torch")
    session, seen = make("blob", dynamic=True), []
    with pytest.raises(OptionError, match="multiples of 32, not 100x64"):
        seen.extend(
            session.predict(open_sources([PICTURE, PICTURE, torch.rand(3, 100, 64)]), PredictArguments(), print)
        )
    assert len(seen) == 2


def test_pixels_are_made_ahead_in_the_form_that_the_predictor_takes(make, monkeypatch):
    session, made = make("blob"), []
    original = session._runner.run

    def takes_floats(batch):
        made.append(set(batch.views))
        assert batch.f32_nchw.size
        return original(batch)

    monkeypatch.setattr(session._runner, "run", takes_floats)
    results, _ = run(session, [PICTURE] * 3)
    assert made == [set(), {"f32_nchw"}, {"f32_nchw"}]
    assert all(result.speed["preprocess"] > 0 and result.speed["inference"] > 0 for result in results)


def test_closing_the_results_early_leaves_no_thread(make):
    results = make("bound").predict(open_sources([PICTURE] * 9), PredictArguments(), lambda error: None)
    next(results), next(results)
    assert any(thread.name.startswith("segkit-compute") for thread in threading.enumerate())
    results.close()
    assert not any(thread.name.startswith("segkit-compute") for thread in threading.enumerate())


@pytest.fixture
def sharing(make, monkeypatch):
    """A session whose predictor has three threads of its own, and the loads and runs of all its predictors."""
    session, loads, inside = make("blob"), [], []
    session.format = replace(session.format, own_threads=True)
    session._options = session._options.model_copy(update={"threads": 3})
    original = session._load

    def load(options):
        loads.append(options.threads)
        runner = original(options)
        run, lock = runner.run, threading.Lock()
        busy = 0

        def watched(batch):
            nonlocal busy
            with lock:
                busy += 1
            inside.append(busy)
            time.sleep(0.002)
            raw = run(batch)
            with lock:
                busy -= 1
            return raw

        runner.run = watched
        return runner

    monkeypatch.setattr(session, "_load", load)
    return session, loads, inside


def test_many_batches_are_computed_two_at_a_time_with_the_threads_shared_out(sharing):
    session, loads, inside = sharing
    for _ in range(2):
        results, _ = run(session, [PICTURE] * 3 * MANY)
        assert [result.path for result in results] == [f"image{number}.jpg" for number in range(3 * MANY)]
    assert loads == [2], "one thread for each of two callers, and one for both: three; loaded once"
    assert (max(inside), len(inside)) == (2, 4 * MANY), "the first ones have all threads"


def test_without_a_number_of_threads_those_of_all_cores_are_shared_out(sharing, monkeypatch):
    session, loads, inside = sharing
    monkeypatch.setattr("segkit.core.inference.session.physical", lambda: 5)
    session._options = session._options.model_copy(update={"threads": None})
    run(session, [PICTURE] * 2 * MANY)
    assert (loads, max(inside)) == ([4], 2)


def test_where_many_are_expected_two_are_computed_at_a_time_at_once(sharing):
    session, loads, inside = sharing
    wanted = session.resolve(PredictArguments())
    prepared = session._prepared(open_sources([PICTURE] * (MANY + 1)), wanted)
    assert len(list(session.computed(prepared, expected=MANY + 1))) == MANY + 1
    assert (loads, len(inside)) == ([2], MANY + 1)


def test_few_batches_single_threads_and_other_formats_load_nothing_more(sharing, monkeypatch):
    session, loads, _ = sharing
    monkeypatch.setattr("segkit.core.inference.session.physical", lambda: 1)
    run(session, [PICTURE] * MANY)
    run(session, [PICTURE] * 2 * MANY, batch=2)
    for change in ({"threads": 1}, {"threads": None}, {"device": "cuda"}):
        options = session._options
        session._options = options.model_copy(update=change)
        run(session, [PICTURE] * 2 * MANY)
        session._options = options
    for change in ({"own_threads": False}, {"concurrency": Concurrency.SERIAL}):
        own, session.format = session.format, replace(session.format, **change)
        run(session, [PICTURE] * 2 * MANY)
        session.format = own
    assert loads == []


def test_live_pictures_have_all_threads_however_many_they_are(sharing):
    session, loads, _ = sharing
    assert len(list(session.predict(numbered(2 * MANY, [], live=True), PredictArguments(), print))) == 2 * MANY
    assert loads == []


@pytest.mark.parametrize("count", [1, 2 * MANY])
@pytest.mark.parametrize("used", [0, 1, 2 * MANY])
def test_a_closed_session_refuses_with_one_line(sharing, used, count):
    session, _, _ = sharing
    if used:
        run(session, [PICTURE] * used)
    session.close()
    with pytest.raises(RuntimeFailure, match="it was closed before this call"):
        run(session, [PICTURE] * count)
    session.close()


def test_the_letterbox_is_square_by_default_and_minimal_when_asked(make, monkeypatch):
    session = make("blob", dynamic=True)
    seen = []
    original = session._runner.run
    monkeypatch.setattr(session._runner, "run", lambda batch: seen.append(batch.size) or original(batch))
    wide = np.zeros((32, 128, 3), np.uint8)
    run(session, wide)
    run(session, wide, rect=True)
    run(session, wide, rect=True, imgsz=128)
    assert seen == [(64, 64), (32, 64), (32, 128)]
    assert session.metadata.segkit is not None
    seal = session.metadata.segkit.model_copy(update={"letterbox": "minimal"})
    session.metadata = session.metadata.model_copy(update={"segkit": seal})
    run(session, wide)
    run(session, wide, rect=False)
    assert seen[3:] == [(32, 64), (64, 64)], "the artefact's policy holds unless the call names one"


def test_a_size_is_rounded_up_with_a_notice(make, capsys):
    session = make("blob", dynamic=True)
    list(session.predict(open_sources(PICTURE), session.resolve(PredictArguments(imgsz=100)), lambda error: None))
    assert capsys.readouterr().err == "imgsz 100x100 is no multiple of 32: using 128x128\n"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"imgsz": 96}, "fixed to 64x64"),
        ({"rect": True}, "rect=True changes the input size"),
        ({"classes": [2]}, r"classes=2 .*has 2 classes, 0 to 1"),
        ({"classes": [-1]}, r"classes=-1"),
    ],
)
def test_what_this_model_cannot_do_is_refused_before_any_picture_is_read(make, args, words):
    with pytest.raises(OptionError, match=words):
        make("serial").resolve(PredictArguments(**args))


def test_tensors_are_network_input_as_they_are(make):
    torch = pytest.importorskip("torch")
    session = make("blob", dynamic=True)
    (result,), _ = run(session, torch.rand(1, 3, 96, 64))
    assert result.orig_shape == (96, 64)
    with pytest.raises(OptionError, match="multiples of 32, not 100x64"):
        run(session, torch.rand(1, 3, 100, 64))
    with pytest.raises(OptionError, match="96x64 does not fit"):
        run(make("serial"), torch.rand(1, 3, 96, 64))


def test_an_unreadable_picture_among_many_is_reported_and_the_rest_goes_on(make, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"nothing")
    results, errors = run(make("blob"), [PICTURE, str(tmp_path / "bad.jpg"), PICTURE])
    assert len(results) == 2
    assert [str(error.source).endswith("bad.jpg") for error in errors] == [True]


@pytest.mark.parametrize("output", ["boxes", "scores", "prototypes"])
def test_a_model_whose_outputs_are_not_numbers_is_an_error_not_an_empty_result(make, monkeypatch, output):
    session = make("blob")
    original = session._runner.run

    def poisoned(batch):
        raw = original(batch)
        getattr(raw, output).flat[0] = np.nan
        return raw

    monkeypatch.setattr(session._runner, "run", poisoned)
    with pytest.raises(RuntimeFailure, match="not finite numbers"):
        run(session, PICTURE)


def test_an_artefact_without_names_numbers_its_classes(make):
    session = make("blob")
    session.metadata = session.metadata.model_copy(update={"names": {}})
    (result,), _ = run(session, PICTURE)
    assert result.names == {0: "class 0", 1: "class 1"}


def test_a_size_that_a_fixed_model_does_not_have_is_one_line_with_what_was_given(make, capsys):
    session = make("serial")
    with pytest.raises(OptionError, match="imgsz=31,31 is not usable: this model is fixed to 64x64"):
        run(session, PICTURE, imgsz=31)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("classes", [np.array([0, 1]), (0, 1), range(2), {0, 1}, "0,1"])
def test_class_indices_come_in_any_collection(classes):
    assert PredictArguments(classes=classes).classes == [0, 1]


def test_a_folder_for_results_may_be_a_path_and_in_the_home_folder():
    assert PredictArguments(project=Path("out")).project == "out"
    assert PredictArguments(project="~/out").project == str(Path.home() / "out")
