"""What goes on around binders that share an etcd: servers that come, leave and die, and lookups.

The servers are those of 2016: they subscribe once, again until they are confirmed, and answer when
they are asked. One thread plays all of them.
"""

import fcntl
import json
import re
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from heapq import heappop, heappush
from ipaddress import IPv4Address
from itertools import count
from random import Random

from prr.client.control import fetch_listings
from prr.core.directory.listed import Listed
from prr.demo.processes import die_with_parent
from prr.wire.instance import address_of, describe_address, service_of
from tests.etcd import PREFIX, Etcd
from tests.forks import Limits
from tests.nodes import ROOT, Cluster, Node, run

SUBSCRIBE, CONFIRMED, REMOVED, ARE_YOU_THERE, I_AM = 5, 6, 10, 11, 12
HIGH = 2000
"""From this number on descriptors are the servers'."""

AGAIN, AGAIN_MAX = 0.5, 4.0
"""Seconds after which a server asks the next binder: each time twice as many."""

HOSTS = map(IPv4Address, count(int(IPv4Address("127.1.0.1"))))
"""Those of the servers, on loopback, one after the other: none has the address of one before it,
whose confirmation, which names nobody, it would take for its own; nor do all share the quotas of
one host."""


def held(binder: Node) -> set[str]:
    """SERVICE/ADDRESS of all that a binder knows, as the keys of etcd have it."""
    for _ in range(10):  # on a busy host a page may come late
        listed = fetch_listings(binder.address)
        if listed is not None:
            break
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
    cluster: Cluster,
    etcd: Etcd,
    count: int,
    *flags: str,
    prefix: str = PREFIX,
    limits: Limits | None = None,
) -> list[Node]:
    """Binders that share an etcd, each of which has read it, and knows the others; `limits` as in
    `fork`."""
    flags = ("--store", etcd.url, "--store-prefix", prefix, *flags)
    binders = [cluster.binder(*flags, limits=limits) for _ in range(count)]
    for binder in binders:
        binder.wait_for("etcd at .* answers")
        for other in binders:
            if other is not binder:
                binder.wait_for(f"peer added {re.escape(other.name)}")
    return binders


class Server:
    """One server of 2016."""

    def __init__(self, type_: int, binders: list[tuple[str, int]]) -> None:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((str(next(HOSTS)), 0))
        # Others in this process wait by select, which knows low numbers only.
        self.number = fcntl.fcntl(made, fcntl.F_DUPFD_CLOEXEC, HIGH)
        made.close()
        self.socket = socket.socket(fileno=self.number)
        self.socket.setblocking(False)
        self.type = type_
        self.address = self.socket.getsockname()
        self.name = "{}/{}:{}".format(type_, *self.address)
        self.binders = binders
        self.began_at = time.monotonic()
        self.asked = 0
        self.took: float | None = None  # until it was confirmed, seconds
        self.is_leaving = False


class Servers(threading.Thread):
    """Many of them. All that is read from other threads is only replaced or added to."""

    def __init__(self, binders: Iterable[tuple[str, int]]) -> None:
        super().__init__(daemon=True)
        self.binders = [*binders]
        self.left: set[str] = set()
        self.waiting = 0  # so many have not been confirmed, or have not left
        self._epoll = select.epoll()
        self._lock = threading.RLock()
        self._open: dict[int, Server] = {}
        self._asking: list[tuple[float, int, Server]] = []  # a heap: when to ask again
        self._over = threading.Event()
        self._turn = 0
        self.start()

    def add(self, type_: int) -> Server:
        """One more: it asks the binders in turn until one confirms it."""
        with self._lock:
            self._turn += 1
            at = self._turn % len(self.binders)
            server = Server(type_, self.binders[at:] + self.binders[:at])
            self._open[server.number] = server
            self._epoll.register(server.number, select.EPOLLIN)
            self.waiting += 1
            self._ask(server)
        return server

    def die(self, server: Server) -> None:
        """End it without a word: its port is closed."""
        with self._lock:
            self._close(server)

    def leave(self, server: Server) -> None:
        """Have it deregister, and close once that is acknowledged."""
        with self._lock:
            server.is_leaving = True
            self.waiting += 1
            self._ask(server)

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
                now = time.monotonic()
                while self._asking and self._asking[0][0] <= now:
                    server = heappop(self._asking)[2]
                    is_open = self._open.get(server.number) is server
                    if is_open and (server.took is None or server.is_leaving):
                        self._ask(server)
            for number, _ in self._epoll.poll(0.005, 256):
                with self._lock:
                    if (server := self._open.get(number)) is not None:
                        self._hear(server)

    def _ask(self, server: Server) -> None:
        """Have it say what it wants to one binder, and in a moment to the next one."""
        target = server.binders[server.asked % len(server.binders)]
        server.asked += 1
        pause = min(AGAIN * 2 ** (server.asked - 1), AGAIN_MAX)
        heappush(self._asking, (time.monotonic() + pause, server.number, server))
        said = bytes((SUBSCRIBE, server.type))
        if server.is_leaving:
            host, port = server.address
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
            self.waiting -= 1
        elif data[0] == REMOVED and server.is_leaving:
            self.left.add(server.name)
            self.waiting -= 1
            self._close(server)

    def _close(self, server: Server) -> None:
        if self._open.pop(server.number, None) is not None:
            self._epoll.unregister(server.number)
            server.socket.close()

    def close(self) -> None:
        """End all of them. No error if they have ended."""
        if self._over.is_set():
            return
        self._over.set()
        self.join(10)
        for server in [*self._open.values()]:
            self._close(server)
        self._epoll.close()


