"""All that a binder knows, in two tables: the instances of the spec, and the wide ones.

Who knows no wide instances compares the first, without particulars, and is told of nothing else.
All others compare both at once: the digest of a bucket is that of the two buckets. They have limits
of their own, but for the number of instances, so that names push nothing out of memory that is not
one.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TypeAlias

from prr.config import Limits
from prr.core.directory import walking
from prr.core.directory.address_index import WideIndex
from prr.core.directory.digests import BUCKETS, Entry, combined
from prr.core.directory.holdings import Holdings
from prr.core.directory.table import Table
from prr.core.effects import Update
from prr.wire.instance import Instance, is_wide

Place: TypeAlias = tuple[int, walking.Place]
"""A table, and a place in it."""

START: Place = (0, walking.START)


class Tables:
    """Both tables as one: see `Table` for what is not explained here. Knows no turn and no rule."""

    def __init__(self, limits: Limits) -> None:
        self.holdings = Holdings()
        self._spec = Table(limits, holdings=self.holdings)
        self._wide = Table(limits, WideIndex(), self.holdings)

    def __len__(self) -> int:
        return len(self._spec) + len(self._wide)

    def __contains__(self, instance: Instance) -> bool:
        return instance in self.of(instance)

    def __iter__(self) -> Iterator[Instance]:
        return chain(self._spec, self._wide)

    def of(self, instance: Instance) -> Table:
        """The table that an instance belongs to."""
        return self._wide if is_wide(instance) else self._spec

    def note_changes(self) -> None:
        """From now on remember what changes, until it is taken with `take_changes`."""
        self._spec.note_changes()
        self._wide.note_changes()

    def take_changes(self) -> dict[Instance, Update | None]:
        """The last update about each instance that has changed since they were taken last."""
        changes = self._spec.take_changes()
        return changes | wide if (wide := self._wide.take_changes()) else changes

    def fill_in(self, entries: list[Entry]) -> list[Entry]:
        """Put in instances of which nothing is known; the others are given back."""
        wide = [entry for entry in entries if is_wide(entry[0])]
        if not wide:
            return self._spec.fill_in(entries)
        spec = [entry for entry in entries if not is_wide(entry[0])]
        return self._spec.fill_in(spec) + self._wide.fill_in(wide)

    def put_all(self, instances: Sequence[Instance], words: Sequence[bytes]) -> list[Instance]:
        """Instances of the spec are present, with these words; which of them were not."""
        return self._spec.put_all(instances, words)

    def words(self, instances: Sequence[Instance]) -> list[bytes]:
        """What is held of each of these: see `Table.word`."""
        if any(map(is_wide, instances)):
            return [self.of(one).word(one) for one in instances]
        return self._spec.words(instances)

    def held_at(self, instances: Sequence[Instance], endings: Sequence[bytes]) -> int:
        """How many of the first are in the table of the first of all, with words that end so."""
        return self.of(instances[0]).held_at(instances, endings)

    def unknown_and_alone(self, instances: Sequence[Instance]) -> int:
        """How many of the first are of the spec, at an address of which nothing is known."""
        return self._without_wide(instances[: self._spec.unknown_and_alone(instances)])

    def alone(self, instances: Sequence[Instance]) -> int:
        """How many of the first, which are present, are of the spec, and alone at their address."""
        return self._without_wide(instances[: self._spec.alone(instances)])

    def _without_wide(self, instances: Sequence[Instance]) -> int:
        """How many of the first are not wide, and have no wide instance at their address."""
        if len(self._wide) or any(map(is_wide, instances)):
            for number, instance in enumerate(instances):
                if is_wide(instance) or self._wide.at_address(instance):
                    return number
        return len(instances)

    def at_address(self, instance: Instance) -> list[Instance]:
        """The instances present at the same address as `instance`, which may be one of them."""
        return self._spec.at_address(instance) + self._wide.at_address(instance)

    def owned_by(
        self, owners: set[bytes], place: Place, size: int, looks: int
    ) -> tuple[list[Instance], Place | None]:
        """At most `size` instances of some lease owners, from `place` on, and where to go on."""
        number, inner = place
        found, after = (self._spec, self._wide)[number].owned_by(owners, inner, size, looks)
        if after is not None:
            return found, (number, after)
        return found, None if number else (1, walking.START)

    def digest(self, wide: bool) -> bytes:
        """The digest of all that is present, or of all but the wide ones."""
        digest = self._spec.digest(particulars=wide)
        return combined(digest, self._wide.digest()) if wide else digest

    def digests(self, group: int | None, wide: bool) -> bytes:
        """The digests of the groups, or of the buckets of one group, likewise."""
        digests = self._spec.digests(group, particulars=wide)
        return combined(digests, self._wide.digests(group)) if wide else digests

    def page(
        self, group: int, buckets: int, cursor: bytes, size: int, wide: bool
    ) -> tuple[list[tuple[Instance, Update]], bytes | None]:
        """At most `size` updates about the buckets of `group` whose bit is set in `buckets`, from
        behind `cursor` on; first about the spec's instances, then about wide ones. Without `wide`
        there is nothing behind a wide cursor."""
        if not is_in_wide(cursor):
            found, after = self._spec.page(group, buckets, cursor, size)
            if after is not None or not wide:
                return found, after
            if found:
                rest, _ = self._wide.page(group, buckets, b"", 1)
                return found, found[-1][0] if rest else None
            cursor = b""
        elif not wide:
            return [], None
        return self._wide.page(group, buckets, cursor, size)

    def instances(
        self, cursor: bytes, size: int, wide: bool
    ) -> tuple[list[Instance], bytes | None]:
        """At most `size` instances, from behind `cursor` on, likewise."""
        if not is_in_wide(cursor):
            found, after = self._spec.instances(cursor, size)
            if after is not None or not wide:
                return found, after
            if found:
                return found, found[-1] if len(self._wide) else None
            cursor = b""
        elif not wide:
            return [], None
        return self._wide.instances(cursor, size)

    def from_offset(self, offset: int, looks: int) -> tuple[list[Instance], int | None]:
        """The instances in some buckets from `offset` on (see `offset_of`), and the next offset,
        None at the end; about `looks` instances and buckets are looked at."""
        found: list[Instance] = []
        end = min(offset + looks, 2 * BUCKETS)
        while offset < end and len(found) < looks:
            number, bucket = divmod(offset, BUCKETS)
            found += (self._spec, self._wide)[number].in_bucket(bucket)
            offset += 1
        return found, offset if offset < 2 * BUCKETS else None

    def updates(self) -> Iterator[tuple[Instance, Update]]:
        """The last update about each instance, present or gone. None may come in meanwhile."""
        return chain(self._spec.updates(), self._wide.updates())

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Entries and limit of each container."""
        wide = {f"wide {name}": size for name, size in self._wide.sizes().items()}
        return self._spec.sizes() | wide


def is_in_wide(cursor: bytes) -> bool:
    """A cursor stands in the table of wide instances."""
    return bool(cursor) and is_wide(Instance(cursor))
