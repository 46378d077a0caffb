"""Bursts of datagrams: one system call receives up to 64 of them, and one sends their answers.

recvmmsg(2) and sendmmsg(2) through ctypes, over headers, names and buffers that are made once.
Received one at a time, a datagram costs CPython 3 to 5 us more. An answer goes to the sender's
address bytes as they came: nobody reads them. Where a system has no such calls `OneByOne` does
the same, one datagram at a time.
"""

import ctypes
import errno
import os
import socket
import sys
from typing import Protocol

from prr.wire.address import Address
from prr.wire.runs import LOOKUP_BYTES, LOOKUP_CODE

RECEIVE_BYTES = 2048
"""Room for one datagram: more than any frame has (a list of 255 with a trailer is 1.8 kB), so
that nothing is cut unseen."""

BURST_MAX = 64
"""Datagrams taken before others have their turn: look-ups for half a millisecond at most."""

_NAME_BYTES = 16  # struct sockaddr_in
_ANSWER_BYTES = 8  # the longest of the answers that go out in bursts

_AGAIN = frozenset({errno.EAGAIN, errno.EINTR})


class _Part(ctypes.Structure):  # struct iovec
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class _Message(ctypes.Structure):  # struct msghdr
    _fields_ = [
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("parts", ctypes.c_void_p),
        ("part_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]


class _Header(ctypes.Structure):  # struct mmsghdr
    _fields_ = [("message", _Message), ("length", ctypes.c_uint32)]


_HEADER_BYTES = ctypes.sizeof(_Header)
_LENGTH_AT = _Header.length.offset


class Received(Protocol):
    """The datagrams of one burst, by number. They are there until the next `receive`."""

    def receive(self) -> int:
        """Take the datagrams that have come, without waiting; how many.

        Raises OSError where the socket has an error of its own to tell.
        """

    def datagram(self, at: int) -> bytes:
        """The bytes of one."""

    def source(self, at: int) -> Address:
        """Who sent it."""

    def types_asked(self, at: int) -> bytes:
        """The types that the bare look-ups ask for which stand in a row from `at` on."""

    def answer(self, at: int, answers: bytes, size: int) -> int:
        """Send the senders from `at` on `answers`, `size` bytes each (8 at most); how many went.

        Raises OSError if the first of them cannot be sent; BlockingIOError if there is no room.
        """


def received_by(bound: socket.socket, most: int = BURST_MAX) -> Received:
    """The bursts of a socket that does not block, of `most` datagrams (1 to BURST_MAX).

    One by one where the system has no calls for more.
    """
    return Burst(bound, most) if has_mmsg() else OneByOne(bound)


def has_mmsg() -> bool:
    """The system has both calls, with structures as they are laid out here."""
    is_known = sys.byteorder == "little" and (_HEADER_BYTES, _LENGTH_AT) == (64, 56)
    return is_known and hasattr(_libc, "recvmmsg") and hasattr(_libc, "sendmmsg")


# The calls never wait, so they keep the interpreter's lock.
_libc = ctypes.PyDLL(None, use_errno=True)


class Burst:
    """Up to 64 datagrams received by one system call, and their answers sent by another."""

    def __init__(self, bound: socket.socket, most: int = BURST_MAX) -> None:
        self._socket = bound
        self._most = most
        self._count = 0
        self._names = bytearray(BURST_MAX * _NAME_BYTES)
        self._data = bytearray(BURST_MAX * RECEIVE_BYTES)
        self._answers = bytearray(BURST_MAX * _ANSWER_BYTES)
        self._in = bytearray(BURST_MAX * _HEADER_BYTES)
        self._in_headers = (_Header * BURST_MAX).from_buffer(self._in)
        self._in_parts = _parts(self._data, RECEIVE_BYTES)
        self._out_headers = (_Header * BURST_MAX)()
        self._out_parts = _parts(self._answers, _ANSWER_BYTES)
        self._size = _ANSWER_BYTES
        names = _start_of(self._names)
        for headers, parts in (
            (self._in_headers, self._in_parts),
            (self._out_headers, self._out_parts),
        ):
            for number, header in enumerate(headers):
                header.message.name = names + number * _NAME_BYTES
                header.message.name_length = _NAME_BYTES
                header.message.parts = ctypes.addressof(parts[number])
                header.message.part_count = 1
        self._first_in = ctypes.c_void_p(ctypes.addressof(self._in_headers))

    def receive(self) -> int:
        """See `Received`."""
        count: int = _libc.recvmmsg(
            self._socket.fileno(), self._first_in, self._most, socket.MSG_DONTWAIT, None
        )
        self._count = max(count, 0)
        if count < 0 and (number := ctypes.get_errno()) not in _AGAIN:
            raise OSError(number, os.strerror(number))
        return self._count

    def datagram(self, at: int) -> bytes:
        """See `Received`."""
        start = at * RECEIVE_BYTES
        return bytes(self._data[start : start + self._in_headers[at].length])

    def source(self, at: int) -> Address:
        """See `Received`."""
        _, _, high, low, *ip = self._names[at * _NAME_BYTES : at * _NAME_BYTES + 8]
        return "{}.{}.{}.{}".format(*ip), high << 8 | low

    def types_asked(self, at: int) -> bytes:
        """See `Received`. A few slices tell it of the whole row: 20 ns a datagram."""
        headers, ends_at = at * _HEADER_BYTES + _LENGTH_AT, self._count * _HEADER_BYTES
        in_row = min(
            _leading(self._in[headers:ends_at:_HEADER_BYTES], bytes((LOOKUP_BYTES,))),
            _leading(self._in[headers + 1 : ends_at : _HEADER_BYTES], b"\0"),
            _leading(
                self._data[at * RECEIVE_BYTES : self._count * RECEIVE_BYTES : RECEIVE_BYTES],
                LOOKUP_CODE,
            ),
        )
        row = slice(at * RECEIVE_BYTES + 1, (at + in_row) * RECEIVE_BYTES, RECEIVE_BYTES)
        return bytes(self._data[row])

    def answer(self, at: int, answers: bytes, size: int) -> int:
        """See `Received`."""
        if size != self._size:
            self._resize(size)
        self._answers[at * size : at * size + len(answers)] = answers
        count: int = _libc.sendmmsg(
            self._socket.fileno(),
            ctypes.byref(self._out_headers, at * _HEADER_BYTES),
            len(answers) // size,
            socket.MSG_DONTWAIT,
        )
        if count < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))  # BlockingIOError where that is the reason
        return count

    def _resize(self, size: int) -> None:
        """All answers of a node have one size, so this happens once."""
        base = _start_of(self._answers)
        for number, part in enumerate(self._out_parts):
            part.base, part.length = base + number * size, size
        self._size = size


