"""`prr.Client`: the binder's client for programs."""

import random
import socket
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from prr.client.arguments import (
    Key,
    check_timeout,
    checked_binders,
    checked_key,
    checked_message,
    checked_service,
)
from prr.client.errors import NoBinderAnswered
from prr.client.exchange import Exchange, sockets_here, tell
from prr.client.failures import error_of, lists_nothing
from prr.client.instances import ServiceInstance, instances_of
from prr.client.kept_sockets import KeptSockets
from prr.client.known_binders import KnownBinders
from prr.config import BadInput
from prr.core import outcomes
from prr.core.client import Client as Core
from prr.core.patience import Patience
from prr.core.whole_client import Whole, WholeClient
from prr.particulars import parse_zone
from prr.trust.credential import Holder
from prr.wire.codec import Codec
from prr.wire.frames import Complaint, Role
from prr.wire.instance import Address, Service, make_instance
from prr.wire.messages import Reason
from prr.wire.seal import Seal
from prr.wire.trailer import ERROR_BYTES_MAX

if TYPE_CHECKING:
    from prr.client.watch import Change


class Client:
    """Finds services, and calls them.

    Safe to share between threads and between greenlets, and worth it: it keeps its sockets to the
    binders, and what services usually take. Inside a gevent program a call lets other greenlets
    run, monkey-patched or not; elsewhere it blocks its own thread.

        from prr import Client, ServiceDidNotAnswer

        client = Client(["127.0.0.1:2222", "127.0.0.1:2223"])
        ip, port = client.lookup(2)          # the next instance in turn
        answer = client.call(2, b"hello")    # or look up and call in one
    """

    def __init__(
        self,
        binders: str | Iterable[str] = "127.0.0.1:2222",
        *,
        zone: str | None = None,
        key: Key | None = None,
    ) -> None:
        """`binders`: the binders to choose from, each "HOST:PORT"; a single one may stand alone.
        With a `zone`, as in "eu", instances that are there are named as long as one of them is in
        turn, else any other. `key`: the path of a client's or an operator's key file. It takes no
        answer from a binder that does not know this key.

        Raises ValueError when there is none, one is not a valid HOST:PORT, `zone` not a label, or
        `key` not such a file.
        """
        self._binders = KnownBinders(checked_binders(binders))
        self._kept = KeptSockets()
        self._held = checked_key(key, Holder.CLIENT, Holder.OPERATOR)
        self._codec = Codec(Role.CLIENT, keys=self._held)
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
                raise error_of(service, outcome)

    def instances(self, service: Service) -> list[ServiceInstance]:
        """Returns all instances of `service` (as for `lookup`) that a binder knows, by address,
        each with what its server says of itself; none if there are none.

        Takes a question for 10 to 40 of them, and 4.5 s for each question at most. Raises what
        `lookup` raises, but for NoSuchService.
        """
        _refuse_event_loop()
        service = checked_service(service)
        binders, _ = self._known()
        asking = WholeClient(service, binders, self._rng, self._codec.has_keys)
        exchange: Exchange[Whole | outcomes.NoBinder] = Exchange(
            asking, {}, self._kept, self._codec
        )
        match exchange.run():
            case outcomes.NoBinder() as outcome:
                raise lists_nothing(service, outcome)
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
        message = checked_message(message)
        service = checked_service(service)
        match self._exchange(service, message, hedge, timeout):
            case outcomes.Answered(message=answer, seconds=seconds):
                self._patience.answered(service, seconds)
                return answer
            case outcome:
                raise error_of(service, outcome)

    def complain(self, service: Service, address: tuple[str, int], why: str = "") -> None:
        """Tell a binder that the instance of `service` at `address` does not work: it is asked
        itself, and out of turn meanwhile. `why` is shown by `prr why`; at most 200 bytes of it.

        For programs that talk to what `lookup` returned; `call` does this by itself. Nobody
        acknowledges it. Raises what `lookup` raises.
        """
        instance = make_instance(checked_service(service), address)
        reason = Reason(error=why.encode()[:ERROR_BYTES_MAX]) if why else None
        binders, _ = self._known()
        seal = Seal(self._rng.getrandbits(64)) if self._codec.has_keys else None
        complaint = Complaint(instance, trailer=reason, seal=seal)
        tell(complaint, self._rng.choice(binders), self._codec)

    def watch(
        self, service: Service | None = None, *, http: str | Iterable[str]
    ) -> "Iterator[Change]":
        """Yields what is known of each instance of `service` (as for `lookup`; None: of every
        service), then every change of one's state as it happens, with why. `http`: where binders
        serve HTTP, each "HOST:PORT"; should one be gone, the next is asked, and nothing is missed.

        It does not end by itself. Raises NoBinderAnswered when none has answered for 10 s, and
        ValueError (an invalid service, or `http`).
        """
        from prr.client.watch import Watch  # loads the standard library's HTTP

        _refuse_event_loop()
        which = None if service is None else checked_service(service)
        return Watch(which, checked_binders(http), self._held).changes()

    def _known(self) -> tuple[tuple[Address, ...], bool]:
        try:
            return self._binders.known() or self._binders.find(sockets_here())
        except BadInput as error:
            raise NoBinderAnswered(f"no binder could be asked: {error}") from error

    def _exchange(
        self,
        service: Service,
        message: bytes | None,
        hedge: bool = False,
        timeout: float | None = None,
    ) -> outcomes.Outcome:
        check_timeout(timeout)
        _refuse_event_loop()
        binders, takes_ipv6 = self._known()
        patience = self._patience.of(service)
        asking = Core(
            *(service, message, binders, self._rng, patience, hedge, takes_ipv6, timeout),
            *(self._zone, self._codec.has_keys),
        )
        uses = {binder: (binder, service) for binder in binders}
        exchange: Exchange[outcomes.Outcome] = Exchange(asking, uses, self._kept, self._codec)
        return exchange.run()


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
