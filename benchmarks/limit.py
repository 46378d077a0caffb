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
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.arguments import HERE, command, switch, whole
from benchmarks.figures import Figures, figures_of, in_short, ratios, take_turns
from benchmarks.generate import build, generate, has_compiler
from benchmarks.load import INSTANCES, INSTANCES_MAX, WORK, asking, check, types_from
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
    check(parsed.in_flight, parsed.sockets, parsed.instances, parsed.types)
    if parsed.keys and parsed.in_flight > SEALED_AT_ONCE * parsed.sockets:
        raise BadInput(
            f"{parsed.in_flight} lookups in flight from {parsed.sockets} sockets; with --keys "
            f"each has {SEALED_AT_ONCE} at most"
        )
    with ExitStack() as processes:
        loads = {**_responders(parsed, processes), **_binders(parsed, processes)}
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


def _load(parsed: argparse.Namespace, target: Address) -> Load:
    """What all are asked."""
    types = types_from(0, parsed.types)
    return Load(
        *([target], types, make_instances(parsed.instances, types)),
        *(parsed.seconds, parsed.in_flight, parsed.sockets),
        subscriptions_per_second=parsed.subscriptions_per_second,
        verifications=parsed.verifications,
        core=generator_core(),
    )


def _responders(parsed: argparse.Namespace, processes: ExitStack) -> dict[str, Load]:
    """The C and the Python that the binder is compared with: their first line is their port."""
    load = _load(parsed, _sink(processes))
    file = Path(processes.enter_context(tempfile.TemporaryDirectory())) / "instances"
    file.write_bytes(b"".join(load.instances))
    commands: dict[str, tuple[object, ...]] = {"c": (build("responder"),)} if has_compiler() else {}
    commands["python"] = (sys.executable, BARE)
    started = {name: Started(processes, *words, file) for name, words in commands.items()}
    ports = {name: int(one.wait_for(r"^\d+$")[0]) for name, one in started.items()}
    (sink,) = load.targets
    return {name: replace(load, targets=[(HERE, port)], sink=sink) for name, port in ports.items()}


def _binders(parsed: argparse.Namespace, processes: ExitStack) -> dict[str, Load]:
    """The loads for our own, which are started, in their order within a round."""
    types, has_work = parsed.types, parsed.subscriptions_per_second or parsed.verifications
    denied = b"" if has_work else types_from(types, min(types, 256 - types))
    registered = make_instances(parsed.instances, types_from(0, types))
    others = _others(parsed.instances, types_from(0, types)) if parsed.ways else []
    zones = zones_of([*registered, *others], types) if parsed.ways else {}
    (binder,) = start_full_binders(1, [*registered, *others], processes, zones)
    load = _load(parsed, binder)
    return {
        **({QUIET: replace(load, sink=_sink(processes))} if has_work else {}),
        **({MISS: replace(load, types=denied, denied=denied)} if denied else {}),
        **(_ways(load, zones) if parsed.ways else {}),
        BINDER: load,
        **(_keyed(load, processes) if parsed.keys else {}),
    }


def _others(count: int, types: bytes) -> list[Instance]:
    """So many instances of services with names, of `types` at IPv6 addresses, and with both."""
    names = [name_for(type_) for type_ in types]
    return [
        *make_instances(count, names, port=4243),
        *make_instances(count, types, ipv6=True),
        *make_instances(count, names, ipv6=True, port=4243),
    ]


def _ways(load: Load, zones: Mapping[Instance, str]) -> dict[str, Load]:
    """The binder asked in each of WAYS; only those in a zone are right where it is asked for."""
    in_zone = [one for one, zone in zones.items() if zone == ZONES[0]]
    found = {True: in_zone, False: load.instances}
    return {
        name: replace(load, **way, instances=found["zone" in way]) for name, way in WAYS.items()
    }


def _keyed(load: Load, processes: ExitStack) -> dict[str, Load]:
    """A binder with a keyring that knows the same, asked without a seal, and with a client's, where
    each lookup has a number of its own. It requires proof, but not of who fills it."""
    keyring, flags = make_keyring(processes)
    flags = [*flags, f"--legacy={HERE}/32"]
    (binder,) = start_full_binders(1, load.instances, processes, arguments=flags)
    keyed, types = replace(load, targets=[binder]), load.types
    held = keyring.issue(encode_credential(Credential(Holder.CLIENT, "benchmark")))
    numbered = (types * BATCH)[: max(BATCH, len(types))]
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
    whole("--rounds", 5, 50, "each of which measures all of them"),
    whole("--instances", INSTANCES, INSTANCES_MAX, "registered"),
    *asking(SOCKETS),
    *WORK,
    switch("--ways", "the binder by name, by zone and at IPv6, too"),
    switch("--keys", "a binder with a keyring, too"),
)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
