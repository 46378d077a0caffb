"""Where connections wait until a request's line and headers have come in full.

Whoever waits is a descriptor among others in one epoll, and no greenlet: to take one in, to look at
what it has sent, and to end it costs some ten microseconds each. What has come stays in the kernel
until it is whole, so that the next request of a connection is nobody else's to keep.
"""

import math
import select
import socket
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import NamedTuple

from gevent.hub import get_hub

from prr.shell.http.problems import refusal

HEAD_BYTES_MAX = 8192
"""Of a request's first line and its headers together."""

HEAD_LIMIT = 10.0
"""Seconds in which they have to come, from the answer before or the connection's begin."""

_UNREAD_MAX = 65536
"""Bytes that are read of what nobody wants any more, so that the kernel lets an answer go out."""

_COMING = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
_OVER = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_READ = 1  # libev's mask

_TOO_LONG = refusal(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    f"more than {HEAD_BYTES_MAX} bytes of headers; send less",
)
_CUT_OFF = refusal(HTTPStatus.BAD_REQUEST, "that is not a valid HTTP request: it has no end")


class _Waiting(NamedTuple):
    socket: socket.socket
    address: tuple[str, int]
    until: float


class WaitingRoom:
    """The connections of one server that wait."""

    def __init__(
        self,
        serve: Callable[[socket.socket, tuple[str, int], bytes], None],
        dropped: Callable[[str], None],
    ) -> None:
        """`serve` is given each connection whose request has come, from which address, and its line
        and headers; `dropped` is called with why a connection is ended."""
        self._serve = serve
        self._dropped = dropped
        self._waiting: OrderedDict[int, _Waiting] = OrderedDict()  # who has come first is first
        self._epoll = select.epoll()
        self._loop = get_hub().loop
        self._ready = self._loop.io(self._epoll.fileno(), _READ)
        self._ready.start(self._look)
        self._timer = self._loop.timer(0)

    def __len__(self) -> int:
        return len(self._waiting)

    def enter(self, connection: socket.socket, address: tuple[str, int]) -> None:
        """Wait for its next request. The socket, which never blocks, is the room's from now on.
        Raises OSError if it cannot be waited for."""
        self._epoll.register(connection, _COMING)
        until = time.monotonic() + HEAD_LIMIT
        self._waiting[connection.fileno()] = _Waiting(connection, address, until)
        if len(self._waiting) == 1:
            self._end_late_one()

    @property
    def waits_since(self) -> float:
        """Since when whoever has waited longest does; infinity if nobody waits."""
        oldest = next(iter(self._waiting.values()), None)
        return math.inf if oldest is None else oldest.until - HEAD_LIMIT

    def make_room(self) -> None:
        """End who has waited longest, unless all that it asks has just come."""
        oldest = next(iter(self._waiting), None)
        if oldest is not None:
            self._look_at(oldest)
            if oldest in self._waiting:
                self._end(oldest, "idle, for one more")

    def close(self) -> None:
        """End all."""
        self._timer.close()
        self._ready.close()
        self._epoll.close()
        for one in self._waiting.values():
            one.socket.close()
        self._waiting.clear()

    def _look(self) -> None:
        """At one from whom something has come; the others wait until whoever is answered had a
        turn. An epoll tells of each in turn, and once."""
        for number, events in self._epoll.poll(0, 1):
            self._look_at(number, is_over=bool(events & _OVER))

    def _look_at(self, number: int, is_over: bool = False) -> None:
        connection, address, _ = self._waiting[number]
        try:
            come = connection.recv(HEAD_BYTES_MAX + 1, socket.MSG_PEEK)
            length = length_of_head(come)
            is_whole = length is not None and length <= HEAD_BYTES_MAX
            head = connection.recv(length) if length is not None and is_whole else b""
        except BlockingIOError:
            return
        except OSError:  # of either: it may be reset at any moment
            self._end(number, "connection lost")
            return
        if is_whole:
            self._leave(number)
            self._serve(connection, address, head)
        elif len(come) > HEAD_BYTES_MAX:
            self._end(number, "headers too long", _TOO_LONG)
        elif is_over and come:
            self._end(number, "not HTTP", _CUT_OFF)
        elif is_over:
            self._leave(number).socket.close()

    def _end_late_one(self) -> None:
        """End who has waited longest, if its time is over; and see to it that the next one is."""
        now = time.monotonic()
        oldest = next(iter(self._waiting), None)
        if oldest is not None and self._waiting[oldest].until <= now:
            self._end(oldest, "too slow")
        self._timer.close()
        if self._waiting:
            following = next(iter(self._waiting.values()))
            self._timer = self._loop.timer(max(following.until - now, 0.0))
            self._timer.start(self._end_late_one)

    def _end(self, number: int, why: str, answer: bytes = b"") -> None:
        self._dropped(why)
        hang_up(self._leave(number).socket, answer)

    def _leave(self, number: int) -> _Waiting:
        self._epoll.unregister(number)
        return self._waiting.pop(number)


def length_of_head(come: bytes) -> int | None:
    """How long a request's line and headers are, up to the empty line, as http.client reads them;
    None if that is not among what has come."""
    ends = (come.find(end) + len(end) for end in (b"\n\r\n", b"\n\n") if end in come)
    return min(ends, default=None)


def hang_up(connection: socket.socket, answer: bytes = b"") -> None:
    """Close a connection that never blocks, with as much of a last `answer` as there is room for.
    No error if it is gone."""
    with suppress(OSError):
        if answer:
            connection.send(answer)
        connection.recv(_UNREAD_MAX)  # else closing takes back what was sent (RFC 1122, 4.2.2.13)
    connection.close()
