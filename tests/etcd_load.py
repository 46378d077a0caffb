"""What goes on around binders that share an etcd: servers that come, leave and die, and lookups.

The servers are those of 2016: they subscribe once, again until they are confirmed, and answer when
they are asked. One thread plays all of them.
"""

import json
import re
import select
import socket
import threading
import time
from collections.abc import Iterable
from contextlib import suppress

from prr.client.control import fetch_listings
from prr.core.directory.listed import Listed
from prr.wire.instance import address_of, describe_address, service_of
from tests.etcd import PREFIX, Etcd
from tests.nodes import Cluster, Node, Peer, run

SUBSCRIBE, CONFIRMED, REMOVED, ARE_YOU_THERE, I_AM = 5, 6, 10, 11, 12
AGAIN = 0.5
"""Seconds after which a server asks the next binder."""


def held(binder: Node) -> set[str]:
    """SERVICE/ADDRESS of all that a binder knows, as the keys of etcd have it."""
    listed = fetch_listings(binder.address)
    assert listed is not None, f"{binder.name} does not answer"
    return {f"{service_of(one)}/{describe_address(address_of(one))}" for one in listed}


def in_turn(binder: Node) -> set[str]:
    """Of those the ones that it hands out."""
    listed = fetch_listings(binder.address) or {}
    return {
        f"{service_of(one)}/{describe_address(address_of(one))}"
        for one, said in listed.items()
        if said.state in (None, Listed.UP)
    }


def status(binder: Node) -> dict:
    """What it says of itself."""
    return json.loads(run("status", "--binder", binder.name, "--output", "json").stdout)


def etcd_status(binder: Node) -> dict:
    """What it says of its etcd."""
    return status(binder)["state"]["etcd"]


def sharing(
    cluster: Cluster, etcd: Etcd, count: int, *flags: str, prefix: str = PREFIX
) -> list[Node]:
    """Binders that share an etcd, each of which has read it, and knows the others."""
    flags = ("--store", etcd.url, "--store-prefix", prefix, *flags)
    binders = [cluster.binder(*flags) for _ in range(count)]
    for binder in binders:
        binder.wait_for("etcd at .* answers")
        for other in binders:
            if other is not binder:
                binder.wait_for(f"peer added {re.escape(other.name)}")
    return binders


class Server:
    """One server of 2016."""

    def __init__(self, type_: int, binders: list[tuple[str, int]], asks_at: float) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.type = type_
        self.name = "{}/{}:{}".format(type_, *self.socket.getsockname())
        self.binders = binders
        self.began_at = time.monotonic()
        self.asks_at = asks_at
        self.asked = 0
        self.took: float | None = None  # until it was confirmed, seconds
        self.is_leaving = False


