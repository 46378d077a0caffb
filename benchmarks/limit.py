"""How close a binder comes to what C can do, and how far it is from a bare loop in Python.

    python -m benchmarks.limit --instances 100000 --types 256
    python -m benchmarks.limit --subscriptions-per-second 100 --verifications 50

All get the same load in turn, round by round in one run, since machines change between runs. A
ratio is the median of the rounds' ratios. Without a `cc` there is no C.

"no" is the binder asked for types that nobody provides. With `--ways` it is also asked by name,
by zone, of which there are two, and by who takes IPv6, where a type has as many instances again:
what these cost beside a number. With `--keys` there is another binder, which has a keyring and
requires proof of all but lookups: asked as the first one is ("keyed"), and under a client's seal
("sealed"), each question with a number of its own.

Subscriptions and verifications are sent in every turn, by the generator that sends the lookups:
to the binder in its turn, else to a sink. "quiet" is the binder while they go to the sink: what
they cost the lookups.
"""

import argparse
import socket
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.arguments import HERE, Flag, parser_for, run
from benchmarks.generate import build, generate, has_compiler
from benchmarks.load import (
    ASKING,
    INSTANCES,
    INSTANCES_MAX,
    WORK,
    check,
    figures_of,
    types_from,
)
from benchmarks.load import measure as measure_load
from benchmarks.nodes import make_instances, make_keyring, start_full_binders
from benchmarks.proc import generator_core, pid_at, pin
from benchmarks.processes import Started
from benchmarks.tally import BATCH, ZONES, Load, name_for, zones_of
from prr.config import BadInput
from prr.trust.credential import Credential, Holder, encode_credential
from prr.trust.keyring import Held
from prr.wire.instance import Address, Instance

BARE = Path(__file__).with_name("bare.py")

SOCKETS = 64
"""Clients by default: few send more than a lookup or two at a time."""

FLAGS = (
    Flag("--rounds", 5, 50, "each of which measures all of them"),
    Flag("--instances", INSTANCES, INSTANCES_MAX, "registered"),
)

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
}
"""The binder, asked otherwise than by a bare number, and what the load has for it."""

OTHERWISE = (MISS, KEYED, SEALED, *WAYS)
"""What is asked otherwise than the binder is, and compared with that."""


def main(arguments: Sequence[str]) -> int:
    """Measure as `arguments` say, and print the result; the exit code."""
    parser = parser_for("limit", __doc__, 2.0, *FLAGS, *ASKING, *WORK)
    parser.add_argument(
        "--ways", action="store_true", help="the binder by name, by zone and at IPv6, too"
    )
    parser.add_argument("--keys", action="store_true", help="a binder with a keyring, too")
    parser.set_defaults(sockets=SOCKETS)
    return run(parser, _measure, arguments)


def _measure(parsed: argparse.Namespace) -> dict[str, Any]:
    """The figures of each, in the median, and the binder's ratios to the others."""
    check(parsed.in_flight, parsed.sockets, parsed.instances, parsed.types)
    if parsed.keys and parsed.in_flight > SEALED_AT_ONCE * parsed.sockets:
        raise BadInput(
            f"{parsed.in_flight} lookups in flight from {parsed.sockets} sockets; with --keys "
            f"each has {SEALED_AT_ONCE} at most"
        )
    with ExitStack() as processes:
        loads = _loads(parsed, processes)
        pinned = pin(pid for load in loads.values() for pid in load.pids)
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in loads}
        for _ in range(parsed.rounds):
            for name, load in loads.items():
                found[name].append(_figures(name, load))
    ours = found[BINDER]
    return {
        **{name: getattr(parsed, name) for name in SAID},
        "pinned": pinned,
        **({} if "c" in found else {"c": "not measured: no cc here"}),
        **{name: _in_short(rows) for name, rows in found.items()},
        **{
            f"{BINDER}_to_{name}": _ratios(ours, rows)
            for name, rows in found.items()
            if name not in (BINDER, *OTHERWISE)
        },
        **{
            f"{name}_to_{BINDER}": _ratios(found[name], ours) for name in found if name in OTHERWISE
        },
    }


