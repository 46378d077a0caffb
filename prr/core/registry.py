"""What one binder knows: the table that binders agree on, and whose turn it is, kept in step."""

from enum import Enum, auto

from prr.config import Limits
from prr.core.table import Table
from prr.core.turns import Turns
from prr.wire.address import Instance
from prr.wire.versions import Version, is_newer


class Added(Enum):
    """What became of an `add`."""

    NEW = auto()
    KNOWN = auto()
    FULL = auto()
    EXCLUDED = auto()  # a loopback address: see `reach`


class Registry:
    """The instances one binder knows. Each word about one must be newer than the one before."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self.table = Table(self._limits)
        self.turns = Turns()

    def __len__(self) -> int:
        return len(self.table)

    def __contains__(self, instance: Instance) -> bool:
        return instance in self.table

    def latest(self, instance: Instance) -> Version | None:
        """The version of the last word about an instance, present or gone."""
        return self.table.latest(instance)

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
        self.table.put(instance, version)
        if known:
            return Added.KNOWN
        self.turns.add(instance)
        return Added.NEW

    def remove(self, instance: Instance, version: Version, now: float) -> bool:
        """`instance` is gone, at `version`, which is newer than the latest word about it, or as new
        as one that says it is there; False if it was not there."""
        latest = self.latest(instance)
        known = instance in self.table
        assert latest is None or is_newer(version, latest) or (known and version == latest)
        if known:
            self.turns.remove(instance)
        self.table.remove(instance, version, now)
        return known
