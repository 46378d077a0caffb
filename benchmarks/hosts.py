"""A host of many services that dies, and services that live and are slow: parts of `failover`."""

import os
import signal
import time
from contextlib import ExitStack
from unittest.mock import patch

import gevent

from benchmarks.callers import Callers
from benchmarks.cluster import Cluster
from benchmarks.figures import Figures, share_ms
from prr.client.api import Client
from prr.client.errors import PrrError
from prr.core.client import SERVICE_LIMIT
from prr.core.patience import Patience

TYPES = 32
"""Service types that the host's services share with those of another host, which lives."""

OTHERS = 96
"""Services of the other host: three of each type."""

QUIET = 3.0
"""Seconds without any of the dead being named after which none will be, other than for want of
another: those out of turn are asked again after 2 s."""

BURST_LIMIT = 30.0
"""Seconds to watch at most."""

SLOW = 1.0
"""Seconds that a slow service takes."""

SLOW_SERVICES = 3
SLOW_CLIENTS = 8
SLOW_CALLS = 4
"""Calls of each client, one after the other."""


def burst(binders: int, services: int, number: signal.Signals) -> Figures:
    """What becomes of a host of so many `services` that is sent a signal."""
    with ExitStack() as stack:
        cluster = Cluster(stack, binders)
        cluster.start_host(OTHERS, TYPES)
        host, dying = cluster.start_host(services, TYPES)
        callers = Callers(cluster.addresses, range(1, TYPES + 1))
        stack.callback(callers.stop)
        gevent.sleep(1.0)  # under way, and all have answered a question once
        before = _counted(cluster, "verified")
        callers.watch(dying)
        struck_at = time.monotonic()
        os.kill(host.pid, number)
        while time.monotonic() - max(callers.last_named_at, struck_at) < QUIET:
            gevent.sleep(0.1)
            if time.monotonic() - struck_at > BURST_LIMIT:
                break
        statuses = cluster.statuses()
        return {
            "last_named_ms": round(1000 * (callers.last_named_at - struck_at), 1),
            "removed_by_then": services + OTHERS - max(s["instances"] for s in statuses),
            "others_in_turn": min(sum(row["up"] for row in s["types"]) for s in statuses),
            "others": OTHERS,
            "others_ever_in_doubt": _counted(cluster, "verified") - before,
            "brake": [str(s["brake"]["held_back"]) + " held back" for s in statuses if s["brake"]],
        }


def _counted(cluster: Cluster, counter: str) -> int:
    return sum(status["counters"].get(counter, 0) for status in cluster.statuses())


def slow() -> dict[str, Figures]:
    """What needless complaints a service that always takes a second brings about, and how long its
    calls take: without any complaint, with them, and hedged."""
    with ExitStack() as stack:
        cluster = Cluster(stack, 1)
        cluster.start_host(SLOW_SERVICES, 1, SLOW)
        client = Client(cluster.names)
        rows = {}
        # A client that never complains before the service has had its time.
        with patch.object(Patience, "of", lambda self, type_: SERVICE_LIMIT):
            rows["slow services, no complaints"] = _call_slow(cluster, client, False)
        rows["slow services"] = _call_slow(cluster, client, False)
        rows["slow services, hedged"] = _call_slow(cluster, client, True)
        return rows


def _call_slow(cluster: Cluster, client: Client, hedge: bool) -> Figures:
    took: list[float] = []
    failed = 0

    def call() -> None:
        nonlocal failed
        for _ in range(SLOW_CALLS):
            began_at = time.monotonic()
            try:
                client.call(1, b"hello", hedge=hedge)
            except PrrError:
                failed += 1
            took.append(time.monotonic() - began_at)

    complaints, evicted = (_counted(cluster, key) for key in ("complaint", "evicted"))
    gevent.joinall([gevent.spawn(call) for _ in range(SLOW_CLIENTS)], raise_error=True)
    return {
        "calls": len(took),
        "failed_calls": failed,
        "call_ms_p50": share_ms(took, 0.50),
        "call_ms_p99": share_ms(took, 0.99),
        "needless_complaints": _counted(cluster, "complaint") - complaints,
        "evicted": _counted(cluster, "evicted") - evicted,
    }
