"""What it costs to keep what servers say: nowhere, on the binder's disk, or in an etcd.

    python -m benchmarks.store
    python -m benchmarks.store --servers 100000 --json

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
import time
from contextlib import ExitStack

from benchmarks.arguments import HERE, Trouble, amount, command
from benchmarks.cluster import DISK, ETCD, MEMORY, SETTLE, Cluster, etcd_flag
from benchmarks.figures import Figures, in_short, ratios, take_turns
from benchmarks.fleet import Fleet
from benchmarks.load import types_from
from benchmarks.nodes import status_of
from benchmarks.proc import cpu_seconds
from benchmarks.processes import Node, until
from benchmarks.systems import Running
from benchmarks.tally import Load

FLEET_NET, SEEN_NET = 64, 66
TYPES = 100
KNOWN = 1000
"""Instances among which is looked up."""

LIMIT = 120.0
"""Seconds for whatever is waited for here."""

STORES = (MEMORY, DISK, ETCD)


def _measure(parsed: argparse.Namespace) -> Figures:
    """The figures of each store, and of a start from etcd."""
    if shutil.which("etcd") is None:
        raise Trouble("there is no etcd on the PATH; install it, as Debian's etcd-server")
    result: Figures = {"servers": parsed.servers}
    for name in STORES:
        with ExitStack() as stack:
            pair = Cluster(stack, 2, name)
            fleet = pair.fleet(parsed.servers, types_from(1, TYPES), FLEET_NET)
            costs = pair.cost_of(fleet, fleet.first, settle=True)
            result[name] = {f"confirmed_{key}": value for key, value in costs.items()}
            if pair.etcd:
                result["start"] = _start(pair.etcd, stack)
            result[name] |= _time_to_see(pair, parsed.seen)
    for name, figures in _lookups(parsed).items():
        result[name] |= figures
    return result


def _time_to_see(pair: Cluster, count: int) -> Figures:
    """How long after its subscription one of a service of its own is confirmed by the first
    binder, and found at the second."""
    fleet = pair.fleet(count, types_from(TYPES + 1, count), SEEN_NET)  # there is none yet
    took = [_see(pair, fleet, number) for number in range(count)]
    return {
        f"{what}_ms": round(1000 * statistics.median(one[what] for one in took), 2)
        for what in ("found_at_other", "alone_confirmed")
    }


def _see(pair: Cluster, fleet: Fleet, number: int) -> dict[str, float]:
    """The seconds until one server is found, and confirmed."""
    took: dict[str, float] = {}
    said, question = fleet.first(number), bytes((2, TYPES + 1 + number))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(LIMIT)
        client.connect(pair.addresses[1])
        began = time.perf_counter()
        fleet.send(number, said, pair.addresses[0])
        while len(took) < 2:
            client.send(question)
            if client.recv(64)[0] == 3:
                took.setdefault("found_at_other", time.perf_counter() - began)
            if number in fleet.hear(said[0]):
                took.setdefault("alone_confirmed", time.perf_counter() - began)
            if time.perf_counter() - began > LIMIT:
                raise Trouble("a server is not found")
    return took


def _lookups(parsed: argparse.Namespace) -> dict[str, Figures]:
    """Lookups of each store's first binder in turn, beside those of the first in the same round."""
    loads = {}
    with ExitStack() as stack:
        for at, name in enumerate(STORES):
            pair = Cluster(stack, 2, name)
            fleet = pair.fleet(KNOWN, b"\0", 8 * (at + 1))
            fleet.say(fleet.first, pair.addresses[0])
            fleet.stay(SETTLE)
            (binder, _), (pid, _) = pair.addresses, pair.pids
            loads[name] = Load([binder], b"\0", fleet.instances(), parsed.seconds, pids=[pid])
        found = take_turns(loads, parsed.rounds)
    speed = "lookups_per_second"
    return {
        name: {
            speed: in_short(rows)[speed],
            "lookups_beside_memory": ratios(rows, found[MEMORY])[speed],
        }
        for name, rows in found.items()
    }


def _start(etcd: Running, stack: ExitStack) -> Figures:
    """A binder starts beside an etcd: when it serves what that has."""
    began = time.perf_counter()
    binder = Node(stack, "binder", f"--listen={HERE}:0", etcd_flag(etcd))

    def status() -> Figures | None:
        found = status_of(binder.address)
        return found if found and found["synced"] else None

    held = until(status, "the binder is not ready", LIMIT)["instances"]
    return {
        "instances": held,
        "ready_within_s": round(time.perf_counter() - began, 2),
        "binder_cpu_s": round(cpu_seconds([binder.pid]) or 0.0, 2),
    }


main = command(
    *("store", __doc__, 1.0, _measure),
    amount("--servers", 10_000, 100_000, "that come"),
    amount("--seen", 100, 155, "of which it is seen how long they take to be found at the other"),
    amount("--rounds", 5, 50, "of lookups"),
)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
