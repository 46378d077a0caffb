"""Greenlets that outlive the request they serve.

A new greenlet costs 12 to 24 us (mostly an mmap and a munmap), a switch to one that is parked
under 1 us: so a greenlet that has finished its request is parked and given the next one.
"""

from collections.abc import Callable

import gevent
from gevent.hub import get_hub

IDLE_MAX = 1024
"""Parked greenlets kept. About 10 kB each; more than this were a peak."""


class _Worker(gevent.Greenlet):  # type: ignore[type-arg]  # no generic at run time
    """One greenlet; `work` is what it does when it is switched to."""

    def __init__(self, workers: "WorkerPool", work: Callable[[], None]) -> None:
        super().__init__()
        self.work = work
        self._workers = workers

    def _run(self) -> None:
        self.work()
        while self._workers.park(self):
            get_hub().switch()
            self.work()


class WorkerPool:
    """Gives each piece of work a greenlet of its own, for as long as it takes."""

    def __init__(self) -> None:
        self._idle: list[_Worker] = []
        self._tell: Callable[[BaseException], None] | None = None

    def on_failure(self, tell: Callable[[BaseException], None]) -> None:
        """Have `tell` called with what ends a greenlet of the pool, which nothing ever should."""
        self._tell = tell

    def spawn(self, work: Callable[[], None]) -> "gevent.Greenlet[[], None]":
        """Have `work` done by a greenlet of its own, soon; the greenlet."""
        if not self._idle:
            worker = _Worker(self, work)
            worker.link_exception(self._failed)
            worker.start()
            return worker
        worker = self._idle.pop()
        worker.work = work
        get_hub().loop.run_callback(worker.switch)
        return worker

    def _failed(self, worker: "gevent.Greenlet[[], None]") -> None:
        if self._tell is not None and worker.exception is not None:
            self._tell(worker.exception)

    def park(self, worker: _Worker) -> bool:
        """Keep a worker whose work is done; False if enough are kept."""
        if len(self._idle) >= IDLE_MAX:
            return False
        self._idle.append(worker)
        return True
