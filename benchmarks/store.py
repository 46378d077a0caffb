"""What it costs to keep what servers say: nowhere, on the binder's disk, or in an etcd.

    python -m benchmarks.store
    python -m benchmarks.store --servers 20000 --instances 100000 --json

Each store has two binders of its own. New servers subscribe with the first: how many are confirmed
a second, at what CPU of that binder and of etcd, and how long it takes until the second hands a
server out. Lookups go to one binder of each store in turn, round by round. At last a binder starts
that knows nothing, beside an etcd that has all the instances. Needs an etcd, on the PATH.
"""

import argparse
import json
import shutil
import socket
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from typing import Any

import gevent
from gevent.subprocess import DEVNULL, Popen

from benchmarks.arguments import Flag, Trouble, parser_for, run
from benchmarks.fleet import Fleet
from benchmarks.generate import generate
from benchmarks.load import figures_of, types_from
from benchmarks.nodes import make_instances, start_binder, status_of
from benchmarks.proc import cpu_seconds
from benchmarks.tally import Load
from prr.core.commits.stored import Write
from prr.core.effects import Update
from prr.demo.ports import free_port
from prr.demo.processes import die_with_parent
from prr.shell.etcd.messages import Keys
from prr.text import parse_peer
from prr.wire.codec import Codec
from prr.wire.frames import Found, Lookup, Role
from prr.wire.version import Version

_CLIENT = Codec(Role.CLIENT)

FLAGS = (
    Flag("--servers", 10_000, 100_000, "that come"),
    Flag("--seen", 100, 155, "of which it is seen how long they take to be found at the other"),
    Flag("--instances", 100_000, 500_000, "in the etcd from which a binder starts"),
    Flag("--rounds", 5, 50, "of lookups"),
)

TYPES = 100
KNOWN = 1000
"""Instances among which is looked up."""

LIMIT = 120.0
"""Seconds for whatever is waited for here."""

SETTLE = 1.5
"""Seconds after which each server has been asked whether it is there."""

PUTS = 100
STORES = ("gossip", "disk", "etcd")


def main(arguments: Sequence[str]) -> int:
    """Measure as `arguments` say, and print the result; the exit code."""
    return run(parser_for("store", __doc__, 1.0, *FLAGS), _measure, arguments)


def _measure(parsed: argparse.Namespace) -> dict[str, Any]:
    """The figures of each store, and of the start from etcd."""
    if shutil.which("etcd") is None:
        raise Trouble("there is no etcd on the PATH; install it, as Debian's etcd-server")
    result: dict[str, Any] = {"servers": parsed.servers}
    for name in STORES:
        with ExitStack() as stack:
            pair = _Pair(name, stack)
            result[name] = pair.cost_of_servers(parsed.servers) | pair.time_to_see(parsed.seen)
    for name, figures in _lookups(parsed).items():
        result[name] |= figures
    with ExitStack() as stack:
        result["start"] = _start(_Etcd(stack), parsed.instances, stack)
    return result


