"""What `top` shows, as tables: of two snapshots of the same binders, one a moment later."""

import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from prr.cli.everyone import Said
from prr.cli.inspect import odd_ones
from prr.client.control import Listing
from prr.core.metrics import Metric
from prr.services import names_by_number
from prr.wire.instance import Instance, describe
from prr.wire.trailer import Listed


class Snapshot(NamedTuple):
    """What the binders said, and how each instance was, at `moment`, in seconds since 1970;
    `listed` is None where nobody was asked, or they are too many."""

    moment: float
    said: Sequence[Said[dict[str, Any]]]
    listed: Mapping[Instance, Listing] | None


class Table(NamedTuple):
    """Rows under their names."""

    header: Sequence[str]
    rows: Sequence[Sequence[object]]


def binders(before: Snapshot, now: Snapshot, first: Snapshot | None = None) -> Table:
    """How each binder is, what it has to do, and how late its event loop was since `first`; None:
    since it was started."""
    header = (
        *("BINDER", "HEALTH", "UP", "FRAMES/S", "DROPS/S", "LATE MS P50", "P99"),
        *("INSTANCES", "PEERS UP", "SAME"),
    )
    odd = odd_ones(list(now.said))
    earlier, earliest = _answers(before), _answers(first)
    return Table(
        header,
        [
            _binder(row, earlier.get(row.binder), earliest.get(row.binder), row.binder in odd)
            for row in now.said
        ],
    )


def _answers(snapshot: Snapshot | None) -> dict[str, dict[str, Any] | None]:
    return {row.binder: row.answer for row in snapshot.said} if snapshot else {}


def _binder(
    said: Said[dict[str, Any]],
    before: dict[str, Any] | None,
    first: dict[str, Any] | None,
    is_odd: bool,
) -> Sequence[object]:
    status = said.answer
    if status is None:
        return (said.binder, said.why, *[None] * 8)
    up = sum(peer.get("state") in ("up", "quiet") for peer in status["peers"])
    return (
        said.binder,
        "OK" if status.get("ok") else "DEGRADED",
        _duration(status["uptime_s"]),
        _rate(Metric.FRAMES_RECEIVED, before, status),
        _rate(Metric.KERNEL_DROPS, before, status),
        *_late(first, status),
        f"{status['instances']:,}",
        f"{up} of {len(status['peers'])}",
        "DIFFERS" if is_odd else "yes",
    )


def _rate(metric: Metric, before: dict[str, Any] | None, status: dict[str, Any]) -> str | None:
    """How much of something there was in a second since then; None for a binder that has been
    started since."""
    seconds = status["uptime_s"] - before["uptime_s"] if before else 0.0
    if before is None or seconds <= 0:
        return None
    grown = status["counters"].get(metric.key, 0) - before["counters"].get(metric.key, 0)
    return f"{grown / seconds:,.0f}"


def _late(first: dict[str, Any] | None, status: dict[str, Any]) -> list[str | None]:
    """How late the event loop was, in milliseconds: what half of the looks, and 99 of 100, did not
    exceed. None where the binder does not say, or nobody has looked since."""
    said = status.get("loop_lag")
    if said is None:
        return [None, None]
    counts = said["counts"]
    earlier = (first or {}).get("loop_lag", {"bounds": None})
    if earlier["bounds"] == said["bounds"]:
        since = [now - was for now, was in zip(counts, earlier["counts"], strict=True)]
        if min(since) >= 0:  # else it has been started since
            counts = since
    bounds = [f"{1000 * bound:g}" for bound in said["bounds"]]
    limits = [*bounds, f"over {bounds[-1]}"]
    so_far = [*accumulate(counts)]
    if so_far[-1] <= 0:
        return [None, None]
    return [limits[bisect_left(so_far, share * so_far[-1])] for share in (0.5, 0.99)]


def peers(now: Snapshot) -> Table:
    """Whom each binder hears."""
    header = ("BINDER", "PEER", "STATE", "HEARD S AGO", "ROUND TRIP MS", "AGREES")
    agrees = {True: "yes", False: "no", None: None}
    return Table(
        header,
        [
            (
                *(row.binder, peer["address"], peer.get("state"), peer["heard_s_ago"]),
                *(peer["round_trip_ms"], agrees[peer["agrees"]]),
            )
            for row in now.said
            if row.answer is not None
            for peer in row.answer["peers"]
        ],
    )


def services(now: Snapshot) -> Table:
    """The services that the first binder knows, those with somebody out of turn first."""
    header = ("SERVICE", "NAME", "UP", "DRAINED", "SUSPECT", "BEING VERIFIED")
    status = next((row.answer for row in now.said if row.answer), None)
    found = status["types"] if status else []
    troubled = sorted(found, key=lambda row: (row["suspect"], row.get("drained", 0)), reverse=True)
    names = names_by_number()
    rows = [
        (
            *(row["service"], names.get(row["type"]), row["up"], row.get("drained")),
            *(row["suspect"], row["being_verified"]),
        )
        for row in troubled
    ]
    return Table(header, rows)


def events(before: Snapshot, now: Snapshot) -> list[str]:
    """What has become of instances in between."""
    if before.listed is None or now.listed is None:
        return []
    clock = time.strftime("%H:%M:%S", time.localtime(now.moment))
    lines = []
    for instance in sorted(before.listed.keys() | now.listed.keys()):
        was, is_ = (_state(listed.get(instance)) for listed in (before.listed, now.listed))
        if was != is_:
            lines.append(f"{clock}  {describe(instance)}: {was} -> {is_}")
    return lines


def _state(listing: Listing | None) -> str:
    if listing is None:
        return "not listed"
    return "listed" if listing.state is None else Listed(listing.state).name.lower()


def _duration(seconds: float) -> str:
    """As one says it: 42 s, 5 min, 3 h, 12 d."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
