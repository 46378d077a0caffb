"""Instances of different weights in turn: one of weight 3 has three turns where others have one.

There is a ring for each weight, and a round in which each instance has as many turns as it weighs.
The ring of weight w with n instances has w * n turns in a round, evenly spread: its turn k is due
when (k + 1/2) / (w * n) of the round is over (Webster's method of apportionment). Within a ring the
turns are strictly in order, so every round is exact, from wherever it is counted, and nobody who
joins or leaves changes the order of the others.

Joining and leaving are O(1), amortised, as with a plain ring, which becomes the ring of weight 1.
"""

from collections import Counter
from collections.abc import Iterator
from heapq import merge
from itertools import repeat
from math import ceil, floor
from operator import truediv
from typing import TypeAlias

from prr.core.directory.ring import Ring
from prr.wire.instance import Instance

_Due: TypeAlias = tuple[float, int]
"""When a turn is due, in rounds, and the weight whose turn it is: turns are in this order."""


class _Share:
    """The ring of one weight, and its part of a round."""

    def __init__(self, weight: int, ring: Ring) -> None:
        self.weight = weight
        self.ring = ring
        self.taken = 0  # turns in this round
        self.per_round = weight * len(ring)

    def copy(self) -> "_Share":
        copied = _Share(self.weight, self.ring.copy())
        copied.taken = self.taken
        return copied

    @property
    def due(self) -> _Due:
        """When the next turn is due."""
        return (2 * self.taken + 1) / (2 * self.per_round), self.weight

    def dues(self, end: int) -> Iterator[float]:
        """When the turns from the next one to turn `end` are due."""
        return map(truediv, range(2 * self.taken + 1, 2 * end, 2), repeat(2 * self.per_round))

    def next_of_each(self) -> Iterator[tuple[float, int, Instance]]:
        """The next turn of each instance."""
        count = len(self.ring)
        dues = self.dues(self.taken + count)
        return zip(dues, repeat(self.weight, count), self.ring, strict=True)

    def go_on(self, now: _Due) -> None:
        """There are more or fewer: the next turn is the first that is not due before `now`."""
        self.per_round = self.weight * len(self.ring)
        self.taken = floor(now[0] * self.per_round - 0.5)
        while self.due < now:
            self.taken += 1


class WeightedRing:
    """As `Ring`, of which it is made up, for instances with a weight."""

    def __init__(self, plain: Ring | None = None) -> None:
        """`plain` has those of weight 1; they go on from where they are."""
        self._shares = {1: _Share(1, plain)} if plain else {}  # by weight, the lightest first
        self._weights: dict[Instance, int] = {}  # above 1
        self._order: list[int] = []  # weights, of the turns that were taken last

    def __len__(self) -> int:
        return sum(len(share.ring) for share in self._shares.values())

    @property
    def plain(self) -> Ring | None:
        """The ring that does for all of them, as they all weigh 1; None if they do not."""
        return self._shares[1].ring if self._shares.keys() == {1} else None

    @property
    def size(self) -> tuple[int, int]:
        """See `Ring.size`."""
        sizes = [share.ring.size for share in self._shares.values()]
        return sum(places for places, _ in sizes), sum(limit for _, limit in sizes)

    def __iter__(self) -> Iterator[Instance]:
        """In the order of their next turns."""
        turns = merge(*(share.next_of_each() for share in self._shares.values()))
        return (instance for _, _, instance in turns)

    def copy(self) -> "WeightedRing":
        """See `Ring.copy`."""
        copied = WeightedRing()
        copied._shares = {weight: share.copy() for weight, share in self._shares.items()}
        copied._weights = self._weights.copy()
        return copied

    def add(self, instance: Instance, weight: int = 1) -> None:
        """Put in an instance that is not in, with a weight of at least 1; see `Ring.add`."""
        now = self._now()
        if weight not in self._shares:
            shares = {**self._shares, weight: _Share(weight, Ring())}
            self._shares = dict(sorted(shares.items()))
        if weight > 1:
            self._weights[instance] = weight
        self._shares[weight].ring.add(instance)
        self._shares[weight].go_on(now)

    def remove(self, instance: Instance) -> None:
        """Take out an instance that is in."""
        now, weight = self._now(), self._weights.pop(instance, 1)
        share = self._shares[weight]
        share.ring.remove(instance)
        if share.ring:
            share.go_on(now)
        else:
            del self._shares[weight]

    def take(self, most: int) -> list[Instance]:
        """The instances of the next turns: `most` of them, or none if there are none."""
        shares = self._shares.values()
        if not shares:
            return []
        over = min(share.taken // share.per_round for share in shares)
        # Within this span each has its part of the turns, but for one at most.
        span = (most + len(shares)) / sum(share.per_round for share in shares)
        end = self._now()[0] + span
        # Of each what may be needed, one behind the other: when, who, how heavy.
        dues: list[float] = []
        ones: list[Instance] = []
        weights: list[int] = []
        taken: list[int] = []
        for share in shares:
            due = [*share.dues(ceil(end * share.per_round) + 1)]
            held = share.ring.take(len(due))
            dues += due
            ones += held[: len(due)]
            weights += [share.weight] * len(due)
            taken.append(len(held))
        order = sorted(range(len(dues)), key=dues.__getitem__)[:most]
        self._order = [*map(weights.__getitem__, order)]
        used = Counter(self._order)
        for share, held_count in zip(shares, taken, strict=True):
            share.ring.give_back(held_count - used[share.weight])
            share.taken += used[share.weight] - over * share.per_round
        return [*map(ones.__getitem__, order)]

    def give_back(self, turns: int) -> None:
        """See `Ring.give_back`."""
        rest = len(self._order) - turns
        for weight, number in Counter(self._order[rest:]).items():
            self._shares[weight].ring.give_back(number)
            self._shares[weight].taken -= number
        del self._order[rest:]

    def _now(self) -> _Due:
        """When the next turn is due."""
        return min((share.due for share in self._shares.values()), default=(0.0, 0))


Turns: TypeAlias = Ring | WeightedRing
"""Those of a view that are in the same state: a plain ring while none weighs more than 1."""
