"""The client: one lookup and, if there is a message, one call of the service that was found."""

from dataclasses import dataclass
from random import Random  # noqa: TID251 the type only: the RNG comes in as an argument
from typing import TypeAlias

from prr.core.effects import ClientEffect, Event, Report, Send
from prr.core.retry import Retry
from prr.wire.frames import (
    Complaint,
    Found,
    FoundInstance,
    Frame,
    Lookup,
    Request,
    Response,
    Unknown,
)
from prr.wire.instance import (
    Address,
    address_of,
    describe,
    describe_address,
    make_instance,
    type_of,
)

BINDER_LIMIT = 4.5
"""Seconds in which a binder must answer, all resends included. A binder of 2016 serves nobody for
2 s while it verifies: this outlasts the client's own last complaint and one that stood before it
in the queue, and half a second for the rest."""

REFUSED_LIMIT = 2.0
"""The same where every binder has refused the question: who verifies listens. Leaves a binder that
is just being started again the time to come back."""

SERVICE_LIMIT = 2.0
"""Seconds in which the service must answer (the lab's own limit), all resends included."""


@dataclass(frozen=True, slots=True)
class FoundService:
    """The lookup's answer: the service listens at `address`."""

    address: Address


@dataclass(frozen=True, slots=True)
class Answered:
    """The service at `address` answered the call with `message`."""

    message: bytes
    address: Address


@dataclass(frozen=True, slots=True)
class UnknownService:
    """The binder knows no service of that type."""

    binder: Address


@dataclass(frozen=True, slots=True)
class NoBinder:
    """No binder answered within `limit` seconds."""

    asked: tuple[Address, ...]
    limit: float


@dataclass(frozen=True, slots=True)
class NoService:
    """The service at `address` refused or did not answer, and `binder` was told."""

    address: Address
    binder: Address
    why: str


Outcome: TypeAlias = FoundService | Answered | UnknownService | NoBinder | NoService


@dataclass(frozen=True, slots=True)
class ClientInspection:
    """What a client holds at one moment: for whoever checks it from outside, to be read only."""

    binders: tuple[Address, ...]
    """Those it knows."""

    service: Address | None
    """Whom it calls, once it knows."""


class Client:
    """One exchange's decisions; it is over when `outcome` is set. A call never waits."""

    def __init__(
        self, type_: int, message: bytes | None, binders: tuple[Address, ...], rng: Random
    ) -> None:
        """`message` of at most 255 bytes, or None for a lookup only; `type_` is 0 to 255."""
        assert binders
        self._type = type_
        self._message = message
        self._binders = rng.sample(binders, len(binders))  # all of them, in a random order
        self._binder = self._binders[0]
        self._service: Address | None = None
        self._began_at = 0.0
        self._asking: Retry | None = None
        self.outcome: Outcome | None = None

    def inspect(self) -> ClientInspection:
        """What it holds."""
        return ClientInspection(tuple(self._binders), self._service)

    def start(self, now: float) -> list[ClientEffect]:
        """Begin: ask the first binder."""
        self._began_at = now
        self._asking = Retry(self._binders, BINDER_LIMIT, now, REFUSED_LIMIT)
        return self.tick(now)

    def handle(self, frame: Frame, source: Address, now: float) -> list[ClientEffect]:
        """Decide about a frame that `source` sent. One that nobody waits for has no effect."""
        if self.outcome is not None:
            return []
        if self._service is not None:
            if source == self._service and isinstance(frame, Response):
                return self._end(Answered(frame.message, source))
            return []
        if source not in self._binders:
            return []
        match frame:
            case Found(address=address):
                return self._found(address, source, now)
            case FoundInstance(instance=instance) if type_of(instance) == self._type:
                return self._found(address_of(instance), source, now)
            case Unknown():
                return self._end(UnknownService(source))
            case _:
                return []

    def refused(self, target: Address, now: float) -> list[ClientEffect]:
        """`target` cannot be reached: nobody listens there, or there is no way to it."""
        if self.outcome is not None or self._asking is None:
            return []
        if target == self._service:
            return self._complain("it refused the request")
        if self._service is None and (other := self._asking.refused(target, now)) is not None:
            return [self._question(other)]
        return []

    def deadline(self) -> float | None:
        """When `tick` has something to do; None when the exchange is over."""
        return self._asking.deadline() if self._asking else None

    def tick(self, now: float) -> list[ClientEffect]:
        """Ask again what was not answered, or give up. Safe to call too often."""
        if self._asking is None:
            return []
        if self._asking.ended(now):
            if self._service is None:
                limit = self._asking.ends_at - self._began_at
                return self._end(NoBinder(tuple(self._binders), round(limit, 1)))
            return self._complain(f"it did not answer within {SERVICE_LIMIT:g} s")
        target = self._asking.due(now)
        return [self._question(target)] if target else []

    def _question(self, target: Address) -> Send:
        if self._service is None:
            return Send(Lookup(self._type), target)
        assert self._message is not None
        return Send(Request(self._message), target)

    def _found(self, address: Address, binder: Address, now: float) -> list[ClientEffect]:
        if self._message is None:
            return self._end(FoundService(address))
        self._binder = binder
        self._service = address
        self._asking = Retry([address], SERVICE_LIMIT, now)
        name = describe(make_instance(self._type, address))
        why = f"named by binder {describe_address(binder)}"
        return [Report(Event.FOUND, name, why), *self.tick(now)]

    def _complain(self, why: str) -> list[ClientEffect]:
        assert self._service is not None
        instance = make_instance(self._type, self._service)
        outcome = NoService(self._service, self._binder, why)
        return [Send(Complaint(instance), self._binder), *self._end(outcome)]

    def _end(self, outcome: Outcome) -> list[ClientEffect]:
        self.outcome = outcome
        self._asking = None
        return []