def _loads(parsed: argparse.Namespace, processes: ExitStack) -> dict[str, Load]:
    """Whatever is measured, started, and the load for it, in their order within a round."""
    asked = types_from(0, parsed.types)
    has_work = bool(parsed.subscriptions_per_second or parsed.verifications)
    denied = b"" if has_work else types_from(parsed.types, min(parsed.types, 256 - parsed.types))
    registered = make_instances(parsed.instances, asked)
    nodes = _start_responders(registered, processes)
    others = _others(parsed.instances, asked) if parsed.ways else []
    zones = zones_of(registered, len(asked)) if parsed.ways else {}
    (binder,) = start_full_binders(1, [*registered, *others], processes, zones)
    special = {
        **({QUIET: {}} if has_work else {}),
        **({MISS: {"types": denied, "denied": denied}} if denied else {}),
        **(WAYS if parsed.ways else {}),
        BINDER: {},
    }
    nodes |= dict.fromkeys(special, binder)
    if parsed.keys:
        keyed, held = _start_keyed(registered, processes)
        nodes |= {KEYED: keyed, SEALED: keyed}
        special[SEALED] = _sealed(asked, held)
    load = Load(
        *([binder], asked, registered, parsed.seconds, parsed.in_flight, parsed.sockets),
        subscriptions_per_second=parsed.subscriptions_per_second,
        verifications=parsed.verifications,
        core=generator_core(),
    )
    sink = _open_sink(processes)
    return {
        name: replace(
            load,
            targets=[node],
            pids=[pid] if (pid := pid_at(node)) is not None else [],
            sink=None if name in (BINDER, *OTHERWISE) else sink,
            **special.get(name, {}),
        )
        for name, node in nodes.items()
    }


def _others(count: int, types: bytes) -> list[Instance]:
    """So many instances of services with names, and of `types` at IPv6 addresses."""
    named = make_instances(count, [name_for(type_) for type_ in types], port=4243)
    return named + make_instances(count, types, ipv6=True)


def _start_keyed(registered: list[Instance], processes: ExitStack) -> tuple[Address, Held]:
    """A binder with a keyring that knows the same, and a client's credential of its. It requires
    proof, but not of who fills it."""
    keyring, flags = make_keyring(processes)
    flags = [*flags, f"--legacy={HERE}/32"]
    (binder,) = start_full_binders(1, registered, processes, arguments=flags)
    return binder, keyring.issue(encode_credential(Credential(Holder.CLIENT, "benchmark")))


def _sealed(types: bytes, held: Held) -> dict[str, Any]:
    """What the load has where lookups are sealed: each has a number of its own."""
    return {"held": held, "types": (types * BATCH)[: max(BATCH, len(types))]}


def _figures(name: str, load: Load) -> dict[str, Any]:
    """One measurement of one of them."""
    if name in (BINDER, QUIET, *OTHERWISE):
        return measure_load(load)
    tally = generate(load)
    return figures_of(tally) | {"wrong": tally.wrong(load.right(load.instances))}


def _open_sink(processes: ExitStack) -> Address:
    """Where datagrams go to that nobody reads: the kernel drops them, and wakes nobody for it.

    A process that read them would take from one of two cores what is to be measured there.
    """
    sink = processes.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sink.bind(("127.0.0.1", 0))
    return sink.getsockname()


def _start_responders(registered: list[Instance], processes: ExitStack) -> dict[str, Address]:
    """The C and the Python that the binder is compared with, and where they listen: their first
    line is their port."""
    file = Path(processes.enter_context(tempfile.TemporaryDirectory())) / "instances"
    file.write_bytes(b"".join(registered))
    commands: dict[str, tuple[object, ...]] = {"c": (build("responder"),)} if has_compiler() else {}
    commands["python"] = (sys.executable, BARE)
    started = {name: Started(processes, *words, file) for name, words in commands.items()}
    return {name: (HERE, int(one.wait_for(r"^\d+$")[0])) for name, one in started.items()}


def _in_short(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """One row for all rounds: medians, and sums of what must not happen."""
    sums = ("answered", "lost", "wrong", "dropped_by_kernel")
    short: dict[str, Any] = {}
    for name in rows[0]:
        values = [row[name] for row in rows if row[name] is not None]
        how = sum if name in sums else median
        short[name] = how(values) if values else None
    return short


def _ratios(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> dict[str, float | None]:
    """The medians of the rounds' ratios: ours to theirs."""
    ratios = {}
    for name in ("cpu_us_per_lookup", "lookups_per_second", "p99_ms"):
        pairs = [(one[name], other[name]) for one, other in zip(ours, theirs, strict=True)]
        known = [one / other for one, other in pairs if one is not None and other]
        ratios[name] = round(median(known), 3) if known else None
    return ratios


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
