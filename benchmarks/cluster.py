"""Binders that know each other, what has subscribed with them, and what that costs the first."""

import statistics
import sys
from contextlib import ExitStack, closing
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import gevent

from benchmarks import systems
from benchmarks.arguments import HERE, Trouble
from benchmarks.fleet import Fleet, Message
from benchmarks.keyed_fleet import KeyedFleet
from benchmarks.nodes import make_keyring, status_of
from benchmarks.proc import cpu_seconds
from benchmarks.processes import PAUSE, Node, Started, until
from benchmarks.systems import Running
from prr.demo.ports import free_port
from prr.wire.instance import Instance, make_instance

MEMORY, DISK, ETCD = "in memory", "on disk", "in an etcd"
"""Where binders keep what servers say."""

SETTLE = 1.5
"""Seconds after which each server has been asked whether it is there, and those it was told to know
it: what is done then belongs to what was said before."""


def etcd_flag(etcd: Running) -> str:
    """For a binder that keeps there what servers say."""
    return f"--store=etcd://{HERE}:{etcd.port}"


class Cluster:
    """Binders that agree, and what has subscribed with them, until `stack` ends."""

    def __init__(
        self, stack: ExitStack, count: int, store: str = MEMORY, is_keyed: bool = False
    ) -> None:
        """`store` is one of MEMORY, DISK and ETCD. Keyed ones require proof."""
        self._stack = stack
        self.etcd = Running(systems.ETCD, stack) if store == ETCD else None
        self.keyring, flags = make_keyring(stack) if is_keyed else (None, [])
        self.names = [f"{HERE}:{free_port()}" for _ in range(count)]
        self.binders = [self._start_binder(own, store, flags) for own in self.names]
        self.addresses = [binder.address for binder in self.binders]
        self.pids = [binder.pid for binder in self.binders]
        self._flags = [f"--binder={name}" for name in self.names]
        until(self._agrees, "the binders do not hear each other")

    def _start_binder(self, own: str, store: str, flags: list[str]) -> Node:
        if self.etcd:
            where = [etcd_flag(self.etcd)]  # where they find each other, too
        else:
            where = [f"--peer={one}" for one in self.names if one != own]
        if store == DISK:
            where.append(f"--state={self._stack.enter_context(TemporaryDirectory())}")
        return Node(self._stack, "binder", f"--listen={own}", *flags, *where)

    def _agrees(self) -> bool:
        others = len(self.binders) - 1
        for status in map(status_of, self.addresses):
            if not status or not status["synced"]:
                return False
            if sum(peer["agrees"] is True for peer in status["peers"]) < others:
                return False
        return True

    def wait_for(self, instances: int, pause: float = PAUSE) -> None:
        """Until each binder has so many, asked every `pause` seconds."""

        def is_so() -> bool:
            return all(status["instances"] == instances for status in self.statuses())

        until(is_so, f"not every binder has {instances} instances", pause=pause)

    def start_host(
        self, count: int, types: int, delay: float = 0.0
    ) -> tuple[Started, list[Instance]]:
        """A process with many services (see host.py), which every binder knows; and these."""
        known = self.statuses()[0]["instances"]
        flags = [*self._flags, f"--count={count}", f"--types={types}", f"--delay={delay}"]
        host = Started(self._stack, sys.executable, "-m", "benchmarks.host", *flags)
        pairs = [pair.split(":") for pair in host.wait_for("ready (.*)")[1].split()]
        self.wait_for(known + count)
        return host, [make_instance(int(type_), (HERE, int(port))) for type_, port in pairs]

    def statuses(self) -> list[dict[str, Any]]:
        """The status of each binder."""
        statuses = gevent.get_hub().threadpool.map(status_of, self.addresses)
        if None in statuses:
            raise Trouble("a binder does not tell its status")
        return statuses

    def fleet(self, count: int, types: bytes, net: int) -> Fleet:
        """Servers that the binders believe."""
        whose = count, types, net
        made = KeyedFleet(*whose, self.keyring) if self.keyring else Fleet(*whose)
        return self._stack.enter_context(closing(made))

    def cost_of(self, fleet: Fleet, message: Message, settle: bool = False) -> dict[str, Any]:
        """What it takes when each server says this to the first binder: in time, and in CPU of that
        binder and of the etcd, in which that of the time to `settle` is counted."""
        pids = [self.pids[0], *([self.etcd.server.pid] if self.etcd else [])]
        used, began = [cpu_seconds([pid]) or 0.0 for pid in pids], perf_counter()
        fleet.sent = 0
        took = fleet.say(message, self.addresses[0])
        elapsed = perf_counter() - began
        if settle:
            fleet.stay(SETTLE)
        cpu = [(cpu_seconds([pid]) or 0.0) - was for pid, was in zip(pids, used, strict=True)]
        return {
            "per_second": round(fleet.count / elapsed),
            "within_ms": round(1000 * statistics.median(took), 1),
            "cpu_us": round(1e6 * cpu[0] / fleet.count, 2),
            **({"etcd_cpu_us": round(1e6 * cpu[1] / fleet.count, 2)} if self.etcd else {}),
            "said_again": fleet.sent - fleet.count,
        }
