"""One client's exchange, on sockets of whatever kind suits the program that asks.

In a program that runs gevent the wait lets other greenlets run; in one that does not, it blocks
the calling thread and no other. Each target has a fresh connected socket: a late answer to an
older question cannot be taken for this one's, and a refusal is noticed at once.
"""

import logging
import socket
import sys
import time
from collections import deque
from types import ModuleType
from typing import assert_never

from prr.core.client import Client, Outcome
from prr.core.effects import ClientEffect, Report, Send
from prr.wire.codec import Codec
from prr.wire.errors import MalformedFrame
from prr.wire.frames import Role
from prr.wire.instance import Address, describe_address

RECEIVE_BYTES = 2048
"""Room for one datagram: a legacy (2016) server pads its answer to 1000 bytes."""

RECEIVE_BUFFER = 4 << 20
"""Bytes asked for a socket's queue, some 5,000 datagrams: what comes at once after a restart has
room, which 256 datagrams, the default, have not. The kernel grants what net.core.rmem_max allows,
twice over."""

JUNK_PAUSE = 0.001
"""Seconds to rest after a datagram that is no frame: a flood of them must not take the processor
from the program's other greenlets."""

_log = logging.getLogger("prr")


def sockets_here() -> ModuleType:
    """gevent's socket module if this thread runs a gevent hub, else the standard one."""
    local = sys.modules.get("gevent._hub_local")
    if local is None or local.get_hub_if_exists() is None:
        return socket
    import gevent.socket

    return gevent.socket


def _gevent_sleep(seconds: float) -> None:
    import gevent

    gevent.sleep(seconds)


class _Line:
    """A connected socket to the target that is being asked; a new one for each target."""

    def __init__(self, sockets: ModuleType) -> None:
        self._sockets = sockets
        self._socket: socket.socket | None = None
        self.target: Address | None = None

    def aim(self, target: Address) -> None:
        """Open a fresh socket for `target`, unless it is the current target."""
        if target != self.target:
            self.close()
            self._socket = self._sockets.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            self.target = target

    def send(self, data: bytes) -> None:
        """Send to the target. OSError if it refused, or there is no way to it."""
        assert self._socket is not None
        assert self.target is not None
        if self._socket.getsockname()[1] == 0:
            self._socket.connect(self.target)
            own = describe_address(self._socket.getsockname())
            _log.info("client on %s asks %s", own, describe_address(self.target))
        self._socket.send(data)

    def receive(self, wait: float) -> bytes | None:
        """What the target sent within `wait` seconds, or None. OSError if it refused."""
        assert self._socket is not None
        self._socket.settimeout(wait)
        try:
            return self._socket.recv(RECEIVE_BYTES)
        except TimeoutError:
            return None

    def close(self) -> None:
        """Drop the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket, self.target = None, None


class Exchange:
    """Runs one Client core to its outcome."""

    def __init__(self, core: Client) -> None:
        sockets = sockets_here()
        self._core = core
        self._codec = Codec(Role.CLIENT)
        self._line = _Line(sockets)
        self._sleep = time.sleep if sockets is socket else _gevent_sleep

    def run(self) -> Outcome:
        """Ask, listen and ask again until the core has its outcome."""
        try:
            self._act(self._core.start(time.monotonic()))
            while self._core.outcome is None:
                self._listen()
        finally:
            self._line.close()
        return self._core.outcome

    def _listen(self) -> None:
        deadline = self._core.deadline()
        assert deadline is not None
        target = self._line.target
        assert target is not None
        left = deadline - time.monotonic()
        try:
            # Past the deadline nothing is received: a flood of junk must not put it off.
            data = self._line.receive(left) if left > 0 else None
        except OSError:
            self._act(self._core.refused(target, time.monotonic()))
            return
        if data is None:
            self._act(self._core.tick(time.monotonic()))
            return
        try:
            frame = self._codec.decode(data)
        except MalformedFrame:
            self._sleep(JUNK_PAUSE)
            return
        self._act(self._core.handle(frame, target, time.monotonic()))

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

    def _send(self, data: bytes, target: Address) -> list[ClientEffect]:
        """Send; what follows if the target refused, or there is no way to it."""
        self._line.aim(target)
        try:
            self._line.send(data)
        except OSError:
            return self._core.refused(target, time.monotonic())
        return []
