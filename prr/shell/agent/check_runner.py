"""Runs checks: one at a time, and none for longer than it may take."""

from collections.abc import Callable

import gevent

from prr.shell.agent.checks import Check, CheckFailed

WORDS_MAX = 120
"""Characters of what a check says: a line of the log."""


class CheckRunner:
    """Runs one agent's check whenever it is asked to, each time in a greenlet of its own."""

    def __init__(self, check: Check, timeout: float, tell: Callable[[bool, str], None]) -> None:
        """`timeout` in seconds; `tell` hears whether the check has passed, and in which words."""
        self._check = check
        self._timeout = timeout
        self._tell = tell
        self._running: gevent.Greenlet[[], None] | None = None

    def start(self) -> None:
        """Make a check. Never waits."""
        self._running = gevent.spawn(self._run)

    def close(self) -> None:
        """End the check under way, if there is one, and tell nobody."""
        if self._running is not None:
            self._running.kill()

    def _run(self) -> None:
        passed, words = self._result()
        self._tell(passed, _in_one_line(words))

    def _result(self) -> tuple[bool, str]:
        try:
            with gevent.Timeout(self._timeout) as limit:
                return True, self._check.try_it()
        except gevent.Timeout as over:
            if over is not limit:
                raise
            return False, f"no result within {self._timeout:g} s"
        except CheckFailed as error:
            return False, str(error)
        except OSError as error:
            return False, error.strerror or str(error) or type(error).__name__


def _in_one_line(words: str) -> str:
    """`words` without what would disturb a terminal, and cut to a bounded length."""
    line = "".join(mark if mark.isprintable() else " " for mark in words).strip()
    return line if len(line) <= WORDS_MAX else f"{line[: WORDS_MAX - 3]}..."
