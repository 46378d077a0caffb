"""One client's exchange, on sockets of whatever kind suits the program that asks.

In a program that runs gevent the wait lets other greenlets run; in one that does not, it blocks
the calling thread and no other. Each target has a connected socket that no other exchange uses
meanwhile: a refusal is noticed at once, and no late answer to an older question is taken for the
one to this.
"""

import contextlib
import logging
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Generic, assert_never

from prr.addresses import family_of
from prr.client.exchange_core import Core, O_co
from prr.client.kept_sockets import KeptSockets, Use
from prr.core.effects import ClientEffect, Report, Send
from prr.wire.codec import Codec
from prr.wire.errors import MalformedFrame
from prr.wire.frames import Frame
from prr.wire.instance import Address, describe_address

RECEIVE_BYTES = 2048
"""Room for one datagram: a legacy (2016) server pads its answer to 1000 bytes."""

RECEIVE_BUFFER = 4 << 20
"""Bytes asked for a socket's queue, some 5,000 datagrams: what comes at once after a restart has
room, which 256 datagrams, the default, have not. The kernel grants what net.core.rmem_max allows,
twice over."""

ONCE = [1, 1]
"""Datagrams sent to a target, and arrived, where one question was answered once."""

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


class _Waiting:
    """How this program waits: with its greenlets, or its thread alone."""

    def __init__(self) -> None:
        self.poll: Callable[[], Any] = select.poll
        self.sleep: Callable[[float], None] = time.sleep
        if sockets_here() is not socket:
            import gevent
            import gevent.select

            self.poll, self.sleep = gevent.select.poll, gevent.sleep


class _Sockets:
    """A connected socket for each target that was asked: a few binders, and a few services. Those
    of binders are kept for the next exchange."""

    def __init__(self, waiting: _Waiting, uses: Mapping[Address, Use], kept: KeptSockets) -> None:
        self._poll = waiting.poll()
        self._uses = uses
        self._kept = kept
        self._by_target: dict[Address, socket.socket] = {}
        self._by_number: dict[int, tuple[socket.socket, Address]] = {}
        self._traffic: dict[Address, list[int]] = {}  # datagrams sent to a target, and arrived

    def send(self, data: bytes, target: Address) -> None:
        """Send to a target. OSError if it refused, or there is no way to it."""
        opened = self._by_target.get(target) or self._open(target)
        self._traffic[target][0] += 1
        opened.send(data)

    def _open(self, target: Address) -> socket.socket:
        use = self._uses.get(target)
        opened = self._kept.take(use) if use else None
        if opened is None:
            opened = _connected(target)
        self._by_target[target], self._traffic[target] = opened, [0, 0]
        self._by_number[opened.fileno()] = opened, target
        self._poll.register(opened.fileno(), select.POLLIN)
        return opened

    def receive(self, wait: float) -> list[tuple[Address, bytes | None]]:
        """What came within `wait` seconds, at most one from each target; None: it refused."""
        arrived: list[tuple[Address, bytes | None]] = []
        for number, _ in self._poll.poll(max(0.0, wait) * 1000):
            opened, target = self._by_number[number]
            try:
                arrived.append((target, opened.recv(RECEIVE_BYTES)))
                self._traffic[target][1] += 1
            except BlockingIOError:  # the kernel dropped it: its checksum was wrong
                continue
            except OSError:
                arrived.append((target, None))
        return arrived

    def close(self) -> None:
        """Close them, but for those to keep."""
        for target, opened in self._by_target.items():
            use = self._uses.get(target)
            if use and self._traffic[target] == ONCE:
                self._kept.give_back(use, opened)
            else:
                opened.close()


def _connected(target: Address) -> socket.socket:
    opened = socket.socket(family_of(target), socket.SOCK_DGRAM)
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        opened.connect(target)
    except OSError:
        opened.close()
        raise
    own = describe_address(opened.getsockname()[:2])
    _log.info("client on %s asks %s", own, describe_address(target))
    return opened


def tell(frame: Frame, target: Address, codec: Codec) -> None:
    """Send a frame that nobody answers. Raises OSError: there is no way to `target`."""
    with contextlib.closing(_connected(target)) as opened:
        opened.send(codec.encode(frame))


class Exchange(Generic[O_co]):
    """Runs one client's core to its outcome."""

    def __init__(
        self, core: Core[O_co], uses: Mapping[Address, Use], kept: KeptSockets, codec: Codec
    ) -> None:
        """`uses`: for each binder that is asked for one service what its socket is kept for."""
        waiting = _Waiting()
        self._core = core
        self._codec = codec
        self._sockets = _Sockets(waiting, uses, kept)
        self._sleep = waiting.sleep

    def run(self) -> O_co:
        """Ask, listen and ask again until the core has its outcome."""
        try:
            self._act(self._core.start(time.monotonic()))
            while (outcome := self._core.outcome) is None:
                self._listen()
        finally:
            self._sockets.close()
        return outcome

    def _listen(self) -> None:
        deadline = self._core.deadline()
        assert deadline is not None
        left = deadline - time.monotonic()
        # Past the deadline nothing is received: a flood of junk must not put it off.
        arrived = self._sockets.receive(left) if left > 0 else []
        if not arrived:
            self._act(self._core.tick(time.monotonic()))
        for target, data in arrived:
            self._hear(target, data)

    def _hear(self, target: Address, data: bytes | None) -> None:
        if data is None:
            self._act(self._core.refused(target, time.monotonic()))
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
        try:
            self._sockets.send(data, target)
        except OSError:
            return self._core.refused(target, time.monotonic())
        return []
