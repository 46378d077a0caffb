"""Instances in turn. Turn order is the order of a queue, never a clock's.

Every operation is O(1), amortised: an instance that leaves is only marked, and dropped when its
turn comes. One that returns before that finds its place again.
"""

from collections import deque

from prr.wire.address import Instance

_GONE_MIN = 64  # below this many marked ones a rebuild is not worth its while


class Ring:
    """The instances of one type that are in turn. Bounded by the registry that owns it."""

    def __init__(self) -> None:
        self._queue: deque[Instance] = deque()
        self._gone: set[Instance] = set()

    def __len__(self) -> int:
        return len(self._queue) - len(self._gone)

    def add(self, instance: Instance) -> None:
        """Put in an instance that is not in: at the end, or in its old place if still there."""
        if instance in self._gone:
            self._gone.remove(instance)
        else:
            self._queue.append(instance)

    def remove(self, instance: Instance) -> None:
        """Take out an instance that is in."""
        self._gone.add(instance)
        if len(self._gone) > len(self) + _GONE_MIN:
            self._queue = deque(kept for kept in self._queue if kept not in self._gone)
            self._gone.clear()

    def next(self) -> Instance | None:
        """The instance whose turn it is; None if the ring is empty."""
        queue = self._queue
        while queue:
            instance = queue.popleft()
            if instance not in self._gone:
                queue.append(instance)
                return instance
            self._gone.remove(instance)
        return None
