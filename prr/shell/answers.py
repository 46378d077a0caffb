"""The answers to a burst of look-ups, sent by one system call.

Those to one sender that stand in a row leave as one send, which the kernel cuts into datagrams
(UDP_SEGMENT, Linux 4.18): it finds the way once and not for each, so that eight together cost
little more than two alone. Nobody can tell from the datagrams.
"""

import ctypes
import errno
import os
import socket
import struct
from itertools import compress
from operator import ne

from prr.shell.headers import (
    BURST_MAX,
    HEADER_BYTES,
    Header,
    libc,
    make_headers,
    make_parts,
    start_of,
)

ANSWER_BYTES = 8
"""The longest of the answers that go out in bursts."""

_SOL_UDP, _UDP_SEGMENT = 17, 103
_CONTROL = struct.Struct("=QiiH6x")  # struct cmsghdr and the size of a segment

_CANNOT_CUT = frozenset({errno.EINVAL, errno.EIO, errno.EOPNOTSUPP})
"""What a network interface has to say that leaves checksums to the processor (udp(7))."""


class Answers:
    """Sends one socket's answers to the senders of a burst."""

    def __init__(self, bound: socket.socket, names: bytearray) -> None:
        """`names` are the senders' addresses, as recvmmsg fills them in."""
        self._socket = bound
        self._can_cut = _can_cut(bound)
        self._size = 0
        self._senders = memoryview(names).cast("Q")[::2]  # family, port and ip
        self._data = bytearray(BURST_MAX * ANSWER_BYTES)
        self._control = bytearray(_CONTROL.size)
        self._parts = make_parts(self._data, ANSWER_BYTES)
        self._headers = make_headers(names, self._parts)
        self._runs = make_parts(self._data, ANSWER_BYTES)
        self._run_lengths = memoryview(self._runs).cast("B").cast("Q")[1::2]
        self._run_headers = make_headers(names, self._runs)
        for header in (Header * BURST_MAX).from_buffer(self._run_headers):
            header.message.control = start_of(self._control)
            header.message.control_length = _CONTROL.size
        cut = range(0, len(self._run_headers), HEADER_BYTES)
        self._templates = [bytes(self._run_headers[at : at + HEADER_BYTES]) for at in cut]
        self._first_run = ctypes.c_void_p(start_of(self._run_headers))
        self._first = start_of(self._headers)

    def send(self, at: int, answers: bytes, size: int) -> int:
        """Send the senders from `at` on `answers`, `size` bytes each; how many went.

        Raises OSError if the first of them cannot be sent; BlockingIOError if there is no room.
        """
        if size != self._size:
            self._resize(size)
        self._data[at * size : at * size + len(answers)] = answers
        count = len(answers) // size
        if self._can_cut:
            starts = self._starts(at, count)
            if 4 * len(starts) <= 3 * count:  # else the kernel's savings do not pay for ours
                return self._send_runs(at, starts, count)
        return self._send_each(at, count)

    def _send_each(self, at: int, count: int) -> int:
        return self._call(ctypes.c_void_p(self._first + at * HEADER_BYTES), count)

    def _starts(self, at: int, count: int) -> list[int]:
        """Where another sender begins, counted from `at`."""
        senders = self._senders[at : at + count].tolist()
        return [0, *compress(range(1, count), map(ne, senders[1:], senders))]

    def _send_runs(self, at: int, starts: list[int], count: int) -> int:
        ends = [*starts[1:], count]
        size, lengths, templates = self._size, self._run_lengths, self._templates
        for start, end in zip(starts, ends, strict=True):
            lengths[at + start] = (end - start) * size
        headers = b"".join([templates[at + start] for start in starts])
        self._run_headers[: len(headers)] = headers
        try:
            sent = self._call(self._first_run, len(starts))
        except OSError as error:
            if error.errno not in _CANNOT_CUT:
                raise
            sent_alone = self._send_each(at, count)  # raises if cutting was not what it minded
            self._can_cut = False
            return sent_alone
        return ends[sent - 1] if sent else 0

    def _call(self, headers: ctypes.c_void_p, count: int) -> int:
        sent: int = libc.sendmmsg(self._socket.fileno(), headers, count, socket.MSG_DONTWAIT)
        if sent < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))  # BlockingIOError where that is the reason
        return sent

    def _resize(self, size: int) -> None:
        """All answers of a node have one size, so this happens once."""
        base = start_of(self._data)
        for parts in (self._parts, self._runs):
            for number, part in enumerate(parts):
                part.base, part.length = base + number * size, size
        _CONTROL.pack_into(self._control, 0, _CONTROL.size - 6, _SOL_UDP, _UDP_SEGMENT, size)
        self._size = size


def _can_cut(bound: socket.socket) -> bool:
    """An older kernel would send all as one datagram, and say nothing."""
    try:
        bound.getsockopt(_SOL_UDP, _UDP_SEGMENT)
    except OSError:
        return False
    return True
