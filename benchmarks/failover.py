"""How long a dead server is still returned, and how many calls fail, by number of binders.

    python -m benchmarks.failover --kills 50 --stops 3
    python -m benchmarks.failover --binders 3 --kills 10 --stops 0 --json

Under steady load a server is killed with SIGKILL or stopped with SIGSTOP. Once every binder has
removed it, it is replaced, and the next one follows. The same is done with the timing of the legacy
(2016) programs (see lab.py).
"""

import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack

import gevent
import gevent.socket

from benchmarks import lab
from benchmarks.arguments import Flag, Trouble, parser_for, run
from benchmarks.proc import pid_at
from prr.client.api import Client, PrrError
from prr.core.liveness.eviction_limiter import FLOOR
from prr.demo.ports import free_port
from prr.demo.processes import Process
from prr.text import parse_peer
from prr.wire.instance import Address, make_instance

SERVERS = 3
CALLERS = 4
CALL_PAUSE = 0.01
"""Seconds between two calls of a client: some 300 calls a second in all."""

ASK_PAUSE = 0.001
"""Seconds between two lookups at each binder: a moment is known to some 3 ms with 3 servers."""

LIMIT = 20.0
"""Seconds for nodes to be ready, and for every binder to take a server out."""

SETTLE = 0.05
"""Seconds to keep watching once all binders report that it is gone."""

TYPE = 1


BINDERS = (1, 3, 5)
COUNT_MAX = 1000
FLAGS = (
    Flag("--binders", None, COUNT_MAX, "number of binders; repeatable (1, 3, 5)", repeats=True),
    Flag("--kills", 50, COUNT_MAX, "for each number of binders", least=0),
    Flag("--stops", 3, COUNT_MAX, "with SIGSTOP, and in 2016", least=0),
)


class Cluster:
    """Binders, servers of one type, and clients at work, until `stack` ends."""

    def __init__(self, stack: ExitStack, binders: int) -> None:
        self._stack = stack
        self._lines: dict[Process, list[str]] = {}
        self._dead: Address | None = None
        self._last_named_at = 0.0
        self._failed_calls = 0
        self._addresses = [f"127.0.0.1:{free_port()}" for _ in range(binders)]
        self._binders = [self._start(_binder(own, self._addresses)) for own in self._addresses]
        # One that has no peers has nothing to wait for, and says nothing of it.
        self._await("synced" if binders > 1 else "listening on", self._binders)
        self._servers = [self._start_server() for _ in range(SERVERS)]
        for server in self._servers:
            self._await_known(server)
        client = Client(self._addresses)
        self._clients = [
            gevent.spawn(self._keep_asking, parse_peer(one)) for one in self._addresses
        ]
        self._clients += [gevent.spawn(self._keep_calling, client) for _ in range(CALLERS)]
        stack.callback(gevent.killall, self._clients)

    def strike(self, number: signal.Signals) -> dict[str, float]:
        """Send a server a signal, measure until no binder lists it, and replace it."""
        server = self._servers.pop(0)
        address = parse_peer(server.address)
        pid = pid_at(address)
        if pid is None:
            raise Trouble("the server's process is not to be found under /proc")
        failed_before = self._failed_calls
        struck_at = self._last_named_at = time.monotonic()
        self._dead = address
        os.kill(pid, number)
        self._await(rf"(evicted|removed) type {TYPE} at {server.address}\b", self._binders)
        gone = time.monotonic() - struck_at
        gevent.sleep(SETTLE)
        named, failed = self._last_named_at - struck_at, self._failed_calls - failed_before
        self._dead = None
        server.kill()  # one that was stopped, too
        self._servers.append(self._start_server())
        self._await_known(self._servers[-1])
        if broken := [client for client in self._clients if client.ready()]:
            raise Trouble(f"a client ended: {broken[0].exception!r}")
        return {"named": named, "gone": gone, "failed_calls": failed}

    def _start_server(self) -> Process:
        binders = [f"--binder={one}" for one in self._addresses]
        server = self._start(["server", f"--type={TYPE}", *binders])
        self._await("confirmed", [server])
        return server

    def _await_known(self, server: Process) -> None:
        self._await(rf"(subscribed|learned) type {TYPE} at {server.address}\b", self._binders)

    def _start(self, arguments: list[str]) -> Process:
        def hear(process: Process, line: str | None) -> None:
            self._lines.setdefault(process, []).append(line or "ended")

        return self._stack.enter_context(Process(arguments[0], arguments, hear))

    def _await(self, pattern: str, processes: list[Process]) -> None:
        """Until each has written such a line."""
        ends_at = time.monotonic() + LIMIT
        for process in processes:
            while not any(re.search(pattern, line) for line in self._lines.get(process, ())):
                if process.exit_code is not None:
                    raise Trouble(f"a {process.name} ended: {process.last_line}")
                if time.monotonic() > ends_at:
                    raise Trouble(f"{process.name}: no line {pattern!r} within {LIMIT:g} s")
                gevent.sleep(0.002)

    def _keep_asking(self, binder: Address) -> None:
        """Look up at one binder at a steady rate, over a bare socket: cheap, so often."""
        with gevent.socket.socket(type=gevent.socket.SOCK_DGRAM) as asking:
            asking.connect(binder)
            asking.settimeout(1.0)
            while True:
                gevent.sleep(ASK_PAUSE)
                asking.send(bytes((2, TYPE)))
                found = asking.recv(64)
                if self._dead is not None and found[1:] == make_instance(TYPE, self._dead)[1:]:
                    self._last_named_at = time.monotonic()

    def _keep_calling(self, client: Client) -> None:
        while True:
            gevent.sleep(CALL_PAUSE)
            try:
                client.call(TYPE, b"hello")
            except PrrError:
                self._failed_calls += 1


