"""Runs checks: one at a time, and none for longer than it may take."""

from collections.abc import Callable

import gevent

from prr.core.printable import in_one_line
from prr.shell.agent.checks import Check, CheckFailed


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
        self._tell(passed, in_one_line(words))

    def _result(self) -> tuple[bool, str]:
        try:
            with gevent.Timeout(self._timeout) as limit:
                return True, self._check.try_it()
        except gevent.Timeout as over:
            why = f"no result within {self._timeout:g} s"
            return False, why if over is limit else f"{type(over).__name__}: {over}"
        except CheckFailed as error:
            return False, str(error)
        except OSError as error:
            return False, error.strerror or str(error) or type(error).__name__
