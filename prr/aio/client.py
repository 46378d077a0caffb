"""`AsyncClient`: as `prr.Client`, for programs that run asyncio's event loop."""

import asyncio
import random
from collections.abc import Iterable

from prr.aio.exchange import Exchange
from prr.aio.resolving import found
from prr.client.arguments import (
    Key,
    check_timeout,
    checked_binders,
    checked_key,
    checked_message,
    checked_service,
)
from prr.client.failures import error_of, lists_nothing
from prr.client.instances import ServiceInstance, instances_of
from prr.client.known_binders import KnownBinders
from prr.core import outcomes
from prr.core.client import Client as Core
from prr.core.patience import Patience
from prr.core.whole_client import Whole, WholeClient
from prr.particulars import parse_zone
from prr.trust.credential import Holder
from prr.wire.codec import Codec
from prr.wire.frames import Role
from prr.wire.instance import Service


class AsyncClient:
    """Finds services, and calls them, while the event loop goes on. One may be shared by all tasks.

    Its arguments, what it returns, how long it takes and what it raises is as with `prr.Client`.
    """

    def __init__(
        self,
        binders: str | Iterable[str] = "127.0.0.1:2222",
        *,
        zone: str | None = None,
        key: Key | None = None,
    ) -> None:
        """`binders`: the binders to choose from, each "HOST:PORT". With a `zone` instances that are
        there come first. `key`: the path of its key file. Raises ValueError."""
        self._binders = KnownBinders(checked_binders(binders))
        self._zone = "" if zone is None else parse_zone(zone)
        held = checked_key(key, Holder.CLIENT, Holder.OPERATOR)
        self._codec = Codec(Role.CLIENT, keys=held)
        self._rng = random.Random()
        self._patience = Patience()

    async def lookup(self, service: Service, *, timeout: float | None = None) -> tuple[str, int]:
        """Returns the (ip, port) of the next instance of `service` in turn."""
        service = checked_service(service)
        match await self._exchange(service, None, False, timeout):
            case outcomes.FoundService(address=address):
                return address
            case outcome:
                raise error_of(service, outcome)

    async def instances(self, service: Service) -> list[ServiceInstance]:
        """Returns all instances of `service` that a binder knows, by address."""
        service = checked_service(service)
        binders, _ = await found(self._binders)
        core = WholeClient(service, binders, self._rng, self._codec.has_keys)
        loop = asyncio.get_running_loop()
        exchange: Exchange[Whole | outcomes.NoBinder] = Exchange(core, loop, self._codec)
        match await exchange.run():
            case outcomes.NoBinder() as outcome:
                raise lists_nothing(service, outcome)
            case whole:
                return instances_of(whole)

    async def call(
        self,
        service: Service,
        message: bytes,
        *,
        hedge: bool = False,
        timeout: float | None = None,
    ) -> bytes:
        """Returns the answer of an instance of `service` to `message`."""
        message = checked_message(message)
        service = checked_service(service)
        match await self._exchange(service, message, hedge, timeout):
            case outcomes.Answered(message=answer, seconds=seconds):
                self._patience.answered(service, seconds)
                return answer
            case outcome:
                raise error_of(service, outcome)

    async def _exchange(
        self, service: Service, message: bytes | None, hedge: bool, limit: float | None
    ) -> outcomes.Outcome:
        check_timeout(limit)
        binders, takes_ipv6 = await found(self._binders)
        patience = self._patience.of(service)
        core = Core(
            *(service, message, binders, self._rng, patience, hedge, takes_ipv6, limit),
            *(self._zone, self._codec.has_keys),
        )
        loop = asyncio.get_running_loop()
        exchange: Exchange[outcomes.Outcome] = Exchange(core, loop, self._codec)
        return await exchange.run()
