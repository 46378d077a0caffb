"""Instances that were restored from a disk and have not been heard since: to be asked at once."""

from prr.core.replication.peers import Peers
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.wire.instance import Instance

PAUSE = 0.05
"""Seconds between two looks."""

ASKED_MAX = 100
"""Instances that one look yields: 2,000 a second, a fifth of a core, so that lookups go on."""

LOOKS_MAX = 1000
"""Instances that one look looks at: 2 ms, for which a lookup may wait."""

UNDER_WAY_MAX = 256
"""Verifications under way beyond which nothing is yielded: half of what can be, since those that
are gone keep their places for seconds, and whoever is accused must not wait for them."""


class RecheckQueue:
    """A queue. Never longer than the table of the binder that was restored.

    What is at home with a peer that is heard need not be asked: that one looks after it, and tells
    what it has removed.
    """

    def __init__(self, versioned: VersionedDirectory, peers: Peers) -> None:
        self._directory = versioned.directory
        self._peers = peers
        self._queue: list[Instance] = []
        self._look_at: float | None = None

    def put(self, instances: list[Instance], now: float) -> None:
        """Have more of them asked."""
        self._queue += instances
        if self._queue and self._look_at is None:
            self._look_at = now + PAUSE

    def deadline(self) -> float | None:
        """When `due` has something to say; None if never."""
        return self._look_at

    def due(self, under_way: int, now: float) -> list[Instance]:
        """Those that are to be asked now, while so many verifications are under way; [] too soon
        after the last look."""
        if self._look_at is None or now < self._look_at:
            return []
        due: list[Instance] = []
        room = min(ASKED_MAX, UNDER_WAY_MAX - under_way)
        heard = self._peers.alive(now)
        for _ in range(LOOKS_MAX):
            if not self._queue or len(due) >= room:
                break
            instance = self._queue.pop()
            if not self._directory.is_unheard(instance):
                continue  # it has spoken, is asked already, or is gone
            version = self._directory.version(instance)
            if version is not None and version.owner in heard:
                self._directory.trust(instance)
            else:
                due.append(instance)
        self._look_at = now + PAUSE if self._queue else None
        return due
