"""What else a binder has to do meanwhile: subscriptions, and verifications that time out."""

import math
import socket
import struct
from collections import deque

from benchmarks.tally import Right, right_answers
from prr.wire.address import Address, Instance, make_instance
from prr.wire.codec import encode
from prr.wire.frames import Complaint, Subscribe

PAUSE = 0.005
"""Seconds by which a complaint follows its subscription, since the binder takes complaints last."""

VERIFICATION = 1.0
"""Seconds a lone binder takes to find that an instance is silent."""

CYCLE = 1.05
"""Seconds between two complaints about one instance: time for it to be found silent, and some."""

WARM_UP = 2 * CYCLE
"""Seconds after which as many verifications are under way as are meant to be."""

_IP_PKTINFO = 8  # linux/in.h


class Background:
    """Subscriptions at a rate, and a number of verifications under way, while `step` is called.

    The subscribers are new ones each time and are never asked. The silent ones subscribe, are
    complained about, never answer, and subscribe again once that is found. Nothing is ever read
    here: it is the same work for the sender whether there is a binder at `target` or a sink.
    """

    def __init__(
        self,
        target: Address,
        types: bytes,
        right: Right,
        subscriptions_per_second: int,
        verifications: int,
    ) -> None:
        """The answers that name those who subscribe are added to `right`."""
        self.instances: set[Instance] = set()
        """All that have subscribed."""
        self._right = right
        self.is_idle = not (subscriptions_per_second or verifications)
        self._target = target
        self._types = types
        self._pause = 1 / subscriptions_per_second if subscriptions_per_second else math.inf
        self._subscribers = _open("0.0.0.0")
        self._subscribed = 0
        self._subscribe_at: float | None = None
        count = math.ceil(verifications * CYCLE / VERIFICATION)
        self._silent = deque(_open("127.0.0.1") for _ in range(count))
        self._accuse_pause = CYCLE / count if count else math.inf
        self._accuse_at = 0.0
        self._accused: deque[tuple[float, bytes]] = deque()  # when to complain, and the complaint

    def step(self, now: float) -> bool:
        """Do the first of what is due by `now`; whether there was anything.

        That is one datagram, since whatever else the caller does waits for it. Safe to call too
        often.
        """
        if self._subscribe_at is None:
            self._subscribe_at = now + self._pause
            self._accuse_at = now + self._accuse_pause
        if self._accused and self._accused[0][0] <= now:
            self._subscribers.sendto(self._accused.popleft()[1], self._target)
        elif self._subscribe_at <= now:
            self._subscribe_at += self._pause
            self._subscribe_new()
        elif self._accuse_at <= now:
            self._accuse_at += self._accuse_pause
            self._accused.append((now + PAUSE, encode(Complaint(self._subscribe_silent()))))
        else:
            return False
        return True

    def close(self) -> None:
        """Give the ports back."""
        for one in (self._subscribers, *self._silent):
            one.close()

    def _subscribe_new(self) -> None:
        """One more, at an address of its own: a socket of its own costs three times as much."""
        number = self._subscribed
        self._subscribed += 1
        ip = bytes((127, 64 + (number >> 16), number >> 8 & 255, number & 255))
        source = struct.pack("=i4s4x", 0, ip)  # struct in_pktinfo
        type_ = self._types[number % len(self._types)]
        self._subscribers.sendmsg(
            [encode(Subscribe(type_))],
            [(socket.IPPROTO_IP, _IP_PKTINFO, source)],
            0,
            self._target,
        )
        port = self._subscribers.getsockname()[1]
        self._note(make_instance(type_, (".".join(map(str, ip)), port)))

    def _subscribe_silent(self) -> Instance:
        """The one whose turn it is, again."""
        silent = self._silent[0]
        self._silent.rotate(-1)
        address = silent.getsockname()
        type_ = self._types[address[1] % len(self._types)]  # always the same
        silent.sendto(encode(Subscribe(type_)), self._target)
        instance = make_instance(type_, address)
        self._note(instance)
        return instance

    def _note(self, instance: Instance) -> None:
        if instance not in self.instances:
            self.instances.add(instance)
            self._right |= right_answers([instance])


def _open(ip: str) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind((ip, 0))
    return opened
