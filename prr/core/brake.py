"""The brake on eviction by silence: a binder that loses many at once is itself the suspect.

Silence looks the same whether the service died or this binder's own network did. So within WINDOW
seconds at most a share of the table may go that way: a small one if no other binder confirms it, a
larger one if one does, which may sit behind the same broken switch.
"""

from collections import deque

SHARE = 0.15
"""Share of the table on this binder's word alone: a rack or a host of many is more often gone from
sight than gone."""

SHARE_CONFIRMED = 0.5
"""Share of the table where another binder confirms the silence."""

FLOOR = 3
"""Instances that may go however small the table is: a lone binder knows a handful."""

WINDOW = 30.0
"""Seconds over which they are counted."""


class Brake:
    """Counts evictions by silence; holds at most as many as it allows."""

    def __init__(self) -> None:
        self._evictions: deque[float] = deque()

    def allows(self, held: int, now: float, share: float = SHARE) -> bool:
        """One more of `held` instances may be evicted at `now`; if so, it counts as evicted."""
        while self._evictions and self._evictions[0] <= now - WINDOW:
            self._evictions.popleft()
        if len(self._evictions) + 1 > max(FLOOR, share * (held + len(self._evictions))):
            return False
        self._evictions.append(now)
        return True
