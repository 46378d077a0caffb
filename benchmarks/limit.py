"""How close a binder comes to what C can do, and how far it is from a bare loop in Python.

    python -m benchmarks.limit --instances 100000 --types 256
    python -m benchmarks.limit --subscriptions-per-second 100 --verifications 50

All get the same load in turn, round by round in one run, since machines change between runs. A
ratio is the median of the rounds' ratios. Without a `cc` there is no C.

"no" is the binder asked for types that nobody provides. With `--ways` it is also asked by name,
by zone, of which there are two, by who takes IPv6, where a type has as many instances again, and
by all of that: what these cost beside a number. With `--keys` there is another binder, which has a
keyring and requires proof of all but lookups: asked as the first one is ("keyed"), and under a
client's seal ("sealed"), each question with a number of its own.

Subscriptions and verifications are sent in every turn, by the generator that sends the lookups:
to the binder in its turn, else to a sink. "quiet" is the binder while they go to the sink: what
they cost the lookups.
"""

import argparse
import socket
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.arguments import HERE, amount, command, switch
from benchmarks.figures import Figures, figures_of, in_short, ratios, take_turns
from benchmarks.generate import build, generate, has_compiler
from benchmarks.load import INSTANCES, INSTANCES_MAX, asking, check, types_from
from benchmarks.load import measure as measure_binder
from benchmarks.nodes import make_instances, make_keyring, start_full_binders
from benchmarks.proc import generator_core, pids_at, pin
from benchmarks.processes import Started
from benchmarks.tally import BATCH, ZONES, Load, name_for, zones_of
from prr.config import BadInput
from prr.trust.credential import Credential, Holder, encode_credential
from prr.wire.instance import Address, Instance

BARE = Path(__file__).with_name("bare.py")

SOCKETS = 64
"""Clients by default: few send more than a lookup or two at a time."""

SAID = ("instances", "types", "in_flight", "sockets", "seconds", "rounds")
"""What the result repeats of how it was asked for."""

BINDER = "binder"

QUIET = "quiet"
"""The binder while the background work goes to the sink."""

MISS = "no"
"""The binder, asked for types without instances. Left out where every type has one, or others
subscribe in the background."""

KEYED, SEALED = "keyed", "sealed"
"""Another binder, with a keyring, asked without a seal and with one."""

SEALED_AT_ONCE = 4
"""Lookups in flight on a socket, at most: those of a socket leave as segments of one send, and the
kernel sorts that into the binder's queues as if it were one datagram, which is too long for the
lookups' queue beyond."""

WAYS: dict[str, dict[str, Any]] = {
    "by_name": {"by_name": True},
    "by_zone": {"zone": ZONES[0]},
    "ipv6": {"wide": True},
    "by_all": {"by_name": True, "zone": ZONES[0], "wide": True},
}
"""The binder, asked otherwise than by a bare number, and what the load has for it."""

OTHERWISE = (MISS, KEYED, SEALED, *WAYS)
"""What is asked otherwise than the binder is, and compared with that."""


def _measure(parsed: argparse.Namespace) -> Figures:
    """The figures of each, in the median, and the binder's ratios to the others."""
    check(parsed, parsed.instances)
    if parsed.keys and parsed.in_flight > SEALED_AT_ONCE * parsed.sockets:
        raise BadInput(
            f"{parsed.in_flight} lookups in flight from {parsed.sockets} sockets; with --keys "
            f"each has {SEALED_AT_ONCE} at most"
        )
    types = types_from(0, parsed.types)
    with ExitStack() as processes:
        load = Load(
            *([], types, make_instances(parsed.instances, types)),
            *(parsed.seconds, parsed.in_flight, parsed.sockets),
            subscriptions_per_second=parsed.subscriptions_per_second,
            verifications=parsed.verifications,
            core=generator_core(),
        )
        loads = _responders(load, processes) | _binders(load, parsed, processes)
        loads = {name: replace(one, pids=pids_at(one.targets)) for name, one in loads.items()}
        pinned = pin(pid for load in loads.values() for pid in load.pids)
        found = take_turns(loads, parsed.rounds, _figures)
    result = {name: getattr(parsed, name) for name in SAID} | {"pinned": pinned}
    if "c" not in found:
        result["c"] = "not measured: no cc here"
    result |= {name: in_short(rows) for name, rows in found.items()}
    for name, rows in found.items():
        if name in OTHERWISE:
            result[f"{name}_to_{BINDER}"] = ratios(rows, found[BINDER])
        elif name != BINDER:
            result[f"{BINDER}_to_{name}"] = ratios(found[BINDER], rows)
    return result


