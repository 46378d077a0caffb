"""Binders, servers and hosts of services as processes: for benchmarks in which some of them die."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import gevent
from gevent.subprocess import Popen

from benchmarks.arguments import ROOT, Trouble
from prr.client.control import fetch_text
from prr.demo.ports import free_port
from prr.demo.processes import Process, die_with_parent
from prr.text import parse_peer
from prr.wire.instance import Address, Instance, make_instance
from prr.wire.trailer import Question

LIMIT = 20.0
"""Seconds for nodes to be ready, and for every binder to take a server out."""


class Cluster:
    """Binders that know each other, and what has subscribed with them, until `stack` ends."""

    def __init__(self, stack: ExitStack, binders: int) -> None:
        self._stack = stack
        self._lines: dict[Process, list[str]] = {}
        self.names = [f"127.0.0.1:{free_port()}" for _ in range(binders)]
        self.addresses: list[Address] = [parse_peer(name) for name in self.names]
        self.binders = [self._start(self._binder(own)) for own in self.names]
        # One that has no peers has nothing to wait for, and says nothing of it.
        self.wait_for("synced" if binders > 1 else "listening on", self.binders)

    def start_server(self, type_: int) -> Process:
        """One server, which every binder knows."""
        binders = [f"--binder={one}" for one in self.names]
        server = self._start(["server", f"--type={type_}", *binders])
        self.wait_for("confirmed", [server])
        self.wait_for(rf"(subscribed|learned) type {type_} at {server.address}\b", self.binders)
        return server

    def start_host(self, count: int, types: int, delay: float = 0.0) -> "HostOfMany":
        """A process with many services, which every binder knows."""
        known = [held(status) for status in self.statuses()]
        binders = [f"--binder={one}" for one in self.names]
        flags = [f"--count={count}", f"--types={types}", f"--delay={delay}"]
        host = self._stack.enter_context(HostOfMany([*binders, *flags]))
        self.until(
            lambda: all(
                held(status) == before + count
                for status, before in zip(self.statuses(), known, strict=True)
            ),
            "not every binder knows all of a host's services",
        )
        return host

    def statuses(self) -> list[dict[str, Any]]:
        """The status of each binder."""
        return gevent.get_hub().threadpool.map(_status_of, self.addresses)

    def lines(self) -> list[str]:
        """What the binders have logged."""
        return [line for binder in self.binders for line in self._lines.get(binder, ())]

    def wait_for(self, pattern: str, processes: list[Process]) -> None:
        """Until each has written such a line."""
        for process in processes:
            self.until(lambda process=process: self._has_said(process, pattern), pattern)

    def until(self, is_so: Callable[[], bool], what: str) -> None:
        """Until something is so. Raises Trouble if that takes too long."""
        ends_at = time.monotonic() + LIMIT
        while not is_so():
            if time.monotonic() > ends_at:
                raise Trouble(f"{what}: not within {LIMIT:g} s")
            gevent.sleep(0.002)

    def _has_said(self, process: Process, pattern: str) -> bool:
        if process.exit_code is not None:
            raise Trouble(f"a {process.name} ended: {process.last_line}")
        return any(re.search(pattern, line) for line in self._lines.get(process, ()))

    def _binder(self, own: str) -> list[str]:
        return ["binder", f"--listen={own}", *(f"--peer={n}" for n in self.names if n != own)]

    def _start(self, arguments: list[str]) -> Process:
        def hear(process: Process, line: str | None) -> None:
            self._lines.setdefault(process, []).append(line or "ended")

        return self._stack.enter_context(Process(arguments[0], arguments, hear))


class HostOfMany:
    """A process of `benchmarks.host`."""

    def __init__(self, flags: list[str]) -> None:
        command = [sys.executable, "-m", "benchmarks.host", *flags]
        self._process = Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent
        )
        with gevent.Timeout(LIMIT, Trouble("a host's services are not confirmed in time")):
            ready = self._process.stdout.readline().split()[1:]
        pairs = [one.split(":") for one in ready]
        self.instances: list[Instance] = [
            make_instance(int(type_), ("127.0.0.1", int(port))) for type_, port in pairs
        ]
        self.pid = self._process.pid

    def __enter__(self) -> "HostOfMany":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


def held(status: dict[str, Any]) -> int:
    """How many instances a binder holds."""
    return status["instances"]


def _status_of(binder: Address) -> dict[str, Any]:
    text = fetch_text(binder, Question.STATUS)
    if text is None:
        raise Trouble("a binder does not tell its status")
    return json.loads(text)
