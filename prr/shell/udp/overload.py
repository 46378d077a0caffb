"""Reports when the kernel drops datagrams that are not read in time: when that begins, while it
lasts, and when it is over."""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from gevent.hub import get_hub

from prr.shell.udp.datagrams import Datagrams

LOOK_PAUSE = 1.0
"""Seconds between two looks at the kernel's counts, which cost some microseconds."""

REMIND_PAUSE = 10.0
"""Seconds between two lines while it lasts, and without a drop after which it is over."""

_WRAP = 1 << 32  # the kernel counts in 32 bits

_log = logging.getLogger("prr")


class Overload:
    """Watches the queues of one node."""

    def __init__(self, lanes: Sequence[Datagrams]) -> None:
        self._lanes = lanes
        self._seen = [lane.dropped for lane in lanes]  # what was dropped before is not ours
        self._since: float | None = None
        self._dropped = [0] * len(lanes)  # since then
        self._untold = 0
        self._told_at = self._last_at = 0.0
        self._timer = get_hub().loop.timer(LOOK_PAUSE, LOOK_PAUSE)

    def start(self) -> None:
        """Look from now on."""
        self._timer.start(lambda: self.look(time.monotonic()))

    def close(self) -> None:
        """Look no more."""
        self._timer.close()

    def status(self) -> dict[str, Any] | None:
        """For how many seconds it has lasted, and what was dropped since; None if all is well."""
        if self._since is None:
            return None
        since = time.monotonic() - self._since
        return {"since_s": round(since, 3), "dropped": sum(self._dropped)}

    def look(self, now: float) -> None:
        """See what was dropped by `now`, and say so if it is time."""
        fresh = self._count()
        if fresh:
            self._last_at = now
            self._untold += fresh
        if self._since is None:
            if fresh:
                self._since = self._told_at = now
                why = f"{fresh:,} datagrams dropped by the kernel within {LOOK_PAUSE:g} s"
                _log.warning("overloaded: %s (%s); more come than this process can take", why, self)
                self._untold = 0
        elif now - self._last_at >= REMIND_PAUSE:
            lasted = self._last_at - self._since
            what = f"{sum(self._dropped):,} datagrams were dropped in {lasted:.0f} s"
            _log.info("no longer overloaded: %s (%s)", what, self)
            self._since, self._dropped = None, [0] * len(self._lanes)
        elif now - self._told_at >= REMIND_PAUSE:
            what = f"{self._untold:,} more datagrams dropped in {now - self._told_at:.0f} s"
            _log.warning("still overloaded: %s; in all %s", what, self)
            self._told_at, self._untold = now, 0

    def __str__(self) -> str:
        """What was dropped, by queue."""
        counts: Counter[str] = Counter()
        for lane, dropped in zip(self._lanes, self._dropped, strict=True):
            counts[lane.holds] += dropped
        return ", ".join(f"{count:,} {holds}" for holds, count in counts.items() if count)

    def _count(self) -> int:
        """How many were dropped since this was asked last."""
        counts = [lane.dropped for lane in self._lanes]
        fresh = [(new - old) % _WRAP for new, old in zip(counts, self._seen, strict=True)]
        self._seen = counts
        self._dropped = [a + b for a, b in zip(self._dropped, fresh, strict=True)]
        return sum(fresh)
