"""The requests that a program answers, a few at a time and each of them once.

A client that hears nothing asks again, with the same bytes from the same address, for as long as it
waits. So an answer is kept for that time, and given again, and what is still under way is not begun
a second time.
"""

from itertools import islice
from typing import TypeAlias

from prr.core.effects import Event, Handle, Report, Send, ServiceEffect
from prr.wire.frames import Response
from prr.wire.instance import Address, describe_address
from prr.wire.messages import Failed

KEPT = 2.0
"""Seconds for which an answer is kept, and for which a request waits for its turn: as long as
clients wait, unless they are told to wait longer."""

WAITING_MAX = 1024
"""Requests that wait until others have been answered, half a megabyte. Those beyond are dropped:
their clients ask again, or another instance."""

ANSWERS_MAX = 16_384
"""Answers that are kept, 8 MB: 8,000 a second. Beyond that the oldest are forgotten, and a program
that is asked again then does the same work twice."""

_Key: TypeAlias = tuple[Address, bytes]


class Calls:
    """What becomes of each request."""

    def __init__(self, at_once: int) -> None:
        """`at_once`: how many the program answers at a time, 1 or more."""
        assert at_once >= 1
        self._at_once = at_once
        self._running: set[_Key] = set()
        self._waiting: dict[_Key, float] = {}  # since when
        self._kept: dict[_Key, tuple[Response, float]] = {}  # until when it is kept

    @property
    def running(self) -> int:
        """How many the program is answering."""
        return len(self._running)

    @property
    def kept(self) -> int:
        """How many answers are kept."""
        return len(self._kept)

    def asked(self, message: bytes, source: Address, now: float) -> list[ServiceEffect]:
        """A request has come."""
        self._forget(now)
        key = source, message
        if known := self._kept.get(key):
            return [Send(known[0], source)]
        if key in self._running or key in self._waiting:
            return []
        if len(self._running) < self._at_once:
            return [self._begin(key)]
        if len(self._waiting) >= WAITING_MAX:
            why = f"{len(self._running)} under way, {WAITING_MAX} wait"
            return [Report(Event.CALL_DROPPED, describe_address(source), why)]
        self._waiting[key] = now
        return []

    def answered(self, request: Handle, answer: Response, now: float) -> list[ServiceEffect]:
        """The program has answered a request, or failed at it."""
        key = request.source, request.message
        self._running.remove(key)
        self._forget(now)
        self._kept[key] = answer, now + KEPT
        effects: list[ServiceEffect] = [Send(answer, request.source)]
        if isinstance(answer.trailer, Failed):
            why = answer.trailer.error.decode(errors="replace")
            effects.append(Report(Event.CALL_FAILED, describe_address(request.source), why))
        return effects + self._begin_next(now)

    def _begin(self, key: _Key) -> Handle:
        self._running.add(key)
        source, message = key
        return Handle(message, source)

    def _begin_next(self, now: float) -> list[ServiceEffect]:
        while self._waiting:
            key = next(iter(self._waiting))
            if now < self._waiting.pop(key) + KEPT:  # else its client has given up
                return [self._begin(key)]
        return []

    def _forget(self, now: float) -> None:
        """Forget what is over: at most two, which is one more than may have come since."""
        for key in list(islice(self._kept, 2)):
            if self._kept[key][1] <= now or len(self._kept) >= ANSWERS_MAX:
                del self._kept[key]
