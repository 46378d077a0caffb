"""When a core has to be asked again: one timer for all of its deadlines."""

import math
import time
from collections.abc import Callable

from gevent.hub import get_hub

from prr.shell.worker_pool import WorkerPool

GRAIN = 0.005
"""Seconds to which deadlines are rounded up: five hundred verifications under way wake the node two
hundred times a second at most, and none ends noticeably later. Nor is the core asked for its
deadline while the alarm goes off within that time."""


class CoreTimer:
    """Goes off at a core's next deadline. Too early is harmless: the core is asked again."""

    def __init__(
        self, deadline: Callable[[], float | None], workers: WorkerPool, ask: Callable[[], None]
    ) -> None:
        """`deadline` is the core's, in seconds of the monotonic clock; one of the `workers` does
        `ask`."""
        self._deadline = deadline
        self._workers = workers
        self._ask = ask
        self._at: float | None = None
        self._later = get_hub().loop.timer(0)
        self._soon = get_hub().loop.timer(0)

    def set(self) -> None:
        """See when the core wants to be asked: after everything that may have changed that.

        What is due already is due in the next turn of the loop: what is ready now comes first.
        """
        now = time.monotonic()
        if self._at is not None and self._at <= now + GRAIN:
            return
        deadline = self._deadline()
        if deadline is None or (self._at is not None and self._at <= deadline):
            return
        if deadline > now:
            deadline = math.ceil(deadline / GRAIN) * GRAIN
            self._later.close()
            self._later = get_hub().loop.timer(deadline - now)
            self._later.start(self._go_off)
        else:
            self._soon.start(self._go_off)
        self._at = deadline

    def close(self) -> None:
        """Never go off."""
        self._later.close()
        self._soon.close()

    def _go_off(self) -> None:
        self._workers.spawn(self._wake)

    def _wake(self) -> None:
        self._at = None
        self._ask()
