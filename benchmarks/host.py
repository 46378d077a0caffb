"""A process that is a host of many services, each on a port of its own.

    python -m benchmarks.host --binder 127.0.0.1:2222 --count 1000

Prints "ready" once all of them are confirmed. `--types` are shared out among them, from type 1 on;
each takes `--delay` seconds to answer a request, and none to say that it is there.
"""

import argparse
import resource
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from prr.text import parse_peer
from prr.wire.codec import Codec
from prr.wire.errors import MalformedFrame
from prr.wire.frames import Alive, Request, Response, Role, Subscribe, Subscribed, Verify
from prr.wire.instance import Address
from prr.wire.messages import Challenge, Presence, Started

AGAIN = 0.5
"""Seconds after which those not confirmed subscribe again."""

AT_ONCE = 100
"""Subscriptions in a row: what a binder's queue has room for."""

START = 2
"""The start number of all of them."""

_SERVER = Codec(Role.SERVER)


class Host:
    """The services of one process."""

    def __init__(self, binders: list[Address], count: int, types: int, delay: float) -> None:
        self._binders, self._delay = binders, delay
        self._poll = select.epoll()
        self._services: dict[int, tuple[socket.socket, int]] = {}
        for number in range(count):
            service = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            service.setblocking(False)
            service.bind(("127.0.0.1", 0))
            self._services[service.fileno()] = service, 1 + number % types
            self._poll.register(service.fileno(), select.EPOLLIN)
        self._unconfirmed = set(self._services)
        self._answers: deque[tuple[float, int, bytes, Address]] = deque()  # when, from which

    def run(self) -> None:
        """Serve for ever."""
        while self._unconfirmed:
            again_at = time.monotonic() + AGAIN
            now = sorted(self._unconfirmed)[:AT_ONCE]
            for number in now:
                service, type_ = self._services[number]
                binder = self._binders[number % len(self._binders)]
                said = Subscribe(type_, trailer=Started(start=START))
                service.sendto(_SERVER.encode(said), binder)
            while not self._unconfirmed.isdisjoint(now) and time.monotonic() < again_at:
                self._serve(0.01)
        ready = (f"{type_}:{own.getsockname()[1]}" for own, type_ in self._services.values())
        print("ready", *ready, flush=True)
        while True:
            self._serve(0.01 if self._answers else 1.0)

    def _serve(self, wait: float) -> None:
        for number, _ in self._poll.poll(wait):
            data, source = self._services[number][0].recvfrom(2048)
            with suppress(MalformedFrame):
                self._hear(number, _SERVER.decode(data), source)
        while self._answers and self._answers[0][0] <= time.monotonic():
            _, number, answer, source = self._answers.popleft()
            self._services[number][0].sendto(answer, source)

    def _hear(self, number: int, frame: object, source: Address) -> None:
        service, type_ = self._services[number]
        match frame:
            case Subscribed():
                self._unconfirmed.discard(number)
            case Verify(trailer=Challenge(nonce=nonce)):
                said = Presence(nonce=nonce, types=bytes((type_,)), start=START)
                service.sendto(_SERVER.encode(Alive(trailer=said)), source)
            case Verify():
                service.sendto(_SERVER.encode(Alive()), source)
            case Request(message=message):
                answer = _SERVER.encode(Response(message))
                self._answers.append((time.monotonic() + self._delay, number, answer, source))


def main(arguments: Sequence[str]) -> None:
    """Serve as `arguments` say."""
    parser = argparse.ArgumentParser(prog="host", description=__doc__.splitlines()[0])
    parser.add_argument("--binder", action="append", type=parse_peer, required=True)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--types", type=int, default=1)
    parser.add_argument("--delay", type=float, default=0.0)
    parsed = parser.parse_args(arguments)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    Host(parsed.binder, parsed.count, parsed.types, parsed.delay).run()


if __name__ == "__main__":
    main(sys.argv[1:])
