"""Which samples make which batch: all of them once an epoch, the same for every number of processes."""

import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segkit.core.data.augment import draw_side
from segkit.core.data.order import NEAR, Neighbours, Order
from segkit.core.data.rectangles import rectangles
from segkit.core.errors import OptionError

counts, batches, epochs = st.integers(1, 60), st.integers(1, 17), st.integers(0, 5)
SIZES = [(480, 640), (640, 480), (500, 500), (300, 900), (427, 640), (640, 427), (333, 500), (100, 640), (640, 90)]


def indices(order: Order, epoch: int, start: int = 0) -> list[tuple[int, ...]]:
    return [share.indices for share in order.epoch(epoch, start)]


class TestOneProcess:
    @given(counts, batches, epochs)
    def test_every_sample_comes_once_an_epoch_and_only_the_last_batch_is_short(self, count, batch, epoch):
        order = Order(count, batch, seed=3)
        made = indices(order, epoch)
        assert sorted(index for each in made for index in each) == list(range(count))
        assert len(made) == len(order)
        assert {len(each) for each in made[:-1]} <= {batch}
        assert 1 <= len(made[-1]) <= batch

    def test_every_epoch_and_every_seed_has_its_own_order(self):
        drawn = [indices(Order(50, 8, seed=seed), epoch) for seed, epoch in [(0, 0), (0, 1), (1, 0)]]
        assert len({str(each) for each in drawn}) == 3
        assert indices(Order(50, 8, seed=0), 0) == drawn[0]

    @given(counts, batches, epochs, st.data())
    def test_a_run_that_goes_on_in_the_middle_of_an_epoch_sees_the_rest_of_it(self, count, batch, epoch, data):
        order = Order(count, batch, seed=1)
        start = data.draw(st.integers(0, len(order)))
        assert indices(order, epoch, start) == indices(order, epoch)[start:]
        assert [share.number for share in order.epoch(epoch, start)] == list(range(start, len(order)))

    def test_another_process_has_the_same(self):
        order = Order(SIZES, 4, rect=True, seed=5)
        assert indices(pickle.loads(pickle.dumps(order)), 3) == indices(order, 3)


class TestSeveralProcesses:
    @given(counts, batches, epochs, st.integers(1, 6))
    def test_their_shares_are_the_batches_of_one_process(self, count, batch, epoch, world):
        whole = list(Order(count, batch, seed=2).epoch(epoch))
        shares = [list(Order(count, batch, seed=2, rank=rank, world=world).epoch(epoch)) for rank in range(world)]
        for expected, *parts in zip(whole, *shares, strict=True):
            counted = [index for part in parts if part.counted for index in part.indices]
            assert sorted(counted) == sorted(expected.indices)
            assert {(part.whole, part.size) for part in parts} == {(len(expected.indices), expected.size)}
            sizes = [len(part.indices) * part.counted for part in parts]
            assert max(sizes) - min(sizes) <= 1

    def test_who_would_have_nothing_gets_a_sample_that_does_not_count(self):
        shares = [Order(1, 4, rank=rank, world=3).share(0, 0) for rank in range(3)]
        assert [share.counted for share in shares] == [True, False, False]
        assert {share.indices for share in shares} == {(0,)}


class TestSizes:
    def test_multi_scale_draws_one_for_each_batch(self):
        order = Order(400, 4, imgsz=(640, 640), seed=9, multi_scale=0.5)
        sizes = [share.size for share in order.epoch(2)]
        assert sizes == [(draw_side(9, 2, number, 640, 0.5),) * 2 for number in range(100)]
        assert len(set(sizes)) > 10
        assert max(sizes) <= max(order.sizes())

    def test_multi_scale_keeps_proportions_to_a_stride(self):
        order = Order(400, 4, imgsz=(320, 640), multi_scale=0.5)
        for share in order.epoch(0):
            height, width = share.size
            assert height % 32 == width % 32 == 0
            assert abs(height - 0.5 * width) <= 16
        assert all(share.size == (320, 640) for share in Order(40, 4, imgsz=(320, 640)).epoch(0))

    def test_rectangles_are_shuffled_as_wholes(self):
        order = Order(SIZES * 10, 8, imgsz=(320, 320), rect=True)
        expected = Counter((tuple(each), size) for each, size in rectangles(SIZES * 10, 8, 320))
        for epoch in (0, 1):
            assert Counter((share.indices, share.size) for share in order.epoch(epoch)) == expected
        assert indices(order, 0) != indices(order, 1)
        assert set(order.sizes()) == {size for _, size in expected}

    @pytest.mark.parametrize(
        ("given_", "words"),
        [
            ({"sizes": 0}, "samples"),
            ({"batch": 0}, "batch"),
            ({"seed": -1}, "seed"),
            ({"rank": 2, "world": 2}, "0 to 1"),
            ({"rect": True}, "sizes"),
            ({"rect": True, "sizes": SIZES, "multi_scale": 0.5}, "multi_scale"),
        ],
    )
    def test_numbers_that_cannot_work_are_refused(self, given_, words):
        with pytest.raises(OptionError, match=words):
            Order(**{"sizes": 10, "batch": 4} | given_)


class TestNeighbours:
    def draws(self, order: Order, index: int, epoch: int) -> set[int]:
        neighbours, random = Neighbours(order), np.random.default_rng(0)
        return {neighbours.draw(random, index, epoch) for _ in range(4000)}

    def test_partners_come_shortly_before_in_the_epoch(self):
        order = Order(5000, 16, seed=4)
        sequence = order.sequence(1).tolist()
        place = 3000
        drawn = self.draws(order, sequence[place], 1)
        assert drawn <= set(sequence[place - NEAR * 16 : place])
        assert len(drawn) == 128
        assert self.draws(order, sequence[3], 1) <= set(sequence[-NEAR * 16 :] + sequence[:3])

    def test_in_a_small_data_set_everybody_is_a_partner(self):
        assert self.draws(Order(20, 16), 7, 0) == set(range(20))
        assert self.draws(Order(1, 16), 0, 0) == {0}

    def test_they_are_of_the_same_process(self):
        for world in (1, 2, 4, 8):
            order = Order(4096, 64, rank=world - 1, world=world)
            share = order.share(0, 40)
            mine = {index for number in range(41) for index in order.share(0, number).indices}
            assert self.draws(order, share.indices[0], 0) <= mine

    def test_another_process_draws_the_same(self):
        neighbours = Neighbours(Order(2000, 16))
        again = pickle.loads(pickle.dumps(neighbours))
        one, other = (np.random.default_rng(3) for _ in range(2))
        assert [neighbours.draw(one, 5, epoch) for epoch in (0, 1, 2, 0)] == [
            again.draw(other, 5, epoch) for epoch in (0, 1, 2, 0)
        ]

    def test_with_rectangles_too(self):
        order = Order(SIZES * 100, 8, rect=True)
        assert sorted(order.sequence(3).tolist()) == list(range(900))
        place = order.sequence(3).tolist().index(17)
        assert self.draws(order, 17, 3) <= set(np.roll(order.sequence(3), -place)[-128:].tolist())
