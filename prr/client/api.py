"""`prr.Client`: the binder's client for programs."""

import random
import socket
import sys
from collections.abc import Iterable

from prr.addresses import can_take_ipv6, resolve_any
from prr.client.arguments import checked_binders, checked_service
from prr.client.errors import (
    NoBinderAnswered,
    NoSuchService,
    PrrError,
    ServiceDidNotAnswer,
    ServiceFailed,
)
from prr.client.exchange import Exchange, sockets_here
from prr.client.instances import ServiceInstance, instances_of
from prr.config import BadInput
from prr.core import outcomes
from prr.core.client import Client as Core
from prr.core.patience import Patience
from prr.core.whole_client import Whole, WholeClient
from prr.particulars import parse_zone
from prr.wire.fields import MESSAGE_BYTES_MAX
from prr.wire.instance import Address, Service, describe_address


class Client:
    """Finds services, and calls them.

    Safe to share between threads and between greenlets: it holds nothing but the list of binders
    and what services usually take, and each call has sockets of its own. Inside a gevent program a
    call lets other greenlets run, monkey-patched or not; elsewhere it blocks its own thread.

        from prr import Client, ServiceDidNotAnswer

        client = Client(["127.0.0.1:2222", "127.0.0.1:2223"])
        ip, port = client.lookup(2)          # the next instance in turn
        answer = client.call(2, b"hello")    # or look up and call in one
    """

    def __init__(
        self, binders: str | Iterable[str] = "127.0.0.1:2222", *, zone: str | None = None
    ) -> None:
        """`binders`: the binders to choose from, each "HOST:PORT"; a single one may stand alone.
        With a `zone`, as in "eu", instances that are there are named as long as one of them is in
        turn, else any other.

        Raises ValueError when there is none, one is not a valid HOST:PORT, or `zone` not a label.
        """
        self._binders = checked_binders(binders)
        self._zone = "" if zone is None else parse_zone(zone)
        self._rng = random.Random()
        self._patience = Patience()

    def lookup(self, service: Service, *, timeout: float | None = None) -> tuple[str, int]:
        """Returns the (ip, port) of the next instance of `service` in turn: a number from 0 to 255,
        or a name, as in "billing"; one of conf/services.toml stands for its number.

        Asks a binder chosen at random, and another one whenever that is silent for 0.1 s and
        more. Takes 4.5 s at most: a legacy (2016) binder that verifies serves nobody for 2 s. Where
        every binder refuses, 2 s. With `timeout` it takes so many seconds at most.

        Raises NoSuchService, NoBinderAnswered, ValueError (an invalid service) and OSError (no
        free socket). A binder whose name cannot be resolved is skipped.
        """
        service = checked_service(service)
        match self._exchange(service, None, timeout=timeout):
            case outcomes.FoundService(address=address):
                return address
            case outcome:
                raise _error(service, outcome)

    def instances(self, service: Service) -> list[ServiceInstance]:
        """Returns all instances of `service` (as for `lookup`) that a binder knows, by address,
        each with what its server says of itself; none if there are none.

        Takes a question for 10 to 40 of them, and 4.5 s for each question at most. Raises what
        `lookup` raises, but for NoSuchService.
        """
        _refuse_event_loop()
        service = checked_service(service)
        asking = WholeClient(service, self._resolved(), self._rng)
        exchange: Exchange[Whole | outcomes.NoBinder] = Exchange(asking)
        match exchange.run():
            case outcomes.NoBinder(asked=asked, nameless=older) if older:
                raise NoBinderAnswered(_too_old("lists services", asked, older), service=service)
            case outcomes.NoBinder() as outcome:
                raise _error(service, outcome)
            case whole:
                return instances_of(whole)

    def call(
        self,
        service: Service,
        message: bytes,
        *,
        hedge: bool = False,
        timeout: float | None = None,
    ) -> bytes:
        """Returns the answer of an instance of `service` (as for `lookup`) to `message` (at most
        255 bytes).

        Looks an instance up, and gives it 2 s to answer, asking it again a few times meanwhile:
        a request may arrive more than once. When it refuses, or takes four times what that
        service usually takes (0.1 s at least, 0.5 s at most), the binder is told, which verifies
        it; an instance that is only slow may still answer.

        With `hedge` another instance is asked as soon as that happens, and the answer that comes
        first is returned: for requests that more than one instance may carry out.

        Takes 6.5 s at most: 4.5 s for the lookup, 2 s for the services; with `timeout` so many
        seconds in all, which may be more than that.

        Raises what `lookup` raises, ServiceDidNotAnswer, ServiceFailed, TypeError (a message that
        is not bytes) and ValueError (one too long).
        """
        if not isinstance(message, bytes | bytearray | memoryview):
            raise TypeError(
                f'message must be bytes, not {type(message).__name__}; use b"..." or .encode()'
            )
        if len(message) > MESSAGE_BYTES_MAX:
            raise ValueError(
                f"a message of {len(message)} bytes; a frame holds {MESSAGE_BYTES_MAX} at most"
            )
        service = checked_service(service)
        match self._exchange(service, bytes(message), hedge, timeout):
            case outcomes.Answered(message=answer, seconds=seconds):
                self._patience.answered(service, seconds)
                return answer
            case outcome:
                raise _error(service, outcome)

    def _exchange(
        self,
        service: Service,
        message: bytes | None,
        hedge: bool = False,
        timeout: float | None = None,
    ) -> outcomes.Outcome:
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout = {timeout}; use seconds, more than 0")
        _refuse_event_loop()
        binders, patience = self._resolved(), self._patience.of(service)
        takes_ipv6 = can_take_ipv6(binders)
        asking = Core(
            service, message, binders, self._rng, patience, hedge, takes_ipv6, timeout, self._zone
        )
        exchange: Exchange[outcomes.Outcome] = Exchange(asking)
        return exchange.run()

    def _resolved(self) -> tuple[Address, ...]:
        try:
            return resolve_any(self._binders, sockets_here())
        except BadInput as error:
            raise NoBinderAnswered(f"no binder could be asked: {error}") from error


