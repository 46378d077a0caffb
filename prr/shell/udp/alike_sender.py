"""The same datagram to many: one system call, and one copy of it."""

import ctypes
import os
import socket
from collections.abc import Sequence

from prr.shell.udp.headers import (
    BURST_MAX,
    Header,
    Part,
    libc,
    make_headers,
    start_of,
)
from prr.shell.udp.names import Names
from prr.wire.instance import Instance, address_columns


class AlikeSender:
    """Sends from one socket of IPv4 to instances of the spec."""

    def __init__(self, bound: socket.socket) -> None:
        self._socket = bound
        self._names = Names(BURST_MAX)
        self._part = Part()
        self._headers = make_headers(self._names, (Part * BURST_MAX)())
        for header in (Header * BURST_MAX).from_buffer(self._headers):
            header.message.parts = ctypes.addressof(self._part)
        self._first = ctypes.c_void_p(start_of(self._headers))

    def send(self, data: bytes, instances: Sequence[Instance]) -> int:
        """Send `data` to the instances, BURST_MAX at most; how many went.

        Raises OSError if it cannot be sent to the first; BlockingIOError if there is no room.
        """
        self._names.write(address_columns(instances))
        held = bytearray(data)
        self._part.base, self._part.length = start_of(held), len(held)
        sent: int = libc.sendmmsg(
            self._socket.fileno(), self._first, len(instances), socket.MSG_DONTWAIT
        )
        if sent < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return sent
