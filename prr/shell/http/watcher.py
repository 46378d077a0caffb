"""One who watches: a socket that is never waited for."""

import socket
from collections.abc import Callable

from gevent.hub import get_hub

from prr.wire.instance import Service

SEND_BUFFER = 32768
"""Bytes that the kernel is asked to hold for one; it takes twice as much."""

PENDING_MAX = 32768
"""Bytes kept for one, from which on it is told no more until it has read: some 100 changes."""

_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
    b"X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
)

_READ, _WRITE = 1, 2  # libev's masks


class Watcher:
    """Is told, from the change of number `at` on, of one `service`; None: of all."""

    def __init__(
        self,
        taken: socket.socket,
        service: Service | None,
        at: int,
        forget: Callable[["Watcher", bool], None],
    ) -> None:
        """`forget` is called once it is closed, with whether it was cut off."""
        self.service = service
        self.at = at
        self._socket = taken
        self._forget = forget
        self._pending = bytearray(_HEAD)
        self._idle_beats = 0  # heartbeats since it took something last, while something waits
        self._waits = False  # for room to send
        self._is_closed = False
        taken.setblocking(False)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        loop = get_hub().loop
        self._gone = loop.io(taken.fileno(), _READ)
        self._gone.start(self._hear)
        self._room = loop.io(taken.fileno(), _WRITE)

    @property
    def is_full(self) -> bool:
        """It has not taken what it was sent: it is told more when it has."""
        return len(self._pending) > PENDING_MAX

    def send(self, data: bytes) -> None:
        """Send this, as much as there is room for, and the rest later."""
        if self._is_closed:
            return
        self._pending += data
        if not self._waits:
            self._flush()

    def beat(self) -> None:
        """A sign of life; cut off who has taken nothing since the last one."""
        if not self._pending:
            self.send(b":\n\n")
            return
        self._idle_beats += 1
        if self._idle_beats > 1:
            self.close(is_cut_off=True)

    def close(self, is_cut_off: bool = False) -> None:
        """Let go of it. No error if that is done."""
        if self._is_closed:
            return
        self._is_closed = True
        for one in (self._gone, self._room):
            one.stop()
            one.close()
        self._socket.close()
        self._forget(self, is_cut_off)

    def _flush(self) -> None:
        try:
            sent = self._socket.send(self._pending)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        if sent:
            self._idle_beats = 0
            del self._pending[:sent]
        if bool(self._pending) is not self._waits:
            self._waits = not self._waits
            if self._waits:
                self._room.start(self._flush)
            else:
                self._room.stop()

    def _hear(self) -> None:
        """It is gone, or says what nobody asked for."""
        self.close()
