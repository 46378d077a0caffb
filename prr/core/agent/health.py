"""Does the program work? When to check it, and what the results of the checks amount to.

A program that goes up and down all the time ("flapping") does more harm than one that is gone: each
time it fails in the middle of calls. So each time it stays out of turn for longer, until it has
been up for a minute.
"""

from prr.core.agent.backoff import Backoff
from prr.core.effects import Event, Report
from prr.record import record

FRESH = 0.5
"""Seconds for which a check's result is the answer to "are you there?". After that a question
causes a check: two a second at most, however many ask."""

STARTING = 0.1
"""Seconds between the first two checks; each further pause is half as long again, up to the
interval. So a program is found soon after it listens."""

STARTING_GROWTH = 1.5

START_QUIET = 3.0
"""Seconds after a start during which a failing check is nothing to tell: programs take so long."""


@record
class CheckPolicy:
    """How often to check, and what counts: as in the settings."""

    interval: float = 1.0
    """Seconds from the start of a check to the start of the next."""

    failures: int = 1
    """Checks in a row that have to fail before the program is taken out of turn."""

    successes: int = 1
    """Checks in a row that have to pass before it is in turn."""


class Health:
    """What is known about one program. There is one check at a time, or none."""

    def __init__(self, name: str, policy: CheckPolicy | None) -> None:
        """`name`: what reports call it. Without a policy the program works while it runs."""
        self._name = name
        self._policy = policy
        self._is_started = False
        self._began_at = 0.0  # when it was started
        self.is_up = False
        self.why = "not started"
        """Why it is not up: the words of the last check that failed."""
        self._passed = False  # the last check has
        self._checked_at: float | None = None  # when it ended
        self._in_a_row = 0  # with the same result
        self._is_checking = False
        self._is_stale = False  # the check under way is of a program that has ended since
        self._next_at: float | None = None
        self._pause = STARTING
        self._backoff = Backoff()
        self._up_at = 0.0
        self._not_before = 0.0
        self._said: dict[Event, str] = {}  # what was reported of each since it was up

    def start(self, now: float) -> None:
        """The program runs from now on."""
        self._is_started, self._began_at = True, now
        self.is_up, self._up_at = self._policy is None, now
        self._checked_at, self._in_a_row, self._said = None, 0, {}
        self._is_stale = self._is_checking
        if self._policy is not None:
            self.why = "not checked yet"
            self._pause = min(STARTING, self._policy.interval)
            self._next_at = now

    def ended(self, why: str, now: float) -> None:
        """The program does not run any more."""
        if self.is_up:
            self._goes_down(now)
        self.is_up, self._is_started, self._next_at, self.why = False, False, None, why

    def verdict(self, now: float) -> bool | None:
        """Whether the program works; None if a check has to be made to know."""
        if not self._is_started:
            return False
        if self._policy is None:
            return True
        if self._checked_at is None or now - self._checked_at > FRESH:
            if not self._is_checking:
                self._next_at = now
            return None
        return self._passed

    def deadline(self) -> float | None:
        """When a check is due; None while one is under way."""
        return None if self._is_checking else self._next_at

    def due(self, now: float) -> bool:
        """A check has to be made now: then it counts as under way, until `checked`."""
        at = self.deadline()
        if at is None or now < at:
            return False
        assert self._policy is not None
        self._is_checking = True
        self._next_at = now + self._pause
        self._pause = min(STARTING_GROWTH * self._pause, self._policy.interval)
        return True

    def checked(self, passed: bool, words: str, now: float) -> list[Report]:
        """The check under way has passed or failed; `words`: what it says."""
        self._is_checking = False
        if self._is_stale or not self._is_started:
            self._is_stale = False
            return []
        assert self._policy is not None
        self._in_a_row = self._in_a_row + 1 if passed == self._passed else 1
        self._passed, self._checked_at = passed, now
        if passed:
            return self._passes(words, now)
        return self._fails(words, now)

    def _passes(self, words: str, now: float) -> list[Report]:
        assert self._policy is not None
        if self.is_up:
            return []
        if self._in_a_row < self._policy.successes:
            return []
        if now < self._not_before:
            left = self._not_before - now
            self.why = "it comes and goes"
            text = f"passes ({words}), but it comes and goes: out of turn for {left:.1f} s"
            return self._say(Event.FLAPPING, self.why, text)
        self.is_up, self._up_at, self._said = True, now, {}
        return [Report(Event.CHECK_PASSED, self._name, words)]

    def _fails(self, words: str, now: float) -> list[Report]:
        assert self._policy is not None
        self.why = words
        if self.is_up:
            if self._in_a_row < self._policy.failures:
                return []
            self.is_up = False
            self._goes_down(now)
        elif now < self._began_at + START_QUIET:
            return []
        return self._say(Event.CHECK_FAILED, words, words)

    def _goes_down(self, now: float) -> None:
        self._not_before = now + self._backoff.failed(now - self._up_at)

    def _say(self, event: Event, about: str, text: str) -> list[Report]:
        """A report, unless the last one of this event was about the same."""
        if about == self._said.get(event):
            return []
        self._said[event] = about
        return [Report(event, self._name, text)]
