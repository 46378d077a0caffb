"""What recvmmsg(2) and sendmmsg(2) want to be given: rows of headers, parts and names.

They are made once, over buffers that never move, and used for every call.
"""

import ctypes
import sys

from prr.shell.udp.names import Names

BURST_MAX = 64
"""Datagrams taken before others have their turn: lookups for half a millisecond at most. The
kernel makes no more segments of one send either (UDP_MAX_SEGMENTS)."""


class Part(ctypes.Structure):  # struct iovec
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


class Header(ctypes.Structure):  # struct mmsghdr
    _fields_ = [("message", _Message), ("length", ctypes.c_uint32)]


HEADER_BYTES = ctypes.sizeof(Header)
LENGTH_AT = Header.length.offset

IS_KNOWN = sys.byteorder == "little" and (HEADER_BYTES, LENGTH_AT) == (64, 56)
"""The structures have the layout here that this code assumes."""

# The calls that are made never wait, so they keep the interpreter's lock.
libc = ctypes.PyDLL(None, use_errno=True)


def make_parts(buffer: bytearray, size: int) -> "ctypes.Array[Part]":
    """`buffer` divided into parts of `size` bytes, one for each datagram."""
    start = start_of(buffer)
    return (Part * BURST_MAX)(*(Part(start + n * size, size) for n in range(BURST_MAX)))


def make_headers(names: Names, parts: "ctypes.Array[Part]") -> bytearray:
    """A header for each datagram, with its name and its part."""
    row = bytearray(BURST_MAX * HEADER_BYTES)
    for number, header in enumerate((Header * BURST_MAX).from_buffer(row)):
        header.message.name = start_of(names.row) + number * names.stride
        header.message.name_length = names.length
        header.message.parts = ctypes.addressof(parts[number])
        header.message.part_count = 1
    return row


def start_of(buffer: bytearray) -> int:
    """Where `buffer` lies. It must never be resized."""
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))
