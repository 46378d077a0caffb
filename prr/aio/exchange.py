"""One client's exchange in asyncio's event loop.

As in `prr.client.exchange` each target has a connected socket of the exchange's own.
"""

import asyncio
import logging
import socket
from collections import deque
from typing import Generic, assert_never

from prr.addresses import family_of
from prr.client.exchange_core import Core, O_co
from prr.core.effects import ClientEffect, Report, Send
from prr.wire.codec import Codec
from prr.wire.errors import MalformedFrame
from prr.wire.instance import Address

RECEIVE_BYTES = 2048
"""Room for one datagram: a legacy (2016) server pads its answer to 1000 bytes."""

_log = logging.getLogger("prr")


class Exchange(Generic[O_co]):
    """Runs one client's core to its outcome."""

    def __init__(self, core: Core[O_co], loop: asyncio.AbstractEventLoop, codec: Codec) -> None:
        self._core = core
        self._loop = loop
        self._codec = codec
        self._sockets: dict[Address, socket.socket] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._over: asyncio.Future[O_co] = loop.create_future()

    async def run(self) -> O_co:
        """Ask, listen and ask again until the core has its outcome."""
        try:
            self._act(self._core.start(self._loop.time()))
            return await self._over
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for opened in self._sockets.values():
                self._loop.remove_reader(opened)
                opened.close()

    def _act(self, effects: list[ClientEffect]) -> None:
        todo = deque(effects)
        while todo:
            match effect := todo.popleft():
                case Send(frame=frame, target=target):
                    todo.extend(self._send(self._codec.encode(frame), target))
                case Report(event=event, subject=subject, why=why):
                    _log.info("%s %s: %s", event, subject, why)
                case _:
                    assert_never(effect)
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._core.outcome is not None:
            if not self._over.done():
                self._over.set_result(self._core.outcome)
        elif (deadline := self._core.deadline()) is not None:
            self._timer = self._loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._act(self._core.tick(self._loop.time()))

    def _send(self, data: bytes, target: Address) -> list[ClientEffect]:
        """Send; what follows if the target refused, or there is no way to it."""
        try:
            opened = self._sockets.get(target)
            if opened is None:
                opened = self._open(target)
            opened.send(data)
        except OSError:
            return self._core.refused(target, self._loop.time())
        return []

    def _open(self, target: Address) -> socket.socket:
        opened = socket.socket(family_of(target), socket.SOCK_DGRAM)
        self._sockets[target] = opened
        opened.setblocking(False)
        opened.connect(target)
        self._loop.add_reader(opened, self._receive, opened, target)
        return opened

    def _receive(self, opened: socket.socket, target: Address) -> None:
        """One datagram each time: other tasks have their turn even in a flood."""
        if self._over.done():
            return
        now = self._loop.time()
        try:
            frame = self._codec.decode(opened.recv(RECEIVE_BYTES))
        except (BlockingIOError, MalformedFrame):
            return
        except OSError:
            self._act(self._core.refused(target, now))
            return
        self._act(self._core.handle(frame, target, now))
