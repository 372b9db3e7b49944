"""Which pictures go to training, validation and test, so that each of these has a fair part of every class.

The heart is iterative stratification (Sechidis, Tsoumakas, Vlahavas: On the Stratification of Multi-Label Data, 2011):
the rarest class is dealt out first, each picture to the split that lacks most of it. Before that, training gets at
least one picture of every class, and then validation, as far as its size allows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import numpy as np

TRAIN, VAL = 0, 1


class _Dealer:
    """Groups of pictures, the splits they are dealt to, and what is wanted there."""

    def __init__(
        self, classes: Sequence[Collection[int]], sizes: Sequence[int], shares: Sequence[float], seed: int
    ) -> None:
        # A group without objects counts as one of a class of its own: background is shared out as well.
        self.classes = [frozenset(each) or frozenset([-1]) for each in classes]
        self.sizes = sizes
        self.place = [-1] * len(sizes)
        order = np.random.default_rng(seed).permutation(len(sizes)).tolist()
        self.left = dict.fromkeys(order)
        self.chance = {group: rank for rank, group in enumerate(order)}
        total = sum(sizes)
        rest = [round(total * share) for share in shares[1:]]
        self.room = [total - sum(rest), *rest]
        self.groups: dict[int, list[int]] = {}
        for group in order:
            for index in self.classes[group]:
                self.groups.setdefault(index, []).append(group)
        pictures = Counter({index: sum(sizes[group] for group in found) for index, found in self.groups.items()})
        self.wanted = {index: [count * share for share in shares] for index, count in pictures.items()}
        self.have: list[Counter[int]] = [Counter() for _ in shares]

    def deal(self, group: int, split: int) -> None:
        """Give a group to a split, or move it there."""
        old = self.place[group]
        for place, sign in ((old, -1), (split, 1)):
            if place >= 0:
                self.room[place] -= sign * self.sizes[group]
                for index in self.classes[group]:
                    self.have[place][index] += sign
                    self.wanted[index][place] -= sign * self.sizes[group]
        self.place[group] = split
        self.left.pop(group, None)

    def rarest_first(self) -> Iterable[int]:
        """Classes by the number of their groups."""
        return sorted(self.groups, key=lambda index: (len(self.groups[index]), index))

    def cover_training(self) -> None:
        """One group of every class; of those that would do, the one that others can spare best."""
        for index in self.rarest_first():
            if not self.have[TRAIN][index]:
                self.deal(min((g for g in self.groups[index] if g in self.left), key=self._loss), TRAIN)

    def _loss(self, group: int) -> tuple[int, int, int]:
        """Classes of which training has one already and no other group is left; then those it does not bring."""
        had = [index for index in self.classes[group] if self.have[TRAIN][index]]
        last = sum(not any(g in self.left for g in self.groups[index] if g != group) for index in had)
        return last, -(len(self.classes[group]) - len(had)), self.chance[group]

    def cover(self, split: int) -> None:
        """One group of every class, the one with most missing ones first, until the split is full."""
        while True:
            missing = {index for index in self.groups if not self.have[split][index]}
            found = [g for g in self._spare(split) if self.sizes[g] <= self.room[split] and self.classes[g] & missing]
            if not found:
                return
            best = max(found, key=lambda g: (len(self.classes[g] & missing), -len(self.classes[g]), -self.chance[g]))
            self.deal(best, split)

    def _spare(self, split: int) -> Iterable[int]:
        """Groups not dealt yet; and for validation those of training whose every class it has elsewhere."""
        yield from self.left
        if split == VAL:
            for group, place in enumerate(self.place):
                if place == TRAIN and all(self.have[TRAIN][index] > 1 for index in self.classes[group]):
                    yield group

    def deal_rest(self) -> None:
        """Iterative stratification of what is left, within the sizes of the splits."""
        while self.left:
            counts = {
                index: count
                for index, found in self.groups.items()
                if (count := sum(group in self.left for group in found))
            }
            index = min(counts, key=lambda each: (counts[each], each))
            # Large groups first: the small ones then make up for what does not fit.
            for group in sorted((group for group in self.groups[index] if group in self.left), key=self._smallness):
                self.deal(group, self._neediest(index, self.sizes[group]))

    def _smallness(self, group: int) -> tuple[int, int]:
        return -self.sizes[group], self.chance[group]

    def _neediest(self, index: int, size: int) -> int:
        splits = [split for split, room in enumerate(self.room) if room >= size]
        if not splits:
            return int(np.argmax(self.room))
        return max(splits, key=lambda split: (self.wanted[index][split], self.room[split]))

    def fill_empty(self, splits: Iterable[int]) -> None:
        """A split that nothing was left for gets the group of training that is missed least there."""
        for split in splits:
            spare = [group for group, place in enumerate(self.place) if place == TRAIN]
            if split not in self.place and len(spare) > 1:
                self.deal(min(spare, key=self._missed), split)

    def _missed(self, group: int) -> tuple[int, int, int]:
        gone = [index for index in self.classes[group] if self.have[TRAIN][index] == 1]
        return sum(len(self.groups[index]) > 1 for index in gone), len(gone), self.chance[group]


def assign(
    classes: Sequence[Collection[int]], sizes: Sequence[int], shares: Sequence[float], seed: int = 0
) -> list[int]:
    """Deal groups of pictures to splits.

    Args:
        classes: the classes in each group; none for background.
        sizes: pictures of each group, at least 1; a group stays together.
        shares: of train, val, and others; their sum is 1.
        seed: another one gives another division, the same one always the same.

    Returns:
        The index of its split for each group. Training has every class, but for those of a group that it gives away
        because a split would else be empty. The sizes are those asked for, but for groups that do not fit and a
        training set that needs more to have every class.
    """
    dealer = _Dealer(classes, sizes, shares, seed)
    dealer.cover_training()
    wanted = [split for split, share in enumerate(shares) if split and share]
    for split in wanted:
        dealer.cover(split)
    dealer.deal_rest()
    dealer.fill_empty(wanted)
    return dealer.place
