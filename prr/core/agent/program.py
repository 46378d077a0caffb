"""The program that an agent runs: when it is started, started again, and ended."""

from prr.core.agent.backoff import Backoff
from prr.core.agent.effects import End, Launch
from prr.core.deadlines import earliest
from prr.record import record


@record
class ProgramPolicy:
    """As in the settings; times in seconds."""

    restart: bool = False
    """Start it again whenever it ends."""

    kill_after: float = 10.0
    """What it is given to end when it was asked to."""


class Program:
    """One program, and the one process of it that there is at a time."""

    def __init__(self, policy: ProgramPolicy) -> None:
        self._policy = policy
        self._backoff = Backoff()
        self._launched_at = 0.0
        self._launch_at: float | None = None
        self._end_at: float | None = None
        self._kill_at: float | None = None
        self._is_ending = False
        self.is_running = False
        self.status = 0
        """What the last process ended with: its exit code, or 128 and the number of a signal."""

    @property
    def is_over(self) -> bool:
        """It does not run, and is not started again."""
        return not self.is_running and self._launch_at is None

    def launch(self, now: float) -> list[Launch | End]:
        """Start it."""
        self.is_running, self._launched_at, self._launch_at = True, now, None
        return [Launch()]

    def exited(self, status: int, now: float) -> str:
        """It has ended. Why, and what follows, in words."""
        self.is_running, self.status = False, status
        self._end_at = self._kill_at = None
        why = f"killed by signal {status - 128}" if status > 128 else f"exit code {status}"
        if self._is_ending or not self._policy.restart:
            return why
        pause = self._backoff.failed(now - self._launched_at)
        self._launch_at = now + pause
        return f"{why}; started again in {pause:g} s"

    def end(self, now: float, grace: float) -> list[Launch | End]:
        """Have it end `grace` seconds from now, and never start it again. Safe to call again."""
        self._launch_at = None
        if self.is_running and not self._is_ending:
            self._is_ending, self._end_at = True, now + grace
        return self.tick(now)

    def hurry(self, now: float) -> list[Launch | End]:
        """Do the next thing that makes it end, without waiting any longer."""
        if not self._is_ending:
            return self.end(now, 0.0)
        if self._end_at is not None:
            self._end_at = now
        elif self._kill_at is not None:
            self._kill_at = now
        return self.tick(now)

    def deadline(self) -> float | None:
        """When `tick` has something to do; None if nothing is pending."""
        return earliest(self._launch_at, self._end_at, self._kill_at)

    def tick(self, now: float) -> list[Launch | End]:
        """Start it again, have it end, or make it."""
        if self._launch_at is not None and now >= self._launch_at:
            return self.launch(now)
        if self._end_at is not None and now >= self._end_at:
            self._end_at, self._kill_at = None, now + self._policy.kill_after
            return [End(at_once=False)]
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at = None
            return [End(at_once=True)]
        return []
