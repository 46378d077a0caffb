"""The log: one event a line, on stderr, never at the price of a look-up."""

import logging
import os
import select
import sys
import time
from typing import Any

from gevent.hub import get_hub

LINES_PER_SECOND_MAX = 1000
"""More lines a second than this are left out, and their number is said."""

GATHER = 0.02
"""Seconds in which lines that follow one another are gathered, to be written together: a line
that comes alone is written at once, a storm of them wakes the log's reader fifty times a second,
each of which costs as much as twenty look-ups."""

_WRITE_BYTES_MAX = 4096  # a pipe takes this much at once or says that it is not ready (PIPE_BUF)


class LossyHandler(logging.Handler):
    """Writes lines to a descriptor, and leaves out what would have to wait for its reader."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._left_out = 0
        self._second = 0
        self._lines = 0
        self._gathered: list[bytes] = []  # LINES_PER_SECOND_MAX at most
        self._written_at = -GATHER
        self._timer: Any = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, now or with those behind it; or count it as left out."""
        now = time.monotonic()
        if int(now) != self._second:
            self._second, self._lines = int(now), 0
        self._lines += 1
        if self._lines > LINES_PER_SECOND_MAX:
            self._left_out += 1
            return
        self._gathered.append(self._line(record))
        if now - self._written_at >= GATHER:
            self.flush()
        elif self._timer is None:
            self._timer = get_hub().loop.timer(GATHER)
            self._timer.start(self.flush)

    def flush(self) -> None:
        """Write what is gathered, if its reader is ready for it."""
        if self._timer is not None:
            self._timer.close()
            self._timer = None
        lines, self._gathered = self._gathered, []
        self._written_at = time.monotonic()
        if lines and self._left_out and self._is_ready():
            note = f"({self._left_out} lines left out: more than could be written)\n"
            self._left_out = 0
            self._write([note.encode()])
        together: list[bytes] = []
        size = 0
        for line in lines:
            if size + len(line) > _WRITE_BYTES_MAX:
                self._write(together)
                together, size = [], 0
            together.append(line)
            size += len(line)
        self._write(together)

    def _line(self, record: logging.LogRecord) -> bytes:
        line = self.format(record).encode(errors="backslashreplace")
        return line[: _WRITE_BYTES_MAX - 1] + b"\n"

    def _is_ready(self) -> bool:
        events = self._poll.poll(0)
        return bool(events) and bool(events[0][1] & select.POLLOUT)

    def _write(self, lines: list[bytes]) -> None:
        try:
            if not lines or (self._is_ready() and os.write(self._descriptor, b"".join(lines))):
                return
        except OSError:
            pass
        self._left_out += len(lines)


def log_to_stderr(level: int = logging.INFO, timestamps: bool = True) -> None:
    """Send the `prr` log to stderr, from `level` up."""
    # Nobody reads where in the program a line came from, or in which thread and process.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # see "Optimization" in logging's manual
    handler = LossyHandler(sys.stderr.fileno())
    if timestamps:
        form = logging.Formatter("%(asctime)s.%(msecs)03d %(message)s", "%Y-%m-%d %H:%M:%S")
        handler.setFormatter(form)
    logger = logging.getLogger("prr")
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False


def flush_log() -> None:
    """Write what is gathered, before something else is written to stderr or the process ends."""
    for handler in logging.getLogger("prr").handlers:
        handler.flush()
