"""Binders, and what has subscribed with all of them: for benchmarks in which some of it dies."""

import sys
from contextlib import ExitStack
from typing import Any

import gevent

from benchmarks.arguments import Trouble
from benchmarks.nodes import start_binders, status_of
from benchmarks.processes import Node, Started, until
from prr.wire.instance import Instance, describe_address, make_instance


class Cluster:
    """Binders that know each other, and what has subscribed with them, until `stack` ends."""

    def __init__(self, stack: ExitStack, binders: int) -> None:
        self._stack = stack
        self.binders = start_binders(stack, binders)
        self.addresses = [binder.address for binder in self.binders]
        self.names = [describe_address(address) for address in self.addresses]
        self._flags = [f"--binder={name}" for name in self.names]
        if binders > 1:  # one that has no peers has nothing to wait for, and says nothing of it
            self.wait_for("synced")

    def wait_for(self, pattern: str) -> None:
        """Until each binder has written such a line."""
        for binder in self.binders:
            binder.wait_for(pattern)

    def start_server(self, type_: int) -> Node:
        """One server, which every binder knows."""
        server = Node(self._stack, "server", f"--type={type_}", *self._flags)
        server.wait_for("confirmed")
        at = describe_address(server.address)
        self.wait_for(rf"(subscribed|learned) type {type_} at {at}\b")
        return server

    def start_host(
        self, count: int, types: int, delay: float = 0.0
    ) -> tuple[Started, list[Instance]]:
        """A process with many services (see host.py), which every binder knows; and these."""
        known = [status["instances"] + count for status in self.statuses()]
        program = (sys.executable, "-m", "benchmarks.host", *self._flags)
        host = Started(
            self._stack, *program, f"--count={count}", f"--types={types}", f"--delay={delay}"
        )
        pairs = [pair.split(":") for pair in host.wait_for("ready (.*)")[1].split()]
        until(
            lambda: [status["instances"] for status in self.statuses()] == known,
            "not every binder knows all of a host's services",
        )
        return host, [make_instance(int(type_), ("127.0.0.1", int(port))) for type_, port in pairs]

    def statuses(self) -> list[dict[str, Any]]:
        """The status of each binder."""
        statuses = gevent.get_hub().threadpool.map(status_of, self.addresses)
        if None in statuses:
            raise Trouble("a binder does not tell its status")
        return statuses
