"""The log: one event a line, on stderr, and never blocking a lookup."""

import logging
import os
import select
import sys
import time
from typing import Any

from gevent.hub import get_hub

from prr.shell.log.throttle import PAUSE, Held, Throttle

GATHER = 0.02
"""Seconds in which lines that follow one another are gathered, to be written together: a line
that comes alone is written at once, a storm of them wakes the log's reader fifty times a second,
each of which costs as much as twenty lookups."""

LINE_BYTES_MAX = 4096
"""Bytes of a line with its end, and of what is written at once: a pipe takes this much or says
that it is not ready (PIPE_BUF)."""

LAST_WAIT = 0.5
"""Seconds that a process which ends gives a slow reader, for the lines that must not be lost."""

_log = logging.getLogger("prr")


class LossyHandler(logging.Handler):
    """Writes lines to a descriptor, and drops what would have to wait for its reader.

    Each kind of line is bounded by itself (see `Throttle`): a record's `kind`, or the text it was
    logged with, one for each place in the program. A record that is `kept` is neither held nor
    dropped: it waits for the reader. Whoever logs such records looks first whether the handler
    `is_clogged`, and keeps them meanwhile: a burst at most waits here.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._throttle: Throttle[logging.LogRecord] = Throttle()
        self._dropped = 0
        self._gathered: list[tuple[bytes, bool]] = []  # BURST of each kind at most
        self._unwritten: list[bytes] = []
        self._written_at = -GATHER
        self._patient_until = 0.0
        self._soon: Any = None
        self._later: Any = None

    @property
    def is_clogged(self) -> bool:
        """Lines that must not be lost wait for the reader."""
        return bool(self._unwritten)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, now or with those behind it; or hold it, or count it as dropped."""
        now = time.monotonic()
        is_kept = getattr(record, "kept", False)
        kind = getattr(record, "kind", record.msg)
        if is_kept or self._throttle.admits(kind, record, now):
            self._gather(self._line(record), is_kept, now)
        self._see_to_later()

    def counts(self, kind: str, count: int) -> bool:
        """Lines of this kind are held, and so many more are counted with them: they need not be
        made."""
        return self._throttle.counts(kind, count)

    def flush(self) -> None:
        """Write what is gathered, if its reader is ready for it."""
        if self._soon is not None:
            self._soon.close()
            self._soon = None
        lines = [(line, True) for line in self._unwritten] + self._gathered
        self._gathered, self._unwritten = [], []
        self._written_at = time.monotonic()
        if lines and self._dropped and self._is_ready():
            note = f"({self._dropped} lines dropped: more than could be written)\n"
            self._dropped = 0
            self._write([(note.encode(), False)])
        together: list[tuple[bytes, bool]] = []
        size = 0
        for line, is_kept in lines:
            if size + len(line) > LINE_BYTES_MAX:
                self._write(together)
                together, size = [], 0
            together.append((line, is_kept))
            size += len(line)
        self._write(together)
        self._see_to_later()

    def close(self) -> None:
        """Write all there is, held or not, with some patience: the process ends."""
        self._patient_until = time.monotonic() + LAST_WAIT
        self._tell(self._throttle.due(time.monotonic(), all_of_them=True))
        self.flush()
        if self._later is not None:
            self._later.close()
        super().close()

    def _gather(self, line: bytes, is_kept: bool, now: float) -> None:
        self._gathered.append((line, is_kept))
        if now - self._written_at >= GATHER:
            self.flush()
        elif self._soon is None:
            self._soon = get_hub().loop.timer(GATHER)
            self._soon.start(self.flush)

    def _see_to_later(self) -> None:
        if self._later is None and (self._throttle.is_holding or self._unwritten):
            get_hub().loop.update_now()  # its clock may be behind, and a token not be there yet
            self._later = get_hub().loop.timer(PAUSE + GATHER)
            self._later.start(self._catch_up)

    def _catch_up(self) -> None:
        self._later.close()
        self._later = None
        self._tell(self._throttle.due(time.monotonic()))
        self.flush()
        self._see_to_later()

    def _tell(self, held: list[Held[logging.LogRecord]]) -> None:
        for one in held:
            more = f" (and {one.count - 1:,} more within {one.seconds:.1f} s)"
            line = self._line(one.line, more if one.count > 1 else "")
            self._gathered.append((line, False))

    def _line(self, record: logging.LogRecord, more: str = "") -> bytes:
        text = self.format(record) + more
        if not text.isprintable():  # one event is one line, whatever names it contains
            text = "".join(mark if mark.isprintable() else repr(mark)[1:-1] for mark in text)
        return text.encode(errors="backslashreplace")[: LINE_BYTES_MAX - 1] + b"\n"

    def _is_ready(self) -> bool:
        patience = max(0.0, self._patient_until - time.monotonic())
        events = self._poll.poll(1000 * patience)
        return bool(events) and bool(events[0][1] & select.POLLOUT)

    def _write(self, lines: list[tuple[bytes, bool]]) -> None:
        together = b"".join(line for line, _ in lines)
        try:
            if not lines or (self._is_ready() and os.write(self._descriptor, together)):
                return
        except OSError:
            pass
        self._unwritten += [line for line, is_kept in lines if is_kept]
        self._dropped += sum(not is_kept for _, is_kept in lines)


class _Formatter(logging.Formatter):
    """Time (ISO 8601, with the zone), level and message."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{iso_time(record.created)} {record.levelname} {record.getMessage()}"


def iso_time(when: float) -> str:
    """Seconds of the epoch as local time with its offset: 2026-11-25T18:50:27.123+01:00."""
    local = time.localtime(when)
    hours, minutes = divmod(abs(local.tm_gmtoff) // 60, 60)
    sign = "-" if local.tm_gmtoff < 0 else "+"
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", local)
    return f"{stamp}.{int(when % 1 * 1000):03d}{sign}{hours:02d}:{minutes:02d}"


def log_to_stderr(level: int = logging.INFO, timestamps: bool = True) -> None:
    """Send the `prr` log to stderr, from `level` up; with `timestamps` each line has its level."""
    # Nobody reads where in the program a line came from, or in which thread and process.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # see "Optimization" in logging's manual
    handler = LossyHandler(sys.stderr.fileno())
    if timestamps:
        handler.setFormatter(_Formatter())
    _log.addHandler(handler)
    _log.setLevel(level)
    _log.propagate = False


def log_is_clogged() -> bool:
    """The log's reader is slow: the caller has to keep what must not be lost."""
    handlers = _log.handlers
    return any(isinstance(handler, LossyHandler) and handler.is_clogged for handler in handlers)


def log_counts(kind: str, count: int) -> bool:
    """The log holds lines of this kind, and counts so many more with them: the caller need not
    make them. In a storm of them, that is what most of their time would go into."""
    handlers = [one for one in _log.handlers if isinstance(one, LossyHandler)]
    return any(handler.counts(kind, count) for handler in handlers)


def close_log() -> None:
    """Write what is left: the process ends."""
    for handler in _log.handlers:
        if isinstance(handler, LossyHandler):
            handler.close()
