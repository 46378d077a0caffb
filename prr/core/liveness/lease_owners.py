"""The binders that instances are at home with, and which of them have fallen silent.

A home watches the leases of its instances. When it has been silent for a lease itself, the others
take its place: they walk through the table, a few steps at a time, and ask what was at home there.
"""

from prr.core.directory.tables import START, Place
from prr.core.replication.peers import Peers
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.wire.instance import Instance
from prr.wire.version import encode_owner

REVIEW_PAUSE = 1.0
"""Seconds between two looks at which homes are silent, and between two walks through the table."""

REVIEWED = 15_000
"""Owners that are looked at in a second, 3 ms of it. Were there more, made up by a faulty peer, the
pause is longer in proportion, so that their number does not take the binder's time."""

STEP_PAUSE = 0.005
"""Seconds between two steps of a walk."""

STEP_MAX = 12
"""Instances that one step yields, 50 us each in all that follows at once: 2,400 a second, and a
burst of lookups waits for half a millisecond at most."""

LOOKS_MAX = 4096
"""Entries that one step looks at, some 0.3 ms: a walk through a million takes a second or two."""

RANK_PAUSE = 2.0
"""Seconds by which the survivors of a silent home take turns, so that one adopts and not all."""


class LeaseOwners:
    """Who is home to the instances of one table. As large as the number of homes in it."""

    def __init__(self, versioned: VersionedDirectory, peers: Peers, lease: float) -> None:
        self._identity = versioned.identity
        self._directory = versioned.directory
        self._peers = peers
        self._lease = lease
        self._silent_since: dict[int, float] = {}
        self._orphaning: set[bytes] = set()  # whose instances are asked, as they are encoded
        self._review_at = self._step_at = 0.0
        self._place: Place = START

    def deadline(self, has_room: bool) -> float | None:
        """When `scan` may have something to say; None if every instance is at home here."""
        if not self._directory.has_other_owner(self._identity):
            return None
        if has_room and self._orphaning:
            return min(self._step_at, self._review_at)
        return self._review_at

    def is_orphaning(self, owner: int, now: float) -> bool:
        """A home has been silent for a lease, and has not been heard since."""
        return owner not in self._peers.alive(now) and self._is_over(owner, now)

    def _is_over(self, owner: int, now: float) -> bool:
        since = self._silent_since.get(owner)
        return since is not None and now - since > self._lease

    def scan(self, now: float, has_room: bool) -> list[Instance]:
        """Some of the instances whose home has been silent for a lease, if there is room to ask
        them; [] too soon after the last step."""
        if now >= self._review_at:
            self._review(now)
        if not has_room or not self._orphaning or now < self._step_at:
            return []
        found, after = self._directory.owned_by(self._orphaning, self._place, STEP_MAX, LOOKS_MAX)
        self._place = after or START
        # A late step makes no later one later, as long as one follows the other at once.
        step_at = max(self._step_at, now - STEP_PAUSE) + STEP_PAUSE
        self._step_at = step_at if after else self._review_at
        return found

    def _review(self, now: float) -> None:
        owners = self._directory.owners()
        self._review_at = now + max(REVIEW_PAUSE, len(owners) / REVIEWED)
        heard = self._peers.alive(now) | {self._identity}
        last_heard = {
            peer.identity: peer.heard_at for peer in self._peers.all() if peer.heard_at is not None
        }
        self._silent_since = {
            owner: last_heard.get(owner, self._silent_since.get(owner, now))
            for owner in owners
            if owner not in heard
        }
        rank = sum(other < self._identity for other in heard)
        turn = now - rank * RANK_PAUSE
        self._orphaning = {
            encode_owner(owner) for owner in self._silent_since if self._is_over(owner, turn)
        }
