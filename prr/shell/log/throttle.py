"""Rate limits for each kind of log line: a burst, then one line a second for all the rest."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from prr.record import record

BURST = 20
"""Lines of one kind at once: as many as one incident brings, a host that dies with its servers.
With some forty kinds of lines a second has 800 of them at the very worst."""

PAUSE = 1.0
"""Seconds to one more line of a kind whose burst is used up: a person reads no faster, and a day of
it is 15 MB."""

L = TypeVar("L")


@dataclass(slots=True)
class _Kind(Generic[L]):
    """A token bucket, and what had to wait for a token."""

    tokens: float
    filled_at: float
    last: L | None = None
    held: int = 0
    held_since: float = 0.0

    def take(self, now: float) -> bool:
        self.tokens = min(BURST, self.tokens + (now - self.filled_at) / PAUSE)
        self.filled_at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@record
class Held(Generic[L]):
    """What stands for `count` lines of one kind that came within `seconds`: the last of them."""

    line: L
    count: int
    seconds: float


class Throttle(Generic[L]):
    """Bounds every kind of line by itself. As large as the number of kinds, which is the
    program's and not a stranger's."""

    def __init__(self) -> None:
        self._kinds: dict[str, _Kind[L]] = {}
        self._holding: set[str] = set()

    @property
    def is_holding(self) -> bool:
        """`due` has something to return, now or later."""
        return bool(self._holding)

    def admits(self, kind: str, line: L, now: float) -> bool:
        """A line of a kind may be written; else it is held, with those of its kind before it."""
        row = self._row(kind, now)
        if not row.held and row.take(now):
            return True
        if not row.held:
            row.held_since = now
            self._holding.add(kind)
        row.last, row.held = line, row.held + 1
        return False

    def counts(self, kind: str, count: int) -> bool:
        """So many more of a kind of which lines are held already count with them, without their
        lines; False if none is held."""
        row = self._kinds.get(kind)
        if row is None or not row.held:
            return False
        row.held += count
        return True

    def has_room(self, kind: str, now: float) -> bool:
        """The same, for a caller that takes care of what may not be written itself."""
        return self._row(kind, now).take(now)

    def due(self, now: float, all_of_them: bool = False) -> list[Held[L]]:
        """What was held and may be written now, a line a kind; or all of it, at the end."""
        found: list[Held[L]] = []
        for kind in sorted(self._holding):
            row = self._kinds[kind]
            if row.take(now) or all_of_them:
                assert row.last is not None
                found.append(Held(row.last, row.held, now - row.held_since))
                row.last, row.held = None, 0
                self._holding.remove(kind)
        return found

    def _row(self, kind: str, now: float) -> _Kind[L]:
        row = self._kinds.get(kind)
        if row is None:
            row = self._kinds[kind] = _Kind(BURST, now)
        return row
