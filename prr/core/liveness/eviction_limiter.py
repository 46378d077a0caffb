"""A limit on eviction by silence: a binder that loses many at once is itself the suspect.

Silence looks the same whether the service died or a binder's own network did. So within WINDOW
seconds at most a share of what the cluster holds may go that way, whoever evicts: a small one where
no other binder confirms it, a larger one where one does, which may sit behind the same broken
switch. Peers say of each removal whether silence was its cause, so that all count the same.

Two that decide at the same moment have not heard of each other. So a binder takes only its part of
the share at once; beyond that it leaves SETTLE seconds between two, in which it hears the others.
What goes beyond the limit is then one instance for each other binder at most.
"""

from collections import deque
from collections.abc import Iterable
from typing import Any

from prr.core.deadlines import Deadlines
from prr.wire.instance import Instance

SHARE = 0.15
"""Share of the table on this binder's word alone: a rack or a host of many is more often gone from
sight than gone."""

SHARE_CONFIRMED = 0.5
"""Share of the table where another binder confirms the silence."""

FLOOR = 3
"""Instances that may go however small the table is: a lone binder knows a handful."""

WINDOW = 30.0
"""Seconds over which they are counted."""

GRAIN = 0.5
"""Seconds to which they are counted, so that the count takes 61 numbers, however many went."""

SETTLE = 0.05
"""Seconds between two evictions beyond a binder's own part: the others have heard of the first."""

HELD = 6.0
"""Seconds for which an instance counts as held back, beyond those it waits for its turn: it is
asked again after two, and the verdict takes another one and a half."""


class EvictionLimiter:
    """Counts a cluster's evictions by silence. As large as the instances that it holds back."""

    def __init__(self) -> None:
        self._evictions: deque[tuple[float, int]] = deque()  # from when on, and how many
        self._own: deque[tuple[float, int]] = deque()
        self._own_at = -SETTLE
        self._held: Deadlines[Instance] = Deadlines()
        self._held_since: float | None = None
        self._held_most = 0
        self._limit = 0

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Entries and limit of each container."""
        counts = len(self._evictions), int(WINDOW / GRAIN) + 1
        return {"evictions": counts, "held back due": self._held.size}

    def may_go(self, held: int, now: float, share: float = SHARE, binders: int = 1) -> bool:
        """One more of `held` instances may be evicted at `now`; `binders` decide, this one
        included."""
        limit = self._limit_of(held, now, share)
        if self._count(self._evictions, now) >= limit:
            return False
        return self._count(self._own, now) < limit // binders or now - self._own_at >= SETTLE

    def goes(self, instance: Instance, now: float) -> None:
        """This one is evicted here, which counts."""
        self._add(self._own, now)
        self._own_at = now
        self.gone(now)
        self._held.cancel(instance)

    def hold_back(
        self, instance: Instance, held: int, now: float, share: float = SHARE, waits: float = 0.0
    ) -> None:
        """This one of `held` instances may not go now; it `waits` for so many seconds at most until
        it can be asked again."""
        self._limit = self._limit_of(held, now, share)
        self._held.set(instance, now + waits + HELD)
        self._held_most = max(self._held_most, len(self._held))

    def gone(self, now: float) -> None:
        """One was evicted by silence, here or by a peer."""
        self._add(self._evictions, now)

    def release(self, instance: Instance) -> None:
        """This one is not held back: it answered, or it is gone. No error if it was not."""
        self._held.cancel(instance)

    def release_all(self, instances: Iterable[Instance]) -> None:
        """The same for many."""
        self._held.cancel_all(instances)

    def deadline(self) -> float | None:
        """When to call `tick`; None if nothing is held back."""
        if self._held_since is None:
            return None
        return self._held.first() if len(self._held) else self._held_since

    def tick(self, held: int, now: float) -> str | None:
        """What there is to be said, of `held` instances: once that it holds, once that it does
        not. Safe to call too often."""
        while self._held.pop_due(now) is not None:
            pass
        if len(self._held) and self._held_since is None:
            self._held_since = now
            gone = self._count(self._evictions, now)
            return (
                f"on; {gone} of {held + gone} instances were evicted for silence within "
                f"{WINDOW:g} s, and {self._limit} may be; others that are silent stay out of "
                f"turn and are asked again. If they are dead, more go every {WINDOW:g} s by "
                f"themselves; if they are alive, check this host's network"
            )
        if not len(self._held) and self._held_since is not None:
            took, most = now - self._held_since, self._held_most
            self._held_since, self._held_most = None, 0
            return f"off after {took:.0f} s; it held back {most} at most, now none"
        return None

    def status(self, held: int, now: float) -> dict[str, Any] | None:
        """How it holds, of `held` instances, as plain data; None if it does not."""
        if self._held_since is None:
            return None
        gone = self._count(self._evictions, now)
        return {
            "since_s": round(now - self._held_since, 3),
            "evicted": gone,
            "of": held + gone,
            "limit": self._limit,
            "held_back": len(self._held),
        }

    def _limit_of(self, held: int, now: float, share: float) -> int:
        return int(max(FLOOR, share * (held + self._count(self._evictions, now))))

    def _add(self, counts: deque[tuple[float, int]], now: float) -> None:
        if counts and now < counts[-1][0] + GRAIN:
            since, count = counts.pop()
            counts.append((since, count + 1))
        else:
            counts.append((now, 1))

    def _count(self, counts: deque[tuple[float, int]], now: float) -> int:
        while counts and counts[0][0] <= now - WINDOW:
            counts.popleft()
        return sum(count for _, count in counts)
