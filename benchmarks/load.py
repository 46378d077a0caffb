"""How many lookups a binder answers, how fast, at what CPU, and whether the answers are right.

    python -m benchmarks.load --seconds 5
    python -m benchmarks.load --rate 20000
    python -m benchmarks.load --binder 127.0.0.1:2222 --type 2 --json

A closed loop with a fixed number of lookups in flight, or with `--rate` an open loop, where each
lookup is due at a fixed time whether or not others were answered, and is timed from then.
"""

import argparse
import sys
from contextlib import ExitStack
from dataclasses import replace

from benchmarks.arguments import Flag, Trouble, amount, command, several
from benchmarks.figures import Figures, figures_of
from benchmarks.generate import generate
from benchmarks.nodes import BEING_VERIFIED, counters_of, make_instances, start_full_binders
from benchmarks.proc import generator_core, pids_at, pin, resident_kib
from benchmarks.tally import BATCH, Load
from prr.addresses import resolve
from prr.client.control import fetch_list
from prr.config import BadInput
from prr.text import parse_peer
from prr.wire.instance import Instance, describe_address, is_ipv6, service_of

INSTANCES = 1000

INSTANCES_MAX = 900_000
"""Peers' words may fill 94% of a table of 1,048,576."""

SAME = ("seconds", "in_flight", "sockets", "rate", "subscriptions_per_second", "verifications")
"""Flags that the load has by the same names."""

DROPPED = "datagrams dropped by the kernel, the queue being full"


def asking(sockets: int) -> list[Flag]:
    """The flags that say how many lookups are under way, from so many sockets by default, and what
    else there is to do."""
    return [
        amount("--in-flight", 64, 512, "lookups at a time"),
        amount("--sockets", sockets, 256, "that they come from: each stands for a client"),
        amount("--types", 1, 256, "types, asked for in turn"),
        amount("--subscriptions-per-second", 0, 1000, "meanwhile, each from an own address", 0),
        amount("--verifications", 0, 500, "under way meanwhile; a binder has room for 512", 0),
    ]


def measure(load: Load) -> Figures:
    """Run `load`; what was measured, and what the binders report. Raises Trouble."""
    known = _known(load)
    load = replace(load, instances=list(known))
    before, memory_before = counters_of(load.targets), resident_kib(load.pids)
    tally = generate(load)
    after, memory = counters_of(load.targets), resident_kib(load.pids)
    has_said = before is not None and after is not None
    wrong = tally.wrong(load.right(known))
    if wrong:  # what subscribed meanwhile, or was evicted, is no wrong answer
        wrong = tally.wrong(load.right(known | tally.subscribed | _known(load)))
    return {
        **figures_of(tally),
        "wrong": wrong,
        "dropped_by_kernel": after[DROPPED] - before[DROPPED] if has_said else None,
        "resident_kib_before": memory_before,
        "resident_kib": memory,
        "being_verified": after[BEING_VERIFIED] if has_said else None,
        "subscribed_meanwhile": len(tally.subscribed),
    }


def types_from(first: int, count: int) -> bytes:
    """`count` types, from `first` on; behind 255 comes 0."""
    return bytes((first + number) % 256 for number in range(count))


def check(parsed: argparse.Namespace, instances: int) -> None:
    """Raises BadInput where a socket would have to ask for more at once than it can, or a type
    would have no instance."""
    in_flight, sockets, types = parsed.in_flight, parsed.sockets, parsed.types
    if in_flight > BATCH * sockets:
        raise BadInput(
            f"{in_flight} lookups in flight from {sockets} sockets; each has {BATCH} at most, "
            f"use --sockets {-(-in_flight // BATCH)} or more"
        )
    if instances < types:
        raise BadInput(f"{instances} instances for {types} types; use one for each type at least")


def _measure(parsed: argparse.Namespace) -> Figures:
    given, types = [resolve(one) for one in parsed.binder], types_from(parsed.type, parsed.types)
    if given and (parsed.instances or parsed.binders):
        raise BadInput("--instances and --binders are for binders started here; leave out --binder")
    count = parsed.instances or INSTANCES
    check(parsed, parsed.types if given else count)
    with ExitStack() as processes:
        instances = [] if given else make_instances(count, types)
        binders = given or start_full_binders(parsed.binders or 1, instances, processes)
        load = Load(binders, types, instances)
        if given:
            load = replace(load, instances=_listed(load))
        pids = pids_at(binders)
        pinned = "no: the binder was given" if given else pin(pids)
        asked = {name: getattr(parsed, name) for name in SAME}
        result = measure(replace(load, pids=pids, core=generator_core(), **asked))
    return {
        "binders": [describe_address(binder) for binder in binders],
        "instances": len(load.instances),
        "types": len(types),
        "in_flight": None if parsed.rate else parsed.in_flight,
        "sockets": parsed.sockets,
        "rate": parsed.rate,
        "seconds": parsed.seconds,
        "pinned": pinned,
        **result,
    }


def _listed(load: Load) -> list[Instance]:
    """What given binders know. Raises Trouble unless that is an instance of each type."""
    found = list(_known(load))
    for type_ in set(load.types) - {service_of(one) for one in found}:
        raise Trouble(f"no binder there knows a server of type {type_}; start them first")
    return found


def _known(load: Load) -> set[Instance]:
    """The instances that answers to a load may name: those that it knows, and that are listed."""
    found = set(load.instances)
    services = {load.service(type_) for type_ in load.types}
    for binder in () if load.zone else load.targets:  # a list does not say who is in a zone
        listed = fetch_list(binder) or ()  # one that was killed meanwhile has nothing to say
        ours = (one for one in listed if service_of(one) in services)
        found.update(one for one in ours if load.wide or not is_ipv6(one))
    return found


main = command(
    *("load", __doc__, 5.0, _measure),
    amount("--binders", None, 8, "binders to start (1)"),
    amount("--instances", None, INSTANCES_MAX, f"registered where one is started ({INSTANCES})"),
    amount("--rate", None, 2_000_000, "lookups a second, answered or not; no core sends more"),
    *asking(sockets=8),
    several("--binder", "HOST:PORT of one on this host (without: binders are started)", parse_peer),
    amount("--type", 1, 255, "the first type that is asked for", least=0),
)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
