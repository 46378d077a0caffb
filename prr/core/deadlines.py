"""Which row is due first. A heap in which a row's place is put right when it comes up.

A deadline that is put off, as a lease is whenever a server renews, changes a number and nothing
else. Plain numbers also because Python's garbage collection walks through tuples that a dict holds.
"""

from collections.abc import Collection, Iterable
from heapq import heapify, heappop, heappush, heapreplace
from typing import Generic, TypeVar

K = TypeVar("K")

_STALE_MIN = 64  # below this many stale entries a rebuild is not worth its while


def earliest(*moments: float | None) -> float | None:
    """The first of some moments; None where none is set. Every step of a binder ends with it."""
    return min([moment for moment in moments if moment is not None], default=None)


class Deadlines(Generic[K]):
    """One deadline for each key. As large as the table that owns the keys, at most twice over."""

    def __init__(self) -> None:
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []  # for each key an entry, due or too early
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
        return len(self._heap), 2 * len(self._due) + _STALE_MIN

    def due_at(self, key: K) -> float | None:
        """When `key` is due (seconds); None if it has no deadline."""
        return self._due.get(key)

    def set(self, key: K, when: float) -> None:
        """`key` is due at `when` (seconds), whatever was set before."""
        before = self._due.get(key)
        self._due[key] = when
        if before is None or when < before:
            self._order += 1
            heappush(self._heap, (when, self._order, key))
        self._drop_stale()

    def set_all(self, keys: Collection[K], when: float) -> None:
        """The same for many that are due at one time."""
        due, heap = self._due, self._heap
        for key in keys:
            before = due.get(key)
            due[key] = when
            if before is None or when < before:
                self._order += 1
                heappush(heap, (when, self._order, key))
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
        heap = self._heap
        while heap:
            when, _, key = heap[0]
            due = self._due.get(key)
            if due == when:
                return when
            if due is None:
                heappop(heap)
            else:
                self._order += 1
                heapreplace(heap, (due, self._order, key))
        return None

    def pop_due(self, now: float) -> K | None:
        """Take out one key that is due by `now`; None if none is."""
        return next(iter(self.pop_all_due(now, 1)), None)

    def pop_all_due(self, now: float, most: int) -> list[K]:
        """Take out the first keys that are due by `now`, `most` at most."""
        popped = list[K]()
        while len(popped) < most and (first := self.first()) is not None and first <= now:
            key = heappop(self._heap)[2]
            del self._due[key]
            popped.append(key)
        if popped:
            self._drop_stale()
        return popped

    def _drop_stale(self) -> None:
        if len(self._heap) > 2 * len(self._due) + _STALE_MIN:
            self._heap = [(due, order, key) for order, (key, due) in enumerate(self._due.items())]
            heapify(self._heap)