class _Etcd:
    """An etcd of one server, on loopback, in a folder of its own; it ends with `stack`."""

    def __init__(self, stack: ExitStack) -> None:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        self.address = f"127.0.0.1:{free_port()}"
        urls = f"http://{self.address}"
        flags = (
            "--data-dir",
            folder,
            "--listen-client-urls",
            urls,
            "--advertise-client-urls",
            urls,
        )
        peers = f"http://127.0.0.1:{free_port()}"
        server = Popen(
            ["etcd", *flags, "--listen-peer-urls", peers],
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=DEVNULL,
            preexec_fn=die_with_parent,
        )
        stack.callback(server.wait)
        stack.callback(server.kill)
        self.pid = server.pid
        _until(lambda: bool(self.ask("/v3/kv/range", {"key": "AA=="})), "etcd does not answer")

    def ask(self, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """The answer; None if there is none yet."""
        request = urllib.request.Request(
            f"http://{self.address}{path}", json.dumps(body).encode(), method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=LIMIT) as answer:
                return json.loads(answer.read())
        except OSError:
            return None


class _Pair:
    """Two binders with a store of some kind, which hear each other."""

    def __init__(self, store: str, stack: ExitStack) -> None:
        self._stack = stack
        names = [f"127.0.0.1:{free_port()}" for _ in range(2)]
        self.etcd = _Etcd(stack) if store == "etcd" else None
        self.pids = []
        for own in names:
            arguments = [f"--peer={one}" for one in names if one != own]
            if store == "disk":
                folder = stack.enter_context(tempfile.TemporaryDirectory())
                arguments.append(f"--state={folder}")
            if self.etcd is not None:
                arguments = [f"--store=etcd://{self.etcd.address}"]
            self.pids.append(start_binder(stack, f"--listen={own}", *arguments).pid)
        self.addresses = [parse_peer(name) for name in names]
        _until(self._is_agreed, "the binders do not hear each other")

    def cost_of_servers(self, count: int) -> dict[str, Any]:
        """What it takes until so many new ones are confirmed."""
        fleet = self._stack.enter_context(closing(Fleet(count, types_from(1, TYPES), 64)))
        pids = [self.pids[0]] + ([self.etcd.pid] if self.etcd is not None else [])
        used, began = [cpu_seconds([pid]) or 0.0 for pid in pids], time.perf_counter()
        took = sorted(fleet.say(fleet.first, self.addresses[0]))
        elapsed = time.perf_counter() - began
        cpu = [(cpu_seconds([pid]) or 0.0) - was for pid, was in zip(pids, used, strict=True)]
        self.settle(fleet)
        return {
            "confirmed_per_second": round(count / elapsed),
            "confirmed_within_ms": round(1000 * took[len(took) // 2], 1),
            "binder_cpu_us": round(1e6 * cpu[0] / count),
            "etcd_cpu_us": round(1e6 * cpu[1] / count) if len(cpu) > 1 else None,
            "said_again": fleet.sent - count,
        }

    def time_to_see(self, count: int) -> dict[str, Any]:
        """How long after its subscription one of a service of its own is confirmed by the first
        binder, and found at the second."""
        seen, confirmed = [], []
        for number in range(count):
            with (
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
            ):
                server.setblocking(False)
                client.settimeout(LIMIT)
                client.connect(self.addresses[1])
                server.bind(("127.0.0.1", 0))
                own, type_ = server.getsockname(), TYPES + 1 + number  # of which there is none yet
                lookup, began = _CLIENT.encode(Lookup(type_)), time.perf_counter()
                server.sendto(bytes((5, type_)), self.addresses[0])
                is_seen = is_confirmed = False
                while not (is_seen and is_confirmed):
                    client.send(lookup)
                    answer = _CLIENT.decode(client.recv(64))
                    if not is_seen and isinstance(answer, Found) and answer.address == own:
                        is_seen = True
                        seen.append(time.perf_counter() - began)
                    if not is_confirmed and _has(server, b"\x06"):
                        is_confirmed = True
                        confirmed.append(time.perf_counter() - began)
                    if time.perf_counter() - began > LIMIT:
                        raise Trouble("a server is not found")
        return {
            "found_at_other_ms": round(1000 * statistics.median(seen), 2),
            "alone_confirmed_ms": round(1000 * statistics.median(confirmed), 2),
        }

    def settle(self, fleet: Fleet) -> None:
        """Have each server answer the question whether it is there."""
        ends_at = time.perf_counter() + SETTLE
        while time.perf_counter() < ends_at:
            list(fleet.hear())
            gevent.sleep(0.001)

    def _is_agreed(self) -> bool:
        statuses = [status_of(address) or {} for address in self.addresses]
        return all(
            status.get("synced") and any(peer["agrees"] for peer in status["peers"])
            for status in statuses
        )


def _lookups(parsed: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Lookups of each store's first binder in turn, beside gossip's in the same round."""
    with ExitStack() as stack:
        loads = {}
        for at, name in enumerate(STORES):
            pair = _Pair(name, stack)
            fleet = stack.enter_context(closing(Fleet(KNOWN, b"\0", 8 * (at + 1))))
            fleet.say(fleet.first, pair.addresses[0])
            pair.settle(fleet)
            instances = [fleet.instance(number) for number in range(KNOWN)]
            loads[name] = Load(
                [pair.addresses[0]], b"\0", instances, parsed.seconds, pids=[pair.pids[0]]
            )
        rounds = [
            {name: figures_of(generate(load)) for name, load in loads.items()}
            for _ in range(parsed.rounds)
        ]
    return {
        name: {
            "lookups_per_second": _median(
                rounds, lambda one, name=name: one[name]["lookups_per_second"]
            ),
            "lookups_beside_gossip": _median(
                rounds,
                lambda one, name=name: (
                    one[name]["lookups_per_second"] / one["gossip"]["lookups_per_second"]
                ),
            ),
        }
        for name in STORES
    }


def _median(rounds: list[dict[str, Any]], figure: Callable[[dict[str, Any]], float]) -> float:
    return round(statistics.median(map(figure, rounds)), 3)


def _start(etcd: _Etcd, count: int, stack: ExitStack) -> dict[str, Any]:
    """A binder starts beside an etcd with so many instances: when it serves."""
    keys, owner = Keys("/prr/"), 1
    instances = make_instances(count, types_from(1, TYPES))
    for at in range(0, count, PUTS):
        writes = [
            Write(one, 0, Update(Version(1 << 20, owner, 2), True))
            for one in instances[at : at + PUTS]
        ]
        if not (etcd.ask("/v3/kv/txn", keys.transaction(writes, "")) or {}).get("succeeded"):
            raise Trouble("etcd does not take the instances")
    began = time.perf_counter()
    binder = start_binder(stack, f"--store=etcd://{etcd.address}")
    address = parse_peer(binder.address)
    _until(lambda: bool((status_of(address) or {}).get("synced")), "the binder is not ready")
    elapsed = time.perf_counter() - began
    held = (status_of(address) or {}).get("instances")
    return {
        "instances": held,
        "ready_within_s": round(elapsed, 2),
        "binder_cpu_s": round(cpu_seconds([binder.pid]) or 0.0, 2),
    }


def _has(server: socket.socket, said: bytes) -> bool:
    """A datagram that begins so has come; questions are answered."""
    while True:
        try:
            data, source = server.recvfrom(64)
        except BlockingIOError:
            return False
        if data.startswith(said):
            return True
        if data[:1] == b"\x0b":  # a bare answer will do
            server.sendto(b"\x0c", source)


def _until(is_so: Callable[[], bool], what: str) -> None:
    ends_at = time.monotonic() + LIMIT
    while not is_so():
        if time.monotonic() > ends_at:
            raise Trouble(f"{what}: not within {LIMIT:g} s")
        gevent.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
