"""`announce` for asyncio: an agent in the event loop of the program for which it speaks."""

import asyncio
import logging
import random
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self, assert_never

from prr.addresses import family_of, listening_towards, seen_from
from prr.aio.resolving import found
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
from prr.client.errors import CannotServe
from prr.client.known_binders import KnownBinders
from prr.core.agent.agent import Agent
from prr.core.agent.effects import AgentEffect, Check, End, Launch
from prr.core.agent.health import CheckPolicy, Health
from prr.core.effects import Report, Send, Stop
from prr.core.keyed_server import server_class
from prr.core.server import draw_start
from prr.wire.codec import Codec
from prr.wire.errors import MalformedFrame
from prr.wire.frames import Role
from prr.wire.instance import Address, Service, describe_address, describe_service
from prr.wire.particulars import Particulars, encode_particulars

RECEIVE_BYTES = 2048
"""Room for one datagram."""

_log = logging.getLogger("prr")


class announce:
    """As `prr.announce`, in asyncio's event loop; `check` is a coroutine function.

    Entering returns once the agent is at work, whether or not a binder has confirmed it yet.
    """

    def __init__(
        self,
        service: Service,
        *,
        port: int,
        host: str | None = None,
        check: Callable[[], Awaitable[object]] | None = None,
        binders: str | Iterable[str] = "127.0.0.1:2222",
        interval: float = 1.0,
        timeout: float = 2.0,
        weight: int = 1,
        zone: str | None = None,
        tags: Mapping[str, str] | None = None,
        key: Key | None = None,
    ) -> None:
        """As of `prr.announce`. Raises ValueError."""
        self._service = checked_service(service)
        self._codec = Codec(Role.SERVER, keys=checked_server_key(key, self._service))
        self._port = checked_port(port)
        self._host = checked_host(host)
        self._check = check
        self._binders = KnownBinders(checked_binders(binders))
        self._policy = CheckPolicy(checked_seconds("interval", interval)) if check else None
        self._timeout = checked_seconds("timeout", timeout)
        said = checked_particulars(weight, zone, tags)
        particulars = Particulars(said["weight"], said["zone"], dict(said["tags"]))
        self._particulars = encode_particulars(particulars)
        self._agent: _Running | None = None

    async def __aenter__(self) -> Self:
        """Raises CannotServe: no such address; NoBinderAnswered: no binder's name is known."""
        binders, _ = await found(self._binders)
        at = self._host or listening_towards(binders)[0], self._port
        name = f"{describe_service(self._service)} at {describe_address(at)}"
        seen_at = {binder: seen_from(at, binder) for binder in binders}
        rng = random.Random()
        start = draw_start(rng)
        make = server_class(self._codec.has_keys)
        core = Agent(
            name,
            lambda: make(self._service, seen_at, rng, start, self._particulars, is_agent=True),
            Health(name, self._policy),
        )
        self._agent = _Running(core, self._codec, _bound((at[0], 0)), self._check, self._timeout)
        self._agent.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._agent is not None
        await self._agent.stop()


def _bound(at: Address) -> socket.socket:
    opened = socket.socket(family_of(at), socket.SOCK_DGRAM)
    try:
        opened.setblocking(False)
        opened.bind(at)
    except OSError as error:
        opened.close()
        raise CannotServe(f"cannot listen on {describe_address(at)}: {error.strerror}") from error
    return opened


class _Running:
    """An agent's core, its socket and its checks."""

    def __init__(
        self,
        core: Agent,
        codec: Codec,
        bound: socket.socket,
        check: Callable[[], Awaitable[object]] | None,
        timeout: float,
    ) -> None:
        self._core = core
        self._socket = bound
        self._check = check
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._codec = codec
        self._timer: asyncio.TimerHandle | None = None
        self._checking: asyncio.Task[None] | None = None
        self._over: asyncio.Future[None] = self._loop.create_future()

    def start(self) -> None:
        """Begin."""
        self._loop.add_reader(self._socket, self._receive)
        self._act(self._core.start(self._loop.time()))

    async def stop(self) -> None:
        """Deregister; a binder that does not acknowledge it has its time, and no more."""
        self._act(self._core.stop(self._loop.time()))
        try:
            await self._over
        finally:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            if self._timer is not None:
                self._timer.cancel()
            if self._checking is not None:
                self._checking.cancel()
                await asyncio.gather(self._checking, return_exceptions=True)

    def _receive(self) -> None:
        """One datagram each time: other tasks have their turn even in a flood."""
        try:
            data, source = self._socket.recvfrom(RECEIVE_BYTES)
            frame = self._codec.decode(data)
        except (OSError, MalformedFrame):
            return
        self._act(self._core.handle(frame, source[:2], self._loop.time()))

    def _act(self, effects: Sequence[AgentEffect]) -> None:
        for effect in effects:
            match effect:
                case Send(frame=frame, target=target):
                    self._send(self._codec.encode(frame), target)
                case Report():
                    _log.info("%s", effect.text())
                case Check():
                    self._checking = self._loop.create_task(self._run_check())
                case Stop():
                    if not self._over.done():
                        self._over.set_result(None)
                case Launch() | End():
                    raise AssertionError("it runs no program")
                case _:
                    assert_never(effect)
        self._set_timer()

    def _send(self, data: bytes, target: Address) -> None:
        try:
            self._socket.sendto(data, target)
        except OSError as error:  # as if it was lost: the core asks again
            _log.info("cannot send to %s: %s", describe_address(target), error.strerror)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._over.done() and (deadline := self._core.deadline()) is not None:
            self._timer = self._loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._act(self._core.tick(self._loop.time()))

    async def _run_check(self) -> None:
        assert self._check is not None
        passed, words = True, "the program says that it works"
        try:
            if await asyncio.wait_for(self._check(), self._timeout) is False:
                passed, words = False, "the program says that it does not work"
        except TimeoutError:
            passed, words = False, f"no result within {self._timeout:g} s"
        except asyncio.CancelledError as error:
            if self._over.done():
                raise
            passed, words = False, f"{type(error).__name__}"  # what the check waits for was
        except Exception as error:
            passed, words = False, f"{type(error).__name__}: {error}"
        self._act(self._core.checked(passed, words, self._loop.time()))
