"""How late the event loop is: what else it has to do comes in between, and so lookups wait."""

import logging
import time
from bisect import bisect_left
from typing import Any

from gevent.hub import get_hub

BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Seconds: what one slice of work takes, up to what `late` in the log means."""

PAUSE = 0.1
"""Seconds between two looks, of some microseconds."""

STILL = 1.0
"""Seconds of lateness that the log tells of: no work takes that long, so the process was stopped,
or others had its processor. It is one line a second at most."""

_log = logging.getLogger("prr")


class LoopLag:
    """Counts how late a timer goes off, as long as the process runs."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0
        self._due = time.monotonic() + PAUSE
        self._timer = get_hub().loop.timer(PAUSE, PAUSE)
        self._timer.start(self._look)

    def status(self) -> dict[str, Any]:
        """A histogram: how often it was late by `bounds` at most (seconds), at last by more, and by
        how many seconds in all."""
        return {"bounds": BOUNDS, "counts": [*self.counts], "seconds": round(self.seconds, 6)}

    def _look(self) -> None:
        now = time.monotonic()
        late, self._due = max(now - self._due, 0.0), now + PAUSE
        self.counts[bisect_left(BOUNDS, late)] += 1
        self.seconds += late
        if late >= STILL:
            _log.warning(
                "late: nothing was done for %.1f s; this process was stopped, or had no processor",
                late,
            )
