"""When a core has to be asked again: one timer for all of its deadlines."""

import math
import time
from collections.abc import Callable

from gevent.hub import get_hub

from prr.shell.worker_pool import WorkerPool

GRAIN = 0.005
"""Seconds to which deadlines are rounded up: five hundred verifications under way wake the node two
hundred times a second at most, and none ends noticeably later. Nor is the core asked for its
deadline more often, which costs as much as what most frames have it do."""


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
        self._is_closed = False
        self._later = get_hub().loop.timer(0)
        self._soon = get_hub().loop.timer(0)
        self._looked_at = -math.inf
        self._looks_again = get_hub().loop.timer(GRAIN)

    def set(self) -> None:
        """See when the core wants to be asked: after everything that may have changed that.

        What is due already is due in the next turn of the loop: what is ready now comes first.
        Within GRAIN after a look the next one waits for its end, unless the core has ticked.
        """
        now = time.monotonic()
        looks_again = self._looks_again.active  # type: ignore[attr-defined]  # the stubs lack it
        if self._is_closed or looks_again or (self._at is not None and self._at <= now + GRAIN):
            return
        if now < self._looked_at + GRAIN:
            self._looks_again = get_hub().loop.timer(GRAIN)  # one that has run has no time left
            self._looks_again.start(self._look)
        else:
            self._look()

    def _look(self) -> None:
        self._looks_again.close()
        self._looked_at = now = time.monotonic()
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
        """Never go off, whatever is set later."""
        self._is_closed = True
        self._later.close()
        self._soon.close()
        self._looks_again.close()

    def _go_off(self) -> None:
        self._workers.spawn(self._wake)

    def _wake(self) -> None:
        if self._is_closed:  # since it went off
            return
        self._at, self._looked_at = None, -math.inf
        self._looks_again.close()
        self._ask()
