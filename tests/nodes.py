"""Real nodes for tests: processes of node.py on loopback, watched through their logs."""

import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import wraps
from pathlib import Path

from prr.demo.ports import free_port
from prr.demo.processes import plain_environment
from prr.wire.instance import describe_address
from tests.forks import ROOT, Forked, Limits, fork

NODE = (str(ROOT / "node.py"),)
PATIENCE = 30.0  # seconds any awaited event may take on a busy machine

UNASKED = {"prr.core.liveness.newcomers.PAUSES": (3600.0,) * 3}
"""For a binder that asks no newcomer unless somebody complains: else half a second after a test has
a server subscribe, one that it killed is evicted, and a second after it one that never answers is
suspect, whatever the test has come to by then on a busy machine."""


class Node:
    """One process. Its stderr is read as it comes, so that it can be waited for."""

    def __init__(
        self,
        *arguments: str,
        program: tuple[str, ...] | None = None,
        limits: Limits | None = None,
    ) -> None:
        """`program` is what an interpreter of its own is to run, NODE say; None: forked, with
        `limits` as in `fork`."""
        self.process: subprocess.Popen | Forked = (
            fork(arguments, plain_environment(), ROOT, limits)
            if program is None
            else subprocess.Popen(
                [sys.executable, *program, *arguments],
                cwd=ROOT,
                stderr=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=plain_environment(),
            )
        )
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self.lines.append("(end)")
            self._changed.notify_all()

    def wait_for(self, pattern: str, count: int = 1) -> str:
        """The `count`-th line that matches `pattern`, once it is there."""
        with self._changed:
            self._changed.wait_for(
                lambda: len(self.matching(pattern)) >= count or "(end)" in self.lines, PATIENCE
            )
            found = self.matching(pattern)
        assert len(found) >= count, f"{count} x {pattern!r} not in {self.lines}"
        return found[count - 1]

    def matching(self, pattern: str) -> list[str]:
        """The lines so far that match `pattern`."""
        return [line for line in self.lines if re.search(pattern, line)]

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, from its first line."""
        line = self.wait_for("listening on")
        assert line == self.lines[0], self.lines
        ip, port = re.search(r"([\d.]+|\[[\da-f:]+\]):(\d+)$", line).groups()
        return ip.strip("[]"), int(port)

    @property
    def name(self) -> str:
        """Its address as ip:port."""
        return describe_address(self.address)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.wait(PATIENCE)

    def terminate(self) -> int:
        """SIGTERM, and wait until it has left; the exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        """End it whatever it does, and collect what is left of it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


class Cluster:
    """The nodes of one test."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def start(self, *arguments: str, limits: Limits | None = None) -> Node:
        """Start `node.py` with `arguments`; `limits` as in `fork`."""
        node = Node(*arguments, limits=limits)
        self.nodes.append(node)
        return node

    def binder(self, *arguments: str, limits: Limits | None = None) -> Node:
        """A binder, listening on a port that stays free if it is killed; `limits` as in `fork`."""
        listen = ("--listen", f"127.0.0.1:{free_port()}")
        node = self.start("binder", *listen, *arguments, limits=limits)
        assert node.address
        return node

    def binders(self, count: int, *arguments: str) -> list[Node]:
        """Binders that are each other's peers, each of which is ready to say no."""
        ports = [free_port() for _ in range(count)]
        nodes = [self.start(*binder_arguments(port, ports), *arguments) for port in ports]
        for node in nodes:
            node.wait_for("synced")
        return nodes

    def server(self, type_: int, *binders: Node) -> Node:
        """A server that one of `binders` has confirmed, on such a port."""
        flags = [word for binder in binders for word in ("--binder", binder.name)]
        host = "[::1]" if ":" in binders[0].address[0] else "127.0.0.1"
        listen = ("--listen", f"{host}:{free_port()}")
        node = self.start("server", "--type", str(type_), *listen, *flags)
        node.wait_for("confirmed")
        return node

    def close(self) -> None:
        """End all of them."""
        for node in self.nodes:
            node.close()


