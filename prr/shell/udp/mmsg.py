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
import struct
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any, Protocol

from prr.shell.udp.gso_sender import GsoSender
from prr.shell.udp.headers import (
    BURST_MAX,
    HEADER_BYTES,
    IS_KNOWN,
    LENGTH_AT,
    libc,
    make_headers,
    make_parts,
    start_of,
)
from prr.shell.udp.names import address_from, names_of
from prr.wire.found import AnswerRun
from prr.wire.instance import Address, encode_address

RECEIVE_BYTES = 2048
"""Room for one datagram: more than any frame has (a list of 255 with a trailer is 1.8 kB), so
that nothing is truncated unnoticed."""

_TAKERS = [struct.Struct(f"{length}s").unpack_from for length in range(RECEIVE_BYTES + 1)]
"""For each length what takes so many bytes out of a buffer."""

_AGAIN = frozenset({errno.EAGAIN, errno.EINTR})


class Received(Protocol):
    """The datagrams of one burst, by number. They are there until the next `receive`."""

    @property
    def has_more(self) -> bool:
        """More has been taken from the socket, and waits for the next `receive`."""

    def turn_to(self, bound: socket.socket) -> None:
        """From now on receive from this socket, which is of the same family."""

    def receive(self) -> int:
        """Take the datagrams that have come, without waiting; how many.

        Raises OSError where the socket has an error of its own to tell.
        """

    @property
    def is_full(self) -> bool:
        """As many as can be taken at once have come: more may lie there."""

    def datagram(self, at: int) -> bytes:
        """The bytes of one."""

    def source(self, at: int) -> Address:
        """Who sent it."""

    def pairs(self, at: int, first: bytes) -> bytes:
        """The second bytes of those that stand in a row from `at` on and have two bytes, the
        first of them `first`."""

    def alike(self, at: int, size: int, fixed: Sequence[tuple[int, int]]) -> int:
        """How many in a row from `at` on have `size` bytes (255 at most), and each byte that is
        `fixed`: (place, value)."""

    def column(self, at: int, count: int, place: int) -> bytes:
        """The byte of each of `count` at a place that it has."""

    def address_columns(self, at: int, count: int) -> list[bytes]:
        """Who sent each of `count`: for each byte of an encoded address a column."""

    def rows(self, at: int, first: bytes, least: int, most: int) -> Iterator[bytes]:
        """Those that stand in a row from `at` on, begin with `first`, one byte, and have `least` (1
        or more) to `most` bytes."""

    def answer(self, at: int, answers: AnswerRun) -> int:
        """Send the senders from `at` on `answers`, 30 bytes each at most; how many went.

        Raises OSError if the first of them cannot be sent; BlockingIOError if there is no room.
        """


def received_by(bound: socket.socket, most: int = BURST_MAX) -> Received:
    """The bursts of a socket that does not block, of `most` datagrams (1 to BURST_MAX).

    One by one where the system has no calls for more.
    """
    return Burst(bound, most) if has_mmsg() else OneByOne(bound)


def has_mmsg() -> bool:
    """The system has both calls, with structures as they are laid out here."""
    return IS_KNOWN and hasattr(libc, "recvmmsg") and hasattr(libc, "sendmmsg")


