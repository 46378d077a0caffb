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
from itertools import chain, count, repeat
from math import ceil, floor
from operator import truediv
from typing import TypeAlias

from prr.core.directory.ring import Ring
from prr.wire.instance import Instance

_Due: TypeAlias = tuple[float, int]
"""When a turn is due, in rounds, and the weight whose turn it is: turns are in this order."""


class WeightedRing:
    """As `Ring`, of which it is made up, for instances with a weight."""

    def __init__(self, plain: Ring | None = None) -> None:
        """`plain` has those of weight 1; they go on from where they are."""
        self._rings = {1: plain} if plain else {}
        self._taken = dict.fromkeys(self._rings, 0)  # turns of each in this round
        self._weights: dict[Instance, int] = {}  # above 1
        self._order: list[int] = []  # weights, of the turns that were taken last

    def __len__(self) -> int:
        return sum(map(len, self._rings.values()))

    @property
    def plain(self) -> Ring | None:
        """The ring that does for all of them, as they all weigh 1; None if they do not."""
        return self._rings[1] if self._rings.keys() == {1} else None

    @property
    def size(self) -> tuple[int, int]:
        """See `Ring.size`."""
        sizes = [ring.size for ring in self._rings.values()]
        return sum(places for places, _ in sizes), sum(limit for _, limit in sizes)

    def __iter__(self) -> Iterator[Instance]:
        """In the order of their next turns."""
        dues = {weight: self._dues(weight) for weight in self._rings}
        turns = [zip(dues[weight], ring, strict=False) for weight, ring in self._rings.items()]
        return (instance for _, instance in merge(*turns))

    def copy(self) -> "WeightedRing":
        """See `Ring.copy`."""
        copied = WeightedRing()
        copied._rings = {weight: ring.copy() for weight, ring in self._rings.items()}
        copied._taken, copied._weights = self._taken.copy(), self._weights.copy()
        return copied

    def add(self, instance: Instance, weight: int = 1) -> None:
        """Put in an instance that is not in, with a weight of at least 1; see `Ring.add`."""
        now = self._now()
        self._rings.setdefault(weight, Ring()).add(instance)
        if weight > 1:
            self._weights[instance] = weight
        self._go_on(weight, now)

    def remove(self, instance: Instance) -> None:
        """Take out an instance that is in."""
        now, weight = self._now(), self._weights.pop(instance, 1)
        ring = self._rings[weight]
        ring.remove(instance)
        if ring:
            self._go_on(weight, now)
        else:
            del self._rings[weight], self._taken[weight]

    def take(self, most: int) -> list[Instance]:
        """The instances of the next turns: `most` of them, or none if there are none."""
        if not self._rings:
            return []
        rounds = min(self._taken[weight] // self._per_round(weight) for weight in self._rings)
        for weight in self._rings:
            self._taken[weight] -= rounds * self._per_round(weight)
        # Within this span every ring has its share of the turns, but for one at most.
        span = (most + len(self._rings)) / sum(map(self._per_round, self._rings))
        end = self._now()[0] + span
        dues = (self._dues(weight, end) for weight in self._rings)
        self._order = [weight for _, weight in sorted(chain.from_iterable(dues))[:most]]
        taken = {weight: self._take(weight, turns) for weight, turns in self._counted(most)}
        return [next(taken[weight]) for weight in self._order]

    def give_back(self, turns: int) -> None:
        """See `Ring.give_back`."""
        for weight, number in self._counted(turns):
            self._rings[weight].give_back(number)
            self._taken[weight] -= number
        del self._order[len(self._order) - turns :]

    def _take(self, weight: int, turns: int) -> Iterator[Instance]:
        """Exactly the next turns of one ring."""
        ring = self._rings[weight]
        taken = ring.take(turns)
        ring.give_back(len(taken) - turns)
        self._taken[weight] += turns
        return iter(taken)

    def _counted(self, turns: int) -> list[tuple[int, int]]:
        """How many of the last turns that were taken are of each weight."""
        return list(Counter(self._order[len(self._order) - turns :]).items())

    def _per_round(self, weight: int) -> int:
        """The turns in a round of those with a weight."""
        return weight * len(self._rings[weight])

    def _dues(self, weight: int, end: float | None = None) -> Iterator[_Due]:
        """The next turns of those with a weight: all, or as far as they are due before `end`."""
        first, per_round = self._taken[weight], self._per_round(weight)
        if end is None:
            halves: Iterator[int] = count(2 * first + 1, 2)
        else:
            halves = iter(range(2 * first + 1, 2 * ceil(end * per_round) + 2, 2))
        return zip(map(truediv, halves, repeat(2 * per_round)), repeat(weight), strict=False)

    def _now(self) -> _Due:
        """When the next turn is due."""
        return min((next(self._dues(weight)) for weight in self._rings), default=(0.0, 0))

    def _go_on(self, weight: int, now: _Due) -> None:
        """More or fewer have a weight: their next turn is the first that is not due before."""
        self._taken[weight] = floor(now[0] * self._per_round(weight) - 0.5)
        while next(self._dues(weight)) < now:
            self._taken[weight] += 1
