"""Stage speed: how long it takes and how much it needs; reported, and never held against anything."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence

import pytest

from segkit.conformance import reference
from segkit.conformance.bench import switching
from segkit.conformance.gaps import features_of
from segkit.conformance.settings import Settings
from segkit.conformance.stage import Notes, Stage, at
from segkit.conformance.stages.base import PRECISIONS, SUBJECTS, SuiteBase
from segkit.conformance.store import has_torch
from segkit.conformance.subject import Subject
from segkit.conformance.weighed import weigh
from segkit.core.backend import Precision
from segkit.core.backend.registry import Registry

ROUNDS, FEWEST = 15, 3
"""Runs of each of the two, one after the other in turns: whatever else the machine does meets both."""

BUDGET = 5.0
"""Seconds after which there are as few rounds as may be."""


class SpeedStage(SuiteBase):
    """Time, size, memory."""

    @at(Stage.SPEED)
    @pytest.mark.parametrize("subject", SUBJECTS, indirect=True)
    @pytest.mark.parametrize("precision", PRECISIONS, ids=str)
    def test_time_and_size(
        self, registry: Registry, settings: Settings, precision: Precision, subject: Subject, notes: Notes
    ) -> None:
        """One picture, beside the reference in the same run; the file; loading it in a process of its own."""
        self.need(registry, settings, precision)
        subject.must_run(precision)
        bench, batch = subject.bench, subject.batch(1)
        made = subject.export(precision)
        batch.make(("u8_nhwc", "f32_nchw"))
        works: list[Callable[[], object]] = []
        if has_torch():
            network = reference.fused_of(bench.weights)
            works.append(lambda: reference.outputs_of(network, batch))
        with bench.load(made, *features_of(precision)) as predictor:
            predictor.warm_up()
            rounds = FEWEST if settings.quick else ROUNDS
            own, *others = in_turns([lambda: predictor.run(batch), *works], rounds=rounds)
        notes.figure("time of a picture", own * 1e3, "ms")
        for theirs in others:
            notes.figure("time of the reference", theirs * 1e3, "ms")
            notes.figure("times the reference's speed", theirs / own)
        if made.seconds:  # weights are nobody's export
            notes.figure("time of the export", made.seconds, "s")
        notes.figure("size", made.size / 1e6, "MB")
        options = switching(bench.backend.format.load_options, features_of(precision))
        plain = json.loads(json.dumps(options, default=str))
        weight = weigh(registry, self.format, made.path, subject.size, plain)
        notes.figure("time to load", weight.load * 1e3, "ms")
        notes.figure("time of the first picture", weight.first * 1e3, "ms")
        notes.figure("memory, at most", weight.peak, "MB")


def in_turns(works: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Median seconds of each, the first round left out."""
    seconds: list[list[float]] = [[] for _ in works]
    begun = time.perf_counter()
    for number in range(rounds + 1):
        if number > FEWEST and time.perf_counter() - begun > BUDGET:
            break
        for times, work in zip(seconds, works, strict=True):
            start = time.perf_counter()
            work()
            if number:
                times.append(time.perf_counter() - start)
    return [statistics.median(times) for times in seconds]