def _refuse_event_loop() -> None:
    """A call that waits would stop all else in asyncio's event loop."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or sockets_here() is not socket:
        return
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(
        "prr.Client waits, which stops asyncio's event loop; use prr.aio.AsyncClient there, or "
        "asyncio.to_thread"
    )


def _error(service: Service, outcome: outcomes.Outcome) -> PrrError:
    what = "service of type" if isinstance(service, int) else "service"
    what = f"{what} {service}"
    match outcome:
        case outcomes.UnknownService(binder=binder):
            why = f"binder {describe_address(binder)} knows no {what}"
            return NoSuchService(why, service=service, binder=binder)
        case outcomes.NoBinder(asked=asked, nameless=nameless) if nameless:
            why = _too_old("knows services by name", asked, nameless)
            return NoBinderAnswered(f"{why}, or a number", service=service)
        case outcomes.NoBinder(asked=asked, limit=limit):
            names = ", ".join(describe_address(binder) for binder in asked)
            why = f"no binder answered within {limit:g} s (asked {names})"
            return NoBinderAnswered(why, service=service)
        case outcomes.NoService(address=address, binder=binder, why=why):
            why = f"{what} at {describe_address(address)}: {why}; "
            why += f"binder {describe_address(binder)} was told"
            return ServiceDidNotAnswer(why, service=service, address=address, binder=binder)
        case outcomes.Failure(address=address, why=why):
            why = f"{what} at {describe_address(address)} failed: {why}"
            return ServiceFailed(why, service=service, address=address)
        case _:
            raise AssertionError(f"not an error: {outcome}")


def _too_old(what: str, asked: tuple[Address, ...], older: tuple[Address, ...]) -> str:
    """That no binder answered which does `what`, and what to do about those that do not."""
    names = ", ".join(map(describe_address, older))
    silent = ", ".join(describe_address(one) for one in asked if one not in older)
    why = f"no binder that {what} answered; older than that: {names}"
    why += f"; silent: {silent}" if silent else ""
    return f"{why}. Use this version there"
