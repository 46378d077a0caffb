"""Which row is due first: a calendar queue (Brown, 1988), whose rows wait in slots of time.

A slot is sorted when its time has come, and each of its rows that was put off is moved to where it
belongs by now. So to put a deadline off, as that of a lease whenever a server renews, changes a
number and nothing else: in one heap for all it took a move as well, half of what a renewal cost the
core. Plain numbers also because Python's garbage collection walks through tuples that a dict holds.
"""

from bisect import insort
from collections.abc import Collection, Iterable
from heapq import heappop, heappush
from itertools import repeat
from math import inf
from typing import Generic, TypeVar

K = TypeVar("K")

SLOT = 1 / 64
"""Seconds: a herd of 50,000 a second has 800 rows in one, which are seen to within a millisecond or
so; and leases that are put off all the time wake their binder so often and no more."""

FEW = 64
"""Rows of a slot, up to which it is sorted as soon as it is the first: that costs less than to be
woken once more."""

_STALE_MIN = 64  # below this many stale entries a rebuild is not worth its while


def earliest(*moments: float | None) -> float | None:
    """The first of some moments; None where none is set. Every step of a binder ends with it."""
    return min([moment for moment in moments if moment is not None], default=None)


class Deadlines(Generic[K]):
    """One deadline for each key. As large as the table that owns the keys, at most twice over."""

    def __init__(self) -> None:
        self._due: dict[K, float] = {}
        # For each key an entry, in the slot in which it is due or in an earlier one.
        self._slots: dict[int, list[K]] = {}
        self._sorted: dict[int, list[tuple[float, int, K]]] = {}  # that came up; the first one last
        self._numbers: list[int] = []  # of all of these, a heap
        self._entries = self._order = 0  # the order breaks ties, so that keys are never compared

    def __contains__(self, key: K) -> bool:
        return key in self._due

    def __len__(self) -> int:
        return len(self._due)

    def has_none_of(self, keys: Iterable[K]) -> bool:
        """None of `keys` has a deadline."""
        return self._due.keys().isdisjoint(keys)

    @property
    def size(self) -> tuple[int, int]:
        """How many entries it has, stale ones included, and how many it may have."""
        return self._entries, 2 * len(self._due) + _STALE_MIN

    def due_at(self, key: K) -> float | None:
        """When `key` is due (seconds); None if it has no deadline."""
        return self._due.get(key)

    def set(self, key: K, when: float) -> None:
        """`key` is due at `when` (seconds), whatever was set before."""
        before = self._due.get(key)
        self._due[key] = when
        if before is None or when < before:
            self._place(key, when)
        self._drop_stale()

    def set_all(self, keys: Collection[K], when: float) -> None:
        """The same for many that are due at one time."""
        before = [*map(self._due.get, keys, repeat(inf))]
        self._due.update(dict.fromkeys(keys, when))
        if max(before, default=when) > when:
            for key, was in zip(keys, before, strict=True):
                if was > when:
                    self._place(key, when)
            self._drop_stale()

    def cancel(self, key: K) -> None:
        """`key` is never due. No error if it had no deadline."""
        if self._due.pop(key, None) is not None:
            self._drop_stale()

    def cancel_all(self, keys: Iterable[K]) -> None:
        """The same for many."""
        for key in self._due.keys() & keys:
            del self._due[key]
        self._drop_stale()

    def first(self, now: float = -inf) -> float | None:
        """When the first key is due; None if none is. A moment after `now` may be too early, where
        many were put off: it is that of their slot, which is not sorted before its time."""
        while self._numbers:
            number = self._numbers[0]
            if (rows := self._sorted.get(number)) is None:
                begins_at = number * SLOT
                if begins_at > now and len(self._slots[number]) > FEW:
                    return begins_at
                rows = self._sorted[number] = self._sort(number)
            while rows:
                before, _, key = rows[-1]
                if self._due.get(key) == -before:
                    return -before
                rows.pop()
                self._move(key, -before)
            del self._sorted[heappop(self._numbers)]
        return None

    def pop_due(self, now: float) -> K | None:
        """Take out one key that is due by `now`; None if none is."""
        return next(iter(self.pop_all_due(now, 1)), None)

    def pop_all_due(self, now: float, most: int) -> list[K]:
        """Take out the first keys that are due by `now`, `most` at most."""
        popped = list[K]()
        while len(popped) < most and (first := self.first(now)) is not None and first <= now:
            key = self._sorted[self._numbers[0]].pop()[2]
            del self._due[key]
            self._entries -= 1
            popped.append(key)
        if popped:
            self._drop_stale()
        return popped

    def _place(self, key: K, when: float) -> None:
        """One entry more."""
        self._entries += 1
        number = int(when // SLOT)
        if (slot := self._slots.get(number)) is not None:
            slot.append(key)
        elif (rows := self._sorted.get(number)) is not None:
            insort(rows, self._row(key, when))
        else:
            self._slots[number] = [key]
            heappush(self._numbers, number)

    def _move(self, key: K, when: float) -> None:
        """An entry for `when` is out of date, and goes to where it belongs. One that has become due
        earlier has another entry."""
        self._entries -= 1
        due = self._due.get(key)
        if due is not None and due > when:
            self._place(key, due)

    def _sort(self, number: int) -> list[tuple[float, int, K]]:
        """The rows of a slot that comes up; its stale entries are moved on."""
        rows, ends_at = list[tuple[float, int, K]](), (number + 1) * SLOT
        for key in self._slots.pop(number):
            due = self._due.get(key)
            if due is None or due >= ends_at:
                self._move(key, ends_at - SLOT)
            else:
                rows.append(self._row(key, due))
        rows.sort()
        return rows

    def _row(self, key: K, when: float) -> tuple[float, int, K]:
        self._order -= 1
        return -when, self._order, key

    def _drop_stale(self) -> None:
        if self._entries > 2 * len(self._due) + _STALE_MIN:
            self._slots, self._sorted, self._numbers, self._entries = {}, {}, [], 0
            for key, due in self._due.items():
                self._place(key, due)
