"""What a fleet of servers costs a binder: as it comes, stays, leaves, and comes back all at once.

    python -m benchmarks.subscribe
    python -m benchmarks.subscribe --servers 100000 --keys --json

Each server has an address of its own and answers the question whether it is there. What a server
costs as it comes is all of its first second: its subscription and that question ("first"), then
its start number ("second"). Every case starts new binders, of which the first has a core to
itself; its peers run on the generator's. Beside it stands what a put costs etcd, and a SET redis,
where these are installed.
"""

import argparse
import sys
from contextlib import ExitStack

import gevent

from benchmarks.arguments import amount, command, switch
from benchmarks.cluster import DISK, MEMORY, Cluster
from benchmarks.figures import Figures, figures_of
from benchmarks.generate import generate
from benchmarks.load import types_from
from benchmarks.peers import measure_writes
from benchmarks.proc import generator_core, on_core, pin, resident_kib
from benchmarks.tally import Load, Tally

TYPES = types_from(1, 100)

LEAVES = 400
"""Servers that leave, at most: each is asked afterwards whether it has, which takes a second from a
socket of its own, and a binder has 512 places for that."""

CASES = {
    f"{peers} peers, {store}": (1 + peers, store, False)
    for store in (MEMORY, DISK)
    for peers in (0, 2)
}
"""How many binders there are, where they keep what they hear, and whether they have a keyring."""

KEYED_CASES = {f"{peers} peers, {MEMORY}, keyed": (1 + peers, MEMORY, True) for peers in (0, 2)}

FLEET_NET, KNOWN_NET = 64, 32
KNOWN = 100
"""Servers that are looked up while the herd comes."""

START = 0.3
"""Seconds after which the lookups are under way."""


def _measure(parsed: argparse.Namespace) -> Figures:
    """The figures of each case, and of the herd."""
    cases = CASES | (KEYED_CASES if parsed.keys else {})
    result: Figures = {"servers": parsed.servers, "herd": parsed.herd}
    with on_core(generator_core()):
        for name, case in cases.items():
            with ExitStack() as stack:
                result[name] = _costs(_pinned(stack, *case), parsed.servers)
        for name, (count, *how) in cases.items():
            if count == 1:
                with ExitStack() as stack:
                    herd = name.replace("0 peers", "herd")
                    result[herd] = _herd(_pinned(stack, count, *how), parsed)
    return result | measure_writes(parsed.seconds)


def _pinned(stack: ExitStack, count: int, store: str, is_keyed: bool) -> Cluster:
    """Binders, of which the first has a core of its own."""
    cluster = Cluster(stack, count, store, is_keyed)
    pin(cluster.pids[:1])
    return cluster


def _costs(cluster: Cluster, servers: int) -> Figures:
    """What a fleet costs as it comes, stays and leaves."""
    fleet, measured = cluster.fleet(servers, TYPES, FLEET_NET), cluster.pids[:1]
    empty = resident_kib(measured) or 0
    costs = {"first": cluster.cost_of(fleet, fleet.first, settle=True)}
    if not cluster.keyring:  # else the binder is known to be ours from the first
        costs["second"] = cluster.cost_of(fleet, fleet.search, settle=True)
    costs["renewal"] = cluster.cost_of(fleet, fleet.renewal)
    full = resident_kib(measured) or 0
    fleet.answers, fleet.count = False, min(fleet.count, LEAVES)
    costs["leave"] = cluster.cost_of(fleet, fleet.leave)
    return {
        "resident_kib_before": empty,
        "bytes_per_server": round(1024 * (full - empty) / servers),
        **{f"{what}_{key}": value for what, cost in costs.items() for key, value in cost.items()},
    }


def _herd(cluster: Cluster, parsed: argparse.Namespace) -> Figures:
    """All come within a second to a binder that knows none of them, and is asked meanwhile."""
    known = cluster.fleet(KNOWN, b"\0", KNOWN_NET)
    cluster.cost_of(known, known.first, settle=True)
    asked = {"seconds": parsed.seconds, "rate": parsed.lookups, "pids": cluster.pids}
    load = Load(cluster.addresses, b"\0", known.instances(), **asked)
    quiet = generate(load)
    fleet = cluster.fleet(parsed.herd, TYPES, FLEET_NET)
    lookups = gevent.spawn(generate, load)
    gevent.sleep(START)
    took = sorted(fleet.say(fleet.first, cluster.addresses[0], rate=parsed.herd))
    while not lookups.ready():
        list(fleet.hear())
        list(known.hear())
        gevent.sleep(0.001)
    return {
        "half_confirmed_within_s": round(took[len(took) // 2], 4),
        "all_confirmed_within_s": round(took[-1], 4),
        "asked_whether_there": fleet.questions.total(),
        "held_afterwards": cluster.statuses()[0]["instances"],
        **_lookups("before", quiet),
        **_lookups("meanwhile", lookups.get()),
    }


def _lookups(when: str, tally: Tally) -> Figures:
    figures = figures_of(tally)
    return {
        f"lookups_{when}": figures["lookups_per_second"],
        f"lookups_lost_{when}": figures["lost"],
        f"p99_ms_{when}": figures["p99_ms"],
    }


main = command(
    *("subscribe", __doc__, 5.0, _measure),
    amount("--servers", 20_000, 100_000, "that come, stay and leave"),
    amount("--herd", 50_000, 100_000, "that come back within a second"),
    amount("--lookups", 20_000, 200_000, "a second, while they do"),
    switch("--keys", "binders with a keyring, too"),
)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