class Lookups:
    """Clients that look up, in a process of their own: each asks one binder for one type, and all
    take turns. Now and then one contacts what it was given, and complains if nobody is there."""

    def __init__(self, binders: Iterable[Node], types: Sequence[int], rate: float) -> None:
        """`rate`: lookups a second of all together."""
        said = {"binders": [one.address for one in binders], "types": [*types], "rate": rate}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.etcd_load", json.dumps(said)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=die_with_parent,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        self.count = 0
        self.unknown: list[str] = []
        """Where "there is none" was the answer."""
        self.silent: list[str] = []
        """Where there was no answer for a second."""
        self.wrong_for = 0.0
        """The longest time, seconds, for which one was handed out by any binder that a client had
        found dead, and had complained about to one of them."""
        self.dead = 0
        """How many were."""

    def end(self) -> "Lookups":
        """No more; from now on it can be read what came of them."""
        if self._process.returncode is None:
            said = json.loads(self._process.communicate(timeout=20)[0])
            self.count, self.wrong_for = said["count"], said["wrong_for"]
            self.dead = said["dead"]
            self.unknown, self.silent = said["unknown"], said["silent"]
        return self

    def close(self) -> None:
        """End them, whatever they do."""
        self._process.kill()
        self._process.communicate()


class _Client:
    """One of them."""

    def __init__(self, type_: int, binder: tuple[str, int]) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(binder)
        self.socket.setblocking(False)
        self.type = type_
        self.name = f"{type_} at {binder}"
        self.asked_at: float | None = None

    def ask(self, now: float) -> None:
        self.asked_at = now
        with suppress(OSError):
            self.socket.send(bytes((2, self.type)))

    def hear(self) -> bytes:
        """What was answered; b"" for nothing."""
        try:
            data = self.socket.recv(2048)
        except OSError:
            return b""
        self.asked_at = None
        return data

    def is_dead(self, there: bytes) -> bool:
        """Complain if nobody is at an address."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.connect((socket.inet_ntoa(there[:4]), int.from_bytes(there[4:], "little")))
            one.setblocking(False)
            try:
                one.send(b"?")  # refused at once, on loopback
                one.send(b"?")
            except ConnectionRefusedError:
                self.socket.send(bytes((4, self.type)) + there)
                return True
        return False


class _Clients:
    """All of them."""

    def __init__(self, binders: list[tuple[str, int]], types: list[int], rate: float) -> None:
        self._clients = [_Client(type_, tuple(at)) for type_ in types for at in binders]
        self._by_number = {one.socket.fileno(): one for one in self._clients}
        self._rate = rate
        self._random = Random(16)
        self._began_at = time.monotonic()
        self._turn = 0
        self._dead: dict[bytes, float] = {}  # by type and address: since when that is known
        self.said = {"count": 0, "unknown": [], "silent": [], "dead": 0, "wrong_for": 0.0}

    def run(self) -> None:
        """Until the standard input ends."""
        epoll = select.epoll()
        for number in (0, *self._by_number):
            epoll.register(number, select.EPOLLIN)
        while True:
            now = time.monotonic()
            while self._began_at + self._turn / self._rate <= now:
                self._ask(now)
            for number, _ in epoll.poll(0.001):
                if number == 0:
                    return
                self._hear(self._by_number[number], now)

    def _ask(self, now: float) -> None:
        client = self._clients[self._turn % len(self._clients)]
        self._turn += 1
        if client.asked_at is None:
            client.ask(now)
            self.said["count"] += 1
        elif now - client.asked_at > 1.0:
            self.said["silent"].append(client.name)
            client.asked_at = None

    def _hear(self, client: _Client, now: float) -> None:
        data = client.hear()
        if data[:1] == b"\x04":
            self.said["unknown"].append(client.name)
        elif data:
            self._contact(client, data[1:7], now)

    def _contact(self, client: _Client, there: bytes, now: float) -> None:
        """Some are contacted, and all that were dead: another may have their address by now."""
        one = bytes((client.type,)) + there
        since = self._dead.get(one)
        if since is None and self._random.random() > 0.1:
            return
        if not client.is_dead(there):
            self._dead.pop(one, None)
        elif since is None:
            self._dead[one] = now
            self.said["dead"] += 1
        else:
            self.said["wrong_for"] = max(self.said["wrong_for"], now - since)


if __name__ == "__main__":
    clients = _Clients(**json.loads(sys.argv[1]))
    print("ready", flush=True)
    clients.run()
    print(json.dumps(clients.said), flush=True)
