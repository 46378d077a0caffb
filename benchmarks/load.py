"""How many lookups a binder answers, how fast, at what CPU, and whether the answers are right.

    python -m benchmarks.load --seconds 5
    python -m benchmarks.load --rate 20000
    python -m benchmarks.load --binder 127.0.0.1:2222 --type 2 --json

A closed loop with a fixed number of lookups in flight, or with `--rate` an open loop, where each
lookup is due at a fixed time whether or not others were answered, and is timed from then.
"""

import argparse
import math
import sys
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from benchmarks.arguments import Flag, Trouble, parser_for, run, said_well
from benchmarks.generate import generate
from benchmarks.nodes import counters_of, make_instances, start_full_binders, status_of
from benchmarks.proc import generator_core, pid_at, pin, resident_kib
from benchmarks.tally import BATCH, ZONES, Load, Tally, name_for, zones_of
from prr.addresses import resolve
from prr.client.control import fetch_list
from prr.config import BadInput
from prr.services import numbers_by_name
from prr.text import parse_peer, parse_service
from prr.wire.instance import Address, Instance, Service, describe_address, is_ipv6, service_of

INSTANCES = 1000

INSTANCES_MAX = 900_000
"""Peers' words may fill 94% of a table of 1,048,576."""

ASKING = (
    Flag("--in-flight", 64, 512, "lookups at a time"),
    Flag("--sockets", 8, 256, "that they come from: each stands for a client"),
)

WORK = (
    Flag("--types", 1, 256, "types, asked for in turn"),
    Flag("--subscriptions-per-second", 0, 1000, "in the background, each from its own address"),
    Flag("--verifications", 0, 500, "under way in the background; a binder has room for 512"),
)

STARTED = (
    Flag("--binders", None, 8, "binders to start (1)"),
    Flag("--instances", None, INSTANCES_MAX, f"registered where one is started ({INSTANCES})"),
    Flag("--rate", None, 2_000_000, "lookups a second, answered or not; no core sends more"),
)

OTHERWISE = {
    "--names": "services with names",
    "--zones": f"instances in two zones, of which {ZONES[0]} is asked for,",
    "--ipv6": "half of the instances at IPv6",
}

SAME = ("seconds", "in_flight", "sockets", "rate", "subscriptions_per_second", "verifications")
"""Flags that the load has by the same names."""

DROPPED = "datagrams dropped by the kernel, the queue being full"


def main(arguments: Sequence[str]) -> int:
    """Measure as `arguments` say, and print the result; the exit code."""
    parser = parser_for("load", __doc__, 5.0, *STARTED, *ASKING, *WORK)
    parser.add_argument(
        "--binder",
        type=said_well(parse_peer),
        action="append",
        metavar="HOST:PORT",
        help="one that runs on this host; repeat it (without: binders are started)",
    )
    for flag, what in OTHERWISE.items():
        parser.add_argument(flag, action="store_true", help=f"{what}, of binders started here")
    parser.add_argument(
        "--type", type=said_well(_parse_type), default=1, help="the first type that is asked for"
    )
    return run(parser, _measure, arguments)


def measure(load: Load) -> dict[str, Any]:
    """Run `load`; what was measured, and what the binders report. Raises Trouble."""
    known = _known(load)
    load = replace(load, instances=list(known))
    dropped_before, memory_before = _dropped(load.targets), resident_kib(load.pids)
    tally = generate(load)
    being_verified = _being_verified(load.targets[0])
    dropped, memory = _dropped(load.targets), resident_kib(load.pids)
    wrong = tally.wrong(load.right(known))
    if wrong:  # what subscribed meanwhile, or was evicted, is no wrong answer
        wrong = tally.wrong(load.right(known | tally.subscribed | _known(load)))
    return {
        **figures_of(tally),
        "wrong": wrong,
        "dropped_by_kernel": (
            None if dropped is None or dropped_before is None else dropped - dropped_before
        ),
        "resident_kib_before": memory_before,
        "resident_kib": memory,
        "being_verified": being_verified,
        "subscribed_meanwhile": len(tally.subscribed),
    }


