"""Instances that were restored from a disk and have not been heard since: to be asked in time."""

from math import ceil

from prr.wire.address import Instance

PAUSE = 1.0
"""Seconds between two looks."""

ASKED_MAX = 500
"""Instances that one look yields at most: a fraction of what can be verified beside other work."""


class Backlog:
    """A queue, emptied within a lease unless it is too long for that. Never longer than the table
    of the binder that was restored."""

    def __init__(self, lease: float) -> None:
        """`lease` is in seconds."""
        self._lease = lease
        self._queue: list[Instance] = []
        self._asked = 0  # at one look
        self._look_at: float | None = None

    def put(self, instances: list[Instance], now: float) -> None:
        """Have more of them asked."""
        self._queue += instances
        self._asked = min(ASKED_MAX, ceil(len(self._queue) * PAUSE / self._lease))
        if self._queue and self._look_at is None:
            self._look_at = now + PAUSE

    def deadline(self) -> float | None:
        """When `due` has something to say; None if never."""
        return self._look_at

    def due(self, now: float) -> list[Instance]:
        """Those whose turn has come; [] too soon after the last look."""
        if self._look_at is None or now < self._look_at:
            return []
        due = self._queue[-self._asked :]
        del self._queue[-self._asked :]
        self._look_at = now + PAUSE if self._queue else None
        return due
