"""A process that is a host of many services, each on a port of its own.

    python -m benchmarks.host --binder 127.0.0.1:2222 --count 1000

Prints "ready", and each one's type and port, once all of them are confirmed. `--types` are shared
out among them, from type 1 on; each takes `--delay` seconds to answer a request. Cheaper than
`prr.Service`: thousands of calls a second must not make it late, or it is complained about.
"""

import argparse
import resource
import select
import socket
import time
from collections import deque

from benchmarks.arguments import HERE
from prr.text import parse_peer
from prr.wire.codec import Codec
from prr.wire.frames import Alive, Role, Subscribe, Verify
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

    def __init__(self, parsed: argparse.Namespace) -> None:
        self._binders, self._delay = parsed.binder, parsed.delay
        self._poll = select.epoll()
        self._services: dict[int, tuple[socket.socket, int]] = {}
        for number in range(parsed.count):
            service = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            service.bind((HERE, 0))
            self._services[service.fileno()] = service, 1 + number % parsed.types
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
                said = _SERVER.encode(Subscribe(type_, trailer=Started(start=START)))
                service.sendto(said, self._binders[number % len(self._binders)])
            while not self._unconfirmed.isdisjoint(now) and time.monotonic() < again_at:
                self._serve(0.01)
        ready = (f"{type_}:{own.getsockname()[1]}" for own, type_ in self._services.values())
        print("ready", *ready, flush=True)
        while True:
            self._serve(0.01 if self._answers else 1.0)

    def _serve(self, wait: float) -> None:
        for number, _ in self._poll.poll(wait):
            service, type_ = self._services[number]
            data, source = service.recvfrom(2048)
            if data[0] == 0:  # a request, which it gives back
                self._answers.append((time.monotonic() + self._delay, number, data[1:], source))
            elif data[0] == 6:
                self._unconfirmed.discard(number)
            else:
                service.sendto(_SERVER.encode(_presence(data, type_)), source)
        while self._answers and self._answers[0][0] <= time.monotonic():
            _, number, message, source = self._answers.popleft()
            self._services[number][0].sendto(b"\1" + message, source)


def _presence(data: bytes, type_: int) -> Alive:
    """What it answers to the question whether it is there."""
    match _SERVER.decode(data):
        case Verify(trailer=Challenge(nonce=nonce)):
            return Alive(trailer=Presence(nonce=nonce, types=bytes((type_,)), start=START))
    return Alive()


def main() -> None:
    """Serve as the command line says."""
    parser = argparse.ArgumentParser(prog="host", description=__doc__.splitlines()[0])
    parser.add_argument("--binder", action="append", type=parse_peer, required=True)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--types", type=int, default=1)
    parser.add_argument("--delay", type=float, default=0.0)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    Host(parser.parse_args()).run()


if __name__ == "__main__":
    main()
