"""Which row is due first. A heap whose stale entries are skipped when they come up."""

from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

K = TypeVar("K")

_STALE_MIN = 64  # below this many stale entries a rebuild is not worth its while


class Deadlines(Generic[K]):
    """One deadline for each key. As large as the table that owns the keys, at most twice over."""

    def __init__(self) -> None:
        self._due: dict[K, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._order = 0  # breaks ties, so that keys are never compared

    def __contains__(self, key: K) -> bool:
        return key in self._due

    def __len__(self) -> int:
        return len(self._due)

    def set(self, key: K, when: float) -> None:
        """`key` is due at `when` (seconds), whatever was set before."""
        self._order += 1
        self._due[key] = (when, self._order)
        heappush(self._heap, (when, self._order, key))
        if len(self._heap) > 2 * len(self._due) + _STALE_MIN:
            self._heap = [(*due, key) for key, due in self._due.items()]
            heapify(self._heap)

    def cancel(self, key: K) -> None:
        """`key` is never due. No error if it had no deadline."""
        self._due.pop(key, None)

    def first(self) -> float | None:
        """When the first key is due; None if none is."""
        heap = self._heap
        while heap and self._due.get(heap[0][2]) != heap[0][:2]:
            heappop(heap)
        return heap[0][0] if heap else None

    def pop_due(self, now: float) -> K | None:
        """Take out one key that is due by `now`; None if none is."""
        first = self.first()
        if first is None or first > now:
            return None
        key = heappop(self._heap)[2]
        del self._due[key]
        return key
