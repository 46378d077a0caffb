"""The same datagram to many: one system call, and one copy of it."""

import ctypes
import os
import socket
import struct
from collections.abc import Sequence

from prr.shell.udp.headers import (
    BURST_MAX,
    NAME_BYTES,
    Header,
    Part,
    libc,
    make_headers,
    start_of,
    write_names,
)
from prr.wire.instance import Instance, address_columns

_FAMILY = struct.pack("=H", socket.AF_INET)


class AlikeSender:
    """Sends from one socket."""

    def __init__(self, bound: socket.socket) -> None:
        self._socket = bound
        self._names = bytearray(BURST_MAX * NAME_BYTES)
        for place, byte in enumerate(_FAMILY):
            self._names[place::NAME_BYTES] = bytes((byte,)) * BURST_MAX
        self._part = Part()
        self._headers = make_headers(self._names, (Part * BURST_MAX)())
        for header in (Header * BURST_MAX).from_buffer(self._headers):
            header.message.parts = ctypes.addressof(self._part)
        self._first = ctypes.c_void_p(start_of(self._headers))

    def send(self, data: bytes, instances: Sequence[Instance]) -> int:
        """Send `data` to the instances, BURST_MAX at most; how many went.

        Raises OSError if it cannot be sent to the first; BlockingIOError if there is no room.
        """
        write_names(self._names, address_columns(instances))
        held = bytearray(data)
        self._part.base, self._part.length = start_of(held), len(held)
        sent: int = libc.sendmmsg(
            self._socket.fileno(), self._first, len(instances), socket.MSG_DONTWAIT
        )
        if sent < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return sent