class Burst:
    """Up to 64 datagrams received by one system call, and their answers sent by another."""

    def __init__(self, bound: socket.socket, most: int = BURST_MAX) -> None:
        self._socket = bound
        self._most = most
        self._count = 0
        self._names = names_of(bound, BURST_MAX)
        self._data = bytearray(BURST_MAX * RECEIVE_BYTES)
        self._parts = make_parts(self._data, RECEIVE_BYTES)
        self._headers = make_headers(self._names, self._parts)
        self._lengths = memoryview(self._headers).cast("I")[LENGTH_AT // 4 :: HEADER_BYTES // 4]
        self._first = ctypes.c_void_p(start_of(self._headers))
        self._answers = GsoSender(bound, self._names)

    @property
    def has_more(self) -> bool:
        """See `Received`."""
        return False

    def turn_to(self, bound: socket.socket) -> None:
        """See `Received`. For whom nothing is answered."""
        self._socket = bound

    def receive(self) -> int:
        """See `Received`."""
        count: int = libc.recvmmsg(
            self._socket.fileno(), self._first, self._most, socket.MSG_DONTWAIT, None
        )
        self._count = max(count, 0)
        if count < 0 and (number := ctypes.get_errno()) not in _AGAIN:
            raise OSError(number, os.strerror(number))
        return self._count

    @property
    def is_full(self) -> bool:
        """See `Received`."""
        return self._count == self._most

    def datagram(self, at: int) -> bytes:
        """See `Received`."""
        start, length_at = at * RECEIVE_BYTES, at * HEADER_BYTES + LENGTH_AT
        length = int.from_bytes(self._headers[length_at : length_at + 4], "little")
        return bytes(self._data[start : start + length])

    def source(self, at: int) -> Address:
        """See `Received`."""
        return self._names.address(at)

    def pairs(self, at: int, first: bytes) -> bytes:
        """See `Received`. A few slices tell it of the whole row: 20 ns a datagram."""
        headers, ends_at = at * HEADER_BYTES + LENGTH_AT, self._count * HEADER_BYTES
        begins, ends = at * RECEIVE_BYTES, self._count * RECEIVE_BYTES
        low = self._headers[headers:ends_at:HEADER_BYTES]
        high = self._headers[headers + 1 : ends_at : HEADER_BYTES]
        codes = self._data[begins:ends:RECEIVE_BYTES]
        if low.strip(b"\2") or high.strip(b"\0") or codes.strip(first):  # else they are all alike
            in_row = min(_leading(low, b"\2"), _leading(high, b"\0"), _leading(codes, first))
            ends = begins + in_row * RECEIVE_BYTES
        return bytes(self._data[begins + 1 : ends : RECEIVE_BYTES])

    def alike(self, at: int, size: int, fixed: Sequence[tuple[int, int]]) -> int:
        """See `Received`."""
        if self._lengths[at] != size:  # as of most forms that are asked for
            return 0
        headers, ends_at = at * HEADER_BYTES + LENGTH_AT, self._count * HEADER_BYTES
        in_row = min(
            _leading(self._headers[headers:ends_at:HEADER_BYTES], bytes((size,))),
            _leading(self._headers[headers + 1 : ends_at : HEADER_BYTES], b"\0"),
        )
        for place, value in fixed:
            if in_row:
                in_row = _leading(self.column(at, in_row, place), bytes((value,)))
        return in_row

    def column(self, at: int, count: int, place: int) -> bytes:
        """See `Received`."""
        first = at * RECEIVE_BYTES + place
        return bytes(self._data[first : first + count * RECEIVE_BYTES : RECEIVE_BYTES])

    def address_columns(self, at: int, count: int) -> list[bytes]:
        """See `Received`."""
        return self._names.columns(at, count)

    def rows(self, at: int, first: bytes, least: int, most: int) -> Iterator[bytes]:
        """See `Received`."""
        data, starts = self._data, range(at * RECEIVE_BYTES, len(self._data), RECEIVE_BYTES)
        heads = data[starts.start : self._count * RECEIVE_BYTES : RECEIVE_BYTES]
        lengths = self._lengths[at : at + _leading(heads, first)].tolist()
        if lengths and not least <= min(lengths) <= max(lengths) <= most:
            lengths = [*takewhile(lambda length: least <= length <= most, lengths)]
        return (_TAKERS[size](data, start)[0] for size, start in zip(lengths, starts, strict=False))

    def answer(self, at: int, answers: AnswerRun) -> int:
        """See `Received`."""
        return self._answers.send(at, answers)


class OneByOne:
    """The same for a system without recvmmsg: bursts of one."""

    has_more = False

    def __init__(self, bound: socket.socket) -> None:
        self._socket = bound
        self._data = b""
        self._name: tuple[Any, ...] = ("", 0)
        self.is_full = False

    def turn_to(self, bound: socket.socket) -> None:
        """See `Received`."""
        self._socket = bound

    def receive(self) -> int:
        """See `Received`."""
        try:
            self._data, self._name = self._socket.recvfrom(RECEIVE_BYTES, socket.MSG_DONTWAIT)
        except (BlockingIOError, InterruptedError):
            self.is_full = False
            return 0
        self.is_full = True
        return 1

    def datagram(self, at: int) -> bytes:
        """See `Received`."""
        return self._data

    def source(self, at: int) -> Address:
        """See `Received`."""
        return address_from(self._name)

    def pairs(self, at: int, first: bytes) -> bytes:
        """See `Received`."""
        is_one = len(self._data) == 2 and self._data.startswith(first)
        return self._data[1:] if is_one else b""

    def alike(self, at: int, size: int, fixed: Sequence[tuple[int, int]]) -> int:
        """See `Received`."""
        data = self._data
        return int(len(data) == size and all(data[place] == value for place, value in fixed))

    def column(self, at: int, count: int, place: int) -> bytes:
        """See `Received`."""
        return self._data[place : place + count]

    def address_columns(self, at: int, count: int) -> list[bytes]:
        """See `Received`."""
        return [bytes((byte,)) for byte in encode_address(self.source(at))]

    def rows(self, at: int, first: bytes, least: int, most: int) -> Iterator[bytes]:
        """See `Received`."""
        if self._data.startswith(first) and least <= len(self._data) <= most:
            yield self._data

    def answer(self, at: int, answers: AnswerRun) -> int:
        """See `Received`."""
        self._socket.sendto(answers.data, socket.MSG_DONTWAIT, self._name)
        return 1


def _leading(row: bytes | bytearray, byte: bytes) -> int:
    """How many of the first bytes of `row` are `byte`."""
    return len(row) - len(row.lstrip(byte))
