"""Bare clients at a steady rate: each looks up, calls what it was given, and complains like ours.

Cheaper than `prr.Client`, so that a few thousand calls a second leave the binders a core.
"""

import socket
import struct
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import count

import gevent
import gevent.socket
from gevent.socket import wait_read

from prr.core.patience import PATIENCE_MIN
from prr.wire.instance import Address, Instance, address_of

CALLS = 2000
"""Calls a second in all: with three servers, each is called every 1.5 ms."""

CALLERS = 210
"""Each asks one binder, as many each of one, three or five, and calls ten times a second: one that
waits in vain each time (PATIENCE_MIN, 0.1 s) is hardly late."""

ANSWER_LIMIT = 1.0
"""Seconds for a binder to answer."""

_SO_TIMESTAMPNS = 35  # asm/socket.h; in what it adds to a datagram, too
_STAMP = struct.Struct("qq")  # struct timespec, of the clock that `time.time` reads


class Callers:
    """Clients at work until `stop`, and when they met what died."""

    def __init__(self, binders: Sequence[Address], types: Sequence[int]) -> None:
        self._types = types
        self._dead: frozenset[Instance] = frozenset()
        self.last_named_at = 0.0
        """When a binder last answered with one of those that died."""
        self.first_failed_at: float | None = None
        """When a call to one of them failed first."""
        self.greenlets = [
            gevent.spawn(self._keep_calling, binders[number % len(binders)], number)
            for number in range(CALLERS)
        ]

    def watch(self, dead: Sequence[Instance]) -> None:
        """From now on these are dead; none: all live."""
        self._dead = frozenset(dead)
        self.last_named_at = time.monotonic()
        self.first_failed_at = None

    def stop(self) -> None:
        """Call nobody any more."""
        gevent.killall(self.greenlets)

    def _keep_calling(self, binder: Address, number: int) -> None:
        pause = CALLERS / CALLS
        due_at = time.monotonic() + pause * number / CALLERS
        with gevent.socket.socket(type=socket.SOCK_DGRAM) as asking:
            asking.connect(binder)
            asking.settimeout(ANSWER_LIMIT)
            asking.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            for turn in count(number):
                gevent.sleep(max(0.0, due_at - time.monotonic()))
                due_at = max(due_at + pause, time.monotonic() - ANSWER_LIMIT)
                type_ = self._types[turn % len(self._types)]
                asking.send(bytes((2, type_)))
                found, answered_at = _receive(asking)
                if found[0] == 3:  # else all of that type are gone
                    instance = Instance(bytes((type_,)) + found[1:])
                    if instance in self._dead:
                        self.last_named_at = max(self.last_named_at, answered_at)
                    self._call(instance, asking)

    def _call(self, instance: Instance, asking: gevent.socket.socket) -> None:
        if not _answers(address_of(instance)):
            if instance in self._dead and self.first_failed_at is None:
                self.first_failed_at = time.monotonic()
            asking.send(b"\4" + instance)


def _receive(asking: gevent.socket.socket) -> tuple[bytes, float]:
    """An answer, and when the kernel had it: this program may be some milliseconds late."""
    data, ((*_, stamp),), *_ = asking.recvmsg(64, socket.CMSG_SPACE(_STAMP.size))
    seconds, nanoseconds = _STAMP.unpack(stamp)
    return data, time.monotonic() - (time.time() - seconds - nanoseconds / 1e9)


def _answers(server: Address) -> bool:
    """Whether it answers a request in time, from a socket of its own, and refuses none."""
    with socket.socket(type=socket.SOCK_DGRAM) as own:  # gevent's would have a thread read its IP
        own.setblocking(False)
        own.connect(server)
        try:
            own.send(b"\0\5hello")
            with suppress(BlockingIOError):  # a refusal on this host is there by now
                return bool(own.recv(64))
            with suppress(TimeoutError):
                wait_read(own.fileno(), PATIENCE_MIN, TimeoutError())
            return bool(own.recv(64))  # it may be this program that was late
        except OSError:
            return False
