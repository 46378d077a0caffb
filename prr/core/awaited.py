"""Tickets that are expected back, remembered: what is the same need not be computed again.

A server that is confirmed comes back with the ticket it was given, every five seconds. To compare
that takes a sixth of what it takes to compute once more. Nothing depends on what is remembered: a
ticket that is not here is looked at as any other.
"""

from collections.abc import Iterable, Sequence

from prr.core.ended import Ended

AWAITED_MAX = 1 << 17
"""Remembered, some 40 MB, or 60 with names, a third of which the directory has anyway: the servers
that a busy binder has itself. Those of more are computed."""

_USED = (-1, None, b"")
"""What stands for a ticket that has been used: it is none that anybody has."""


class Awaited:
    """Of each thing that is said of one ticket at most, which has not been used, nor has a later
    one."""

    def __init__(self, seconds: float) -> None:
        """None of them is remembered for longer than so many `seconds`."""
        self._rows: dict[bytes, tuple[int, object, bytes]] = {}  # or _USED
        self._ended = Ended()
        self._seconds = seconds
        self._ends_at = 0.0

    @property
    def size(self) -> tuple[int, int]:
        """How many are remembered, or not dropped yet, and how many may be."""
        return len(self._rows) + len(self._ended), AWAITED_MAX

    def remember(
        self,
        tickets: Sequence[int],
        abouts: Sequence[bytes],
        whose: Sequence[object],
        words: Sequence[bytes],
        now: float,
    ) -> None:
        """They were issued just now, each to say something of another thing, to whoever it is, as
        long as what is known of the thing is this word; for the address that it has itself."""
        self._end(now)
        rows = zip(abouts, zip(tickets, whose, words, strict=True), strict=True)
        if self.size[0] + len(abouts) <= AWAITED_MAX:
            self._rows.update(rows)
        else:
            self._rows.update([row for row in rows if row[0] in self._rows])

    def words(
        self, tickets: Iterable[int], abouts: Iterable[bytes], whose: Iterable[object], now: float
    ) -> list[bytes]:
        """Of how many of the first it is certain that they were issued for this and hold, as long
        as what is known of each is the word that is returned for it. No more are looked at."""
        self._end(now)
        words, get = list[bytes](), self._rows.get
        for about, ticket, holder in zip(abouts, tickets, whose, strict=True):
            row = get(about)
            if row is None or row[0] != ticket or row[1] is not holder:
                break
            words.append(row[2])
        return words

    def forget(self, abouts: Iterable[bytes]) -> None:
        """A ticket to say something of each has been used.

        Their rows stay for the tickets that follow: a dict whose keys come and go is built anew
        every other time that all of them do, in 4 ms for a hundred thousand.
        """
        rows = self._rows
        for about in abouts:
            if about in rows:
                rows[about] = _USED

    def _end(self, now: float) -> None:
        """None that ended is looked at again, but they are dropped a few at a time."""
        if now >= self._ends_at:
            self._ended.add(self._rows)
            self._rows = {}
            self._ends_at = now + self._seconds
        self._ended.drop_some()
