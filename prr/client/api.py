"""`prr.Client`: the binder's client for programs."""

import random
from collections.abc import Iterable

from prr.addresses import can_take_ipv6, resolve_any
from prr.client.exchange import Exchange, sockets_here
from prr.config import BadInput
from prr.core import client as core
from prr.core.patience import Patience
from prr.services import numbers_by_name
from prr.text import parse_host_port, parse_service
from prr.wire.fields import MESSAGE_BYTES_MAX
from prr.wire.instance import Address, Service, describe_address


class PrrError(Exception):
    """What went wrong between client, binder and service; the text says what and with whom."""


class NoSuchService(PrrError):
    """The binder knows no service of that type."""


class NoBinderAnswered(PrrError):
    """No binder of the list answered in time, or none has a name that can be resolved."""


class ServiceDidNotAnswer(PrrError):
    """The service refused, or did not answer within 2 s. The binder has been told."""


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

    def __init__(self, binders: str | Iterable[str] = "127.0.0.1:2222") -> None:
        """`binders`: the binders to choose from, each "HOST:PORT"; a single one may stand alone.

        Raises ValueError when there is none, or one is not a valid HOST:PORT.
        """
        binders = [binders] if isinstance(binders, str) else binders
        self._binders = tuple(dict.fromkeys(parse_host_port(binder) for binder in binders))
        if not self._binders:
            raise ValueError('no binders; give at least one "HOST:PORT"')
        self._rng = random.Random()
        self._patience = Patience()
        self._numbers: dict[str, int] | None = None

    def lookup(self, service: Service) -> tuple[str, int]:
        """Returns the (ip, port) of the next instance of `service` in turn: a number from 0 to 255,
        or a name, as in "billing"; one of conf/services.toml stands for its number.

        Asks a binder chosen at random, and another one whenever that is silent for 0.1 s and
        more. Takes 4.5 s at most: a legacy (2016) binder that verifies serves nobody for 2 s. Where
        every binder refuses, 2 s.

        Raises NoSuchService, NoBinderAnswered, ValueError (an invalid service) and OSError (no
        free socket). A binder whose name cannot be resolved is skipped.
        """
        service = self._checked(service)
        match self._exchange(service, None):
            case core.FoundService(address=address):
                return address
            case outcome:
                raise _error(service, outcome)

    def call(self, service: Service, message: bytes, *, hedge: bool = False) -> bytes:
        """Returns the answer of an instance of `service` (as for `lookup`) to `message` (at most
        255 bytes).

        Looks an instance up, and gives it 2 s to answer, asking it again a few times meanwhile:
        a request may arrive more than once. When it refuses, or takes four times what that
        service usually takes (0.1 s at least, 0.5 s at most), the binder is told, which verifies
        it; an instance that is only slow may still answer.

        With `hedge` another instance is asked as soon as that happens, and the answer that comes
        first is returned: for requests that more than one instance may carry out.

        Takes 6.5 s at most: 4.5 s for the lookup, 2 s for the services.

        Raises what `lookup` raises, ServiceDidNotAnswer, TypeError (a message that is not bytes)
        and ValueError (one too long).
        """
        if not isinstance(message, bytes | bytearray | memoryview):
            raise TypeError(
                f'message must be bytes, not {type(message).__name__}; use b"..." or .encode()'
            )
        if len(message) > MESSAGE_BYTES_MAX:
            raise ValueError(
                f"a message of {len(message)} bytes; a frame holds {MESSAGE_BYTES_MAX} at most"
            )
        service = self._checked(service)
        match self._exchange(service, bytes(message), hedge):
            case core.Answered(message=answer, seconds=seconds):
                self._patience.answered(service, seconds)
                return answer
            case outcome:
                raise _error(service, outcome)

    def _checked(self, service: Service) -> Service:
        """A service as a program gives it; ValueError if it is none, or the file of names is not
        valid. That is read at the first name, once."""
        if isinstance(service, str):
            if self._numbers is None:
                try:
                    self._numbers = numbers_by_name()
                except BadInput as error:
                    raise ValueError(str(error)) from error
            return parse_service(service, self._numbers)
        if type(service) is not int or not 0 <= service <= 255:
            raise ValueError(f"{service!r} is not a service; use a number from 0 to 255, or a name")
        return service

    def _exchange(
        self, service: Service, message: bytes | None, hedge: bool = False
    ) -> core.Outcome:
        try:
            binders = resolve_any(self._binders, sockets_here())
        except BadInput as error:
            raise NoBinderAnswered(f"no binder could be asked: {error}") from error
        patience = self._patience.of(service)
        client = core.Client(
            service, message, binders, self._rng, patience, hedge, can_take_ipv6(binders)
        )
        return Exchange(client).run()


def _error(service: Service, outcome: core.Outcome) -> PrrError:
    what = "service of type" if isinstance(service, int) else "service"
    what = f"{what} {service}"
    match outcome:
        case core.UnknownService(binder=binder):
            return NoSuchService(f"binder {describe_address(binder)} knows no {what}")
        case core.NoBinder(asked=asked, nameless=nameless) if nameless:
            return NoBinderAnswered(_nameless(asked, nameless))
        case core.NoBinder(asked=asked, limit=limit):
            names = ", ".join(describe_address(binder) for binder in asked)
            return NoBinderAnswered(f"no binder answered within {limit:g} s (asked {names})")
        case core.NoService(address=address, binder=binder, why=why):
            return ServiceDidNotAnswer(
                f"{what} at {describe_address(address)}: {why}; "
                f"binder {describe_address(binder)} was told"
            )
        case _:
            raise AssertionError(f"not an error: {outcome}")


def _nameless(asked: tuple[Address, ...], nameless: tuple[Address, ...]) -> str:
    """What to do about binders that know no names."""
    older = ", ".join(map(describe_address, nameless))
    silent = ", ".join(describe_address(one) for one in asked if one not in nameless)
    why = f"no binder that knows services by name answered; older than that: {older}"
    why += f"; silent: {silent}" if silent else ""
    return f"{why}. Use this version there, or a number"
