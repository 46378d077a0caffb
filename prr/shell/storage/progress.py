"""How far a long restore has come, for whoever watches it on a terminal."""

import sys
import time

SHOWN_AFTER = 1.0
"""Seconds a restore may take before anything is shown: most are over by then."""

SHOWN_EVERY = 0.2
"""Seconds between two times it is shown."""


class Progress:
    """One line on stderr that is written over and over. Nothing where stderr is no terminal."""

    def __init__(self, total: int) -> None:
        """`total`: entries that are to be restored."""
        self._total = total
        self._began_at = time.monotonic()
        self._next_at = self._began_at + SHOWN_AFTER
        self._is_shown = False

    def show(self, done: int) -> None:
        """So many entries are restored: say so, unless that was said just now."""
        now = time.monotonic()
        if now < self._next_at or not sys.stderr.isatty():
            return
        self._next_at = now + SHOWN_EVERY
        left = (now - self._began_at) * (self._total - done) / max(done, 1)
        share = f"{done:,} of {self._total:,} entries ({100 * done // max(self._total, 1)}%)"
        self._write(f"restoring: {share}, {left:.0f} s left")
        self._is_shown = True

    def end(self) -> None:
        """It is over: the line goes."""
        if self._is_shown:
            self._write("")

    def _write(self, line: str) -> None:
        """The cursor goes back to the start, so that a line of the log takes its place."""
        sys.stderr.write(f"\r\x1b[K{line}\r")
        sys.stderr.flush()
