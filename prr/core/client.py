"""The client: one lookup and, if there is a message, one call of the service that was found.

A service that does not answer within the caller's patience is reported to the binder at once, and
listened to all the same: it may only be slow, and is cleared by its own answer. A hedged call asks
another instance meanwhile, and takes the answer that comes first (Dean and Barroso, "The Tail at
Scale", 2013).
"""

from dataclasses import dataclass, replace
from random import Random  # noqa: TID251 the type only: the RNG comes in as an argument

from prr.core.asking import BINDER_LIMIT, REFUSED_LIMIT
from prr.core.effects import ClientEffect, Event, Report, Send
from prr.core.inspected import ClientInspection
from prr.core.outcomes import (
    Answered,
    Failure,
    FoundService,
    NoBinder,
    NoService,
    Outcome,
    UnknownService,
)
from prr.core.patience import PATIENCE_MAX
from prr.core.printable import in_one_line
from prr.core.retry import Retry
from prr.core.wanted import Wanted
from prr.wire.call_messages import CallNumber, Failed
from prr.wire.frames import (
    Complaint,
    Found,
    FoundInstance,
    Frame,
    Request,
    Response,
    Unknown,
)
from prr.wire.instance import (
    Address,
    Service,
    address_of,
    describe,
    describe_address,
    make_instance,
    service_of,
)
from prr.wire.seal import Seal

IPV6_LIMIT = 0.5
"""Seconds in which a binder that has no instance for us at an IPv4 address must say whether it has
one at an IPv6 address: three questions, after which its "no" stands."""

SERVICE_LIMIT = 2.0
"""Seconds in which the service must answer (the lab's own limit), all resends included; of a hedged
call, any of those that are asked."""

CALLS_MAX = 4
"""Instances that one hedged call asks: each of the others has refused or kept it waiting, and a
service of which four in a row are dead has another problem."""


@dataclass(slots=True)
class _Call:
    """One instance that is being asked, and the binder that named it."""

    address: Address
    binder: Address
    asking: Retry
    began_at: float
    patience_ends: float | None  # None: the binder has been told


