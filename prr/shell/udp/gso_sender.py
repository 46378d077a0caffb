"""The answers to a burst of lookups, sent by one system call.

Those to one sender that follow each other leave as one send, which the kernel segments into
datagrams (UDP_SEGMENT, Linux 4.18): it finds the route once and not for each, so that eight
together cost little more than two alone. Nobody can tell from the datagrams.
"""

import ctypes
import errno
import os
import socket
import struct

from prr.shell.udp.headers import (
    BURST_MAX,
    HEADER_BYTES,
    Header,
    libc,
    make_headers,
    make_parts,
    start_of,
)
from prr.shell.udp.names import Names
from prr.wire.found import AnswerRun

_SOL_UDP, _UDP_SEGMENT = 17, 103
_CONTROL = struct.Struct("=QiiH6x")  # struct cmsghdr and the size of a segment

_CANNOT_SEGMENT = frozenset({errno.EINVAL, errno.EIO, errno.EOPNOTSUPP})
"""What a network interface has to say that leaves checksums to the processor (udp(7))."""


class _Layout:
    """Headers and buffers for answers of one size, one for each datagram of a burst.

    `headers` send each answer alone; a template sends a run of them, which the kernel segments.
    """

    def __init__(self, size: int, names: Names) -> None:
        self.size = size
        self.data = bytearray(BURST_MAX * size)
        self._parts = make_parts(self.data, size)
        self._runs = make_parts(self.data, size)
        self.headers = make_headers(names, self._parts)
        first = start_of(self.headers)
        self.firsts = [ctypes.c_void_p(first + n * HEADER_BYTES) for n in range(BURST_MAX)]
        self.run_lengths = memoryview(self._runs).cast("B").cast("Q")[1::2]
        self._control = bytearray(_CONTROL.size)
        _CONTROL.pack_into(self._control, 0, _CONTROL.size - 6, _SOL_UDP, _UDP_SEGMENT, size)
        run_headers = make_headers(names, self._runs)
        for header in (Header * BURST_MAX).from_buffer(run_headers):
            header.message.control = start_of(self._control)
            header.message.control_length = _CONTROL.size
        self.templates = _each(run_headers)


class GsoSender:
    """Sends one socket's answers to the senders of a burst."""

    def __init__(self, bound: socket.socket, names: Names) -> None:
        """`names` are the senders' addresses, as recvmmsg fills them in."""
        self._socket = bound
        self._can_segment = _can_segment(bound)
        self._names = names
        self._layouts: dict[int, _Layout] = {}  # five: in each family, and "no", bare or not
        self._headers = bytearray(BURST_MAX * HEADER_BYTES)
        self._first = ctypes.c_void_p(start_of(self._headers))

    def turn_to(self, bound: socket.socket) -> None:
        """From now on send from this socket, which is of the same family."""
        self._socket = bound

    def send(self, at: int, answers: AnswerRun) -> int:
        """Send the senders from `at` on `answers`; how many went.

        Raises OSError if the first of them cannot be sent; BlockingIOError if there is no room.
        """
        if not answers.size:
            return self._send_mixed(at, answers)
        size, count = answers.size, len(answers.data) // answers.size
        layout = self._layout(size)
        layout.data[at * size : at * size + len(answers.data)] = answers.data
        if self._can_segment and 4 * self._names.repeats_at_most(at, count) >= count:
            starts = self._names.starts(at, count)
            if 4 * len(starts) <= 3 * count:  # else the kernel's savings do not pay for ours
                return self._send_runs(at, starts, count, layout)
        return self._send_each(at, count, layout)

    def _layout(self, size: int) -> _Layout:
        layout = self._layouts.get(size)
        if layout is None:
            layout = self._layouts[size] = _Layout(size, self._names)
        return layout

    def _send_each(self, at: int, count: int, layout: _Layout) -> int:
        return self._call(layout.firsts[at], count)

    def _send_runs(self, at: int, starts: list[int], count: int, layout: _Layout) -> int:
        ends = [*starts[1:], count]
        size, lengths, templates = layout.size, layout.run_lengths, layout.templates
        for start, end in zip(starts, ends, strict=True):
            lengths[at + start] = (end - start) * size
        headers = b"".join([templates[at + start] for start in starts])
        try:
            sent = self._call_with(headers)
        except OSError as error:
            if error.errno not in _CANNOT_SEGMENT:
                raise
            sent_alone = self._send_each(at, count, layout)  # raises if that was not the reason
            self._can_segment = False
            return sent_alone
        return ends[sent - 1] if sent else 0

    def _send_mixed(self, at: int, answers: AnswerRun) -> int:
        """Answers of two sizes, each alone. Whoever mixes them costs no more than many clients."""
        headers = []
        for number, answer in enumerate(answers.datagrams(), at):
            layout = self._layout(len(answer))
            layout.data[number * layout.size : (number + 1) * layout.size] = answer
            headers.append(layout.headers[number * HEADER_BYTES : (number + 1) * HEADER_BYTES])
        return self._call_with(b"".join(headers))

    def _call_with(self, headers: bytes) -> int:
        self._headers[: len(headers)] = headers
        return self._call(self._first, len(headers) // HEADER_BYTES)

    def _call(self, headers: ctypes.c_void_p, count: int) -> int:
        sent: int = libc.sendmmsg(self._socket.fileno(), headers, count, socket.MSG_DONTWAIT)
        if sent < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))  # BlockingIOError where that is the reason
        return sent


def _each(headers: bytearray) -> list[bytes]:
    """A row of headers, one by one."""
    return [bytes(headers[at : at + HEADER_BYTES]) for at in range(0, len(headers), HEADER_BYTES)]


def _can_segment(bound: socket.socket) -> bool:
    """An older kernel would send all as one datagram, and say nothing."""
    try:
        bound.getsockopt(_SOL_UDP, _UDP_SEGMENT)
    except OSError:
        return False
    return True
