"""Background work for a binder: subscriptions, and verifications that time out."""

import math
import socket
import struct
import time
from collections.abc import Callable
from itertools import count

import gevent
from gevent.pool import Group

from benchmarks.tally import Load
from prr.wire.codec import Codec
from prr.wire.frames import Alive, Complaint, Role, Subscribe, Verify
from prr.wire.instance import Address, Instance, host_key, make_instance, type_of

_BINDER, _CLIENT, _SERVER = Codec(Role.BINDER), Codec(Role.CLIENT), Codec(Role.SERVER)

PAUSE = 0.005
"""Seconds by which a complaint follows its subscription, since the binder takes complaints last."""

VERIFICATION = 1.0
"""Seconds a lone binder takes to find that an instance is silent."""

CYCLE = 1.05
"""Seconds between two complaints about one instance: time for it to be found silent, and some."""

WARM_UP = 2 * CYCLE
"""Seconds after which as many verifications are under way as are meant to be."""

RESERVE = 10.0
"""Seconds beyond those of the load for which there are subscribers: it takes a while to start."""

ANSWERS_MAX = 3
"""Datagrams that are read at each subscription: the confirmation, the question, and one more."""

_IP_PKTINFO = 8  # linux/in.h


class Background:
    """Subscriptions at a rate, and a number of verifications under way, until it is closed.

    The subscribers are new ones each time, and answer the one question that a new one is asked. The
    silent ones subscribe, are complained about, never answer, and subscribe again once that is
    found. But for that question nothing is read here: it is nearly the same work for the sender
    whether there is a binder or a sink. Each has an address of its own, and so has who complains: a
    binder has bounds for what comes from one.
    """

    def __init__(self, load: Load) -> None:
        self.subscribed: set[Instance] = set()
        self._target = load.sink or load.targets[0]
        self._types = load.types
        self._tasks = Group()
        self._complaints = count()
        self._subscribers = open_any()
        rate = load.subscriptions_per_second
        most = math.ceil(rate * (load.seconds + RESERVE))
        self._new = [self._subscriber(number) for number in range(most)]
        silent = math.ceil(load.verifications * CYCLE / VERIFICATION)
        self._silent = [_open(f"127.32.{number >> 8}.{number & 255}") for number in range(silent)]
        if rate:
            self._tasks.spawn(self._pace, rate, self._subscribe_new)
        if silent:
            self._tasks.spawn(self._pace, silent / CYCLE, self._accuse_next)
            gevent.sleep(WARM_UP)

    @property
    def instances(self) -> set[Instance]:
        """All that subscribe sooner or later."""
        return {*self._new, *map(self._silent_instance, self._silent)}

    def close(self) -> None:
        """End it, and give the ports back."""
        self._tasks.kill()
        for one in (self._subscribers, *self._silent):
            one.close()

    def _pace(self, rate: float, act: Callable[[int], None]) -> None:
        """Do it so often a second, each time at its moment or late."""
        began_at = time.perf_counter()
        for number in count():
            gevent.sleep(max(0.0, began_at + number / rate - time.perf_counter()))
            act(number)

    def _subscriber(self, number: int) -> Instance:
        """Each has an address of its own: a socket of its own costs three times as much."""
        ip = f"127.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
        port = self._subscribers.getsockname()[1]
        return make_instance(self._types[number % len(self._types)], (ip, port))

    def _subscribe_new(self, number: int) -> None:
        for _ in range(ANSWERS_MAX):
            try:
                answer_one(self._subscribers, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
        if number >= len(self._new):
            return
        one = self._new[number]
        send_from(
            self._subscribers, host_key(one), _SERVER.encode(Subscribe(type_of(one))), self._target
        )
        self.subscribed.add(one)

    def _silent_instance(self, silent: socket.socket) -> Instance:
        address = silent.getsockname()
        return make_instance(self._types[address[1] % len(self._types)], address)

    def _accuse_next(self, number: int) -> None:
        self._tasks.spawn(self._accuse, self._silent[number % len(self._silent)])

    def _accuse(self, silent: socket.socket) -> None:
        one = self._silent_instance(silent)
        silent.sendto(_SERVER.encode(Subscribe(type_of(one))), self._target)
        self.subscribed.add(one)
        gevent.sleep(PAUSE)
        ip = bytes((127, 33, 0, 1 + next(self._complaints) % 100))
        send_from(self._subscribers, ip, _CLIENT.encode(Complaint(one)), self._target)


def send_from(sending: socket.socket, ip: bytes, data: bytes, target: Address) -> None:
    """Send as if from `ip`, 4 bytes, one of this host; the socket is bound to all of them."""
    source = struct.pack("=i4s4x", 0, ip)  # struct in_pktinfo
    sending.sendmsg([data], [(socket.IPPROTO_IP, _IP_PKTINFO, source)], 0, target)


def open_any() -> socket.socket:
    """A socket from which `send_from` and `answer_one` can act for all addresses of this host."""
    opened = _open("0.0.0.0")
    opened.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    return opened


def answer_one(listening: socket.socket, flags: int = 0) -> bytes:
    """Receive a datagram, and say from the address that was asked that one is there, if that is
    the question; the datagram."""
    data, ((*_, asked),), _, source = listening.recvmsg(64, 64, flags)
    if data[:1] == _BINDER.encode(Verify()):
        send_from(listening, asked[8:12], _SERVER.encode(Alive()), source)
    return data


def _open(ip: str) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind((ip, 0))
    return opened