def _responders(load: Load, processes: ExitStack) -> dict[str, Load]:
    """The C and the Python that the binder is compared with: their first line is their port."""
    file = Path(processes.enter_context(tempfile.TemporaryDirectory())) / "instances"
    file.write_bytes(b"".join(load.instances))
    commands: dict[str, tuple[object, ...]] = {"c": (build("responder"),)} if has_compiler() else {}
    commands["python"] = (sys.executable, BARE)
    started = {name: Started(processes, *words, file) for name, words in commands.items()}
    ports = {name: int(one.wait_for(r"^\d+$")[0]) for name, one in started.items()}
    sink = _sink(processes)
    return {name: replace(load, targets=[(HERE, port)], sink=sink) for name, port in ports.items()}


def _binders(load: Load, parsed: argparse.Namespace, processes: ExitStack) -> dict[str, Load]:
    """The loads for our own, which are started, in their order within a round."""
    has_work, count = load.subscriptions_per_second or load.verifications, len(load.types)
    denied = b"" if has_work else types_from(count, min(count, 256 - count))
    registered = [*load.instances, *(_others(load) if parsed.ways else [])]
    zones = zones_of(registered, count) if parsed.ways else {}
    load = replace(load, targets=start_full_binders(1, registered, processes, zones))
    in_zone = [one for one, zone in zones.items() if zone == ZONES[0]]  # else it is no answer there
    loads = {QUIET: replace(load, sink=_sink(processes))} if has_work else {}
    if denied:
        loads[MISS] = replace(load, types=denied, denied=denied)
    for name, way in WAYS.items() if parsed.ways else ():
        loads[name] = replace(load, **way, instances=in_zone if "zone" in way else load.instances)
    return loads | {BINDER: load} | (_keyed(load, processes) if parsed.keys else {})


def _others(load: Load) -> list[Instance]:
    """As many instances of services with names, of the types at IPv6 addresses, and with both."""
    count, names = len(load.instances), [name_for(type_) for type_ in load.types]
    return [
        *make_instances(count, names, port=4243),
        *make_instances(count, load.types, ipv6=True),
        *make_instances(count, names, ipv6=True, port=4243),
    ]


def _keyed(load: Load, processes: ExitStack) -> dict[str, Load]:
    """A binder with a keyring that knows the same, asked without a seal, and with a client's, where
    each lookup has a number of its own. It requires proof, but not of who fills it."""
    keyring, flags = make_keyring(processes)
    flags = [*flags, f"--legacy={HERE}/32"]
    keyed = replace(load, targets=start_full_binders(1, load.instances, processes, arguments=flags))
    held = keyring.issue(encode_credential(Credential(Holder.CLIENT, "benchmark")))
    numbered = (load.types * BATCH)[: max(BATCH, len(load.types))]
    return {KEYED: keyed, SEALED: replace(keyed, held=held, types=numbered)}


def _figures(name: str, load: Load) -> Figures:
    """One measurement of one of them."""
    if name in (BINDER, QUIET, *OTHERWISE):
        return measure_binder(load)
    tally = generate(load)
    return figures_of(tally) | {"wrong": tally.wrong(load.right(load.instances))}


def _sink(processes: ExitStack) -> Address:
    """Where datagrams go to that nobody reads: the kernel drops them, and wakes nobody for it.

    A process that read them would take from one of two cores what is to be measured there.
    """
    sink = processes.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sink.bind((HERE, 0))
    return sink.getsockname()


main = command(
    *("limit", __doc__, 2.0, _measure),
    amount("--rounds", 5, 50, "each of which measures all of them"),
    amount("--instances", INSTANCES, INSTANCES_MAX, "registered"),
    *asking(SOCKETS),
    switch("--ways", "the binder by name, by zone and at IPv6, too"),
    switch("--keys", "a binder with a keyring, too"),
)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
