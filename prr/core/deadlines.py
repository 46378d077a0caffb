"""Which row is due first. A heap in which a row's place is put right when it comes up.

A deadline that is put off, as a lease is whenever a server renews, changes a number and nothing
else, and rows that are set together share a place. Plain numbers also because Python's garbage
collection walks through tuples that a dict holds.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from heapq import heappop, heappush
from math import inf
from typing import Generic, TypeVar

K = TypeVar("K")

_STALE_MIN = 64  # below this many stale entries a rebuild is not worth its while

_SHARE_MAX = 128  # keys of a place: whoever takes one out has the others copied


def earliest(*moments: float | None) -> float | None:
    """The first of some moments; None where none is set. Every step of a binder ends with it."""
    return min([moment for moment in moments if moment is not None], default=None)


class Deadlines(Generic[K]):
    """One deadline for each key. As large as the table that owns the keys, at most twice over."""

    def __init__(self) -> None:
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, tuple[K, ...]]] = []  # each key in one, due or too early
        self._entries = 0  # keys in the heap
        self._order = 0  # breaks ties, so that keys are never compared

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
            self._put((key,), when)
        self._drop_stale()

    def set_all(self, keys: Collection[K], when: float) -> None:
        """The same for many that are due at one time."""
        due, put = self._due, dict.fromkeys(keys, when)
        sooner = tuple(put)
        if not due.keys().isdisjoint(sooner):
            sooner = tuple([key for key in sooner if when < due.get(key, inf)])
        due.update(put)
        self._put(sooner, when)
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

    def first(self) -> float | None:
        """When the first key is due; None if none is."""
        due, heap = self._due, self._heap
        while heap:
            when, _, keys = heap[0]
            if due.get(keys[0]) == when:
                return when
            are_due = [due.get(key) == when for key in keys]
            self._put_right(self._take(are_due.index(True) if True in are_due else len(keys)))
        return None

    def pop_due(self, now: float) -> K | None:
        """Take out one key that is due by `now`; None if none is."""
        return next(iter(self.pop_all_due(now, 1)), None)

    def pop_all_due(self, now: float, most: int) -> list[K]:
        """Take out the first keys that are due by `now`, `most` at most."""
        due, popped = self._due, list[K]()
        while len(popped) < most and (when := self.first()) is not None and when <= now:
            some = self._take(most - len(popped))
            right = [key for key in some if due.get(key) == when]
            for key in right:
                del due[key]
            popped += right
            self._put_right(some)
        if popped:
            self._drop_stale()
        return popped

    def _take(self, count: int) -> tuple[K, ...]:
        """So many of the first in the heap, of those that share a place. The others keep it."""
        when, order, keys = heappop(self._heap)
        if rest := keys[count:]:
            heappush(self._heap, (when, order, rest))
        return keys[:count]

    def _put(self, keys: tuple[K, ...], when: float) -> None:
        self._entries += len(keys)
        for at in range(0, len(keys), _SHARE_MAX):
            self._order += 1
            heappush(self._heap, (when, self._order, keys[at : at + _SHARE_MAX]))

    def _put_right(self, keys: Collection[K]) -> None:
        """These were taken from the heap: put those in that are due at all, where they belong."""
        self._entries -= len(keys)
        at = defaultdict[float, list[K]](list)
        for key in keys:
            if (when := self._due.get(key)) is not None:
                at[when].append(key)
        for when, some in at.items():
            self._put(tuple(some), when)

    def _drop_stale(self) -> None:
        if self._entries > 2 * len(self._due) + _STALE_MIN:
            self._heap, self._entries = [], len(self._due)
            self._put_right(self._due)
