"""A binder's end of the sockets between it and the process that serves its HTTP.

Whatever is to be read or written there comes behind all that has arrived for the binder. What the
other side does not take is not kept: whoever sends it waits, and so nothing more is read or made.
"""

import socket
from contextlib import suppress

from gevent.hub import get_hub
from gevent.lock import Semaphore

from prr.shell.admin.calls import MESSAGE_BYTES_MAX
from prr.shell.admin.turns import LOWEST

SEND_BUFFER = 2 * MESSAGE_BYTES_MAX
"""Bytes that the kernel is asked to hold, which it would not do of a longer message than it is set
up for: a host's default may be a few thousand."""

_READ, _WRITE = 1, 2  # libev's masks


class Over(Exception):
    """The other side is gone."""


class Link:
    """One end. The socket is the link's from now on."""

    def __init__(self, here: socket.socket) -> None:
        here.setblocking(False)
        here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self._socket = here
        self._sending = Semaphore(1)
        loop = get_hub().loop
        self._readable = loop.io(here.fileno(), _READ)
        self._writable = loop.io(here.fileno(), _WRITE)
        for one in (self._readable, self._writable):
            one.priority = LOWEST  # type: ignore[attr-defined]  # the stubs lack it

    def receive(self) -> bytes:
        """The next message. One is taken in a turn of the loop, and so lookups come between any
        two. Raises Over."""
        while True:
            get_hub().wait(self._readable)
            try:
                data = self._socket.recv(MESSAGE_BYTES_MAX)
            except BlockingIOError:
                continue
            except OSError as error:
                raise Over from error
            if not data:
                raise Over
            return data

    def send(self, message: bytes) -> None:
        """Send one message, as soon as there is room for it. Raises Over."""
        assert len(message) <= MESSAGE_BYTES_MAX
        with self._sending:
            while True:
                try:
                    self._socket.send(message)
                    return
                except BlockingIOError:
                    get_hub().wait(self._writable)
                except OSError as error:
                    raise Over from error

    def close(self) -> None:
        """Let go of it. Whoever waits to send is told that it is over."""
        with suppress(OSError):  # the other side may have done so
            self._socket.shutdown(socket.SHUT_RDWR)
        with self._sending:
            pass
        self._readable.close()
        self._writable.close()
        self._socket.close()
