"""Bare clients at a steady rate: each looks up, calls what it was given, and complains like ours.

Cheaper than `prr.Client`, so that a few thousand calls a second leave the binders a core.
"""

import time
from collections import deque
from collections.abc import Sequence

import gevent
import gevent.event
import gevent.socket

from prr.core.patience import PATIENCE_MIN
from prr.wire.instance import Address, Instance, address_of

CALLS = 2000
"""Calls a second in all: with three servers, each is called every 1.5 ms."""

CALLERS = 15
"""Each asks one binder, and waits for its answer: as many for each of one, three or five."""

ANSWER_LIMIT = 1.0
"""Seconds for a binder to answer."""

REQUEST = b"\0\5hello"


class Callers:
    """Clients at work until `stop`, and when they met what died."""

    def __init__(self, binders: Sequence[Address], types: Sequence[int]) -> None:
        self._types = types
        self._dead: frozenset[Instance] = frozenset()
        self._lines: dict[Instance, _Line] = {}
        self.last_named_at = 0.0
        """When a binder last answered with one of those that died."""
        self.first_failed_at: float | None = None
        """When a call to one of them failed first."""
        self.greenlets = [
            gevent.spawn(self._keep_calling, binders[number % len(binders)], number)
            for number in range(CALLERS)
        ]

    def watch(self, dead: Sequence[Instance]) -> None:
        """From now on these are dead; none: all live, and who was dead is gone."""
        for instance in self._dead:
            if instance in self._lines:
                self._lines.pop(instance).close()
        self._dead = frozenset(dead)
        self.last_named_at = time.monotonic()
        self.first_failed_at = None

    def stop(self) -> None:
        """Call nobody any more."""
        # All in one go: a reader that outlived the others would complain from a socket of theirs.
        gevent.killall([*self.greenlets, *(line.reader for line in self._lines.values())])
        for line in self._lines.values():
            line.close()

    def _keep_calling(self, binder: Address, number: int) -> None:
        pause = CALLERS / CALLS
        due_at = time.monotonic() + pause * number / CALLERS
        with gevent.socket.socket(type=gevent.socket.SOCK_DGRAM) as asking:
            asking.connect(binder)
            asking.settimeout(ANSWER_LIMIT)
            for turn in range(number, 1 << 62):
                gevent.sleep(max(0.0, due_at - time.monotonic()))
                due_at = max(due_at + pause, time.monotonic() - ANSWER_LIMIT)
                type_ = self._types[turn % len(self._types)]
                asking.send(bytes((2, type_)))
                found = asking.recv(64)
                if found[0] == 3:  # else all of that type are gone
                    self._call(Instance(bytes((type_,)) + found[1:]), asking)

    def _call(self, instance: Instance, asking: gevent.socket.socket) -> None:
        if instance in self._dead:
            self.last_named_at = time.monotonic()
        line = self._lines.get(instance)
        if line is None:
            line = self._lines[instance] = _Line(instance, self._failed)
        line.call(asking)

    def _failed(self, instance: Instance, asking: gevent.socket.socket) -> None:
        if instance in self._dead and self.first_failed_at is None:
            self.first_failed_at = time.monotonic()
        asking.send(b"\4" + instance)


class _Line:
    """The socket to one instance, and the calls that wait for its answer."""

    def __init__(self, instance: Instance, failed) -> None:
        """`failed(instance, asking)` hears of each call that did: refused, or not answered."""
        self._instance, self._failed = instance, failed
        self._waiting: deque[tuple[float, gevent.socket.socket]] = deque()
        self._called = gevent.event.Event()
        self._socket = gevent.socket.socket(type=gevent.socket.SOCK_DGRAM)
        self._socket.connect(address_of(instance))
        self.reader = gevent.spawn(self._read)

    def call(self, asking: gevent.socket.socket) -> None:
        """Call it for who asks binders from the socket `asking`."""
        self._waiting.append((time.monotonic() + PATIENCE_MIN, asking))
        self._called.set()
        try:
            self._socket.send(REQUEST)
        except OSError:  # the call before was refused
            self._refused()

    def close(self) -> None:
        self.reader.kill()
        self._socket.close()

    def _read(self) -> None:
        while True:
            while not self._waiting:  # a call may be refused before this greenlet runs
                self._called.clear()
                self._called.wait()
            self._socket.settimeout(max(1e-4, self._waiting[0][0] - time.monotonic()))
            try:
                self._socket.recv(64)
                if self._waiting:  # else it was refused meanwhile
                    self._waiting.popleft()
            except TimeoutError:
                if self._waiting:
                    self._failed(self._instance, self._waiting.popleft()[1])
            except OSError:
                self._refused()

    def _refused(self) -> None:
        while self._waiting:
            self._failed(self._instance, self._waiting.popleft()[1])
