"""Who reads a socket: one greenlet at a time, which is also the greenlet of the request it serves.

The reader takes a burst, or several where more lies there than one holds, and serves one datagram
after the other. Only when a request has to wait does it hand the post of reader, and the rest of
the burst, to a parked greenlet (the leader/followers pattern), and goes on waiting for its own
request alone. So each has a greenlet of its own, and one that does not wait costs no switch.
"""

import time
from collections.abc import Callable

import gevent

from prr.shell.udp.datagrams import Datagrams
from prr.shell.worker_pool import WorkerPool

TURN_MAX = 0.0015
"""Seconds of a turn after which no further burst is taken in it, whatever its datagrams cost."""


class Reader:
    """Reads one socket for as long as its node runs.

    `at` is the number of the datagram of the burst that is next. Whoever serves it moves `at` on
    before it does anything that may wait, and keeps a copy of what it still needs: the burst's
    buffers belong to whoever is the reader then.
    """

    def __init__(
        self, datagrams: Datagrams, workers: WorkerPool, serve_next: Callable[["Reader"], None]
    ) -> None:
        self.datagrams = datagrams
        self.at = 0
        self._count = self._bursts = 0  # of this burst; taken in this turn
        self._ends_at = 0.0
        self._has_read = True
        self._workers = workers
        self._serve_next = serve_next
        self._greenlet: gevent.Greenlet[[], None] | None = None

    def start(self) -> None:
        """Have a greenlet of the worker pool read, from now on."""
        self._greenlet = self._workers.spawn(self._read)

    @property
    def is_alive(self) -> bool:
        """There is a greenlet that reads, or will soon."""
        return self._greenlet is not None and not self._greenlet.dead

    def has_read_all(self) -> bool:
        """It has taken something since this was asked last, or there is nothing to take."""
        has_read, self._has_read = self._has_read, False
        return has_read or not self.datagrams.has_waiting()

    def step_aside(self) -> None:
        """This greenlet is about to wait: if it is the reader, another one carries on."""
        if self._greenlet is gevent.getcurrent():
            self.start()

    @property
    def is_through(self) -> bool:
        """All of the burst has been served."""
        return self.at >= self._count

    def pass_run(self, count: int) -> None:
        """So many that are alike, at least one, are served together. Who sends them can wait for
        others: a burst costs as much as ten of them."""
        self.at += count
        if count > 1:
            self.datagrams.let_more_come()

    def _begin_turn(self) -> int:
        """The steps taken in it: none yet."""
        self._bursts, self._ends_at = 0, time.monotonic() + TURN_MAX
        return 0

    def _has_had_its_turn(self) -> bool:
        """No further burst is to be taken in this one."""
        is_last = self._bursts == self.datagrams.bursts or not self.datagrams.burst.is_full
        return is_last or time.monotonic() >= self._ends_at

    def _read(self) -> None:
        me, steps = gevent.getcurrent(), 0
        while self._greenlet is me:
            if self.at >= self._count:
                if self._has_had_its_turn():
                    self.datagrams.wait()
                    steps = self._begin_turn()
                self._has_read = True
                self._bursts += 1
                self.at, self._count = 0, self.datagrams.burst.receive()
            elif steps == self.datagrams.steps:
                self.datagrams.wait_for_turn()
                steps = self._begin_turn()
            else:
                self._serve_next(self)
                steps += 1
