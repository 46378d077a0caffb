"""Hosts of a test: network namespaces on a bridge, whose links can be cut and spoiled.

The namespaces have no names: open files hold them, so two runs cannot meet, and the kernel takes
them away with the processes that use them, however those end. The bridge has one of its own.

Run as a program (`python -m tests.netns LOSS DELAY JITTER DUPLICATES SEED`), this is the bad link
of the host it runs in: it takes that host's datagrams from the kernel's queue (NFQUEUE), and loses
them, or lets them go late, out of order and twice.
"""

import ctypes
import itertools
import json
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from functools import cache
from heapq import heappop, heappush
from pathlib import Path
from random import Random

from tests.nodes import NODE, PATIENCE, ROOT, Node

CLONE_NEWNET = 0x40000000
PORT = 2222
"""Where a host's binder listens."""

_libc = ctypes.CDLL(None, use_errno=True)


@cache
def why_not() -> str:
    """Why networks cannot be made here; empty if they can."""
    if os.geteuid() != 0:
        return "needs root"
    for tool in ("ip", "nft", "iptables"):
        if shutil.which(tool) is None:
            return f"needs {tool}"
    try:
        with Network(2) as network:
            network.cut(*network.hosts)
    except (OSError, AssertionError) as error:
        return f"no network namespaces here: {error}"
    return ""


