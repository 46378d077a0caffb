"""How many lookups a binder answers, how fast, at what CPU, and whether the answers are right.

    python -m benchmarks.load --seconds 5
    python -m benchmarks.load --rate 20000
    python -m benchmarks.load --binder 127.0.0.1:2222 --type 2 --json

A closed loop with a fixed number of lookups in flight, or with `--rate` an open loop, where each
lookup is due at a fixed time whether or not others were answered, and is timed from then.
"""

import argparse
import sys
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import replace

from benchmarks.arguments import Flag, Trouble, command, said_well, whole
from benchmarks.figures import Figures, figures_of
from benchmarks.generate import generate
from benchmarks.nodes import BEING_VERIFIED, counters_of, make_instances, start_full_binders
from benchmarks.proc import generator_core, pids_at, pin, resident_kib
from benchmarks.tally import BATCH, Load
from prr.addresses import resolve
from prr.client.control import fetch_list
from prr.config import BadInput
from prr.text import parse_peer
from prr.wire.instance import Address, Instance, Service, describe_address, is_ipv6, service_of

INSTANCES = 1000

INSTANCES_MAX = 900_000
"""Peers' words may fill 94% of a table of 1,048,576."""

WORK = (
    whole("--types", 1, 256, "types, asked for in turn"),
    whole("--subscriptions-per-second", 0, 1000, "in the background, each from an own address", 0),
    whole("--verifications", 0, 500, "under way meanwhile; a binder has room for 512", 0),
)

SAME = ("seconds", "in_flight", "sockets", "rate", "subscriptions_per_second", "verifications")
"""Flags that the load has by the same names."""

DROPPED = "datagrams dropped by the kernel, the queue being full"


def asking(sockets: int) -> tuple[Flag, Flag]:
    """The flags that say how many lookups are under way, from so many sockets by default."""
    return (
        whole("--in-flight", 64, 512, "lookups at a time"),
        whole("--sockets", sockets, 256, "that they come from: each stands for a client"),
    )


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


def check(in_flight: int, sockets: int, instances: int, types: int) -> None:
    """Raises BadInput where a socket would have to ask for more at once than it can, or a type
    would have no instance."""
    if in_flight > BATCH * sockets:
        raise BadInput(
            f"{in_flight} lookups in flight from {sockets} sockets; each has {BATCH} at most, "
            f"use --sockets {-(-in_flight // BATCH)} or more"
        )
    if instances < types:
        raise BadInput(f"{instances} instances for {types} types; use one for each type at least")


def _measure(parsed: argparse.Namespace) -> Figures:
    types, count = types_from(parsed.type, parsed.types), parsed.instances or INSTANCES
    check(parsed.in_flight, parsed.sockets, len(types) if parsed.binder else count, len(types))
    if parsed.binder and (parsed.instances or parsed.binders):
        raise BadInput("--instances and --binders are for binders started here; leave out --binder")
    with ExitStack() as processes:
        if parsed.binder:
            load = _load_of_given([resolve(binder) for binder in parsed.binder], types)
        else:
            instances = make_instances(count, types)
            binders = start_full_binders(parsed.binders or 1, instances, processes)
            load = Load(binders, types, instances)
        pids = pids_at(load.targets)
        pinned = "no: the binder was given" if parsed.binder else pin(pids)
        asked = {name: getattr(parsed, name) for name in SAME}
        result = measure(replace(load, pids=pids, core=generator_core(), **asked))
    return {
        "binders": [describe_address(binder) for binder in load.targets],
        "instances": len(load.instances) if parsed.binder else count,
        "types": len(types),
        "in_flight": None if parsed.rate else parsed.in_flight,
        "sockets": parsed.sockets,
        "rate": parsed.rate,
        "seconds": parsed.seconds,
        "pinned": pinned,
        **result,
    }


def _load_of_given(binders: list[Address], types: bytes) -> Load:
    instances = _listed(binders, set(types))
    known = {service_of(one) for one in instances}
    for type_ in types:
        if type_ not in known:
            raise Trouble(f"no binder there knows a server of type {type_}; start them first")
    return Load(binders, types, list(instances))


def _known(load: Load) -> set[Instance]:
    """The instances that answers to a load may name."""
    if load.zone:
        return set(load.instances)  # a list does not say who is in it
    listed = _listed(load.targets, {load.service(type_) for type_ in load.types})
    return {*load.instances, *(one for one in listed if load.wide or not is_ipv6(one))}


def _listed(binders: list[Address], services: Collection[Service]) -> set[Instance]:
    """The instances of some services that the binders list."""
    found: set[Instance] = set()
    for binder in binders:
        found.update(fetch_list(binder) or ())  # one that was killed meanwhile has nothing to say
    return {one for one in found if service_of(one) in services}


BINDER = {
    "type": said_well(parse_peer),
    "action": "append",
    "metavar": "HOST:PORT",
    "help": "one that runs on this host; repeat it (without: binders are started)",
}

main = command(
    *("load", __doc__, 5.0, _measure),
    whole("--binders", None, 8, "binders to start (1)"),
    whole("--instances", None, INSTANCES_MAX, f"registered where one is started ({INSTANCES})"),
    whole("--rate", None, 2_000_000, "lookups a second, answered or not; no core sends more"),
    *asking(sockets=8),
    *WORK,
    ("--binder", BINDER),
    whole("--type", 1, 255, "the first type that is asked for", least=0),
)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