class Servers(threading.Thread):
    """Many of them. All that is read from other threads is only replaced or added to."""

    def __init__(self, binders: Iterable[tuple[str, int]]) -> None:
        super().__init__(daemon=True)
        self.binders = [*binders]
        self.died: dict[str, float] = {}  # when
        self.left: set[str] = set()
        self._epoll = select.epoll()
        self._lock = threading.RLock()
        self._open: dict[int, Server] = {}
        self._waiting: dict[int, None] = {}
        self._over = threading.Event()
        self._turn = 0
        self.start()

    def add(self, type_: int) -> Server:
        """One more: it asks the binders in turn until one confirms it."""
        with self._lock:
            self._turn += 1
            at = self._turn % len(self.binders)
            server = Server(type_, self.binders[at:] + self.binders[:at], 0.0)
            number = server.socket.fileno()
            self._open[number] = server
            self._waiting[number] = None
            self._epoll.register(server.socket, select.EPOLLIN)
        return server

    def die(self, server: Server) -> None:
        """End it without a word: its port is closed."""
        with self._lock:
            self.died[server.name] = time.monotonic()
            self._close(server)

    def leave(self, server: Server) -> None:
        """Have it deregister, and close once that is acknowledged."""
        with self._lock:
            server.is_leaving, server.asks_at = True, 0.0
            self._waiting[server.socket.fileno()] = None

    @property
    def alive(self) -> list[Server]:
        """Those that are there, and stay."""
        with self._lock:
            return [one for one in self._open.values() if not one.is_leaving]

    @property
    def confirmed(self) -> set[str]:
        """The names of those that are there, stay, and have been confirmed."""
        return {one.name for one in self.alive if one.took is not None}

    def run(self) -> None:
        """Until `close`."""
        while not self._over.is_set():
            with self._lock:
                self._ask()
            for number, _ in self._epoll.poll(0.005, 256):
                with self._lock:
                    if (server := self._open.get(number)) is not None:
                        self._hear(server)

    def _ask(self) -> None:
        now = time.monotonic()
        for number in list(self._waiting):
            server = self._open[number]
            if now < server.asks_at:
                continue
            target = server.binders[server.asked % len(server.binders)]
            server.asks_at, server.asked = now + AGAIN, server.asked + 1
            host, port = server.socket.getsockname()
            said = bytes((SUBSCRIBE, server.type))
            if server.is_leaving:
                there = socket.inet_aton(host) + port.to_bytes(2, "little")
                said = bytes((REMOVED, server.type)) + there
            with suppress(OSError):
                server.socket.sendto(said, target)

    def _hear(self, server: Server) -> None:
        try:
            data, source = server.socket.recvfrom(2048)
        except OSError:  # a binder that is down has refused
            return
        if data[0] == ARE_YOU_THERE and not server.is_leaving:
            with suppress(OSError):
                server.socket.sendto(bytes((I_AM,)), source)
        elif data[0] == CONFIRMED and server.took is None:
            server.took = time.monotonic() - server.began_at
            self._waiting.pop(server.socket.fileno(), None)
        elif data[0] == REMOVED and server.is_leaving:
            self.left.add(server.name)
            self._close(server)

    def _close(self, server: Server) -> None:
        number = server.socket.fileno()
        self._open.pop(number, None)
        self._waiting.pop(number, None)
        with suppress(OSError):
            self._epoll.unregister(server.socket)
        server.socket.close()

    def close(self) -> None:
        """End all of them."""
        self._over.set()
        self.join(10)
        for server in [*self._open.values()]:
            self._close(server)
        self._epoll.close()


class Lookups(threading.Thread):
    """A client that looks up one type after the other at a rate, at the binders in turn. It takes
    the next binder after a second, and complains about what it knows to be dead."""

    WAIT = 1.0

    def __init__(self, binders: Iterable[tuple[str, int]], types: list[int], rate: float) -> None:
        super().__init__(daemon=True)
        self.binders = [*binders]
        self._types, self._pause = types, 1 / rate
        self._over = threading.Event()
        self.count = 0
        self.unknown: list[str] = []  # "there is none"
        self.silent: list[str] = []  # no answer
        self.found: dict[str, float] = {}  # by instance: when it was handed out last
        self.first_complaint: dict[str, float] = {}
        self.died: dict[str, float] = {}
        """Shared with Servers: an answer that is dead is complained about."""

    def begin(self) -> "Lookups":
        """Start."""
        self.start()
        return self

    def run(self) -> None:
        """Until `end`."""
        client = Peer()
        client.socket.settimeout(self.WAIT)
        began_at = time.monotonic()
        while not self._over.is_set():
            ahead = began_at + self.count * self._pause - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
            self._look_up(client)
            self.count += 1
        client.close()

    def _look_up(self, client: Peer) -> None:
        type_ = self._types[self.count % len(self._types)]
        binder = self.binders[self.count // len(self._types) % len(self.binders)]
        try:
            client.send(bytes((2, type_)), binder)
            while True:
                data, source = client.socket.recvfrom(2048)
                if source == binder:
                    break
        except OSError:
            self.silent.append(f"{type_} at {binder}")
            return
        if data[0] == 4:
            self.unknown.append(f"{type_} at {binder}")
            return
        ip, port = socket.inet_ntoa(data[1:5]), int.from_bytes(data[5:7], "little")
        name, now = f"{type_}/{ip}:{port}", time.monotonic()
        self.found[name] = now
        if name in self.died:
            self.first_complaint.setdefault(name, now)
            client.send(bytes((4, type_)) + data[1:7], binder)

    def end(self) -> "Lookups":
        """No more."""
        self._over.set()
        self.join(10)
        return self

    def wrong_for(self) -> float:
        """The longest time, seconds, for which one that was dead was handed out after a client had
        complained about it."""
        return max((self.found[one] - at for one, at in self.first_complaint.items()), default=0.0)
