"""Notifies systemd: that the node is ready, how it is, and that it is alive (the watchdog).

The keep-alives come out of the node's own event loop, through a greenlet of its own worker pool,
and only while every socket is being read: a node that hangs, or has lost a reader, must not look
alive.
"""

import time
from collections.abc import Callable, Sequence

from gevent.hub import get_hub

from prr.shell.systemd.protocol import is_told, notify, watchdog_pause
from prr.shell.udp.reader import Reader
from prr.shell.worker_pool import WorkerPool

STATUS_PAUSE = 5.0
"""Seconds between two status lines: `systemctl status` need not be fresher."""


class Notifier:
    """Notifies systemd if it listens; otherwise does nothing."""

    def __init__(
        self, readers: Sequence[Reader], workers: WorkerPool, status: Callable[[float], str]
    ) -> None:
        """`status` returns a status line, given the seconds since the last one."""
        self._readers = readers
        self._workers = workers
        self._status = status
        self._told_at = time.monotonic()
        self._watchdog = get_hub().loop.timer(0)
        self._control = get_hub().loop.timer(0)
        self._stuck: set[Reader] = set()
        self._speaks = False
        self.is_ready = False

    def start(self) -> None:
        """This process is a unit of systemd's, if it is one at all: begin to send keep-alives and
        status lines. Until then nothing is sent: a program that serves beside its other work
        notifies systemd itself."""
        self._speaks = True
        pause = watchdog_pause()
        if pause is not None:
            self._watchdog.close()
            self._watchdog = get_hub().loop.timer(pause, pause)
            self._watchdog.start(self._workers.spawn, self.keep_alive)
        if is_told():
            self._control.close()
            self._control = get_hub().loop.timer(STATUS_PAUSE, STATUS_PAUSE)
            self._control.start(self._workers.spawn, self._tell)

    def ready(self) -> None:
        """The node can do its work, for the first time or with what it has read again."""
        self.is_ready = True
        self._notify("READY=1", self._line())

    def reloading(self) -> None:
        """The node reads its settings again."""
        usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._notify("RELOADING=1", f"MONOTONIC_USEC={usec}")

    def stopping(self) -> None:
        """The node was asked to stop."""
        self._notify("STOPPING=1", "STATUS=leaving")

    def close(self) -> None:
        """Stop sending."""
        self._watchdog.close()
        self._control.close()

    def keep_alive(self) -> None:
        """Send a keep-alive, if every reader reads.

        One that left waiting what was there at the last sign, and has taken nothing since, does
        not.
        """
        stuck = {reader for reader in self._readers if not reader.has_read_all()}
        if not stuck & self._stuck and all(reader.is_alive for reader in self._readers):
            self._notify("WATCHDOG=1")
        self._stuck = stuck

    def _tell(self) -> None:
        self._notify(self._line())

    def _notify(self, *lines: str) -> None:
        if self._speaks:
            notify(*lines)

    def _line(self) -> str:
        now = time.monotonic()
        passed, self._told_at = now - self._told_at, now
        return f"STATUS={self._status(passed)}"