def measure(
    binders: Sequence[int], kills: int, stops: int, seconds: float
) -> dict[str, dict[str, object]]:
    """Strike as often as asked, or for `seconds` for each number of binders and kind of strike.

    Raises Trouble when a node does not start, or a binder does not take the dead out.
    """
    result: dict[str, dict[str, object]] = {}
    for count in binders:
        for number, strikes in ((signal.SIGKILL, kills), (signal.SIGSTOP, stops)):
            if strikes:
                seen = _strikes(count, number, strikes, seconds)
                result[f"{number.name}, {count} binder{'s' * (count > 1)}"] = _summary(seen)
    if stops:
        seen = [
            {"named": one.last_named, "gone": one.unserved, "failed_calls": one.failed_calls}
            for one in lab.play(stops)
        ]
        summary = _summary(seen)
        unserved = summary.pop("until_all_know_ms_p50")
        result["timing of 2016 (2 s + 2 s), 1 binder"] = {**summary, "nobody_served_ms": unserved}
    return result


def _strikes(
    binders: int, number: signal.Signals, strikes: int, seconds: float
) -> list[dict[str, float]]:
    """What followed each strike. Binders evict FLOOR servers for silence and then doubt themselves
    for half a minute: so many are stopped, and the next ones in a fresh cluster."""
    seen: list[dict[str, float]] = []
    ends_at = time.monotonic() + seconds
    most = FLOOR if number == signal.SIGSTOP else strikes
    for already in range(0, strikes, most):
        with ExitStack() as stack:
            cluster = Cluster(stack, binders)
            for _ in range(already, min(already + most, strikes)):
                if seen and time.monotonic() > ends_at:
                    return seen
                seen.append(cluster.strike(number))
    return seen


def _summary(seen: list[dict[str, float]]) -> dict[str, object]:
    named = sorted(1000 * one["named"] for one in seen)
    return {
        "strikes": len(seen),
        "last_named_ms_p50": round(named[len(named) // 2], 1),
        "last_named_ms_max": round(named[-1], 1),
        "until_all_know_ms_p50": round(
            1000 * sorted(one["gone"] for one in seen)[len(seen) // 2], 1
        ),
        "failed_calls_mean": round(sum(one["failed_calls"] for one in seen) / len(seen), 2),
        "failed_calls_max": max(one["failed_calls"] for one in seen),
    }


def _binder(own: str, addresses: list[str]) -> list[str]:
    peers = [f"--peer={one}" for one in addresses if one != own]
    return ["binder", f"--listen={own}", *peers]


def main(arguments: Sequence[str]) -> int:
    """Measure as `arguments` say, and print the result; the exit code."""
    return run(
        parser_for("failover", __doc__, 40.0, *FLAGS),
        lambda parsed: measure(
            parsed.binders or BINDERS, parsed.kills, parsed.stops, parsed.seconds
        ),
        arguments,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