def _checked(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _own_namespace() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def _tool(*command: str, script: str = "") -> str:
    done = subprocess.run(command, input=script, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


class Namespace:
    """A network namespace."""

    def __init__(self) -> None:
        owner = _own_namespace()
        try:
            _checked(_libc.unshare(CLONE_NEWNET))
            self.descriptor = _own_namespace()
            _checked(_libc.setns(owner, CLONE_NEWNET))
        finally:
            os.close(owner)

    @property
    def path(self) -> str:
        """What `ip` and `nsenter` find it by."""
        return f"/proc/{os.getpid()}/fd/{self.descriptor}"

    @contextmanager
    def entered(self):
        """This thread is in it: so are the sockets that it makes, and the processes it starts."""
        owner = _own_namespace()
        try:
            _checked(_libc.setns(self.descriptor, CLONE_NEWNET))
            try:
                yield
            finally:
                _checked(_libc.setns(owner, CLONE_NEWNET))
        finally:
            os.close(owner)

    def run(self, *command: str, script: str = "") -> str:
        """Run a tool in it, to its end; what it prints."""
        with self.entered():
            return _tool(*command, script=script)

    def close(self) -> None:
        """Let it go."""
        os.close(self.descriptor)


class Host(Namespace):
    """One host: `eth0` with one address, on the network's bridge."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.link = f"v{number}"
        self.ip = f"10.99.0.{number}"
        self.address = (self.ip, PORT)
        self.name = f"{self.ip}:{PORT}"
        self.nodes: list[Node] = []
        self._bad_link: subprocess.Popen | None = None
        self.run("ip", "link", "set", "lo", "up")
        with self.entered():
            # A closed port refuses every datagram, and not only the first few a second.
            Path("/proc/sys/net/ipv4/icmp_ratelimit").write_text("0")

    def start(self, *arguments: str) -> Node:
        """Start `node.py` with `arguments` here."""
        with self.entered():
            node = Node(*arguments, program=NODE)
        self.nodes.append(node)
        return node

    def asked(self, *arguments: str) -> tuple[int, str]:
        """Run `node.py` with `arguments` here, to its end: its exit code, and what it prints."""
        node = self.start(*arguments)
        code = node.process.wait(PATIENCE)
        return code, node.process.stdout.read().strip()

    def socket(self, port: int = 0) -> socket.socket:
        """A UDP socket here."""
        with self.entered():
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((self.ip, port))
        return made

    def spoil(self, loss: float, delay: float, jitter: float, duplicates: float, seed: int) -> None:
        """From now on what this host sends to others is lost, late, out of order, doubled."""
        assert self._bad_link is None
        words = map(str, (loss, delay, jitter, duplicates, seed))
        with self.entered():
            self._bad_link = subprocess.Popen(
                [sys.executable, "-m", "tests.netns", *words],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        assert self._bad_link.stdout.readline() == b"ready\n"
        self.run(*_rule("-A"))

    def mend(self) -> None:
        """From now on what this host sends arrives again. No error if it does already."""
        bad_link, self._bad_link = self._bad_link, None
        if bad_link is not None:
            self.run(*_rule("-D"))
            bad_link.communicate(timeout=PATIENCE)  # its input ends, and so does it

    def close(self) -> None:
        """End all that runs here."""
        try:
            for node in self.nodes:
                node.close()
            self.mend()
        finally:
            super().close()


def _rule(action: str) -> list[str]:
    match = ["-o", "eth0", "-p", "udp", "-m", "mark", "!", "--mark", str(MARK)]
    return ["iptables", action, "OUTPUT", *match, "-j", "NFQUEUE", "--queue-bypass"]


class Network:
    """Some hosts on a bridge; a context manager, behind which nothing of it is left."""

    def __init__(self, hosts: int) -> None:
        self._stack = ExitStack()
        with self._stack:
            self._bridge = Namespace()
            self._stack.callback(self._bridge.close)
            self.hosts: list[Host] = []
            for number in range(1, hosts + 1):
                self.hosts.append(Host(number))
                self._stack.callback(self.hosts[-1].close)
            self._plug_in()
            self._stack = self._stack.pop_all()

    def __enter__(self) -> "Network":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _plug_in(self) -> None:
        lines = ["link add hub type bridge", "link set hub up"]
        for host in self.hosts:
            lines.append(f"link add {host.link} type veth peer name eth0 netns {host.path}")
            lines.append(f"link set {host.link} master hub up")
        self._bridge.run("ip", "-batch", "-", script="\n".join(lines))
        for host in self.hosts:
            lines = [f"addr add {host.ip}/24 dev eth0", "link set eth0 up"]
            host.run("ip", "-batch", "-", script="\n".join(lines))
        pairs = _pairs(itertools.permutations(self.hosts, 2))
        sets = "type ifname . ifname;"
        rules = "iifname . oifname @seen counter; iifname . oifname @cut drop;"
        self._nft(
            f"table bridge links {{ set cut {{ {sets} }}",
            f"set seen {{ {sets} counter; elements = {pairs} }}",
            f"chain through {{ type filter hook forward priority 0; {rules}",
            "}",
            "}",
        )

    def _nft(self, *lines: str) -> None:
        self._bridge.run("nft", "-f", "-", script="\n".join(lines) + "\n")

    def cut(self, *path: Host | tuple[Host, ...], one_way: bool = False) -> None:
        """Nothing passes between two sides (a host, or several) any more; or not to the second."""
        sides = [side if isinstance(side, tuple | list) else (side,) for side in path]
        pairs = [*itertools.product(*sides)]
        if not one_way:
            pairs += itertools.product(*reversed(sides))
        self._nft(f"add element bridge links cut {_pairs(pairs)}")

    def heal(self) -> None:
        """No path is cut any more."""
        self._nft("flush set bridge links cut")

    def spoil(self, loss=0.2, delay=0.01, jitter=0.005, duplicates=0.05, seed=1) -> None:
        """Every host's link becomes bad."""
        for number, host in enumerate(self.hosts):
            host.spoil(loss, delay, jitter, duplicates, seed * 1000 + number)

    def mend(self) -> None:
        """Every host's link is good again."""
        for host in self.hosts:
            host.mend()

    def unplug(self, host: Host) -> None:
        """Pull its cable: for all others it is gone."""
        self._bridge.run("ip", "link", "set", host.link, "down")

    def bytes_between(self, hosts: list[Host]) -> dict[str, int]:
        """How many bytes each of `hosts` has sent to the others so far, by its ip."""
        found = self._bridge.run("nft", "-j", "list", "set", "bridge", "links", "seen")
        rows = next(row["set"]["elem"] for row in json.loads(found)["nftables"] if "set" in row)
        counts = {tuple(row["elem"]["val"]["concat"]): row["elem"]["counter"] for row in rows}
        sent = dict.fromkeys((host.ip for host in hosts), 0)
        for one, other in itertools.permutations(hosts, 2):
            count = counts[one.link, other.link]
            sent[one.ip] += count["bytes"] + ETHERNET_BYTES * count["packets"]
        return sent


ETHERNET_BYTES = 14  # the bridge counts from the IP header on


def _pairs(pairs) -> str:
    return "{ " + ", ".join(f'"{one.link}" . "{other.link}"' for one, other in pairs) + " }"


MARK = 0xC1
"""What the second copies bear, so that they do not come by a second time."""

_NFQUEUE, _CONFIGURE, _VERDICT, _ACCEPT, _DROP = 3 << 8, 2, 1, 1, 0
_NETLINK_NETFILTER, _NO_ENOBUFS = 12, 5


class BadLink:
    """Takes this host's queued datagrams, and decides when and whether they go."""

    def __init__(self, loss: float, delay: float, jitter: float, duplicates: float, seed: int):
        self._loss, self._delay, self._jitter, self._duplicates = loss, delay, jitter, duplicates
        self._rng = Random(seed)
        self._late: list[tuple[float, int, int, bytes | None]] = []
        self._order = itertools.count()
        self._raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
        self._queue = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
        self._queue.bind((0, 0))
        self._queue.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._queue.setsockopt(270, _NO_ENOBUFS, 1)  # SOL_NETLINK
        self._tell(_CONFIGURE, _attribute(1, struct.pack(">BxH", 1, socket.AF_INET)))  # bind
        self._tell(_CONFIGURE, _attribute(2, struct.pack(">IB", 0xFFFF, 2)))  # whole datagrams
        self._tell(_CONFIGURE, _attribute(3, struct.pack(">I", 20_000)))  # so many at most

    def run(self) -> None:
        """Until the input ends."""
        watched = [self._queue, sys.stdin]
        while True:
            now = time.monotonic()
            while self._late and self._late[0][0] <= now:
                _, _, number, copy = heappop(self._late)
                self._release(number, copy)
            left = self._late[0][0] - now if self._late else None
            ready = select.select(watched, [], [], left)[0]
            if sys.stdin in ready:
                return
            if ready:
                self._read(self._queue.recv(1 << 17))

    def _release(self, number: int, copy: bytes | None) -> None:
        if copy is None:
            self._tell(_VERDICT, _attribute(2, struct.pack(">II", _ACCEPT, number)))
        else:
            self._raw.sendto(copy, (socket.inet_ntoa(copy[16:20]), 0))

    def _read(self, data: bytes) -> None:
        while len(data) >= 16:
            size, kind = struct.unpack_from("=IH", data)
            if kind == _NFQUEUE:
                attributes = dict(_attributes(data[20:size]))
                self._decide(struct.unpack_from(">I", attributes[1])[0], attributes[10])
            data = data[(size + 3) & ~3 :]

    def _decide(self, number: int, datagram: bytes) -> None:
        if self._rng.random() < self._loss:
            self._tell(_VERDICT, _attribute(2, struct.pack(">II", _DROP, number)))
            return
        self._later(number, None)
        if self._rng.random() < self._duplicates:
            self._later(number, datagram)

    def _later(self, number: int, copy: bytes | None) -> None:
        when = time.monotonic() + self._delay + self._rng.random() * self._jitter
        heappush(self._late, (when, next(self._order), number, copy))

    def _tell(self, kind: int, attribute: bytes) -> None:
        head = struct.pack("=IHHII", 20 + len(attribute), _NFQUEUE | kind, 1, 0, 0)
        self._queue.send(head + struct.pack(">BBH", 0, 0, 0) + attribute)


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _attributes(data: bytes):
    while len(data) >= 4:
        size, kind = struct.unpack_from("=HH", data)
        yield kind & 0x7FFF, data[4:size]
        data = data[(size + 3) & ~3 :]


if __name__ == "__main__":
    link = BadLink(*map(float, sys.argv[1:5]), seed=int(sys.argv[5]))
    print("ready", flush=True)
    link.run()
