"""What a binder has to do for its HTTP, in pieces between which the event loop has its turn:
lookups do not wait for it.

A timer goes through the loop itself. `gevent.sleep(0)` would not: tens of callbacks run one after
the other before any socket is looked at.
"""

import select
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from gevent.hub import get_hub

SLICE = 0.0002
"""Seconds of one slice of long work, if nothing arrives meanwhile."""

PIECE = 0.00002
"""Seconds of work after which it is looked whether something has arrived, which costs one or two
millionths."""

REST = 0.001
"""Seconds of a rest between two slices: such work takes a sixth of the processor at most."""

LOWEST = -2
"""Libev's lowest priority: whatever else is ready comes first."""

_READ = select.POLLIN

_T = TypeVar("_T")


class Turns:
    """The turns of all that is done for HTTP in one process."""

    def __init__(self) -> None:
        self._loop = get_hub().loop
        self._polling = select.poll()
        waits_with = self._loop.fileno()
        if waits_with is not None:  # an epoll; gevent can be told to use what has no descriptor
            self._polling.register(waits_with, _READ)

    def has_arrived(self) -> bool:
        """Something has come for which nobody has had a turn yet: what the loop waits with, an
        epoll, can itself be polled."""
        return bool(self._polling.poll(0))

    def in_slices(self, work: Iterable[_T]) -> Iterator[_T]:
        """What `work` yields. A slice is over after SLICE, or as soon as something has arrived;
        then comes a rest, in which the loop sees to that."""
        ends_at, looks_at = _from_now()
        for one in work:
            yield one
            now = time.perf_counter()
            if now < looks_at:
                continue
            if now >= ends_at or self.has_arrived():
                self._rest(REST)
                ends_at, looks_at = _from_now()
            else:
                looks_at = now + PIECE

    def _rest(self, seconds: float) -> None:
        hub = get_hub()
        timer = self._loop.timer(seconds)
        timer.priority = LOWEST  # type: ignore[attr-defined]  # the stubs lack it
        try:
            hub.wait(timer)
        finally:
            timer.close()


def _from_now() -> tuple[float, float]:
    """When a slice that begins now is over, and its first piece."""
    now = time.perf_counter()
    return now + SLICE, now + PIECE