class OneByOne:
    """The same for a system without recvmmsg: bursts of one."""

    def __init__(self, bound: socket.socket) -> None:
        self._socket = bound
        self._data = b""
        self._source: Address = ("", 0)

    def receive(self) -> int:
        """See `Received`."""
        try:
            self._data, self._source = self._socket.recvfrom(RECEIVE_BYTES, socket.MSG_DONTWAIT)
        except (BlockingIOError, InterruptedError):
            return 0
        return 1

    def datagram(self, at: int) -> bytes:
        """See `Received`."""
        return self._data

    def source(self, at: int) -> Address:
        """See `Received`."""
        return self._source

    def types_asked(self, at: int) -> bytes:
        """See `Received`."""
        is_bare = len(self._data) == LOOKUP_BYTES and self._data.startswith(LOOKUP_CODE)
        return self._data[1:] if is_bare else b""

    def answer(self, at: int, answers: bytes, size: int) -> int:
        """See `Received`."""
        self._socket.sendto(answers, socket.MSG_DONTWAIT, self._source)
        return 1


def _parts(buffer: bytearray, size: int) -> "ctypes.Array[_Part]":
    """`buffer` cut into parts of `size` bytes, one for each datagram."""
    start = _start_of(buffer)
    return (_Part * BURST_MAX)(*(_Part(start + n * size, size) for n in range(BURST_MAX)))


def _start_of(buffer: bytearray) -> int:
    """Where `buffer` lies. It must never be resized."""
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


def _leading(row: bytearray, byte: bytes) -> int:
    """How many of the first bytes of `row` are `byte`."""
    return len(row) - len(row.lstrip(byte))
