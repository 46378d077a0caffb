"""`prr.Service`: provides a service from within a program, which answers its requests."""

import random
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self

from prr.client.arguments import (
    Key,
    checked_binders,
    checked_particulars,
    checked_server_key,
    checked_service,
)
from prr.client.beside import Beside
from prr.client.errors import CannotServe, NoBinderAnswered
from prr.config import BadInput, ServerConfig
from prr.core.effects import Stop
from prr.core.keyed_server import server_class
from prr.particulars import particulars_of
from prr.shell.reachable import binders_of, where_to_listen
from prr.shell.service_node import Handler, ServiceNode
from prr.shell.udp.datagrams import Datagrams
from prr.shell.udp.steering import open_sockets
from prr.text import parse_host_port
from prr.wire.codec import Codec
from prr.wire.frames import Role
from prr.wire.instance import Address, describe_address, describe_service
from prr.wire.instance import Service as Named

AT_ONCE = 64
"""Requests that are answered at a time, unless it is said otherwise."""


class Service:
    """Provides a service: subscribes it, answers its requests, says that it is alive, and
    deregisters it.

    `handler` gets a request's message (at most 255 bytes) and returns the answer (likewise). Each
    request has a greenlet, so that a handler that waits, on a gevent socket say, delays no other;
    one that blocks the thread stops them all, and the service is taken for dead. What a handler
    raises is sent to the client, which raises ServiceFailed. A request that a client repeats, since
    it has heard nothing, is answered again and not handled twice.

        from prr import Service

        with Service("greeting", lambda message: b"hello " + message):
            ...                                   # the program's other work

        service = Service("greeting", binders=["10.0.0.1:2222", "10.0.0.2:2222"])

        @service.request
        def greet(message: bytes) -> bytes:
            return b"hello " + message

        service.run()                             # until SIGTERM or SIGINT

    In a gevent program it runs beside the other greenlets, elsewhere in a thread of its own.
    """

    def __init__(
        self,
        service: Named,
        handler: Handler | None = None,
        *,
        binders: str | Iterable[str] = "127.0.0.1:2222",
        listen: str | None = None,
        at_once: int = AT_ONCE,
        weight: int = 1,
        zone: str | None = None,
        tags: Mapping[str, str] | None = None,
        key: Key | None = None,
    ) -> None:
        """`service`: a number from 0 to 255, or a name. `binders`: as for `Client`. `listen`: the
        "HOST:PORT" to listen on; if None, a free port where the binders can reach it. `at_once`:
        how many requests are handled at a time, 1 or more; others wait. `weight`: its turns where
        others have one, 1 to 16. `zone`: where it is. `tags`: what else is to be known of it, 256
        bytes in all. `key`: the path of its key file, which is for this service.

        Raises ValueError.
        """
        if at_once < 1:
            raise ValueError(f"at_once = {at_once}; use 1 or more")
        self._handler = handler
        self._at_once = at_once
        where = None if listen is None else parse_host_port(listen)
        said = checked_particulars(weight, zone, tags)
        number = checked_service(service)
        held = checked_server_key(key, number)
        self._config = ServerConfig(number, where, checked_binders(binders), key=held, **said)
        self._beside = Beside()
        self._address: Address | None = None

    def request(self, handler: Handler) -> Handler:
        """A decorator: this answers the requests."""
        self._handler = handler
        return handler

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, since it was started: (ip, port)."""
        if self._address is None:
            raise CannotServe("not started; use `with`, start() or run()")
        return self._address

    def run(self) -> None:
        """Serve in this thread, the main one, until SIGTERM or SIGINT, or until `stop`. Under
        systemd (Type=notify) it says that it is ready, and sends signs of life.

        Raises CannotServe (no handler, or no such place to listen), NoBinderAnswered (none has
        confirmed the subscription).
        """
        _raise_unless_in_order(self._beside.run(self._open))

    def start(self) -> None:
        """Serve beside the program's other work; returns once a binder has confirmed it.

        Raises what `run` raises.
        """
        self._beside.start(self._open)
        if stop := self._beside.wait_until_ready():
            _raise_unless_in_order(stop)

    def stop(self) -> None:
        """Deregister, answer what is under way, for at most 5 s, and be over. No error if it is. In
        a handler it only begins that. Raises CannotServe if a handler blocks the service's thread.
        """
        self._beside.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _open(self) -> ServiceNode:
        """The node, in the thread in which it is to run."""
        if self._handler is None:
            raise CannotServe("nothing answers requests; pass a handler, or use @service.request")
        config = self._config
        lanes: list[Datagrams] = []
        try:
            lanes += [Datagrams(bound) for bound in open_sockets(where_to_listen(config))]
            own = lanes[0].address
            rng, seen_at = random.Random(), binders_of(config, own)
            make = server_class(config.key is not None)
            core = make(config.type, seen_at, rng, particulars=particulars_of(config))
        except BadInput as error:
            for lane in lanes:
                lane.close()
            raise CannotServe(str(error)) from error
        self._address = own
        first_line = f"{describe_service(config.type)} listening on {describe_address(own)}"
        codec = Codec(Role.SERVER, keys=config.key)
        return ServiceNode(core, codec, lanes, first_line, self._handler, self._at_once)


def _raise_unless_in_order(stop: Stop) -> None:
    if not stop.in_order:
        raise NoBinderAnswered(stop.why)
