"""Ways through the buckets of a table, a part at a time."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TypeAlias

from prr.core.directory.digests import BUCKETS, bucket_of
from prr.wire.instance import Instance
from prr.wire.version import OWNER

Place: TypeAlias = tuple[int, int]
"""A bucket, and how many of its entries have been passed."""

START: Place = (0, 0)

Rows: TypeAlias = Sequence[dict[Instance, bytes]]
"""For each bucket its instances, with their encoded versions."""


def walk(
    present: Rows, removed: Rows | None, buckets: Iterable[int], cursor: bytes, size: int
) -> tuple[list[tuple[Instance, bytes, bool]], bytes | None]:
    """At most `size` rows (instance, version, is present) of some buckets, in a fixed order from
    behind `cursor` (b"": from the start), and the next cursor, None at the end."""
    first = bucket_of(Instance(cursor)) if cursor else 0
    found: list[tuple[Instance, bytes, bool]] = []
    for bucket in buckets:
        if bucket < first:
            continue
        there = present[bucket]
        removed_here = removed[bucket] if removed else {}
        if not there and not removed_here:
            continue
        rows = [(*row, True) for row in there.items()]
        rows += [(*row, False) for row in removed_here.items()]
        rows.sort()
        found += [row for row in rows if row[0] > cursor] if bucket == first else rows
        if len(found) > size:
            return found[:size], found[size - 1][0]
    return found, None


def walk_owned(
    present: Rows, owners: set[bytes], place: Place, size: int, looks: int
) -> tuple[list[Instance], Place | None]:
    """See `Table.owned_by`."""
    found, (bucket, passed) = list[Instance](), place
    while bucket < BUCKETS:
        there = present[bucket]
        for instance, data in islice(there.items(), passed, None) if there else ():
            if looks <= 0 or len(found) == size:
                return found, (bucket, passed)
            looks, passed = looks - 1, passed + 1
            if data[OWNER] in owners:
                found.append(instance)
        bucket, passed, looks = bucket + 1, 0, looks - 1
        if looks <= 0 and bucket < BUCKETS:
            return found, (bucket, 0)
    return found, None
