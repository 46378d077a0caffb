"""Who gives what, and whose turn it is. Knows no frame, no peer, no time.

Instances lie in BUCKETS buckets by a checksum of their bytes, so that a list can be had page by
page, in an order that no change disturbs, at a cost that follows the page and not the table.
"""

from enum import Enum, auto
from zlib import crc32

from prr.core.ring import Ring
from prr.wire.address import Instance, type_of

INSTANCES_MAX = 1 << 20
"""Instances held at most. About 300 bytes each: a flood of subscriptions ends at 300 MB."""

BUCKETS = 4096
"""24 instances a bucket at 100,000: cheap to walk, and a quarter of a MB while empty."""


class Added(Enum):
    """What became of an `add`."""

    NEW = auto()
    KNOWN = auto()
    FULL = auto()


class Registry:
    """The instances one binder knows, each in turn or suspect."""

    def __init__(self, instances_max: int = INSTANCES_MAX) -> None:
        self._instances_max = instances_max
        self._buckets: list[set[Instance]] = [set() for _ in range(BUCKETS)]
        self._count = 0
        self._suspects: set[Instance] = set()
        self._in_turn: dict[int, Ring] = {}
        self._suspect_turns: dict[int, Ring] = {}

    def __len__(self) -> int:
        return self._count

    def __contains__(self, instance: Instance) -> bool:
        return instance in self._bucket(instance)

    def add(self, instance: Instance) -> Added:
        """Put in an instance, at the end of its type's turns. A known one stays as it is."""
        bucket = self._bucket(instance)
        if instance in bucket:
            return Added.KNOWN
        if self._count >= self._instances_max:
            return Added.FULL
        bucket.add(instance)
        self._count += 1
        self._ring(instance).add(instance)
        return Added.NEW

    def remove(self, instance: Instance) -> bool:
        """Take out an instance; False if it was not there."""
        bucket = self._bucket(instance)
        if instance not in bucket:
            return False
        bucket.remove(instance)
        self._count -= 1
        self._ring(instance).remove(instance)
        self._suspects.discard(instance)
        return True

    def suspect(self, instance: Instance) -> None:
        """Take an instance that is held out of turn."""
        assert instance in self
        if instance not in self._suspects:
            self._ring(instance).remove(instance)
            self._suspects.add(instance)
            self._ring(instance).add(instance)

    def trust(self, instance: Instance) -> None:
        """Put an instance that is held back in turn."""
        assert instance in self
        if instance in self._suspects:
            self._ring(instance).remove(instance)
            self._suspects.remove(instance)
            self._ring(instance).add(instance)

    def next(self, type_: int) -> Instance | None:
        """The instance of a type whose turn it is; None if none of the type is held.

        Suspects have their turn only while a type has nothing else: one that may be alive is
        worth more to a client than a "no" that may be wrong.
        """
        for rings in (self._in_turn, self._suspect_turns):
            ring = rings.get(type_)
            if ring is not None and (instance := ring.next()) is not None:
                return instance
        return None

    def page(self, cursor: bytes, size: int) -> tuple[list[Instance], bytes | None]:
        """At most `size` instances that come after `cursor` (b"": from the start).

        With them the cursor of the next page; None when there is no more. Who follows the
        cursors sees every instance that was there all the while, exactly once.
        """
        first = self._bucket_index(cursor) if cursor else 0
        found = sorted(kept for kept in self._buckets[first] if kept > cursor)
        for bucket in self._buckets[first + 1 :]:
            if len(found) > size:
                break
            if bucket:
                found += sorted(bucket)
        if len(found) > size:
            return found[:size], found[size - 1]
        return found, None

    def _bucket_index(self, instance: bytes) -> int:
        return crc32(instance) % BUCKETS

    def _bucket(self, instance: Instance) -> set[Instance]:
        return self._buckets[self._bucket_index(instance)]

    def _ring(self, instance: Instance) -> Ring:
        """The ring an instance's state puts it in."""
        rings = self._suspect_turns if instance in self._suspects else self._in_turn
        return rings.setdefault(type_of(instance), Ring())
