"""Computing one batch while the next is made ready: order, errors in their place, nothing late, nothing left behind."""

from __future__ import annotations

import gc
import threading
import weakref
from contextlib import closing

import pytest

from segkit.core.inference.overlap import overlapped

SOON = 30
"""Seconds after which a test gives up on what must happen at once."""


def never(element) -> bool:
    return False


@pytest.fixture(autouse=True)
def _no_threads_of_earlier_tests():
    gc.collect()
    assert compute_threads() == []


def compute_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("segkit-compute")]


def test_results_come_in_order_each_with_its_own():
    assert list(overlapped(lambda n: n * n, range(50), at_once=never)) == [n * n for n in range(50)]
    assert list(overlapped(lambda n: n, [], at_once=never)) == []


def test_the_next_element_is_fetched_while_one_is_worked_on():
    fetched = threading.Event()

    def elements():
        yield "first"
        yield "worked on"
        fetched.set()
        yield "next"

    def work(element):
        if element == "worked on":
            assert fetched.wait(SOON), "nobody fetched the next one meanwhile"
        return element

    assert list(overlapped(work, elements(), at_once=never)) == ["first", "worked on", "next"]


def test_whoever_iterates_is_busy_with_one_while_the_next_is_worked_on():
    begun = [threading.Event() for _ in range(4)]

    def work(number):
        begun[number].set()
        return number

    with closing(overlapped(work, range(4), at_once=never)) as run:
        assert next(run) == 0
        assert next(run) == 1
        assert begun[2].wait(SOON), "the runtime idles while the results of 1 are looked at"


def test_with_two_lanes_two_elements_are_worked_on_at_a_time():
    meeting = threading.Barrier(2)

    def work(number):
        if number:
            meeting.wait(SOON)
        return number

    assert list(overlapped(work, range(9), at_once=never, lanes=2)) == list(range(9))


@pytest.mark.parametrize(("lanes", "more"), [(1, 2), (2, 3), (3, 3)])
def test_few_elements_beside_those_in_the_lanes_are_alive(lanes, more):
    class Element:
        pass

    alive: weakref.WeakSet[Element] = weakref.WeakSet()
    most = 0

    def elements():
        nonlocal most
        for _ in range(12):
            element = Element()
            alive.add(element)
            most = max(most, len(alive))
            yield element
            del element

    for element in overlapped(lambda element: element, elements(), at_once=never, lanes=lanes):
        assert element in alive
    assert most == lanes + more, "the one that the caller has, those that are worked on, the next, and one finished"
    del element
    gc.collect()
    assert len(alive) == 0


def test_elements_are_fetched_by_the_caller_and_one_is_worked_on_at_a_time():
    mine = threading.get_ident()
    inside = 0

    def elements():
        for number in range(20):
            assert threading.get_ident() == mine
            yield number

    def work(number):
        nonlocal inside
        inside += 1
        assert inside == 1
        inside -= 1
        return threading.get_ident()

    workers = list(overlapped(work, elements(), at_once=never))
    assert workers[0] == mine, "the first one needs no thread"
    assert len(set(workers[1:])) == 1
    assert workers[1] != mine


def test_a_single_element_starts_no_thread():
    run = overlapped(lambda n: n, [1], at_once=never)
    assert next(run) == 1
    assert compute_threads() == []
    assert list(run) == []


def test_what_must_not_wait_is_given_before_the_next_is_asked_for():
    log = []

    def elements():
        for number in range(4):
            log.append(f"ask {number}")
            yield number

    for number in overlapped(lambda n: n, elements(), at_once=lambda n: n in (2, 3)):
        log.append(f"give {number}")
    assert log == ["ask 0", "give 0", "ask 1", "ask 2", "give 1", "give 2", "ask 3", "give 3"]


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("where", ["work", "elements"])
def test_an_error_is_raised_after_all_that_came_before_it(place, where):
    def elements():
        for number in range(4):
            if where == "elements" and number == place:
                raise ValueError(f"element {number}")
            yield number

    def work(number):
        if where == "work" and number == place:
            raise ValueError(f"work {number}")
        return number

    seen = []
    with pytest.raises(ValueError, match=f"{'work' if where == 'work' else 'element'} {place}"):
        seen.extend(overlapped(work, elements(), at_once=never))
    assert seen == list(range(place))
    assert compute_threads() == []


def test_the_earlier_of_two_errors_is_the_one_that_is_raised():
    def elements():
        yield from (0, 1)
        raise OSError("later")

    def work(number):
        if number:
            raise ValueError("earlier")

    with pytest.raises(ValueError, match="earlier"):
        list(overlapped(work, elements(), at_once=never))


@pytest.mark.parametrize("ending", ["close", "interrupt"])
def test_ending_early_waits_for_the_one_under_way_drops_the_rest_and_leaves_no_thread(ending):
    begun, release = threading.Event(), threading.Event()
    finished = []

    def elements():
        yield from (0, 1, 2)
        assert begun.wait(SOON)
        if ending == "interrupt":
            release.set()
            raise KeyboardInterrupt
        yield 3

    def work(number):
        if number == 2:
            begun.set()
            assert release.wait(SOON)
        finished.append(number)
        return number

    run = overlapped(work, elements(), at_once=never)
    assert [next(run), next(run)] == [0, 1]
    if ending == "interrupt":
        with pytest.raises(KeyboardInterrupt):
            next(run)
    else:
        assert begun.wait(SOON)
        threading.Timer(0.05, release.set).start()
        run.close()
    assert finished == [0, 1, 2]
    assert compute_threads() == []


def test_a_run_that_is_given_up_and_forgotten_leaves_no_thread():
    run = overlapped(lambda n: n, range(10), at_once=never)
    assert [next(run), next(run)] == [0, 1]
    assert len(compute_threads()) == 1
    del run
    gc.collect()
    assert compute_threads() == []