def binder_arguments(port: int, ports: list[int]) -> list[str]:
    """The flags of a binder on `port` whose peers are the others of `ports`."""
    peers = [word for p in ports if p != port for word in ("--peer", f"127.0.0.1:{p}")]
    return ["binder", "--listen", f"127.0.0.1:{port}", *peers]


def run(
    *arguments: str, timeout: float = PATIENCE, limits: Limits | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a node with `arguments` to its end; `limits` as in `fork`."""
    process = fork(arguments, plain_environment(), Path.cwd(), limits)
    with process.stdout, process.stderr, ThreadPoolExecutor(2) as pool:
        outputs = [pool.submit(pipe.read) for pipe in (process.stdout, process.stderr)]
        try:
            process.wait(timeout)
        finally:
            process.kill()  # ends its outputs too, so that nobody waits for them
            code = process.wait(PATIENCE)
    stdout, stderr = (output.result() for output in outputs)
    return subprocess.CompletedProcess(arguments, code, stdout, stderr)


class Peer:
    """A bare UDP socket that speaks bytes: any role a test plays itself."""

    def __init__(self, ip: str = "127.0.0.1", port: int | None = None) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((ip, port or free_port()))
        self.socket.settimeout(PATIENCE)
        self.source = ("", 0)  # who sent what was received last
        self.last = b""  # what a replay received last

    @property
    def address(self) -> tuple[str, int]:
        """Where it is bound."""
        return self.socket.getsockname()

    @property
    def name(self) -> str:
        """Its address as ip:port."""
        return "{}:{}".format(*self.address)

    def send(self, data: bytes, target: tuple[str, int]) -> None:
        """Send one datagram."""
        self.socket.sendto(data, target)

    def receive(self, *ignored: bytes) -> bytes:
        """The next datagram that is none of `ignored`; `self.source` is who sent it."""
        while True:
            data, self.source = self.socket.recvfrom(2048)
            if data not in ignored:
                return data

    def ask(self, data: bytes, target: tuple[str, int]) -> bytes:
        """Send, and the next datagram from `target`. Asked again if it is not up yet."""
        ends_at = time.monotonic() + PATIENCE
        self.socket.settimeout(0.5)
        try:
            while time.monotonic() < ends_at:
                self.send(data, target)
                try:
                    answer = self.receive()
                except TimeoutError:
                    continue
                if self.source == target:
                    return answer
        finally:
            self.socket.settimeout(PATIENCE)
        raise AssertionError(f"no answer from {target} to {data!r}")

    def hears_nothing(self, seconds: float) -> bool:
        """No datagram comes within `seconds`."""
        self.socket.settimeout(seconds)
        try:
            self.socket.recvfrom(2048)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(PATIENCE)
        return False

    def close(self) -> None:
        """Give the port back."""
        self.socket.close()


def wire(type_: int, address: tuple[str, int]) -> bytes:
    """type, ip, port as they stand on the wire: written here anew, not taken from the code."""
    return bytes([type_]) + socket.inet_aton(address[0]) + address[1].to_bytes(2, "little")


def eventually(condition, seconds: float = PATIENCE) -> None:
    """Ask until `condition()` is true; fail after `seconds`."""
    ends_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends_at, f"not within {seconds} s: {condition}"
        time.sleep(0.01)


def seldom_late(attempt: Callable[[], float], limit: float, attempts: int = 5) -> None:
    """What `attempt()` returns, seconds say, is less than `limit`, if not the first time: a busy
    machine is late now and then, a defect is each time."""
    took: list[float] = []
    while not took or took[-1] >= limit:
        assert len(took) < attempts, f"{took}, none less than {limit}"
        took.append(attempt())


def seldom_wrong(test: Callable[..., None], attempts: int = 5) -> Callable[..., None]:
    """`test`, which passes, if not the first time: what it measures is off now and then on a busy
    machine, and each time if there is a defect. All that it starts it has to start anew."""

    @wraps(test)
    def run(*arguments: object, **named: object) -> None:
        for _ in range(attempts - 1):
            with suppress(AssertionError):
                return test(*arguments, **named)
        return test(*arguments, **named)

    return run
