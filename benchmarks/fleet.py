"""A fleet of servers in one process: one socket, and an address of its own for each of them."""

import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from random import Random
from time import perf_counter

import gevent
from gevent.select import select

from benchmarks.arguments import Trouble
from prr.wire.codec import Codec
from prr.wire.frames import Alive, Removed, Role, Subscribe
from prr.wire.instance import Address, Instance, make_instance
from prr.wire.messages import Search, Started
from prr.wire.version import START_MAX

_SERVER = Codec(Role.SERVER)

WINDOW = 256
"""Datagrams under way at once: a burst for the binder, and no more than its queue holds."""

AGAIN_AFTER, AGAIN_MAX = 0.3, 5.0
"""Seconds after which a server that has no answer asks again, up to twice as long by chance. Each
further pause is twice as long, up to the time in which a server of ours renews its subscription."""

LIMIT = 60.0
"""Seconds in which all must have been answered."""

REST = 0.001
"""Seconds without an answer after which it is seen whether somebody has to ask again."""

RECEIVE_BYTES = 2048
"""More than any frame has."""

_IP_PKTINFO = 8  # linux/in.h
_BURST = 64  # new ones between two looks for answers
_CONFIRMED, LEAVE, _QUESTION, _ALIVE = 6, 10, 11, 12

Message = Callable[[int], bytes]
"""What the server of a number says."""


class Fleet:
    """So many servers, of `types` in turn, that speak with one binder at a time.

    Questions are answered while something is said, and by `hear`.
    """

    def __init__(self, count: int, types: bytes, net: int) -> None:
        """`net` (1 to 254) is the second number of their addresses, and the one after it."""
        self.count = count
        self.sent = 0  # messages, those that were said again included
        self.questions: Counter[int] = Counter()  # by number
        self.answers = True
        """They are there: else they answer no question."""

        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
        self._socket.bind(("0.0.0.0", 0))
        self._port = self._socket.getsockname()[1]
        self._ips = [bytes((127, net + (n >> 16), n >> 8 & 255, n & 255)) for n in range(count)]
        self._numbers = {ip: number for number, ip in enumerate(self._ips)}
        self._from = [
            [(socket.IPPROTO_IP, _IP_PKTINFO, struct.pack("=i4s4x", 0, ip))] for ip in self._ips
        ]
        self._types = [types[number % len(types)] for number in range(count)]
        rng = Random(net)
        self._starts = [rng.randint(1 << 16, START_MAX) for _ in range(count)]

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()

    def fileno(self) -> int:
        """What tells that there is something to hear."""
        return self._socket.fileno()

    def instance(self, number: int) -> Instance:
        """One of them."""
        ip = socket.inet_ntoa(self._ips[number])
        return make_instance(self._types[number], (ip, self._port))

    def instances(self) -> list[Instance]:
        """All of them."""
        return [self.instance(number) for number in range(self.count)]

    # What each may say.

    def first(self, number: int) -> bytes:
        """It subscribes, and does not know with what kind of binder."""
        return bytes((5, self._types[number]))

    def search(self, number: int) -> bytes:
        """It asks whether the binder is ours, which takes that for a subscription."""
        types = bytes((self._types[number],))
        return _SERVER.encode(Alive(trailer=Search(types=types, start=self._starts[number])))

    def renewal(self, number: int) -> bytes:
        """It subscribes again."""
        trailer = Started(start=self._starts[number])
        return _SERVER.encode(Subscribe(self._types[number], trailer=trailer))

    def leave(self, number: int) -> bytes:
        """It deregisters."""
        return _SERVER.encode(Removed(self.instance(number)))

    def send(self, number: int, data: bytes, target: Address) -> None:
        """Send from the address of one of them."""
        self._socket.sendmsg([data], self._from[number], 0, target)

    def say(self, message: Message, target: Address, rate: float | None = None) -> list[float]:
        """Have each say it until it is answered: the seconds each took from the moment it was due.

        WINDOW at a time; with a `rate`, so many begin a second, whoever is still waiting.
        """
        data = [message(number) for number in range(self.count)]
        rng, begun = Random(1), 0
        waiting: dict[int, float] = {}  # since when
        again: list[tuple[float, float, int]] = []
        took: list[float] = []
        began = perf_counter()
        while len(took) < self.count:
            now = perf_counter()
            if now - began > LIMIT:
                raise Trouble(f"{len(waiting)} servers had no answer within {LIMIT:g} s")
            due = WINDOW - len(waiting) if rate is None else int(rate * (now - began)) + 1 - begun
            for number in range(begun, min(begun + min(due, _BURST), self.count)):
                waiting[number] = now if rate is None else began + number / rate
                heappush(again, (now, AGAIN_AFTER, number))
                begun += 1
            while again and again[0][0] <= now:
                _, pause, number = heappop(again)
                if number in waiting:
                    self.sent += 1
                    self.send(number, data[number], target)
                    longer = min(2 * pause, AGAIN_MAX)
                    heappush(again, (now + pause * rng.uniform(1, 2), longer, number))
            for number in self.hear(data[0][0]):
                if number in waiting:
                    took.append(perf_counter() - waiting.pop(number))
            # Who looked all the time would take a processor from those who are measured.
            if rate is None:
                select([self._socket], [], [], REST)
            else:
                gevent.sleep(0)
        return took

    def stay(self, seconds: float) -> None:
        """Answer the questions for so long."""
        ends_at = perf_counter() + seconds
        while perf_counter() < ends_at:
            list(self.hear())
            gevent.sleep(0.001)

    def hear(self, said: int = 0) -> Iterator[int]:
        """Read what has come, and answer the questions; the numbers of those whose message of the
        code `said` is answered."""
        for _ in range(2 * _BURST):
            try:
                data, ((*_, to),), _, source = self._socket.recvmsg(RECEIVE_BYTES, 64)
            except BlockingIOError:
                return
            number = self._numbers[to[8:12]]
            if self._take(number, data, source, said):
                yield number

    def _take(self, number: int, data: bytes, source: Address, said: int) -> bool:
        """Whether this answers a message of the code `said`; questions are answered."""
        if data[0] == _QUESTION:
            self.questions[number] += 1
            if self.answers:
                self.send(number, self._presence(number, data), source)
        return data[0] == (said if said == LEAVE else _CONFIRMED)

    def _presence(self, number: int, question: bytes) -> bytes:
        """As a server of ours answers: bare, or with the question's nonce and who it is."""
        if len(question) == 1:
            return bytes((_ALIVE,))
        type_, start = self._types[number], self._starts[number]
        return b"%c\xc1\x83%b\x09\xc4\x01%c\x0a\xce%b" % (
            *(_ALIVE, question[3:]),
            *(type_, start.to_bytes(4, "big")),
        )
