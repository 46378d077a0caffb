"""What one binder knows: every instance it holds, at which version, and whose turn it is.

The only way to the table that binders agree on and to the rotation beside it, which are kept in
step here. Beside them the removals that are disputed: a peer says that an instance is gone, which
this binder knows better, or soon will. It is still there, and out of turn.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from prr.config import LIMITS, Limits
from prr.core.directory.changes import ChangeFeed
from prr.core.directory.digests import Entry, offset_of, place_of
from prr.core.directory.heard import Heard
from prr.core.directory.results import NOBODY, Added, DirectorySnapshot
from prr.core.directory.rotation import Rotation
from prr.core.directory.table_walks import TableWalks
from prr.core.directory.tables import Tables
from prr.wire.drain import drain_in, is_drained
from prr.wire.instance import Instance, Service, service_of
from prr.wire.particulars import decode_particulars
from prr.wire.questions import Asked
from prr.wire.version import VERSION_BYTES, Version, is_newer

LOOKS = 512
"""Instances and buckets looked at for one page of a service, 0.2 ms: anybody may ask for one."""


class Directory(TableWalks):
    """The instances one binder holds. Each update must be newer than the one before. No call fails
    for an instance that is not held, unless it says so; `now` is in seconds."""

    feed: ChangeFeed | None = None  # what tells its changes, if somebody wants to know
    heard: Heard | None = None  # likewise when each instance was heard last

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._limits = limits
        super().__init__(Tables(self._limits))
        self._rotation = Rotation()
        self._disputed: dict[Instance, Version] = {}

    def __len__(self) -> int:
        return len(self._tables)

    def __contains__(self, instance: Instance) -> bool:
        return instance in self._tables

    def __iter__(self) -> Iterator[Instance]:
        return iter(self._tables)

    # Lookups, and whose turn it is.

    def lookup(self, service: Service, zone: str = "", wide: bool = False) -> Instance | None:
        """The instance whose turn it is; None if the service has none. In `zone`, as long as it has
        one in turn; with `wide` those at IPv6 addresses have their turns, too."""
        (found,) = self._rotation.next(self.slots([Asked(service, zone, wide)]), True)
        return None if found is NOBODY else found

    @property
    def lookup_run(self) -> Callable[[Sequence[int], bool], list[Instance]]:
        """What answers a run of lookups: called with the slots of their services, it returns for
        each the instance whose turn it is. The slot of a number is the number. Called with True as
        well it returns NOBODY for a service that has none; with False the list ends there."""
        return self._rotation.next

    @property
    def slots(self) -> Callable[[Iterable[Asked]], list[int]]:
        """What returns the slots of what was asked for. They are good until something changes."""
        return self._rotation.slots

    def upcoming(self, asked: Asked, turns: int) -> list[Instance]:
        """Who has the next `turns` of what was asked for, each once, in order; none is taken."""
        return self._rotation.upcoming(self.slots((asked,))[0], turns)

    def instances_of(self, service: Service) -> list[Instance]:
        """All instances of a service, the one whose turn is next first, drained ones and suspects
        last."""
        return self._rotation.instances_of(service)

    def page_of(
        self, service: Service, cursor: bytes, offset: int, looks: int = 0
    ) -> tuple[list[Instance], int | None]:
        """Some instances of a service, from behind `cursor` (b"": from the start) and from `offset`
        on, and the next offset, None at the end; about `looks` instances and buckets are looked at
        (0: LOOKS).

        Who goes on from there, or from behind any of them, sees every instance that was held all
        the while, exactly once.
        """
        offset = max(offset, offset_of(cursor) if cursor else 0)
        after, looks = None, looks or LOOKS
        if sum(self._rotation.count(service)) <= looks:
            ones = [one for one in self.instances_of(service) if offset_of(one) >= offset]
        else:
            seen, after = self._tables.from_offset(offset, looks)
            ones = [one for one in seen if service_of(one) == service]
        places, begin = sorted(map(place_of, ones)), place_of(cursor) if cursor else ()
        return [Instance(place[-1]) for place in places if place > begin], after

    def services(self, most: int = 1 << 30, after: Service | None = None) -> list[Service]:
        """The first `most` that have an instance, from behind one: numbers in order, then names."""
        return self._rotation.services(most, after)

    def service_count(self) -> int:
        """How many services have at least one instance."""
        return self._rotation.service_count()

    def count(self, service: Service) -> tuple[int, int]:
        """How many instances of a service are in turn, and how many are suspect."""
        in_turn, _, suspect = self._rotation.count(service)
        return in_turn, suspect

    def count_drained(self, service: Service) -> int:
        """How many instances of a service are drained, and not suspect."""
        return self._rotation.count(service)[1]

    def is_suspect(self, instance: Instance) -> bool:
        """It is out of turn: handed out only while its service has no other."""
        return self._rotation.is_suspect(instance)

    def is_drained(self, instance: Instance) -> bool:
        """An operator has taken it out of turn: likewise, and before suspects."""
        return self._rotation.is_drained(instance)

    def is_last_in_turn(self, instance: Instance) -> bool:
        """It is held, and without it somebody who asks for its service has none in turn."""
        return instance in self._tables and self._rotation.is_last_in_turn(instance)

    def is_unheard(self, instance: Instance) -> bool:
        """It was restored, and neither heard nor suspected since."""
        return self._rotation.is_unheard(instance)

    def suspect(self, instance: Instance) -> None:
        """Take an instance that is held out of turn."""
        self._rotation.suspect(instance)

    def trust(self, instance: Instance) -> None:
        """Put an instance that is held back in turn; no error if it is in turn, or not held."""
        self._rotation.trust(instance)

    # The last update about each instance.

    def version(self, instance: Instance) -> Version | None:
        """The version at which an instance is held; None if it is not."""
        return self._tables.of(instance).version(instance)

    def particulars(self, instance: Instance) -> bytes:
        """The particulars of an instance that is held, encoded; b"" if it has none."""
        return self._tables.of(instance).particulars(instance)

    def latest(self, instance: Instance) -> Version | None:
        """The version of the last update about an instance, present, gone or disputed."""
        return self._disputed.get(instance) or self._tables.of(instance).latest(instance)

    def removal(self, instance: Instance) -> Version | None:
        """The version of an instance's removal, remembered or disputed."""
        return self._disputed.get(instance) or self._tables.of(instance).removal(instance)

    def is_newer(self, instance: Instance, version: Version, particulars: bytes) -> bool:
        """That `instance` is there so is newer than the latest update about it. Of two that differ
        in the particulars alone, since a binder that knows none has passed one on, or an operator
        has said something, that with the later word or the greater ones is: who has less learns
        more."""
        latest = self.latest(instance)
        if latest is None or is_newer(version, latest):
            return True
        is_same = version == self.version(instance) == latest
        held = self.particulars(instance)
        return is_same and (drain_in(particulars), particulars) > (drain_in(held), held)

    def is_disputed(self, instance: Instance) -> bool:
        """It is held, though a newer update says that it is gone."""
        return instance in self._disputed

    def dispute(self, instance: Instance, removal: Version) -> None:
        """`instance`, which is held, is said to be gone, at `removal`, the highest version so far.
        It stays, out of turn, until a higher update arrives or `concede` says that it is true."""
        assert instance in self._tables
        latest = self.latest(instance)
        assert latest is None or removal == latest or is_newer(removal, latest)
        self._disputed[instance] = removal  # one for an instance that is held at most
        self._rotation.suspect(instance)

    def concede(self, instance: Instance, now: float) -> None:
        """A disputed removal was right: `instance` is gone, at the version that was said. Which may
        not be newer than the one it is held at: versions can go round in a circle."""
        removal = self._disputed.pop(instance)
        self._rotation.remove(instance)
        self._tables.of(instance).remove(instance, removal, now)

    def add(
        self,
        instance: Instance,
        version: Version,
        learned: bool = False,
        particulars: bytes = b"",
    ) -> Added:
        """`instance` is there, at `version`, which is newer than the latest update about it, or the
        same with more particulars. `learned`: from a peer, who may fill most of the directory but
        not all of it."""
        assert self.is_newer(instance, version, particulars)
        known = instance in self._tables
        if not known and not self.has_room(instance, learned):
            return Added.FULL
        self._disputed.pop(instance, None)
        was = self.particulars(instance)
        self._tables.of(instance).put(instance, version, particulars)
        if not known:
            self._rotation.add(instance, *_turns_of(particulars))
            return Added.NEW
        if particulars != was:
            self._rotation.change(instance, *_turns_of(particulars))
        return Added.KNOWN

    def describe(self, instance: Instance, particulars: bytes) -> None:
        """`instance`, which is held, has these particulars, at the version that it is held at."""
        version = self.version(instance)
        assert version is not None
        self._tables.of(instance).put(instance, version, particulars)
        self._rotation.change(instance, *_turns_of(particulars))

    def add_all(self, instances: Sequence[Instance], words: Sequence[bytes]) -> None:
        """The same for many of the spec for which there is room, with their versions, encoded, and
        behind these the particulars: none of them twice or disputed, or with particulars that say
        anything of its turns."""
        self._rotation.add_all(self._tables.put_all(instances, words))

    def has_room(self, instance: Instance, learned: bool = False, count: int = 1) -> bool:
        """So many more like this one can be held, which were `learned` from a peer or not."""
        share = self._limits.learned_share if learned else 1
        has_places = len(self._tables) + count <= math.ceil(share * self._limits.instances)
        return has_places and self._rotation.has_room(instance, share)

    def remove(self, instance: Instance, version: Version, now: float) -> bool:
        """`instance` is gone, at `version`, which is newer than the latest update about it, or as
        new as one that says it is there; False if it was not held."""
        latest = self.latest(instance)
        known = instance in self._tables
        assert latest is None or is_newer(version, latest) or (known and version == latest)
        if known:
            self._disputed.pop(instance, None)
            self._rotation.remove(instance)
        self._tables.of(instance).remove(instance, version, now)
        return known

    # What was on disk.

    def restore(self, entries: list[Entry]) -> tuple[list[Instance], list[Entry]]:
        """Take in instances that were kept on disk, none of them twice, in turn after those that
        were heard since; but for those of which something is known already. The instances that were
        taken in, and the entries that were not."""
        known = self._tables.fill_in(entries)
        if known:
            held = {entry[0] for entry in known}
            entries = [entry for entry in entries if entry[0] not in held]
        restored = [entry[0] for entry in entries]
        self._rotation.add_unheard(restored)
        for instance, word, _, _ in entries:
            if len(word) > VERSION_BYTES:
                self._rotation.change(instance, *_turns_of(word[VERSION_BYTES:]))
        return restored, known

    def restore_removal(self, instance: Instance, version: bytes, now: float) -> bool:
        """Remember, from disk, that an instance is gone, at `version` (encoded); False, and nothing
        is changed, if something is known of it already."""
        return self._tables.of(instance).fill_in_removal(instance, version, now)

    # Runs of many that are alike: how many of the first are.

    def in_turn_at(self, instances: Sequence[Instance], endings: Sequence[bytes]) -> int:
        """They are held with words that end so, were heard, and are not suspect."""
        return self.in_turn(instances[: self._tables.held_at(instances, endings)])

    def in_turn(self, instances: Sequence[Instance]) -> int:
        """They were heard, if they were restored, and are not suspect."""
        return self._rotation.in_turn(instances)

    def unknown_and_alone(self, instances: Sequence[Instance]) -> int:
        """Nothing is known of them, nor of anything else at their addresses."""
        return self._tables.unknown_and_alone(instances)

    def alone(self, instances: Sequence[Instance]) -> int:
        """They are held, and the only ones at their addresses."""
        return self._tables.alone(instances)

    def inspect(self) -> DirectorySnapshot:
        """A copy of what is held. O(its size)."""
        return DirectorySnapshot(dict(self._tables.updates()), *self._rotation.out_of_turn())

    def sizes(self) -> dict[str, tuple[int, int]]:
        """For each container with a limit how many entries it has, and how many it may have."""
        disputed = {"disputed": (len(self._disputed), len(self))}
        return self._tables.sizes() | self._rotation.sizes() | disputed


def _turns_of(particulars: bytes) -> tuple[int, str, bool]:
    """The weight and the zone in particulars, and whether they say drained."""
    said = decode_particulars(particulars)
    return said.weight, said.zone, is_drained(particulars)
