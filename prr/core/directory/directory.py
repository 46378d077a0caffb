"""What one binder knows: every instance it holds, at which version, and whose turn it is.

The only way to the table that binders agree on and to the rotation beside it, which are kept in
step here. Lookups, anti-entropy, the failure detector, storage and `status` are its readers.

Beside them the removals that are disputed: a peer says that an instance is gone, which this binder
knows better, or soon will. Such an instance is still there, and out of turn.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from prr.config import Limits
from prr.core.directory.digests import Entry
from prr.core.directory.rotation import NOBODY, Rotation
from prr.core.directory.table import Table
from prr.core.directory.walking import Place
from prr.core.effects import Update
from prr.wire.instance import Instance
from prr.wire.version import Version, is_newer


class Added(Enum):
    """What became of an `add`."""

    NEW = auto()
    KNOWN = auto()
    FULL = auto()
    EXCLUDED = auto()  # a loopback address: see `reach`


@dataclass(frozen=True, slots=True)
class DirectorySnapshot:
    """What a directory holds at one moment, for whoever checks it from outside."""

    updates: Mapping[Instance, Update]
    """The last update about each instance: those held, and the removals remembered."""

    suspects: frozenset[Instance]
    """Those out of turn."""


class Directory:
    """The instances one binder holds. Each update must be newer than the one before.

    A service is its type, 0 to 255. No call fails for an instance that is not held, unless it says
    so; `now` is in seconds, of a clock that never goes back.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._table = Table(self._limits)
        self._rotation = Rotation()
        self._disputed: dict[Instance, Version] = {}

    def __len__(self) -> int:
        return len(self._table)

    def __contains__(self, instance: Instance) -> bool:
        return instance in self._table

    def __iter__(self) -> Iterator[Instance]:
        return iter(self._table)

    # Lookups, and whose turn it is.

    def lookup(self, service: int) -> Instance | None:
        """The instance whose turn it is; None if the service has none."""
        (found,) = self._rotation.next((service,), True)
        return None if found is NOBODY else found

    @property
    def lookup_run(self) -> Callable[[Sequence[int], bool], list[Instance]]:
        """What answers a run of lookups: called with their services, it returns for each the
        instance whose turn it is. Called with True as well it returns NOBODY for a service that
        has none; with False the list ends there.

        The burst path keeps it, so that a run of lookups costs one call.
        """
        return self._rotation.next

    def instances_of(self, service: int) -> list[Instance]:
        """All instances of a service, the one whose turn is next first, suspects last."""
        return self._rotation.instances_of(service)

    def services(self) -> list[int]:
        """The services that have at least one instance, in turn or suspect, in order."""
        return self._rotation.types()

    def count(self, service: int) -> tuple[int, int]:
        """How many instances of a service are in turn, and how many are suspect."""
        return self._rotation.count(service)

    def is_suspect(self, instance: Instance) -> bool:
        """It is out of turn: handed out only while its service has no other."""
        return self._rotation.is_suspect(instance)

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
        return self._table.version(instance)

    def latest(self, instance: Instance) -> Version | None:
        """The version of the last update about an instance, present, gone or disputed."""
        return self._disputed.get(instance) or self._table.latest(instance)

    def removal(self, instance: Instance) -> Version | None:
        """The version of an instance's removal, remembered or disputed."""
        return self._disputed.get(instance) or self._table.removal(instance)

    def is_disputed(self, instance: Instance) -> bool:
        """It is held, though a newer update says that it is gone."""
        return instance in self._disputed

    def dispute(self, instance: Instance, removal: Version) -> None:
        """`instance`, which is held, is said to be gone, at `removal`, the highest version so far.
        It stays, out of turn, until a higher update arrives or `concede` says that it is true."""
        assert instance in self._table
        latest = self.latest(instance)
        assert latest is None or removal == latest or is_newer(removal, latest)
        self._disputed[instance] = removal  # one for an instance that is held at most
        self._rotation.suspect(instance)

    def concede(self, instance: Instance, now: float) -> None:
        """A disputed removal was right: `instance` is gone, at the version that was said. Which may
        not be newer than the one it is held at: versions can go round in a circle."""
        removal = self._disputed.pop(instance)
        self._rotation.remove(instance)
        self._table.remove(instance, removal, now)

    def add(self, instance: Instance, version: Version, learned: bool = False) -> Added:
        """`instance` is there, at `version`, which is newer than the latest update about it.

        `learned`: from a peer, who may fill most of the directory but not all of it.
        """
        latest = self.latest(instance)
        assert latest is None or is_newer(version, latest)
        known = instance in self._table
        if not known and not self.has_room(learned):
            return Added.FULL
        self._disputed.pop(instance, None)
        self._table.put(instance, version)
        if known:
            return Added.KNOWN
        self._rotation.add(instance)
        return Added.NEW

    def add_all(self, updates: Sequence[tuple[Instance, Version]]) -> None:
        """The same for many for which there is room, none of them twice or disputed."""
        held = self._table
        new = [instance for instance, _ in updates if instance not in held]
        held.put_all(updates)
        self._rotation.add_all(new)

    def has_room(self, learned: bool = False, count: int = 1) -> bool:
        """So many more can be held, which were `learned` from a peer or not."""
        share = self._limits.learned_share if learned else 1
        return len(self._table) + count <= math.ceil(share * self._limits.instances)

    def remove(self, instance: Instance, version: Version, now: float) -> bool:
        """`instance` is gone, at `version`, which is newer than the latest update about it, or as
        new as one that says it is there; False if it was not held."""
        latest = self.latest(instance)
        known = instance in self._table
        assert latest is None or is_newer(version, latest) or (known and version == latest)
        if known:
            self._disputed.pop(instance, None)
            self._rotation.remove(instance)
        self._table.remove(instance, version, now)
        return known

    # What was on disk.

    def restore(self, entries: list[Entry]) -> tuple[list[Instance], list[Entry]]:
        """Take in instances that were kept on disk, in turn after those that were heard since.

        None may stand there twice. Of which something is known already are not taken in: the
        instances that were, and the entries that were not.
        """
        known = self._table.fill_in(entries)
        restored = [entry[0] for entry in entries]
        if known:
            held = {entry[0] for entry in known}
            restored = [instance for instance in restored if instance not in held]
        self._rotation.add_unheard(restored)
        return restored, known

    def restore_removal(self, instance: Instance, version: bytes, now: float) -> bool:
        """Remember, from disk, that an instance is gone, at `version` (encoded); False, and nothing
        is changed, if something is known of it already."""
        return self._table.fill_in_removal(instance, version, now)

    # Runs of many that are alike: how many of the first are.

    def in_turn_at(self, instances: Sequence[Instance], endings: Sequence[bytes]) -> int:
        """They are held at versions that, encoded, end so, were heard, and are not suspect."""
        count = self._table.held_at(instances, endings)
        return count if self._rotation.are_in_turn(instances[:count]) else 0

    def unknown_and_alone(self, instances: Sequence[Instance]) -> int:
        """Nothing is known of them, nor of anything else at their addresses."""
        return self._table.unknown_and_alone(instances)

    def alone(self, instances: Sequence[Instance]) -> int:
        """They are held, and the only ones at their addresses."""
        return self._table.alone(instances)

    # Changes.

    def note_changes(self) -> None:
        """From now on remember what changes, until it is taken with `take_changes`."""
        self._table.note_changes()

    def take_changes(self) -> dict[Instance, Update | None]:
        """The last update about each instance that changed since they were taken last; None for
        one that is forgotten. Always empty unless changes are noted."""
        return self._table.take_changes()

    # What binders compare, and other ways to walk through it.

    def digest(self) -> bytes:
        """The digest of all that is held: equal on two binders that hold the same."""
        return self._table.digest()

    def digests(self, group: int | None) -> bytes:
        """The 64 digests of the groups, or of the buckets of one group (0 to 63)."""
        return self._table.digests(group)

    def page(
        self, group: int, buckets: int, cursor: bytes, size: int
    ) -> tuple[list[tuple[Instance, Version, bool]], bytes | None]:
        """At most `size` updates about the buckets of `group` whose bit is set in `buckets`; see
        `Table.page`."""
        return self._table.page(group, buckets, cursor, size)

    def instances(self, cursor: bytes, size: int) -> tuple[list[Instance], bytes | None]:
        """At most `size` instances that are held, from behind `cursor` (b"": from the start), and
        the next cursor, None at the end.

        Who follows the cursors sees every instance that was held all the while, exactly once.
        """
        return self._table.instances(cursor, size)

    def at_address(self, instance: Instance) -> list[Instance]:
        """The instances held at the same address as `instance`, which may be one of them."""
        return self._table.at_address(instance)

    def owners(self) -> list[int]:
        """The binders that are lease owner of at least one instance."""
        return self._table.owners()

    def has_other_owner(self, owner: int) -> bool:
        """A binder other than `owner` is lease owner of an instance."""
        return self._table.has_other_owner(owner)

    def owned_by(
        self, owners: set[bytes], place: Place, size: int, looks: int
    ) -> tuple[list[Instance], Place | None]:
        """At most `size` instances whose lease owner is one of `owners` (encoded), from `place` on,
        and where to go on; see `Table.owned_by`."""
        return self._table.owned_by(owners, place, size, looks)

    def inspect(self) -> DirectorySnapshot:
        """A copy of what is held. O(its size)."""
        return DirectorySnapshot(dict(self._table.updates()), self._rotation.suspects())

    def sizes(self) -> dict[str, tuple[int, int]]:
        """For each container with a limit how many entries it has, and how many it may have."""
        disputed = {"disputed": (len(self._disputed), len(self))}
        return self._table.sizes() | self._rotation.sizes() | disputed
