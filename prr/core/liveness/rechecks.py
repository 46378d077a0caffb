"""When instances are asked again that could be neither cleared nor evicted.

Those that were silent, and are kept for now, stand apart: they may be many, for as long as the
eviction limiter holds, and are out of turn. All others go before them.
"""

from collections.abc import Collection

from prr.core.deadlines import Deadlines, earliest
from prr.core.liveness.shares import Shares
from prr.wire.instance import Instance


class Rechecks:
    """One deadline for each instance, in one of two lists."""

    def __init__(self, shares: Shares) -> None:
        """`shares` say when there is a place for one that is kept."""
        self._shares = shares
        self._others: Deadlines[Instance] = Deadlines()
        self._kept: Deadlines[Instance] = Deadlines()

    def __contains__(self, instance: Instance) -> bool:
        return instance in self._others or instance in self._kept

    def __len__(self) -> int:
        return len(self._others) + len(self._kept)

    def has_none_of(self, instances: Collection[Instance]) -> bool:
        """None of `instances` is to be asked again."""
        return self._others.has_none_of(instances) and self._kept.has_none_of(instances)

    @property
    def kept(self) -> int:
        """How many wait that are kept."""
        return len(self._kept)

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Entries and limit of each heap."""
        return {"rechecks due": self._others.size, "rechecks of kept due": self._kept.size}

    def set(self, instance: Instance, when: float) -> None:
        """It is asked again at `when` (seconds), whatever was set before."""
        self._kept.cancel(instance)
        self._others.set(instance, when)

    def keep(self, instance: Instance, when: float) -> None:
        """The same for one that was silent, and is kept: not before there is a turn for it."""
        self._others.cancel(instance)
        self._kept.set(instance, when)

    def cancel(self, instance: Instance) -> None:
        """It is not asked again. No error if it was not to be."""
        self._others.cancel(instance)
        self._kept.cancel(instance)

    def first(self) -> float | None:
        """When the first one is due for which there is a place; None if none is."""
        has_place = self._shares.are_open_to_kept
        return earliest(self._others.first(), self._kept.first() if has_place else None)

    def pop_due(self, now: float) -> Instance | None:
        """Take out one that is due by `now` and for which there is a place; None if none is."""
        instance = self._others.pop_due(now)
        if instance is None and self._shares.are_open_to_kept:
            instance = self._kept.pop_due(now)
        return instance
