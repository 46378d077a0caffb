"""A server that has a credential: it seals what it says, and believes no binder that does not."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from random import Random  # noqa: TID251 the type only: the RNG comes in as an argument

from prr.core.effects import Send, ServerEffect, stray
from prr.core.introduction import Introduction
from prr.core.seals import Seals
from prr.core.server import Server
from prr.wire.frames import Frame, Request, Verify
from prr.wire.instance import Address, Instance, Service
from prr.wire.proofs import Again


def server_class(is_keyed: bool) -> type[Server]:
    """What a server is made of, with a credential or without."""
    return KeyedServer if is_keyed else Server


class KeyedServer(Server):
    """One such server's decisions."""

    def __init__(
        self,
        service: Service,
        binders: Mapping[Address, Address],
        rng: Random,
        start: int | None = None,
        particulars: bytes = b"",
        is_agent: bool = False,
    ) -> None:
        """As of any server."""
        super().__init__(service, binders, rng, start, particulars, is_agent)
        self._introduction = Introduction(service, self._start, particulars, is_agent, True)
        self._seals = Seals(rng)

    def handle(self, frame: Frame, source: Address, now: float) -> list[ServerEffect]:
        """Decide about a frame that `source` sent: a binder that answers has to have sealed it."""
        is_again = isinstance(frame.trailer, Again)
        if isinstance(frame, Request) or (isinstance(frame, Verify) and not is_again):
            return super().handle(frame, source, now)
        if not self._seals.is_answer(frame, source):
            return [stray(frame, source)]
        if not isinstance(frame.trailer, Again):
            return super().handle(frame, source, now)
        is_asked = self._asking is not None and source in self._asking.targets
        says_it = self._seals.again(frame.trailer, source) and is_asked
        return [Send(self._question(source), source)] if says_it else []

    def _question(self, binder: Address) -> Frame:
        return replace(super()._question(binder), seal=self._seals.of(binder))

    def _ask_next_binder(self, now: float) -> list[ServerEffect]:
        self._seals.begin()
        return super()._ask_next_binder(now)

    def _provable(self) -> Collection[Instance]:
        return {self._instance(binder) for binder in self._seen_at}
