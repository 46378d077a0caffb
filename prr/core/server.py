"""The server: subscribes, provides the echo service, says that it is alive, and deregisters."""

from collections.abc import Collection, Mapping
from enum import Enum, auto
from random import Random  # noqa: TID251 the type only: the RNG comes in as an argument

from prr.core.effects import Event, Report, Send, ServerEffect, Stop, stray
from prr.core.inspected import ServerInspection
from prr.core.introduction import Introduction
from prr.core.pacing import RENEWAL
from prr.core.retry import Retry
from prr.wire.frames import Frame, Removed, Request, Response, Subscribed, Verify
from prr.wire.instance import (
    Address,
    Instance,
    Service,
    describe,
    describe_address,
    describe_service,
    make_instance,
)
from prr.wire.messages import Reason, Renew
from prr.wire.proofs import Confirmed
from prr.wire.trailer import ERROR_BYTES_MAX
from prr.wire.version import START_MAX

BINDER_WAIT = 1.0
"""Seconds a binder is given to confirm, or to acknowledge a leave, before the next one is asked:
four questions."""

RENEWAL_FIRST = 1.0
"""Seconds to the first renewal, by which a binder of ours learns whom it has before it; up to twice
as long by chance, so that a herd that came at once does not stay one."""

SPREAD = 0.8
"""A renewal takes place after this share of the time within which it has to, or later, by chance:
for the same reason."""

SUBSCRIBE_PAUSE = 1.0
"""Seconds after which a server that does not give up tries again to subscribe: each binder was
given as long to answer."""

SEARCH_WAIT = 0.3
"""Seconds a binder is given to show that it is ours, once all of them have been asked in vain: two
small datagrams every five seconds, which a legacy one drops."""


class _State(Enum):
    SUBSCRIBING = auto()
    SERVING = auto()  # and renewing with a binder of ours, or looking for one
    LEAVING = auto()
    OVER = auto()


def draw_start(rng: Random) -> int:
    """A number that tells a process from an earlier one at the same address."""
    return rng.randint(2, START_MAX)


