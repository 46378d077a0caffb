"""Long work, done in slices between which the event loop has its turn: lookups do not wait for it.

A timer goes through the loop itself. `gevent.sleep(0)` would not: its callbacks run one
after the other for up to five milliseconds before any socket is looked at.
"""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from gevent.hub import get_hub

SLICE = 0.0002
"""Seconds of one slice: as long as a burst of lookups takes, and twenty times what a turn costs."""

REST = 0.001
"""Seconds of a rest between two slices: such work takes a sixth of the processor at most."""

_LAST = -2  # libev's lowest priority: whatever else is ready comes first

_T = TypeVar("_T")


def let_others_run() -> None:
    """Rest a moment, in which the loop sees to whatever is ready."""
    hub = get_hub()
    turn = hub.loop.timer(REST)
    turn.priority = _LAST  # type: ignore[attr-defined]  # the stubs lack it
    try:
        hub.wait(turn)
    finally:
        turn.close()


def in_slices(work: Iterable[_T]) -> Iterator[_T]:
    """What `work` yields, with a turn of the loop whenever a slice is over."""
    ends_at = time.perf_counter() + SLICE
    for one in work:
        yield one
        if time.perf_counter() >= ends_at:
            let_others_run()
            ends_at = time.perf_counter() + SLICE
