"""How many of one binder's instances may be evicted for their silence now: see the limiter."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from prr.core.directory.directory import Directory
from prr.core.effects import Effect, Event, Report
from prr.core.liveness.eviction_limiter import SHARE, SHARE_CONFIRMED, EvictionLimiter
from prr.core.replication.peers import Peers
from prr.wire.instance import Instance


class Evictions:
    """The eviction limiter, applied to a directory and the binders that share it."""

    def __init__(self, directory: Directory, peers: Peers) -> None:
        self._directory = directory
        self._peers = peers
        self._limiter = EvictionLimiter()
        self.reasons: Counter[str] = Counter()
        """What they were evicted for, how often: what a verification has found."""

    def may_go(self, is_confirmed: bool, now: float) -> bool:
        """One more may go, whose silence another binder confirms, or nobody."""
        share = SHARE_CONFIRMED if is_confirmed else SHARE
        binders = 1 + len(self._peers.heard_lately(now))
        return self._limiter.may_go(len(self._directory), now, share, binders)

    def count(self, instance: Instance, now: float) -> None:
        """One goes for its silence."""
        self._limiter.goes(instance, now)

    def hold_back(
        self, instance: Instance, is_confirmed: bool, now: float, waits: float
    ) -> list[Effect]:
        """One may not go; it `waits` for so many seconds at most until it can be asked again."""
        share = SHARE_CONFIRMED if is_confirmed else SHARE
        self._limiter.hold_back(instance, len(self._directory), now, share, waits)
        return self.tick(now)

    def release(self, instance: Instance) -> None:
        """One is not held back any more. No error if it was not."""
        self._limiter.release(instance)

    def release_all(self, instances: Iterable[Instance]) -> None:
        """The same for many."""
        self._limiter.release_all(instances)

    def evicted(self, instance: Instance, reason: str) -> None:
        """One is gone, and not held back any more."""
        self.reasons[reason] += 1
        self.release(instance)

    def peer_evicted(self, now: float) -> None:
        """A peer has evicted an instance for its silence: that counts for all."""
        self._limiter.gone(now)

    def status(self, now: float) -> dict[str, Any] | None:
        """How the limiter holds, as plain data; None if it does not."""
        return self._limiter.status(len(self._directory), now)

    def deadline(self) -> float | None:
        """When `tick` has something to do; None if nothing is pending."""
        return self._limiter.deadline()

    def tick(self, now: float) -> list[Effect]:
        """Say what the limiter does, once it does something else. Safe to call too often."""
        said = self._limiter.tick(len(self._directory), now)
        return [] if said is None else [Report(Event.BRAKE, "", said)]