class Server:
    """One server's decisions. A call never waits, so there are no locks."""

    def __init__(
        self,
        service: Service,
        binders: Mapping[Address, Address],
        rng: Random,
        start: int | None = None,
        particulars: bytes = b"",
        is_agent: bool = False,
    ) -> None:
        """`binders` holds, for each binder, where it sees this server. `start` is the number that
        `draw_start` has drawn for this process, None if that is still to be done;
        `particulars` are encoded. `is_agent`: it speaks from
        another port than it is seen at, and does not give up while no binder confirms it."""
        assert binders
        self._service = service
        self._start = start or draw_start(rng)
        self._introduction = Introduction(service, self._start, particulars, is_agent)
        self._rng = rng
        self._seen_at = binders
        self._binders = rng.sample(list(binders), len(binders))  # all, in a random order
        self._left_to_ask: list[Address] = []
        self._asking: Retry | None = None
        self._renew_at: float | None = None
        # Seconds within which it is to renew, as it was told last: it says so first, and does so
        # then, since its lease is made of what it has said.
        self._renewal = RENEWAL
        self._said = RENEWAL
        self._ours: Address | None = None  # the binder that has shown to be ours, and answers
        self._have_answered: set[Address] = set()  # with a trailer: they are ours
        self._is_searching = False
        self._why = ""  # it leaves
        self._asked: set[Address] = set()  # to subscribe: they may hold it, confirmed or not
        self._persists = is_agent
        self._state = _State.SUBSCRIBING

    def start(self, now: float) -> list[ServerEffect]:
        """Begin: subscribe with the first binder."""
        self._left_to_ask = list(self._binders)
        return self._ask_next_binder(now)

    @property
    def is_ready(self) -> bool:
        """A binder has confirmed it, and it has not begun to leave."""
        return self._state is _State.SERVING

    def inspect(self) -> ServerInspection:
        """What it holds."""
        left = tuple(self._left_to_ask)
        return ServerInspection(self._start, tuple(self._binders), left, self._asking is not None)

    def summary(self, now: float) -> str:
        """How it is, in one line."""
        binder = describe_address(self._binders[0])
        match self._state:
            case _State.SUBSCRIBING:
                return f"subscribing for {describe_service(self._service)}"
            case _State.SERVING:
                return f"providing {describe_service(self._service)}, confirmed by binder {binder}"
            case _:
                return "leaving"

    def change_particulars(self, particulars: bytes) -> None:
        """Say this, encoded, from the next renewal on."""
        self._introduction.change(particulars)

    def change_binders(self, binders: Mapping[Address, Address]) -> None:
        """Renew, and leave, with these from now on; `binders` as at the beginning.

        Those that stay keep their place. Without effect on a server that is leaving.
        """
        assert binders
        if self._state in (_State.LEAVING, _State.OVER):
            return
        new = [binder for binder in binders if binder not in self._seen_at]
        new = self._rng.sample(new, len(new))
        asked = self._asking.targets if self._asking else []
        self._seen_at = {one: self._seen_at[one] for one in asked} | dict(binders)
        self._binders = [binder for binder in self._binders if binder in binders] + new
        self._left_to_ask = [binder for binder in self._left_to_ask if binder in binders] + new

    def stop(self, now: float, why: str = "") -> list[ServerEffect]:
        """Leave gracefully: stop once a binder has acknowledged it. Ours are told `why`."""
        if self._state in (_State.LEAVING, _State.OVER):
            return []
        self._state = _State.LEAVING
        self._renew_at, self._why = None, why
        self._left_to_ask = list(self._binders)  # the first is the one that confirmed
        if self._introduction.needs:  # of which nobody else can be told
            may_know = self._have_answered | self._asked
            self._left_to_ask = [one for one in self._binders if one in may_know]
        return self._ask_next_binder(now)

    def handle(self, frame: Frame, source: Address, now: float) -> list[ServerEffect]:
        """Decide about a frame that `source` sent."""
        match frame:
            case Request(message=message):
                return [Send(Response(message), source)]
            case Verify():
                return self._verified(frame, source)
            case Subscribed():
                return self._confirmed(frame, source, now)
            case Removed():
                return self._left(frame, source)
            case _:
                return [stray(frame, source)]

    def deadline(self) -> float | None:
        """When `tick` has something to do; None if nothing is pending."""
        return self._asking.deadline() if self._asking else self._renew_at

    def tick(self, now: float) -> list[ServerEffect]:
        """Ask again, or ask the next binder, or give up. Safe to call too often."""
        if self._renew_at is not None and now >= self._renew_at:
            self._renew_at = None
            self._left_to_ask = list(self._binders)
            return self._ask_next_binder(now)
        if self._asking is None:
            return []
        if self._asking.ended(now):
            return [*self._not_answered(self._asking.targets[0]), *self._ask_next_binder(now)]
        binder = self._asking.due(now)
        return [Send(self._question(binder), binder)] if binder else []

    def _question(self, binder: Address) -> Frame:
        if self._state is _State.LEAVING:
            says_why = self._why and binder in self._have_answered
            why = self._why.encode(errors="replace")[:ERROR_BYTES_MAX]
            trailer = Reason(error=why) if says_why else None
            return Removed(self._instance(binder), trailer=trailer)
        instance, is_ours = self._instance(binder), binder == self._ours
        self._said = self._renewal if is_ours else RENEWAL
        if self._state is _State.SUBSCRIBING:
            return self._introduction.subscription(instance)
        return self._introduction.renewal(instance, is_ours, self._said)

    def _instance(self, binder: Address) -> Instance:
        """This server as a binder sees it."""
        return make_instance(self._service, self._seen_at[binder])

    def _provable(self) -> Collection[Instance]:
        """What it can prove to be."""
        return ()

    def _ask_next_binder(self, now: float) -> list[ServerEffect]:
        if not self._left_to_ask:
            return self._give_up(now)
        wait = SEARCH_WAIT if self._is_searching else BINDER_WAIT
        binder = self._left_to_ask.pop(0)
        if self._state is _State.SUBSCRIBING:
            self._asked.add(binder)
        self._asking = Retry([binder], wait, now, rng=self._rng)
        return self.tick(now)

    def _not_answered(self, binder: Address) -> list[ServerEffect]:
        """A binder had its time. One that was only asked what it is may be a legacy one."""
        if self._state is _State.SERVING and binder != self._ours:
            return []
        self._ours, self._renewal = None, RENEWAL
        why = f"no answer within {BINDER_WAIT:g} s"
        return [Report(Event.NO_CONFIRMATION, f"binder {describe_address(binder)}", why)]

    def _give_up(self, now: float) -> list[ServerEffect]:
        names = ", ".join(map(describe_address, self._binders))
        needs = self._introduction.needs
        names += f"; an older one knows no {needs}" if needs else ""
        if self._state is _State.SERVING:  # nobody renews it now; it goes on, and tries again
            self._asking = None
            self._is_searching = True
            self._renew_at = now + self._pause(RENEWAL)
            return []
        if self._state is _State.SUBSCRIBING and self._persists:
            self._asking, self._renew_at = None, now + SUBSCRIBE_PAUSE
            why = f"no binder confirmed the subscription (asked {names})"
            return [Report(Event.NO_CONFIRMATION, describe_service(self._service), why)]
        leaving = self._state is _State.LEAVING
        self._over()
        if leaving:
            return [Stop(True, f"stopped, but no binder acknowledged that (asked {names})")]
        return [Stop(False, f"no binder confirmed the subscription (asked {names})")]

    def _verified(self, frame: Verify, source: Address) -> list[ServerEffect]:
        if self._state in (_State.LEAVING, _State.OVER):
            return []  # it is about to be true that it is not there
        answer = self._introduction.answer(frame, self._provable())
        return [] if answer is None else [Send(answer, source)]

    def _confirmed(self, frame: Subscribed, source: Address, now: float) -> list[ServerEffect]:
        if source not in self._binders:
            return []
        is_ours = frame.trailer is not None
        if is_ours:
            self._have_answered.add(source)
        elif self._introduction.needs:
            return []  # whoever it is has confirmed something else
        match self._state:
            case _State.SUBSCRIBING:
                self._state = _State.SERVING
                pause = RENEWAL_FIRST * self._rng.uniform(1, 2)
                # What there is to say besides is said at once.
                first = now if self._introduction.is_short else now + pause
                self._renews_with(source, is_ours, first)
                why = f"by binder {describe_address(source)}"
                return [Report(Event.CONFIRMED, describe(self._instance(source)), why)]
            case _State.SERVING if is_ours and (self._asking or self._is_searching):
                told = frame.trailer
                renewal = told.renewal if isinstance(told, Renew | Confirmed) else None
                self._renewal = renewal or RENEWAL
                pause = self._pause(min(self._said, self._renewal))
                self._renews_with(source, is_ours, now + pause)
            case _State.SERVING if self._asking and source == self._ours:
                # A renewal answered bare: a legacy one has taken its place, or it is a late copy.
                self._renews_with(source, is_ours, now + self._pause(RENEWAL))
        return []

    def _pause(self, most: int) -> float:
        """Seconds to the next renewal, which is to be within `most`."""
        return most * self._rng.uniform(SPREAD, 1)

    def _renews_with(self, binder: Address, is_ours: bool, when: float) -> None:
        """This one has answered, and is the first to be asked at `when`."""
        self._ours = binder if is_ours else None
        self._asking, self._renew_at = None, when
        self._is_searching = self._is_searching and not is_ours
        self._binders.remove(binder)  # it is the one to tell first when leaving
        self._binders.insert(0, binder)

    def _left(self, frame: Removed, source: Address) -> list[ServerEffect]:
        if self._state is not _State.LEAVING or source not in self._binders:
            return []
        if frame.instance != self._instance(source):
            return []
        self._over()
        return [Stop(True, f"deregistered; acknowledged by binder {describe_address(source)}")]

    def _over(self) -> None:
        self._state = _State.OVER
        self._asking = None
