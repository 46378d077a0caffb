"""Instances in turn. Turn order is the order of a queue, never a clock's.

Every operation is O(1), amortised: an instance that leaves is only marked, and dropped when its
turn comes. One that returns before that finds its place again.
"""

from collections import deque
from collections.abc import Iterator
from itertools import islice

from prr.wire.instance import Instance

_GONE_MIN = 64  # below this many marked ones a rebuild is not worth its while


class Ring:
    """The instances of one type that are in turn. Bounded by the registry that owns it."""

    def __init__(self) -> None:
        self._queue: deque[Instance] = deque()
        self._gone: set[Instance] = set()

    def __len__(self) -> int:
        return len(self._queue) - len(self._gone)

    @property
    def size(self) -> tuple[int, int]:
        """How many places it has, those of the marked ones included, and how many it may have:
        beyond that the marked ones are dropped."""
        places = len(self._queue)
        return places, 2 * (places - len(self._gone)) + _GONE_MIN

    def __iter__(self) -> Iterator[Instance]:
        """From the one whose turn is next."""
        return (instance for instance in self._queue if instance not in self._gone)

    def copy(self) -> "Ring":
        """Another with the same turns."""
        copied = Ring()
        copied._queue, copied._gone = self._queue.copy(), self._gone.copy()
        return copied

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

    def take(self, count: int) -> list[Instance]:
        """The instances of the next turns: `count` of them at least, or none if there are none.

        Of a ring shorter than that, whole rounds.
        """
        if not len(self):
            return []
        queue = self._queue
        if self._gone and not self._gone.isdisjoint(islice(queue, count)):
            self._drop_gone(count)
        if len(queue) < count:
            return list(queue) * -(-count // len(queue))
        taken = list(islice(queue, count))
        queue.rotate(-count)
        return taken

    def give_back(self, count: int) -> None:
        """Let the last `count` turns that were taken be the next ones again.

        Nothing may have been added or removed since they were taken.
        """
        if count:
            self._queue.rotate(count)

    def _drop_gone(self, count: int) -> None:
        """Drop the marked ones among the next `count`."""
        queue, gone = self._queue, self._gone
        kept: list[Instance] = []
        while queue and len(kept) < count:
            instance = queue.popleft()
            if instance in gone:
                gone.remove(instance)
            else:
                kept.append(instance)
        queue.extendleft(reversed(kept))
