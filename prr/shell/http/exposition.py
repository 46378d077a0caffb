"""What Prometheus reads: the table of metrics, and what `status` says, by its conventions.

Nothing is counted for it: whoever asks is told what is counted anyway.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

import gevent
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.core import (
    Metric as Family,
)
from prometheus_client.exposition import generate_latest

from prr.core.liveness import verdicts
from prr.core.metrics import Metric
from prr.shell.http.binder import Binder, Count
from prr.shell.http.served import Served
from prr.shell.loop_lag import BOUNDS

CONTENT_TYPE = CONTENT_TYPE_LATEST

SERVICES_MAX = 64
"""Services that have rows of their own, those with the most instances; the others are "other"."""

LOOKED_AT_MAX = 4096
"""Services that are looked at, 2 us each; those beyond count as up, in "other"."""

NOT_OF_A_BINDER = frozenset(
    {
        *(Metric.CONFIRMED, Metric.NO_CONFIRMATION, Metric.FOUND, Metric.ENDED, Metric.FLAPPING),
        *(Metric.CHECK_PASSED, Metric.CHECK_FAILED, Metric.CALL_FAILED, Metric.CALL_DROPPED),
    }
)
"""What servers, agents and clients count."""


class Exposition:
    """The metrics of one binder, and of what serves its HTTP."""

    def __init__(self, binder: Binder, served: Served) -> None:
        self._binder = binder
        self._served = served
        self._build = [binder.settings.version, sys.version.split()[0], gevent.__version__]
        self._process = CollectorRegistry()
        ProcessCollector(pid=os.getppid, registry=self._process)  # the binder's

    def read(self) -> Callable[[], list[bytes]]:
        """All of them, to be shown in one part."""
        families = [*self._collect(), *self._process.collect()]
        return lambda: [b"".join(generate_latest(_Only(one)) for one in families)]

    def _collect(self) -> Iterator[Family]:
        status, counts = self._binder.status(), self._binder.counts()
        yield _info("prr_build", "what runs", ["version", "python", "gevent"], self._build)
        for metric in Metric:
            if metric not in NOT_OF_A_BINDER:
                name = f"prr_{metric.name.lower()}"
                value = counts.metrics.get(metric.name, 0)
                yield CounterMetricFamily(name, _help(metric), value=value)
        yield from self._health(status)
        yield self._instances(counts.instances)
        yield from _verifications(status)
        yield from _peers(status["peers"])
        yield _counters(
            *("prr_queue_dropped", "datagrams dropped by the kernel, by queue", "queue"),
            counts.queue_drops,
        )
        if dns := status.get("dns"):
            yield from _dns(dns)
        lags = {(): counts.lag}
        yield _histogram("prr_loop_lag_seconds", "how late the loop is", BOUNDS, lags)
        yield from self._served.families()

    def _health(self, status: dict[str, Any]) -> Iterator[Family]:
        limiter, state = status["brake"] or {}, status["state"] or {}
        etcd = state.get("etcd") or {}
        for name, help_, value in (
            ("ready", "it can answer every lookup", status["synced"]),
            ("degraded_reasons", "why it is not well: how many reasons", len(status["degraded"])),
            ("isolated", "it hears none of its peers", status["isolated"] is not None),
            ("eviction_limiter_on", "the eviction limiter holds", bool(limiter)),
            ("held_back_instances", "silent, and kept by it", limiter.get("held_back", 0)),
            ("store_unsaved_changes", "not on disk yet", state.get("unsaved", 0)),
            ("store_failing", "the disk refuses to write", bool(state.get("failing"))),
            ("etcd_away", "etcd does not answer", etcd.get("away_s") is not None),
            ("etcd_uncommitted_changes", "not in etcd yet", etcd.get("uncommitted", 0)),
            ("uptime_seconds", "since it started", status["uptime_s"]),
        ):
            yield GaugeMetricFamily(f"prr_{name}", help_, value=float(value))

    def _instances(self, total: int) -> Family:
        """The services with the most instances, each state, and all others together."""
        counts: list[Count] = []
        self._binder.services(LOOKED_AT_MAX, None, counts.append)
        counts.sort(key=lambda one: -sum(one[1:]))
        rows = [(str(one.service), one[1:]) for one in counts[:SERVICES_MAX]]
        rest = counts[SERVICES_MAX:]
        drained, suspect = sum(one.drained for one in rest), sum(one.suspect for one in rest)
        told = sum(sum(one[1:]) for one in counts)
        up = sum(one.up for one in rest) + max(total - told, 0)
        if up or drained or suspect:
            rows.append(("other", (up, drained, suspect)))
        family = GaugeMetricFamily(
            "prr_instances", "instances that are held", labels=["service", "state"]
        )
        for service, row in rows:
            for state, number in zip(("up", "drained", "suspect"), row, strict=True):
                family.add_metric([service, state], number)
        return family


class _Only:
    """A registry of one family."""

    def __init__(self, family: Family) -> None:
        self._family = family

    def collect(self) -> list[Family]:
        return [self._family]


def _help(metric: Metric) -> str:
    return f"{metric.key} ({metric.unit}): {metric.help}"


def _info(name: str, help_: str, labels: list[str], values: list[str]) -> Family:
    family = GaugeMetricFamily(f"{name}_info", help_, labels=labels)
    family.add_metric(values, 1)
    return family


def _counters(name: str, help_: str, label: str, counts: Mapping[str, float]) -> Family:
    family = CounterMetricFamily(name, help_, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family


def _dns(status: dict[str, int]) -> Iterator[Family]:
    """What became of queries by DNS, and how many connections there are for them."""
    connections = status.pop("connections")
    yield _counters("prr_dns_answers", "answers by DNS, and what got none", "code", status)
    yield GaugeMetricFamily("prr_dns_connections", "open for DNS over TCP", value=connections)


def _histogram(
    name: str,
    help_: str,
    bounds: Sequence[float],
    rows: Mapping[Any, tuple[Sequence[int], float]],
    label: str = "",
) -> Family:
    family = HistogramMetricFamily(name, help_, labels=[label] if label else [])
    limits = [*map(str, bounds), "+Inf"]
    for values, (counts, seconds) in rows.items():
        buckets = [*zip(limits, accumulate(counts), strict=True)]
        family.add_metric(list(values), buckets, seconds)
    return family


def _verifications(status: dict[str, Any]) -> Iterator[Family]:
    yield _histogram(
        *("prr_verification_seconds", "how long verifications took, by outcome", verdicts.BOUNDS),
        {
            (outcome,): (said["counts"], said["seconds"])
            for outcome, said in status["verifications"].items()
        },
        "outcome",
    )
    yield _counters(
        "prr_evictions", "instances evicted here, by reason", "reason", status["evictions"]
    )


def _peers(peers: list[dict[str, Any]]) -> Iterator[Family]:
    for name, help_, key, scale in (
        ("heard_seconds", "since it was heard last", "heard_s_ago", 1.0),
        ("round_trip_seconds", "how long its last answer took", "round_trip_ms", 0.001),
        ("agrees", "it held the same when that was compared last", "agrees", 1.0),
    ):
        family = GaugeMetricFamily(f"prr_peer_{name}", help_, labels=["peer"])
        for peer in peers:
            if peer[key] is not None:
                family.add_metric([peer["address"]], peer[key] * scale)
        yield family
    up = GaugeMetricFamily("prr_peer_up", "it is heard", labels=["peer"])
    for peer in peers:
        up.add_metric([peer["address"]], peer["state"] in ("up", "quiet"))
    yield up
    mended = {peer["address"]: peer["mended"] for peer in peers}
    yield _counters("prr_peer_mended", "updates that comparing brought", "peer", mended)
