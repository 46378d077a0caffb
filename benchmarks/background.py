"""What else a binder has to do meanwhile: subscriptions, and verifications that time out."""

import math
import socket
import time
from collections import deque

import gevent

from prr.wire.address import Address, Instance, make_instance
from prr.wire.codec import encode
from prr.wire.frames import Complaint, Subscribe

PAUSE = 0.005
"""Seconds between two looks at what is due; a complaint follows its subscription that much later,
since the binder takes complaints last."""

VERIFICATION = 1.0
"""Seconds a lone binder takes to find that an instance is silent."""

CYCLE = 1.05
"""Seconds between two complaints about one instance: time for it to be found silent, and some."""

KEPT_MAX = 128
"""Sockets of subscribers kept open for their confirmations; the oldest is closed first."""


class Background:
    """Subscriptions at a rate, and a number of verifications under way, within a `with` block.

    The subscribers are new ones each time and are never asked. The silent ones subscribe, are
    complained about, never answer, and subscribe again once that is found.
    """

    def __init__(
        self, binder: Address, types: bytes, subscriptions_per_second: int, verifications: int
    ) -> None:
        self.instances: set[Instance] = set()
        """All that have subscribed."""
        self._binder = binder
        self._types = types
        self._rate = subscriptions_per_second
        self._verifications = verifications
        self._silent = [_open() for _ in range(math.ceil(verifications * CYCLE / VERIFICATION))]
        self._subscribers: deque[socket.socket] = deque()
        self._greenlet = gevent.Greenlet(self._run)

    def __enter__(self) -> "Background":
        self._greenlet.start()
        if self._verifications:
            self._wait(2 * CYCLE)  # all of them are under way by then
        return self

    def __exit__(self, *_: object) -> None:
        self._greenlet.kill()
        for one in (*self._silent, *self._subscribers):
            one.close()

    def _wait(self, seconds: float) -> None:
        gevent.sleep(seconds)
        if self._greenlet.dead:
            self._greenlet.get()  # raises what ended it

    def _run(self) -> None:
        began_at = time.monotonic()
        subscribed = complained = 0
        accused: list[Instance] = []
        while True:
            for instance in accused:
                self._silent[0].sendto(encode(Complaint(instance)), self._binder)
            passed = time.monotonic() - began_at
            while subscribed < passed * self._rate:
                self._subscribe_new(subscribed)
                subscribed += 1
            accused = []
            while self._silent and complained < passed * len(self._silent) / CYCLE:
                number = complained % len(self._silent)
                accused.append(self._subscribe(self._silent[number], number))
                complained += 1
            gevent.sleep(PAUSE)

    def _subscribe_new(self, number: int) -> None:
        subscriber = _open()
        self._subscribers.append(subscriber)
        if len(self._subscribers) > KEPT_MAX:
            self._subscribers.popleft().close()
        self._subscribe(subscriber, number)

    def _subscribe(self, subscriber: socket.socket, number: int) -> Instance:
        type_ = self._types[number % len(self._types)]
        subscriber.sendto(encode(Subscribe(type_)), self._binder)
        instance = make_instance(type_, subscriber.getsockname())
        self.instances.add(instance)
        return instance


def _open() -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind(("127.0.0.1", 0))
    return opened
