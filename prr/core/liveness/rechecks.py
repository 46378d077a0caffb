"""When instances are asked again that could be neither cleared nor evicted.

Those that were silent, and are kept for now, stand apart: they may be many, for as long as the
eviction limiter holds, and are out of turn. So few are asked at a time, but on places of theirs.
Legacy servers that were evicted are asked every half minute, as long as they are remembered: if
all of those went first, a thousand of them would keep the others out of turn.
"""

from collections.abc import Iterable
from math import inf

from prr.core.deadlines import Deadlines, earliest
from prr.core.liveness.phases import WAITS, WAITS_FOR_OPINIONS
from prr.core.liveness.probes import Verifications
from prr.wire.instance import Instance

AGAIN_SHARE = 16
"""One place in so many, 32 of 512, is for those that were silent, are kept for now and asked again:
where a host of many services has gone, and the eviction limiter holds, for as long as that lasts.
32 that stay silent take 5% of a core, here and at the binders that are asked as well; with all
places a weak one had no time left for anything else. Those that live give theirs back at once."""


class Rechecks:
    """One deadline for each instance, in one of two lists."""

    def __init__(self, verifications: Verifications, places: int) -> None:
        """`verifications` are those under way, which have so many `places`."""
        self._verifications = verifications
        self._others: Deadlines[Instance] = Deadlines()
        self._kept: Deadlines[Instance] = Deadlines()
        self._places = max(1, places // AGAIN_SHARE)
        self._asked = set[Instance]()  # of those that are kept; some may be through

    def __contains__(self, instance: Instance) -> bool:
        return instance in self._others or instance in self._kept

    def __len__(self) -> int:
        return len(self._others) + len(self._kept)

    def has_none_of(self, instances: Iterable[Instance]) -> bool:
        """None of `instances` is to be asked again."""
        return not len(self) or not any(one in self for one in instances)

    @property
    def wait(self) -> float:
        """Seconds at most for which one that is kept waits for its turn, if all before it are
        silent."""
        return len(self._kept) / self._places * sum(WAITS + WAITS_FOR_OPINIONS)

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Entries and limit of each container."""
        return {
            "rechecks due": self._others.size,
            "rechecks of kept due": self._kept.size,
            "kept and asked": (len(self._asked), self._places),
        }

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
        return earliest(self._others.first(), self._first_kept())

    def pop_due(self, now: float) -> Instance | None:
        """Take out the first one that is due by `now` and for which there is a place; None if none
        is."""
        kept, other = self._first_kept(now), self._others.first(now)
        if kept is None or (other is not None and other <= kept):
            return self._others.pop_due(now)
        instance = self._kept.pop_due(now)
        if instance is not None:
            self._asked.add(instance)
        return instance

    def _first_kept(self, now: float = -inf) -> float | None:
        """When the first one that is kept is due, if there is a place for it."""
        if len(self._asked) == self._places:
            self._asked = {one for one in self._asked if one in self._verifications}
        return self._kept.first(now) if len(self._asked) < self._places else None
