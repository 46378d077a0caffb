"""What binders must agree on: every instance with its version, and the digests of it all.

Instances lie in buckets by a checksum of their address, 64 buckets a group and 64 groups. Each
bucket has a digest (the XOR of a hash of each entry), so that two binders find what differs in
two steps, at a cost that follows the difference and not the table. Removals are remembered for a
time, to be told to whoever missed them; they are not part of the digests, since each binder
forgets them when it likes.

Versions are kept encoded: as objects they would take 150 bytes more an instance, and Python's
garbage collection would walk through each of them, a third of a second for a million. Behind the
version stand the particulars of those that have any.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat
from operator import ne

from prr.config import Limits
from prr.core.directory.address_index import AddressIndex, Index, alone_in
from prr.core.directory.digests import (
    BUCKETS,
    Digests,
    Entry,
    bucket_of,
    buckets_of,
    combined,
    hash_of,
)
from prr.core.directory.holdings import Holdings
from prr.core.directory.removals import UNUSED, Removals, used
from prr.core.directory.walking import Place, walk, walk_owned
from prr.core.effects import Update
from prr.wire.instance import Instance
from prr.wire.trailer import GROUPS
from prr.wire.version import VERSION_BYTES, Version, decode_version, encode_version, ends_of


class Table:
    """Instances and removals by bucket. Knows no turn, no peer and no rule."""

    def __init__(
        self,
        limits: Limits,
        address_index: Index | None = None,
        holdings: Holdings | None = None,
    ) -> None:
        """`address_index` will hold the same instances; None: they are all of the spec's length.
        `holdings` will count them, and perhaps others; None: them alone."""
        self._limits = limits
        self._present = [UNUSED] * BUCKETS
        self.holdings = holdings or Holdings()
        self._address_index = address_index or AddressIndex(BUCKETS)
        self._removals = Removals(limits)
        self._digests = Digests()
        self._particulars = Digests()  # of those that have any
        self._count = 0
        self._changed: dict[Instance, None] | None = None  # in this order, so that runs repeat

    def __len__(self) -> int:
        return self._count

    def __contains__(self, instance: Instance) -> bool:
        return instance in self._present[bucket_of(instance)]

    def __iter__(self) -> Iterator[Instance]:
        return chain.from_iterable(filter(None, self._present))

    def version(self, instance: Instance) -> Version | None:
        """The version of an instance that is present."""
        return _decoded(self._present[bucket_of(instance)].get(instance))

    def removal(self, instance: Instance) -> Version | None:
        """The version of an instance's removal, while it is remembered."""
        return _decoded(self._removals.rows[bucket_of(instance)].get(instance))

    def latest(self, instance: Instance) -> Version | None:
        """The version of the last update about an instance, present or gone."""
        removed = self._removals.rows[bucket_of(instance)]
        return _decoded(self.word(instance) or removed.get(instance))

    def particulars(self, instance: Instance) -> bytes:
        """The particulars of an instance, encoded; b"" if it has none, or is not present."""
        return self.word(instance)[VERSION_BYTES:]

    def word(self, instance: Instance) -> bytes:
        """The version of an instance, encoded, and its particulars; b"" if it is not present."""
        return self._present[bucket_of(instance)].get(instance, b"")

    def words(self, ones: Sequence[Instance]) -> list[bytes]:
        """The same for many."""
        there = map(self._present.__getitem__, buckets_of(ones))
        return [*map(dict.get, there, ones, repeat(b""))]

    def note_changes(self) -> None:
        """From now on remember what changes, until it is taken with `take_changes`."""
        self._changed = {}

    def take_changes(self) -> dict[Instance, Update | None]:
        """The last update about each instance that has changed since they were taken last, in the
        order in which they did; None for what is forgotten. Empty unless they are noted. Whoever
        has them noted takes them after every step, so that there are never more than it makes."""
        if not self._changed:
            return {}
        changed, self._changed = self._changed, {}
        return {instance: self.update(instance) for instance in changed}

    def put(self, instance: Instance, version: Version, particulars: bytes = b"") -> None:
        """`instance` is present, at `version`."""
        self._put(instance, encode_version(version) + particulars, bucket_of(instance))
        self._note(instance)

    def put_all(self, instances: Sequence[Instance], words: Sequence[bytes]) -> list[Instance]:
        """The same for many, all different, with their words; which of them were not present."""
        absent, unknown = list[Instance](), list[Entry]()
        for one, word, bucket in zip(instances, words, buckets_of(instances), strict=True):
            if not (is_there := one in self._present[bucket]):
                absent.append(one)
            if is_there or one in self._removals.rows[bucket]:
                self._put(one, word, bucket)
            else:
                unknown.append((one, word, hash_of(one, word[:VERSION_BYTES]), bucket))
        self._fill(unknown)
        if self._changed is not None:
            self._changed |= dict.fromkeys(instances)
        return absent

    def held_at(self, instances: Sequence[Instance], endings: Sequence[bytes]) -> int:
        """How many of the first are present, each with a version and particulars that, encoded,
        end so from the owner on."""
        held = ends_of(self.words(instances))
        return len(held) if held == endings else [*map(ne, held, endings)].index(True)

    def unknown_and_alone(self, instances: Sequence[Instance]) -> int:
        """How many of the first are at an address of which nothing is known: no other instance is
        there, nor among these, and their removal is not remembered."""
        alone = alone_in(self._address_index, instances, buckets := buckets_of(instances))
        rows = zip(instances, map(self._removals.rows.__getitem__, buckets), strict=True)
        are_known = [one in removed for one, removed in rows]
        return min(alone, are_known.index(True)) if True in are_known else alone

    def alone(self, instances: Sequence[Instance]) -> int:
        """How many of the first, which are present, have no other at their address."""
        for number, row in enumerate(zip(instances, buckets_of(instances), strict=True)):
            if len(self._address_index.at_address(*row)) > 1:
                return number
        return len(instances)

    def remove(self, instance: Instance, version: Version, now: float) -> None:
        """`instance` is gone, since `version`."""
        self._note(instance)
        bucket = bucket_of(instance)
        self._drop(instance, bucket)
        self._remember_removal(instance, encode_version(version), bucket, now)

    def fill_in(self, entries: Iterable[Entry]) -> list[Entry]:
        """Put in, unnoted, many of which nothing is known; the others are given back."""
        known, unknown = list[Entry](), list[Entry]()
        for entry in entries:
            one, bucket = entry[0], entry[3]
            is_known = one in self._present[bucket] or one in self._removals.rows[bucket]
            (known if is_known else unknown).append(entry)
        self._fill(unknown)
        return known

    def fill_in_removal(self, instance: Instance, version: bytes, now: float) -> bool:
        """Remember, unnoted, that an instance is gone of which nothing is known; False if
        something is. `version` is encoded."""
        if self.latest(instance) is not None:
            return False
        self._remember_removal(instance, version, bucket_of(instance), now)
        return True

    def at_address(self, instance: Instance) -> list[Instance]:
        """The instances present at the same address as `instance`, which may be one of them."""
        return self._address_index.at_address(instance, bucket_of(instance))

    def owned_by(
        self, owners: set[bytes], place: Place, size: int, looks: int
    ) -> tuple[list[Instance], Place | None]:
        """At most `size` instances whose lease owner is one of `owners` (encoded), from `place` on,
        and where to go on, None at the end. At most `looks` entries and buckets are looked at.

        Who walks from START to the end sees what was there all the while; not all, perhaps, of a
        bucket that lost some.
        """
        return walk_owned(self._present, owners, place, size, looks)

    def digest(self, particulars: bool = True) -> bytes:
        """The digest of all that is present, with their particulars or without."""
        digest = self._digests.total()
        return combined(digest, self._particulars.total()) if particulars else digest

    def digests(self, group: int | None, particulars: bool = True) -> bytes:
        """The digests of the groups, or of the buckets of one group, likewise."""
        digests = self._digests.row(group)
        return combined(digests, self._particulars.row(group)) if particulars else digests

    def page(
        self, group: int, buckets: int, cursor: bytes, size: int
    ) -> tuple[list[tuple[Instance, Update]], bytes | None]:
        """At most `size` updates about the buckets of `group` whose bit is set in `buckets`.

        They come in a fixed order, from behind `cursor` (b"": from the start), with the cursor of
        the next page, None if there is no more.
        """
        chosen = [group * GROUPS + bit for bit in range(GROUPS) if buckets >> bit & 1]
        found, after = walk(self._present, self._removals.rows, chosen, cursor, size)
        return [(row, _update_of(data, is_there)) for row, data, is_there in found], after

    def instances(self, cursor: bytes, size: int) -> tuple[list[Instance], bytes | None]:
        """At most `size` instances that are present, from behind `cursor`, and the next cursor.

        Who follows the cursors sees every instance that was there all the while, exactly once.
        """
        first = bucket_of(Instance(cursor)) if cursor else 0
        buckets = filter(self._present.__getitem__, range(first, BUCKETS))
        found, after = walk(self._present, None, buckets, cursor, size)
        return [instance for instance, _, _ in found], after

    def in_bucket(self, bucket: int) -> Iterable[Instance]:
        """The instances that are present in one bucket."""
        return self._present[bucket]

    def updates(self) -> Iterator[tuple[Instance, Update]]:
        """The last update about each instance, present or gone. None may come in meanwhile."""
        for rows, is_present in ((self._present, True), (self._removals.rows, False)):
            for instance, data in chain.from_iterable(map(dict.items, filter(None, rows))):
                yield instance, _update_of(data, is_present)

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Entries and limit of each container."""
        return {"instances": (len(self), self._limits.instances), "removals": self._removals.size}

    def _put(self, instance: Instance, data: bytes, bucket: int) -> None:
        there = used(self._present, bucket)
        before, there[instance] = there.pop(instance, None), data
        self._toggle(instance, data, bucket)
        if before is None:
            self._address_index.add(instance, bucket)
            self._removals.forget(instance, bucket)
            self.holdings.add(instance, data)
            self._count += 1
        else:
            self._toggle(instance, before, bucket)
            self.holdings.change(instance, before, data)

    def _fill(self, entries: Sequence[Entry]) -> None:
        """Put in many of which nothing is known."""
        if not entries:
            return
        instances, words, numbers, buckets = zip(*entries, strict=True)
        for instance, word, bucket in zip(instances, words, buckets, strict=True):
            used(self._present, bucket)[instance] = word
            if len(word) > VERSION_BYTES:
                self._particulars.toggle(hash_of(instance, word), bucket)
        self._address_index.add_all(instances, buckets)
        self._digests.toggle_all(numbers, buckets)
        self.holdings.add_all(instances, words)
        self._count += len(entries)

    def _drop(self, instance: Instance, bucket: int) -> None:
        """Take an instance out, if it is there."""
        data = self._present[bucket].pop(instance, None)
        if data is None:
            return
        self._address_index.remove(instance, bucket)
        self._toggle(instance, data, bucket)
        self._count -= 1
        self.holdings.remove(instance, data)

    def _toggle(self, instance: Instance, data: bytes, bucket: int) -> None:
        """Put an entry into the digests, or take it out."""
        self._digests.toggle(hash_of(instance, data[:VERSION_BYTES]), bucket)
        if len(data) > VERSION_BYTES:
            self._particulars.toggle(hash_of(instance, data), bucket)

    def _remember_removal(
        self, instance: Instance, version: bytes, bucket: int, now: float
    ) -> None:
        for forgotten in self._removals.add(instance, version, bucket, now):
            self._note(forgotten)

    def _note(self, instance: Instance) -> None:
        if self._changed is not None:
            self._changed[instance] = None

    def update(self, instance: Instance) -> Update | None:
        """The last update about an instance; None if nothing is known of it."""
        if word := self.word(instance):
            return _update_of(word, True)
        removal = self.removal(instance)
        return None if removal is None else Update(removal, False)


def _update_of(data: bytes, is_present: bool) -> Update:
    return Update(decode_version(data), is_present, data[VERSION_BYTES:])


def _decoded(data: bytes | None) -> Version | None:
    return None if data is None else decode_version(data)
