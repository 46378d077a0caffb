"""`prr.announce`: makes a service known that the program provides by itself, on its own port."""

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Self

import gevent
import gevent.event
import gevent.socket
from gevent.hub import get_hub

from prr.addresses import listening_towards, resolve_any
from prr.client.arguments import (
    Key,
    checked_binders,
    checked_host,
    checked_particulars,
    checked_port,
    checked_seconds,
    checked_server_key,
    checked_service,
)
from prr.client.beside import Beside
from prr.client.errors import CannotServe
from prr.client.exchange import sockets_here
from prr.config import AnnounceConfig, BadInput, CheckKind, CheckSpec
from prr.shell.agent.agent_node import AgentNode
from prr.shell.agent.checks import CheckFailed
from prr.shell.agent.opening import announcing
from prr.wire.instance import Service as Named


class announce:
    """Makes a service of this program known while a `with` block lasts: subscribes it, says that it
    is alive as long as `check` passes, and deregisters it at the end.

        with prr.announce("web", port=8080, check=lambda: pool.is_healthy):
            server.serve_forever()

    Entering returns at once: the service is found as soon as a binder has confirmed it, and a
    binder that cannot be reached is asked again for as long as it takes. In a gevent program it
    runs beside the other greenlets, elsewhere in a thread of its own; `check` is called there, in a
    thread that may wait.
    """

    def __init__(
        self,
        service: Named,
        *,
        port: int,
        host: str | None = None,
        check: Callable[[], object] | None = None,
        binders: str | Iterable[str] = "127.0.0.1:2222",
        interval: float = 1.0,
        timeout: float = 2.0,
        weight: int = 1,
        zone: str | None = None,
        tags: Mapping[str, str] | None = None,
        key: Key | None = None,
    ) -> None:
        """`service`: a number from 0 to 255, or a name; `host`: an address of this host, by
        default the one at which the binders can reach it.

        `check` is called every `interval` seconds, and may take `timeout` seconds. It fails if it
        returns False, or raises, and then the service is out of turn until it passes again;
        without one the service is there as long as this program is. `weight`, `zone`, `tags`
        and `key`: as of `Service`.

        Raises ValueError.
        """
        self._check = check
        self._where = checked_host(host), checked_port(port)
        self._service = checked_service(service)
        self._key = checked_server_key(key, self._service)
        self._binders = checked_binders(binders)
        self._interval = checked_seconds("interval", interval)
        self._timeout = checked_seconds("timeout", timeout)
        self._said = checked_particulars(weight, zone, tags)
        self._beside = Beside()

    def __enter__(self) -> Self:
        """Raises CannotServe: no such address, or no binder's name can be resolved."""
        self._beside.start(self._open)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._beside.stop()

    def _open(self) -> AgentNode:
        """The agent, in the thread in which it is to run."""
        host, port = self._where
        own = _Check(self._check) if self._check else None
        try:
            if host is None:
                binders = resolve_any(self._binders, gevent.socket)
                host = listening_towards(binders)[0]
            config = AnnounceConfig(
                type=self._service,
                at=(host, port),
                binders=self._binders,
                check=CheckSpec(CheckKind.NONE, "none"),
                check_interval=self._interval,
                check_timeout=self._timeout,
                key=self._key,
                **self._said,
            )
            return announcing(config, own)
        except BadInput as error:
            raise CannotServe(str(error)) from error


class _Check:
    """Asks the program itself."""

    def __init__(self, check: Callable[[], object]) -> None:
        self._check = check
        self._is_greenlet = sockets_here() is gevent.socket
        self._asked: gevent.event.AsyncResult[object] | None = None

    def try_it(self) -> str:
        """As of every check."""
        try:
            result = self._check() if self._is_greenlet else self._ask_in_a_thread()
        except CheckFailed:
            raise
        except (gevent.Timeout, gevent.GreenletExit):
            raise
        except BaseException as error:  # sys.exit in a check is no end of the agent
            raise CheckFailed(f"{type(error).__name__}: {error}") from error
        if result is False:
            raise CheckFailed("the program says that it does not work")
        return "the program says that it works"

    def _ask_in_a_thread(self) -> object:
        """It may block there. One that never returns has one thread, and no more."""
        if self._asked is not None and not self._asked.ready():
            raise CheckFailed("the check before this one has not returned")
        self._asked = get_hub().threadpool.spawn(self._check)
        return self._asked.get()
