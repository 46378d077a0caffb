"""Makes a binder's HTTP work hard, in a process of its own:

    python -m tests.http_attacks KIND PORT SECONDS

until the seconds are over; prints how many were answered, refused, and ended."""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable

import gevent
import gevent.socket

REQUESTS_PER_SECOND = 100
SLOW = 1000
WATCHERS = 1000


class Attack:
    """One attack on a port of 127.0.0.1."""

    def __init__(self, port: int, seconds: float) -> None:
        self.address = ("127.0.0.1", port)
        self.ends_at = time.monotonic() + seconds
        self.seen = Counter()

    def lists(self) -> None:
        """Whole lists, page by page, a hundred requests a second."""
        self._pace(lambda: self._page(""))

    def headers(self) -> None:
        """Headers of 10,000 bytes."""
        self._pace(lambda: self._ask(b"GET / HTTP/1.1\r\nX: " + b"a" * 10_000 + b"\r\n\r\n"))

    def loris(self) -> None:
        """Connections that send a header every second, and never come to the end."""
        self._many(SLOW, self._drip)

    def slow_readers(self) -> None:
        """Who asks for long pages, and takes a few bytes now and then."""
        self._many(50, self._sip)

    def watchers(self) -> None:
        """Who watch, and read."""
        self._many(WATCHERS, self._watch)

    def _pace(self, act: Callable[[], None]) -> None:
        began_at, number = time.monotonic(), 0
        while time.monotonic() < self.ends_at:
            gevent.spawn(act)
            number += 1
            gevent.sleep(max(began_at + number / REQUESTS_PER_SECOND - time.monotonic(), 0))

    def _many(self, count: int, act: Callable[[], None]) -> None:
        for number in range(count):
            gevent.spawn(self._again_and_again, act)
            if number % 20 == 0:
                gevent.sleep(0.01)
        gevent.sleep(max(self.ends_at - time.monotonic(), 0))

    def _again_and_again(self, act: Callable[[], None]) -> None:
        while time.monotonic() < self.ends_at:
            try:
                act()
            except OSError:
                self.seen["ended"] += 1
            gevent.sleep(0.5)

    def _page(self, cursor: str) -> None:
        path = f"/v1/services/2?limit=1000{cursor and '&cursor=' + cursor}"
        answer = self._ask(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n".encode())
        if answer.startswith(b"HTTP/1.1 200") and time.monotonic() < self.ends_at:
            following = json.loads(answer.partition(b"\r\n\r\n")[2])["next"]
            if following is not None:
                self._page(following)

    def _ask(self, head: bytes) -> bytes:
        answer = b""
        try:
            with gevent.socket.create_connection(self.address, timeout=10) as opened:
                opened.sendall(head + b"Connection: close\r\n\r\n")
                while part := opened.recv(1 << 16):
                    answer += part
        except OSError:
            self.seen["ended"] += 1
        self.seen[answer[9:12].decode() or "nothing"] += 1
        return answer

    def _drip(self) -> None:
        with gevent.socket.create_connection(self.address, timeout=20) as opened:
            opened.sendall(b"GET / HTTP/1.1\r\n")
            while True:
                gevent.sleep(1)
                opened.sendall(b"X: y\r\n")

    def _sip(self) -> None:
        with gevent.socket.create_connection(self.address, timeout=60) as opened:
            opened.sendall(b"GET /v1/services/2?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            while opened.recv(100):
                gevent.sleep(0.5)

    def _watch(self) -> None:
        with gevent.socket.create_connection(self.address, timeout=60) as opened:
            opened.sendall(b"GET /v1/watch HTTP/1.1\r\nHost: localhost\r\n\r\n")
            while part := opened.recv(1 << 16):
                self.seen["changes"] += part.count(b"event: change")


KINDS = ("lists", "headers", "loris", "slow_readers", "watchers")


if __name__ == "__main__":
    attack = Attack(int(sys.argv[2]), float(sys.argv[3]))
    getattr(attack, sys.argv[1])()
    print(dict(attack.seen))
