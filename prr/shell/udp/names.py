"""Rows of socket addresses, one for each datagram of a burst, as the kernel writes and reads them.

Those of IPv4 have 16 bytes (ip(7)), those of IPv6 28 (ipv6(7)). Port and family stand at the same
place in both.
"""

import socket
import struct
from collections.abc import Sequence
from itertools import compress
from operator import ne
from typing import Any

from prr.wire.instance import Address, canonical, decode_address

_PORT_AT = (3, 2)
"""Where a name has the two bytes of an encoded port."""


class Names:
    """A row of names of IPv4."""

    family: int = socket.AF_INET
    length = 16
    stride = 16
    places: tuple[int, ...] = (4, 5, 6, 7, *_PORT_AT)
    """Where a name has each byte of an encoded address."""
    host = slice(4, 8)
    """Where it says from which host, or network, it is: see `host_keys`."""

    def __init__(self, count: int) -> None:
        """`count`: how many."""
        self.row = bytearray(count * self.stride)  # it never moves
        for place, byte in enumerate(struct.pack("=H", self.family)):
            self.row[place :: self.stride] = bytes((byte,)) * count

    def address(self, number: int) -> Address:
        """The address in one of them."""
        at = number * self.stride
        _, _, high, low, *ip = self.row[at : at + 8]
        return "{}.{}.{}.{}".format(*ip), high << 8 | low

    def columns(self, at: int, count: int) -> list[bytes]:
        """For each byte of an encoded address a column: that byte of `count` from `at` on."""
        first, end = at * self.stride, (at + count) * self.stride
        return [bytes(self.row[first + place : end : self.stride]) for place in self.places]

    def write(self, columns: Sequence[bytes]) -> None:
        """Make the first of them those of the addresses in `columns`."""
        end = len(columns[0]) * self.stride
        for place, column in zip(self.places, columns, strict=True):
            self.row[place : end : self.stride] = column

    def each(self, count: int) -> list[bytes]:
        """The first of them, one by one."""
        data, stride = bytes(self.row), self.stride
        return [data[at : at + stride] for at in range(0, count * stride, stride)]

    def put(self, names: Sequence[bytes]) -> None:
        """Make the first of them these."""
        self.row[: len(names) * self.stride] = b"".join(names)

    def repeats_at_most(self, at: int, count: int) -> int:
        """How many of `count` from `at` on are the one before; sometimes a few too many, for only
        the last byte of each port is read. One number holds them all: a fifth of what `starts`
        costs."""
        first, end = at * self.stride, (at + count) * self.stride
        ports = int.from_bytes(self.row[first + _PORT_AT[0] : end : self.stride])
        return (ports ^ ports >> 8).to_bytes(count).count(0)

    def starts(self, at: int, count: int) -> list[int]:
        """Where another one begins, counted from `at`."""
        names = self._keys(at, count)
        return [0, *compress(range(1, count), map(ne, names[1:], names))]

    def _keys(self, at: int, count: int) -> list[Any]:
        """What is the same for the same address, and for no other: family, port and ip."""
        return memoryview(self.row).cast("Q")[2 * at : 2 * (at + count) : 2].tolist()


_IPV6_NAME = struct.Struct("28s4x")


class IPv6Names(Names):
    """A row of names of IPv6."""

    family = socket.AF_INET6
    length = 28
    stride = _IPV6_NAME.size  # so that each is aligned
    places = (*range(8, 24), *_PORT_AT)
    host = slice(8, 16)

    def address(self, number: int) -> Address:
        at = number * self.stride
        name = self.row[at : at + self.stride]
        return decode_address(bytes((*name[8:24], name[3], name[2])))

    def _keys(self, at: int, count: int) -> list[Any]:
        return list(_IPV6_NAME.iter_unpack(self.row[at * self.stride : (at + count) * self.stride]))


def names_of(bound: socket.socket, count: int) -> Names:
    """A row of so many for what a socket receives."""
    return (IPv6Names if bound.family == socket.AF_INET6 else Names)(count)


def address_from(name: tuple[Any, ...]) -> Address:
    """The address in what the socket module calls a name."""
    return (canonical(name[0]) if len(name) > 2 else name[0]), name[1]
