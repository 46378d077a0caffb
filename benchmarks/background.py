"""What else a binder has to do meanwhile: subscriptions, and verifications that time out."""

import math
import socket
from collections import deque

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

WARM_UP = 2 * CYCLE
"""Seconds after which as many verifications are under way as are meant to be."""

KEPT_MAX = 128
"""Sockets of subscribers kept open for their confirmations; the oldest is closed first."""


class Background:
    """Subscriptions at a rate, and a number of verifications under way, while `step` is called.

    The subscribers are new ones each time and are never asked. The silent ones subscribe, are
    complained about, never answer, and subscribe again once that is found.
    """

    def __init__(
        self, binder: Address, types: bytes, subscriptions_per_second: int, verifications: int
    ) -> None:
        self.instances: set[Instance] = set()
        """All that have subscribed."""
        self.is_idle = not (subscriptions_per_second or verifications)
        self._binder = binder
        self._types = types
        self._rate = subscriptions_per_second
        self._silent = [_open() for _ in range(math.ceil(verifications * CYCLE / VERIFICATION))]
        self._accused: list[Instance] = []
        self._subscribers: deque[socket.socket] = deque()
        self._subscribed = self._complained = 0
        self._began_at: float | None = None
        self._step_at = 0.0

    def step(self, now: float) -> None:
        """Do what is due by `now`, if there is anything. Safe to call too often."""
        if self.is_idle or now < self._step_at:
            return
        self._step_at = now + PAUSE
        if self._began_at is None:
            self._began_at = now
        for instance in self._accused:
            self._silent[0].sendto(encode(Complaint(instance)), self._binder)
        passed = now - self._began_at
        while self._subscribed < passed * self._rate:
            self._subscribe_new(self._subscribed)
            self._subscribed += 1
        self._accused = []
        while self._complained < passed * len(self._silent) / CYCLE:
            number = self._complained % len(self._silent)
            self._accused.append(self._subscribe(self._silent[number], number))
            self._complained += 1

    def close(self) -> None:
        """Give the ports back."""
        for one in (*self._silent, *self._subscribers):
            one.close()

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