def figures_of(tally: Tally) -> dict[str, Any]:
    """The figures of a tally."""
    answered, elapsed = tally.answered, tally.elapsed or math.inf
    has_cpu = tally.cpu is not None and answered
    return {
        "asked_per_second": round(tally.asked / elapsed),
        "lookups_per_second": round(answered / elapsed),
        "p50_ms": tally.wait_ms(0.50),
        "p99_ms": tally.wait_ms(0.99),
        "p999_ms": tally.wait_ms(0.999),
        "cpu_us_per_lookup": round(tally.cpu / answered * 1e6, 3) if has_cpu else None,
        "answered": answered,
        "lost": tally.lost,
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


def _measure(parsed: argparse.Namespace) -> dict[str, Any]:
    types, count = types_from(parsed.type, parsed.types), parsed.instances or INSTANCES
    check(parsed.in_flight, parsed.sockets, len(types) if parsed.binder else count, len(types))
    started = (parsed.instances, parsed.binders, parsed.names, parsed.zones, parsed.ipv6)
    if parsed.binder and any(started):
        raise BadInput(
            f"--instances, --binders, {' and '.join(OTHERWISE)} are for binders started here; "
            "leave out --binder"
        )
    with ExitStack() as processes:
        if parsed.binder:
            load = _load_of_given([resolve(binder) for binder in parsed.binder], types)
        else:
            load = _load_of_started(parsed, types, count, processes)
        pids = [pid for binder in load.targets if (pid := pid_at(binder)) is not None]
        pinned = "no: the binder was given" if parsed.binder else pin(pids)
        asked = {name: getattr(parsed, name) for name in SAME}
        load = replace(load, pids=pids if len(pids) == len(load.targets) else [], **asked)
        result = measure(replace(load, core=generator_core()))
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
    return Load(binders, types, instances)


def _load_of_started(
    parsed: argparse.Namespace, types: bytes, count: int, processes: ExitStack
) -> Load:
    services = [name_for(type_) if parsed.names else type_ for type_ in types]
    at_ipv6 = count // 2 if parsed.ipv6 else 0
    instances = make_instances(count - at_ipv6, services)
    instances += make_instances(at_ipv6, services, ipv6=True)
    zones = zones_of(instances, len(types)) if parsed.zones else {}
    binders = start_full_binders(parsed.binders or 1, instances, processes, zones)
    zone = ZONES[0] if parsed.zones else ""
    found = [one for one in instances if not zone or zones[one] == zone]
    return Load(binders, types, found, by_name=parsed.names, wide=parsed.ipv6, zone=zone)


def _parse_type(text: str) -> int:
    service = parse_service(text, numbers_by_name())
    if isinstance(service, str):
        raise ValueError(f"{text!r} is a name; use a number from 0 to 255")
    return service


def _known(load: Load) -> set[Instance]:
    """The instances that answers to a load may name."""
    if load.zone:
        return set(load.instances)  # a list does not say who is in it
    listed = _listed(load.targets, {load.service(type_) for type_ in load.types})
    return {*load.instances, *(one for one in listed if load.wide or not is_ipv6(one))}


def _listed(binders: list[Address], services: Collection[Service]) -> list[Instance]:
    """The instances of some services that the binders list."""
    found: set[Instance] = set()
    for binder in binders:
        listed = fetch_list(binder) or []  # one that was killed meanwhile has nothing to say
        found.update(one for one in listed if service_of(one) in services)
    return list(found)


def _dropped(binders: list[Address]) -> int | None:
    """Datagrams that the kernel has dropped so far; None if one of the binders does not say."""
    counted = [counters_of(binder) for binder in binders]
    return None if None in counted else sum(one[DROPPED] for one in counted)


def _being_verified(binder: Address) -> int | None:
    status = status_of(binder)
    return None if status is None else sum(row["being_verified"] for row in status["types"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
