"""The binders that instances are at home with, and which of them have fallen silent.

A home watches the leases of its instances. When it has been silent for a lease itself, the others
take its place.
"""

from itertools import islice

from prr.core.members import Members
from prr.core.peers import Peers
from prr.wire.address import Instance

SCAN_PAUSE = 1.0
"""Seconds between two looks for instances whose home has fallen silent."""

SCAN_MAX = 256
"""Instances one such look yields: half of what can be verified at once."""

RANK_PAUSE = 2.0
"""Seconds by which the survivors of a silent home take turns, so that one adopts and not all."""


class Homes:
    """Who is home to the instances of one table. As large as the number of homes in it."""

    def __init__(self, members: Members, peers: Peers, lease: float) -> None:
        self._identity = members.identity
        self._table = members.registry.table
        self._peers = peers
        self._lease = lease
        self._silent_since: dict[int, float] = {}
        self._scan_at = 0.0

    def deadline(self) -> float | None:
        """When `scan` may have something to say; None if every instance is at home here."""
        return self._scan_at if self._table.has_other_home(self._identity) else None

    def is_orphaning(self, home: int, now: float) -> bool:
        """A home has been silent for a lease."""
        since = self._silent_since.get(home)
        return since is not None and now - since > self._lease

    def scan(self, now: float) -> list[Instance]:
        """Some of the instances whose home has been silent for a lease; [] too soon after the
        last look."""
        if now < self._scan_at:
            return []
        self._scan_at = now + SCAN_PAUSE
        heard = {peer.identity for peer in self._peers.heard_lately(now)} | {self._identity}
        last_heard = {peer.identity: peer.heard_at for peer in self._peers.all()}
        self._silent_since = {
            home: last_heard.get(home) or self._silent_since.get(home, now)
            for home in self._table.homes()
            if home not in heard
        }
        rank = sum(other is not None and other < self._identity for other in heard)
        turn = now - rank * RANK_PAUSE
        orphaning = {home for home in self._silent_since if self.is_orphaning(home, turn)}
        return list(islice(self._table.at_homes(orphaning), SCAN_MAX)) if orphaning else []
