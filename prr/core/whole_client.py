"""The client that asks for all instances of a service: page by page, each of any of its binders.

All binders tell them in one order, so that one that falls silent is gone on from at another.
"""

from random import Random  # noqa: TID251 the type only: the RNG comes in as an argument
from typing import TypeAlias

from prr.core.asking import BINDER_LIMIT, REFUSED_LIMIT
from prr.core.effects import ClientEffect, Send
from prr.core.outcomes import NoBinder
from prr.core.retry import Retry
from prr.wire.frames import Found, FoundInstance, Frame, Lookup, Unknown
from prr.wire.instance import NAMED, Address, Instance, Service, service_of
from prr.wire.seal import Seal
from prr.wire.whole_service import WholePage, WholeQuery
from prr.wire.wide import WideUpdate, decode_wide

PAGES_MAX = 1 << 17
"""Pages of one answer: more than the largest directory fills. Whoever sends more, or to one place
twice, is not telling what it knows."""

Whole: TypeAlias = dict[Instance, WideUpdate]
"""What is said of each instance of a service."""


class WholeClient:
    """One such question's decisions; it is over when `outcome` is set. A call never waits."""

    def __init__(
        self,
        service: Service,
        binders: tuple[Address, ...],
        rng: Random,
        is_keyed: bool = False,
    ) -> None:
        """`binders`: at least one. `is_keyed`: the questions are sealed, and so are the answers."""
        assert binders
        self._service = service
        self._binders = rng.sample(binders, len(binders))  # all of them, in a random order
        self._rng = rng
        self._older: set[Address] = set()  # binders that cannot tell
        self._seal = Seal(rng.getrandbits(64)) if is_keyed else None
        self._found: Whole = {}
        self._places: set[tuple[bytes, int]] = set()
        self._page = self._ask_for(b"", 0)
        self._began_at = 0.0
        self._asking = Retry(self._binders, BINDER_LIMIT, self._began_at)
        self.outcome: Whole | NoBinder | None = None

    def start(self, now: float) -> list[ClientEffect]:
        """Begin: ask the first binder."""
        return self._ask(self._binders, now)

    def handle(self, frame: Frame, source: Address, now: float) -> list[ClientEffect]:
        """Decide about a frame that `source` sent. One that nobody waits for has no effect."""
        if self.outcome is not None:
            return []
        if not isinstance(frame, Found | FoundInstance | Unknown) or source not in self._binders:
            return []
        if self._seal is not None and frame.seal != self._seal:
            return []
        said = frame.trailer
        if not isinstance(said, WholePage):  # it has answered a lookup: that is all it knows
            self._older.add(source)
            return self.refused(source, now)
        if said.nonce != self._page.nonce:
            return []
        for row in decode_wide(said.others):
            if service_of(row.instance) == self._service:
                self._found[row.instance] = row
        if said.cursor is None and said.offset is None:
            self.outcome = self._found
            return []
        place = said.cursor or b"", said.offset or 0
        if place in self._places or len(self._places) == PAGES_MAX:
            return self.refused(source, now)
        self._places.add(place)
        self._page = self._ask_for(*place)
        others = [binder for binder in self._binders if binder != source]
        return self._ask([source, *others], now)

    def refused(self, target: Address, now: float) -> list[ClientEffect]:
        """`target` cannot be reached, or cannot tell."""
        if self.outcome is not None:
            return []
        other = self._asking.refused(target, now)
        return [self._question(other)] if other is not None else []

    def deadline(self) -> float | None:
        """When `tick` has something to do; None when it is over."""
        return None if self.outcome is not None else self._asking.deadline()

    def tick(self, now: float) -> list[ClientEffect]:
        """Ask again what was not answered, or give up. Safe to call too often."""
        if self.outcome is not None:
            return []
        if self._asking.ended(now):
            limit = round(self._asking.ends_at - self._began_at, 1)
            self.outcome = NoBinder(tuple(self._binders), limit, tuple(sorted(self._older)))
            return []
        target = self._asking.due(now)
        return [self._question(target)] if target else []

    def _ask(self, binders: list[Address], now: float) -> list[ClientEffect]:
        """Ask for the next page, the first of `binders` first."""
        self._began_at = now
        self._asking = Retry(binders, BINDER_LIMIT, now, REFUSED_LIMIT)
        return self.tick(now)

    def _question(self, target: Address) -> Send:
        type_ = self._service if isinstance(self._service, int) else NAMED
        return Send(Lookup(type_, trailer=self._page, seal=self._seal), target)

    def _ask_for(self, cursor: bytes, offset: int) -> WholeQuery:
        return WholeQuery.about(self._service, self._rng.getrandbits(64), cursor, offset)
