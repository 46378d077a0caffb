"""The requests that a program answers, a few at a time and each of them once.

A client that hears nothing asks again, with the same bytes from the same address. So what is under
way is not begun a second time; and where the request has the number of its call, its answer is kept
for a time, and given again. Without a number, as from legacy (2016) clients, the same bytes may as
well be another call: whoever asks again after the answer was lost has it done again.
"""

from typing import TypeAlias

from prr.core.effects import Event, Report, Send, ServerEffect
from prr.core.printable import in_one_line
from prr.record import record
from prr.wire.call_messages import CallNumber, Failed
from prr.wire.frames import Request, Response
from prr.wire.instance import Address, describe_address

KEPT = 10.0
"""Seconds for which an answer is kept: longer than a client of ours pauses before it asks again."""

PATIENCE = 4.0
"""Seconds after which whoever waits for its turn, and has not asked again, has given up: likewise
longer than such a pause."""

WAITING_MAX = 1024
"""Requests that wait until others have been answered, half a megabyte. Those beyond are dropped:
their clients ask again, or another instance."""

ANSWERS_MAX = 16_384
"""Answers that are kept, 8 MB: of 1,600 calls a second. Beyond that the oldest are forgotten, and a
program that is asked again then does the same work twice."""


@record
class Handle:
    """Have the program behind the service answer a request, and tell the core what it says.
    `number`: that of the call, if it has one."""

    message: bytes
    source: Address
    number: int | None = None


ServiceEffect: TypeAlias = ServerEffect | Handle
"""What is asked for where a program answers the requests."""

_Key: TypeAlias = tuple[Address, bytes, int | None]
"""From where, what, and the number of the call if it has one."""


class Calls:
    """What becomes of each request."""

    def __init__(self, at_once: int) -> None:
        """`at_once`: how many the program answers at a time, 1 or more."""
        assert at_once >= 1
        self._at_once = at_once
        self._running: set[_Key] = set()
        self._waiting: dict[_Key, float] = {}  # when it was asked last
        self._kept: dict[_Key, tuple[Response, float]] = {}  # until when it is kept

    @property
    def running(self) -> int:
        """How many the program is answering."""
        return len(self._running)

    @property
    def kept(self) -> int:
        """How many answers are kept."""
        return len(self._kept)

    def asked(self, request: Request, source: Address, now: float) -> list[ServiceEffect]:
        """A request has come."""
        self._forget(now)
        trailer = request.trailer
        number = trailer.nonce if isinstance(trailer, CallNumber) else None
        key = source, request.message, number
        if known := self._kept.get(key):
            return [Send(known[0], source)]
        if key in self._running:
            return []
        if key in self._waiting:
            self._waiting[key] = now
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
        key = request.source, request.message, request.number
        self._running.remove(key)
        self._forget(now)
        if request.number is not None:
            self._kept[key] = answer, now + KEPT
        effects: list[ServiceEffect] = [Send(answer, request.source)]
        if isinstance(answer.trailer, Failed):
            why = in_one_line(answer.trailer.error)
            effects.append(Report(Event.CALL_FAILED, describe_address(request.source), why))
        return effects + self._begin_next(now)

    def _begin(self, key: _Key) -> Handle:
        self._running.add(key)
        source, message, number = key
        return Handle(message, source, number)

    def _begin_next(self, now: float) -> list[ServiceEffect]:
        while self._waiting:
            key = next(iter(self._waiting))
            if now < self._waiting.pop(key) + PATIENCE:  # else its client has given up
                return [self._begin(key)]
        return []

    def _forget(self, now: float) -> None:
        """Forget what is over, and the oldest where there are too many."""
        kept = self._kept
        while kept:
            key = next(iter(kept))
            if now < kept[key][1] and len(kept) < ANSWERS_MAX:
                break
            del kept[key]