class Client:
    """One exchange's decisions; it is over when `outcome` is set. A call never waits."""

    def __init__(
        self,
        service: Service,
        message: bytes | None,
        binders: tuple[Address, ...],
        rng: Random,
        patience: float = PATIENCE_MAX,
        hedge: bool = False,
        takes_ipv6: bool = False,
        limit: float | None = None,
        zone: str = "",
        is_keyed: bool = False,
    ) -> None:
        """`message` of at most 255 bytes, or None for a lookup only. With `takes_ipv6` an instance
        at an IPv6 address will do.

        After `patience` seconds without an answer the binder is told; with `hedge` another instance
        is asked then, or as soon as one refuses. `limit`: seconds for all of it, instead of
        BINDER_LIMIT for the lookup and SERVICE_LIMIT for the services. Those in `zone` come first.
        `is_keyed`: what binders are told is sealed, and so are the answers that count.
        """
        assert binders
        self._service = service
        self._wanted = Wanted(service, takes_ipv6, zone, is_keyed)
        self._seal = Seal(rng.getrandbits(64)) if is_keyed else None
        self._nameless: set[Address] = set()  # binders that know no names
        self._message = message
        self._binders = rng.sample(binders, len(binders))  # all of them, in a random order
        self._patience = patience
        self._hedge = hedge
        self._limit = limit
        has_number = message is not None and isinstance(service, str)
        self._number = CallNumber(nonce=rng.getrandbits(64)) if has_number else None
        self._began_at = 0.0
        self._ends_at: float | None = None  # when the services have had their time
        self._lookup: Retry | None = None
        self._calls: list[_Call] = []
        self._called = 0
        self._failed: NoService | None = None  # the first that did not answer
        self.outcome: Outcome | None = None

    def inspect(self) -> ClientInspection:
        """What it holds."""
        return ClientInspection(tuple(self._binders), tuple(call.address for call in self._calls))

    def start(self, now: float) -> list[ClientEffect]:
        """Begin: ask the first binder."""
        self._began_at = now
        limit = BINDER_LIMIT if self._limit is None else self._limit
        self._lookup = Retry(self._binders, limit, now, min(limit, REFUSED_LIMIT))
        return self.tick(now)

    def handle(self, frame: Frame, source: Address, now: float) -> list[ClientEffect]:
        """Decide about a frame that `source` sent. One that nobody waits for has no effect."""
        if isinstance(frame, Response):
            for call in self._calls:
                if call.address == source:
                    return self._end(_answer(frame, call, now))
            return []
        if self._lookup is None or source not in self._binders:
            return []
        if self._seal is not None and frame.seal != self._seal:
            return []
        if isinstance(self._service, str) and frame.trailer is None:
            return self._knows_no_names(source, now)
        match frame:
            case Found(address=address):
                return self._found(address, source, now)
            case FoundInstance(instance=instance) if service_of(instance) == self._service:
                return self._found(address_of(instance), source, now)
            case Unknown():
                return self._denied(source, now)
            case _:
                return []

    def _denied(self, binder: Address, now: float) -> list[ClientEffect]:
        """A binder knows no instance."""
        if self._wanted.is_asked_again(binder):
            self._lookup = Retry([binder], IPV6_LIMIT, now)
            return self._ask_binders(now)
        self._lookup = None
        return self._end_if_alone(UnknownService(binder))

    def refused(self, target: Address, now: float) -> list[ClientEffect]:
        """`target` cannot be reached: nobody listens there, or there is no way to it."""
        for call in self._calls:
            if call.address == target:
                return self._give_up(call, "it refused the request", now)
        return self._ask_another(target, now)

    def _ask_another(self, binder: Address, now: float) -> list[ClientEffect]:
        """A binder does not answer, or its answer is of no use."""
        if self._lookup and (other := self._lookup.refused(binder, now)) is not None:
            return [self._ask(other)]
        return []

    def deadline(self) -> float | None:
        """When `tick` has something to do; None when the exchange is over."""
        pending = [call.asking.deadline() for call in self._calls]
        pending += [call.patience_ends for call in self._calls if call.patience_ends is not None]
        if self._lookup is not None:
            pending.append(self._lookup.deadline())
        return min(pending, default=None)

    def tick(self, now: float) -> list[ClientEffect]:
        """Ask again what was not answered, or give up. Safe to call too often."""
        effects: list[ClientEffect] = []
        for call in self._calls.copy():
            if call.asking.ended(now):
                waited = round(now - call.began_at, 1)
                effects += self._give_up(call, f"it did not answer within {waited:g} s", now)
                continue
            if call.patience_ends is not None and now >= call.patience_ends:
                call.patience_ends = None
                effects += [self._complaint(call), *self._look_for_another(call, now)]
            if call.asking.due(now):
                effects.append(self._ask_service(call))
        return effects + self._ask_binders(now)

    def _ask_binders(self, now: float) -> list[ClientEffect]:
        if self._lookup is None:
            return []
        if self._lookup.ended(now):
            limit = self._lookup.ends_at - self._began_at
            self._lookup = None
            if self._wanted.denied_by is not None:
                return self._end_if_alone(UnknownService(self._wanted.denied_by))
            nameless = tuple(sorted(self._nameless))
            return self._end_if_alone(NoBinder(tuple(self._binders), round(limit, 1), nameless))
        target = self._lookup.due(now)
        return [self._ask(target)] if target else []

    def _ask(self, binder: Address) -> Send:
        return Send(replace(self._wanted.question(binder), seal=self._seal), binder)

    def _found(self, address: Address, binder: Address, now: float) -> list[ClientEffect]:
        if self._message is None:
            return self._end(FoundService(address))
        if any(call.address == address for call in self._calls):
            return []  # a late copy, or there is no other one yet
        self._lookup = None
        if self._ends_at is None:
            self._ends_at = (
                now + SERVICE_LIMIT if self._limit is None else self._began_at + self._limit
            )
        asking = Retry([address], self._ends_at - now, now)
        self._calls.append(_Call(address, binder, asking, now, now + self._patience))
        self._called += 1
        name = describe(make_instance(self._service, address))
        why = f"named by binder {describe_address(binder)}"
        return [Report(Event.FOUND, name, why), *self.tick(now)]

    def _knows_no_names(self, binder: Address, now: float) -> list[ClientEffect]:
        """A legacy binder, or one of ours before there were names, has answered for type 255: it
        counts as one that refuses."""
        self._nameless.add(binder)
        return self._ask_another(binder, now)

    def _look_for_another(self, call: _Call, now: float) -> list[ClientEffect]:
        """Hedge: ask the binder that has just been told, which names another one if there is."""
        assert self._ends_at is not None
        if not self._hedge or self._called == CALLS_MAX or self._lookup or now >= self._ends_at:
            return []
        binders = [call.binder, *self._binders]
        self._wanted.denied_by = None
        self._lookup = Retry(binders, self._ends_at - now, now)
        return self._ask_binders(now)

    def _give_up(self, call: _Call, why: str, now: float) -> list[ClientEffect]:
        """Tell the binder; the call goes on while another is to be had."""
        self._calls.remove(call)
        self._failed = self._failed or NoService(call.address, call.binder, why)
        effects: list[ClientEffect] = []
        if call.patience_ends is not None:  # else it has been told: a legacy binder verifies anew
            effects = [self._complaint(call), *self._look_for_another(call, now)]
        return effects + self._end_if_alone(self._failed)

    def _end_if_alone(self, outcome: Outcome) -> list[ClientEffect]:
        """There is nothing left to wait for: the first failure counts."""
        if self._calls or self._lookup:
            return []
        return self._end(self._failed or outcome)

    def _ask_service(self, call: _Call) -> Send:
        assert self._message is not None
        return Send(Request(self._message, trailer=self._number), call.address)

    def _complaint(self, call: _Call) -> Send:
        about = make_instance(self._service, call.address)
        return Send(Complaint(about, seal=self._seal), call.binder)

    def _end(self, outcome: Outcome) -> list[ClientEffect]:
        self.outcome = outcome
        self._lookup = None
        self._calls.clear()
        return []


def _answer(frame: Response, call: _Call, now: float) -> Answered | Failure:
    match frame.trailer:
        case Failed(error=why):
            return Failure(call.address, in_one_line(why))
        case _:
            return Answered(frame.message, call.address, now - call.began_at)
