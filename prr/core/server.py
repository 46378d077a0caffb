"""The server: subscribes, gives the lab's echo service, says that it lives, and takes its leave."""

from collections.abc import Mapping
from enum import Enum, auto
from random import Random  # noqa: TID251 the type only: the dice come in as an argument

from prr.core.asking import Asking
from prr.core.effects import Effect, Event, Report, Send, Stop
from prr.wire.address import Address, Instance, describe, describe_address, make_instance
from prr.wire.frames import (
    Alive,
    Frame,
    Removed,
    Request,
    Response,
    Subscribe,
    Subscribed,
    Verify,
)

BINDER_WAIT = 1.0
"""Seconds a binder is given to confirm, or to acknowledge a leave, before the next one is asked:
four questions."""


class _State(Enum):
    SUBSCRIBING = auto()
    SERVING = auto()
    LEAVING = auto()
    OVER = auto()


class Server:
    """One server's decisions. A call never waits, so there are no locks."""

    def __init__(self, type_: int, binders: Mapping[Address, Address], rng: Random) -> None:
        """`binders` holds, for each binder, where it sees this server; `type_` is 0 to 255."""
        assert binders
        self._type = type_
        self._seen_at = binders
        self._binders = rng.sample(list(binders), len(binders))  # all, in a random order
        self._left_to_ask: list[Address] = []
        self._asking: Asking | None = None
        self._state = _State.SUBSCRIBING

    def start(self, now: float) -> list[Effect]:
        """Begin: subscribe with the first binder."""
        self._left_to_ask = list(self._binders)
        return self._ask_next_binder(now)

    def stop(self, now: float) -> list[Effect]:
        """Leave in good order: stop once a binder has acknowledged it."""
        if self._state in (_State.LEAVING, _State.OVER):
            return []
        self._state = _State.LEAVING
        self._left_to_ask = list(self._binders)  # the first is the one that confirmed
        return self._ask_next_binder(now)

    def handle(self, frame: Frame, source: Address, now: float) -> list[Effect]:
        """Decide about a frame that `source` sent."""
        match frame:
            case Request(message=message):
                return [Send(Response(message), source)]
            case Verify():
                return [Send(Alive(), source)]
            case Subscribed():
                return self._confirmed(source)
            case Removed():
                return self._left(frame, source)
            case _:
                subject = type(frame).__name__
                return [Report(Event.OUT_OF_PLACE, subject, describe_address(source))]

    def deadline(self) -> float | None:
        """When `tick` has something to do; None if nothing is pending."""
        return self._asking.deadline() if self._asking else None

    def tick(self, now: float) -> list[Effect]:
        """Ask again, or ask the next binder, or give up. Safe to call too often."""
        if self._asking is None:
            return []
        if self._asking.ended(now):
            silent = describe_address(self._asking.targets[0])
            why = f"no answer within {BINDER_WAIT:g} s"
            return [
                Report(Event.NO_CONFIRMATION, f"binder {silent}", why),
                *self._ask_next_binder(now),
            ]
        binder = self._asking.due(now)
        return [Send(self._question(binder), binder)] if binder else []

    def _question(self, binder: Address) -> Frame:
        leaving = self._state is _State.LEAVING
        return Removed(self._instance(binder)) if leaving else Subscribe(self._type)

    def _instance(self, binder: Address) -> Instance:
        """This server as a binder sees it."""
        return make_instance(self._type, self._seen_at[binder])

    def _ask_next_binder(self, now: float) -> list[Effect]:
        if not self._left_to_ask:
            return self._give_up()
        self._asking = Asking([self._left_to_ask.pop(0)], BINDER_WAIT, now)
        return self.tick(now)

    def _give_up(self) -> list[Effect]:
        names = ", ".join(describe_address(binder) for binder in self._binders)
        leaving = self._state is _State.LEAVING
        self._over()
        if leaving:
            return [Stop(True, f"left, but no binder acknowledged it (asked {names})")]
        return [Stop(False, f"no binder confirmed the subscription (asked {names})")]

    def _confirmed(self, source: Address) -> list[Effect]:
        if self._state is not _State.SUBSCRIBING or source not in self._binders:
            return []
        self._state = _State.SERVING
        self._asking = None
        # It is the one to tell first when leaving.
        self._binders.remove(source)
        self._binders.insert(0, source)
        why = f"by binder {describe_address(source)}"
        return [Report(Event.CONFIRMED, describe(self._instance(source)), why)]

    def _left(self, frame: Removed, source: Address) -> list[Effect]:
        if self._state is not _State.LEAVING or source not in self._binders:
            return []
        if frame.instance != self._instance(source):
            return []
        self._over()
        return [Stop(True, f"left; acknowledged by binder {describe_address(source)}")]

    def _over(self) -> None:
        self._state = _State.OVER
        self._asking = None
