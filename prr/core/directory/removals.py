"""What is remembered of instances that are gone, for a time, to be told to whoever missed it."""

from collections import deque
from collections.abc import Iterator

from prr.config import Limits
from prr.core.directory.digests import BUCKETS
from prr.wire.instance import Instance

UNUSED: dict[Instance, bytes] = {}
"""Stands for every bucket that never had an entry, and never gets one: most tables are small."""


class Removals:
    """The versions of removals (encoded), by bucket."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.rows = [UNUSED] * BUCKETS
        """For each bucket its removals; to be read only."""
        self._order: deque[tuple[float, Instance, bytes, int]] = deque()

    @property
    def size(self) -> tuple[int, int]:
        """How many are remembered, and how many may be."""
        return len(self._order), self._limits.removals

    def add(
        self, instance: Instance, version: bytes, bucket: int, now: float
    ) -> Iterator[Instance]:
        """Remember one. Yields those that are forgotten for it; it is not done before the end."""
        used(self.rows, bucket)[instance] = version
        self._order.append((now, instance, version, bucket))
        too_old = now - self._limits.removal_age
        while self._order and (
            len(self._order) > self._limits.removals or self._order[0][0] < too_old
        ):
            _, one, its_version, its_bucket = self._order.popleft()
            removed = self.rows[its_bucket]
            if removed.get(one) == its_version:
                del removed[one]
                yield one

    def forget(self, instance: Instance, bucket: int) -> None:
        """One is there again. No error if its removal is not remembered."""
        self.rows[bucket].pop(instance, None)


def used(buckets: list[dict[Instance, bytes]], bucket: int) -> dict[Instance, bytes]:
    """One of `buckets`, to put an entry in."""
    if (found := buckets[bucket]) is UNUSED:
        found = buckets[bucket] = {}
    return found
