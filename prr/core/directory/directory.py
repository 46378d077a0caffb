"""What one binder knows: the table that binders agree on, and whose turn it is, kept in step.

Beside them the removals that are disputed: a peer says that an instance is gone, which this binder
knows better, or soon will. Such an instance is still there, and out of turn.
"""

from enum import Enum, auto

from prr.config import Limits
from prr.core.directory.rotation import Rotation
from prr.core.directory.table import Table
from prr.wire.instance import Instance
from prr.wire.version import Version, is_newer


class Added(Enum):
    """What became of an `add`."""

    NEW = auto()
    KNOWN = auto()
    FULL = auto()
    EXCLUDED = auto()  # a loopback address: see `reach`


class Directory:
    """The instances one binder knows. Each word about one must be newer than the one before."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self.table = Table(self._limits)
        self.rotation = Rotation()
        self._disputed: dict[Instance, Version] = {}

    def __len__(self) -> int:
        return len(self.table)

    def __contains__(self, instance: Instance) -> bool:
        return instance in self.table

    def latest(self, instance: Instance) -> Version | None:
        """The version of the last word about an instance, present, gone or disputed."""
        return self._disputed.get(instance) or self.table.latest(instance)

    def removal(self, instance: Instance) -> Version | None:
        """The version of an instance's removal, remembered or disputed."""
        return self._disputed.get(instance) or self.table.removal(instance)

    def is_disputed(self, instance: Instance) -> bool:
        """It is there, though a newer word says that it is gone."""
        return instance in self._disputed

    def dispute(self, instance: Instance, removal: Version) -> None:
        """`instance`, which is there, is said to be gone, at `removal`, the highest version so far.
        It stays, out of turn, until a higher word is put in or `concede` says that it is true."""
        assert instance in self.table
        latest = self.latest(instance)
        assert latest is None or removal == latest or is_newer(removal, latest)
        self._disputed[instance] = removal  # one for an instance that is there at most
        self.rotation.suspect(instance)

    def concede(self, instance: Instance, now: float) -> None:
        """A disputed removal was right: `instance` is gone, at the version that was said. Which may
        not be newer than the one it is there at: versions can go round in a circle."""
        removal = self._disputed.pop(instance)
        self.rotation.remove(instance)
        self.table.remove(instance, removal, now)

    def add(self, instance: Instance, version: Version, learned: bool = False) -> Added:
        """`instance` is there, at `version`, which is newer than the latest word about it.

        `learned`: from a peer, who may fill most of the table but not all of it.
        """
        latest = self.latest(instance)
        assert latest is None or is_newer(version, latest)
        known = instance in self.table
        share = self._limits.learned_share if learned else 1
        if not known and len(self.table) >= share * self._limits.instances:
            return Added.FULL
        self._disputed.pop(instance, None)
        self.table.put(instance, version)
        if known:
            return Added.KNOWN
        self.rotation.add(instance)
        return Added.NEW

    def remove(self, instance: Instance, version: Version, now: float) -> bool:
        """`instance` is gone, at `version`, which is newer than the latest word about it, or as new
        as one that says it is there; False if it was not there."""
        latest = self.latest(instance)
        known = instance in self.table
        assert latest is None or is_newer(version, latest) or (known and version == latest)
        if known:
            self._disputed.pop(instance, None)
            self.rotation.remove(instance)
        self.table.remove(instance, version, now)
        return known
