"""The log: one event a line, on stderr, never at the price of a look-up."""

import logging
import os
import select
import sys
import time

LINES_PER_SECOND_MAX = 1000
"""More lines a second than this are left out, and their number is said."""

_LINE_BYTES_MAX = 4096  # a pipe takes this much at once or says that it is not ready (PIPE_BUF)


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

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, or count it as left out."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines > LINES_PER_SECOND_MAX or not self._is_ready():
            self._left_out += 1
            return
        if self._left_out:
            self._write(f"({self._left_out} lines left out: more than could be written)")
            self._left_out = 0
        self._write(self.format(record))

    def _is_ready(self) -> bool:
        events = self._poll.poll(0)
        return bool(events) and bool(events[0][1] & select.POLLOUT)

    def _write(self, line: str) -> None:
        data = line.encode(errors="backslashreplace")[: _LINE_BYTES_MAX - 1] + b"\n"
        try:
            os.write(self._descriptor, data)
        except OSError:
            self._left_out += 1


def log_to_stderr(level: int = logging.INFO, timestamps: bool = True) -> None:
    """Send the `prr` log to stderr, from `level` up."""
    handler = LossyHandler(sys.stderr.fileno())
    if timestamps:
        form = logging.Formatter("%(asctime)s.%(msecs)03d %(message)s", "%Y-%m-%d %H:%M:%S")
        handler.setFormatter(form)
    logger = logging.getLogger("prr")
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
