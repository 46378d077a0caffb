"""What it costs to keep what servers say: nowhere, on the binder's disk, or in an etcd.

    python -m benchmarks.store
    python -m benchmarks.store --servers 20000 --instances 100000 --json

Each store has two binders of its own. New servers subscribe with the first: how many are confirmed
a second, at what CPU of that binder and of etcd, and how long it takes until the second hands a
server out. Lookups go to one binder of each store in turn, round by round. At last a binder starts
that knows nothing, beside an etcd that has all the instances. Needs an etcd, on the PATH.
"""

import argparse
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from benchmarks.arguments import HERE, Flag, Trouble, parser_for, run
from benchmarks.fleet import Fleet
from benchmarks.generate import generate
from benchmarks.load import figures_of, types_from
from benchmarks.nodes import make_instances, start_binders, status_of
from benchmarks.proc import cpu_seconds
from benchmarks.processes import Node, Started, until
from benchmarks.systems import ask_etcd, etcd_command
from benchmarks.tally import Load
from prr.core.commits.stored import Write
from prr.core.effects import Update
from prr.demo.ports import free_port
from prr.shell.etcd.messages import Keys
from prr.wire.codec import Codec
from prr.wire.frames import Found, Role
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
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.port = free_port()
        self.flag = f"--store=etcd://{HERE}:{self.port}"
        self.pid = Started(stack, *etcd_command(folder, self.port)).pid
        until(lambda: ask_etcd(self.port, "range", {"key": "AA=="}), "etcd does not answer")


class _Pair:
    """Two binders with a store of some kind, which hear each other."""

    def __init__(self, store: str, stack: ExitStack) -> None:
        self._stack = stack
        self.etcd = _Etcd(stack) if store == "etcd" else None

        if self.etcd is None:
            binders = start_binders(stack, 2, store == "disk")
        else:
            binders = [
                Node(stack, "binder", f"--listen={HERE}:{free_port()}", self.etcd.flag)
                for _ in range(2)
            ]
        self.addresses = [binder.address for binder in binders]
        self.pids = [binder.pid for binder in binders]
        until(self._is_agreed, "the binders do not hear each other", LIMIT)

    def cost_of_servers(self, count: int) -> dict[str, Any]:
        """What it takes until so many new ones are confirmed."""
        fleet = self._stack.enter_context(closing(Fleet(count, types_from(1, TYPES), 64)))
        pids = [self.pids[0]] + ([self.etcd.pid] if self.etcd is not None else [])
        used, began = [cpu_seconds([pid]) or 0.0 for pid in pids], time.perf_counter()
        took = sorted(fleet.say(fleet.first, self.addresses[0]))
        elapsed = time.perf_counter() - began
        cpu = [(cpu_seconds([pid]) or 0.0) - was for pid, was in zip(pids, used, strict=True)]
        fleet.stay(SETTLE)
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
        took = [self._see(TYPES + 1 + number) for number in range(count)]  # there is none yet
        return {
            f"{what}_ms": round(1000 * statistics.median(one[what] for one in took), 2)
            for what in ("found_at_other", "alone_confirmed")
        }

    def _see(self, type_: int) -> dict[str, float]:
        """The seconds until one server is found, and confirmed."""
        took: dict[str, float] = {}
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
        ):
            server.setblocking(False)
            client.settimeout(LIMIT)
            client.connect(self.addresses[1])
            server.bind((HERE, 0))
            found = Found(server.getsockname())
            began = time.perf_counter()
            server.sendto(bytes((5, type_)), self.addresses[0])
            while len(took) < 2:
                client.send(bytes((2, type_)))
                if _CLIENT.decode(client.recv(64)) == found:
                    took.setdefault("found_at_other", time.perf_counter() - began)
                if "alone_confirmed" not in took and _has(server, b"\x06"):
                    took["alone_confirmed"] = time.perf_counter() - began
                if time.perf_counter() - began > LIMIT:
                    raise Trouble("a server is not found")
        return took

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
            fleet.stay(SETTLE)
            loads[name] = Load(
                [pair.addresses[0]], b"\0", fleet.instances(), parsed.seconds, pids=[pair.pids[0]]
            )
        rounds = [
            {name: figures_of(generate(load))["lookups_per_second"] for name, load in loads.items()}
            for _ in range(parsed.rounds)
        ]
    return {
        name: {
            "lookups_per_second": statistics.median(one[name] for one in rounds),
            "lookups_beside_gossip": round(
                statistics.median(one[name] / one[STORES[0]] for one in rounds), 3
            ),
        }
        for name in STORES
    }


def _start(etcd: _Etcd, count: int, stack: ExitStack) -> dict[str, Any]:
    """A binder starts beside an etcd with so many instances: when it serves."""
    keys, owner = Keys("/prr/"), 1
    instances = make_instances(count, types_from(1, TYPES))
    for at in range(0, count, PUTS):
        writes = [
            Write(one, 0, Update(Version(1 << 20, owner, 2), True))
            for one in instances[at : at + PUTS]
        ]
        if not ask_etcd(etcd.port, "txn", keys.transaction(writes, "")).get("succeeded"):
            raise Trouble("etcd does not take the instances")
    began = time.perf_counter()
    binder = Node(stack, "binder", f"--listen={HERE}:0", etcd.flag)

    def status() -> dict[str, Any]:
        return status_of(binder.address) or {}

    until(lambda: status().get("synced"), "the binder is not ready", LIMIT)
    elapsed = time.perf_counter() - began
    held = status().get("instances")
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
