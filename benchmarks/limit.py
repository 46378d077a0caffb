"""How close a binder comes to what C can do, and how far it is from a bare loop in Python.

    python -m benchmarks.limit --instances 100000 --types 256
    python -m benchmarks.limit --subscriptions-per-second 100 --verifications 50

All get the same load in turn, round by round in one run, since the machine changes from run to run.
A ratio is the median of the rounds' ratios. Where there is no `cc` there is no C.

"no" is the binder asked for types that nobody provides.

Subscriptions and verifications are sent in every turn, by the generator that sends the look-ups:
to the binder in its turn, else to a sink. "quiet" is the binder while they go to the sink: what
they cost the look-ups.
"""

import argparse
import shutil
import socket
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

if not __package__:  # run as a file: prr is beside its folder, not in it
    sys.path.insert(0, str(Path(__file__).parents[1]))

import gevent
from gevent.subprocess import PIPE, Popen

from benchmarks.arguments import Trouble, add_count, parser_for, run
from benchmarks.load import (
    IN_FLIGHT,
    INSTANCES,
    INSTANCES_MAX,
    SOCKETS,
    add_in_flight,
    add_work,
    check_counts,
    check_in_flight,
    figures_of,
    generator_core,
    types_from,
)
from benchmarks.load import measure as measure_load
from benchmarks.native import build
from benchmarks.nodes import READY_LIMIT, generate, make_instances, start_full_binders
from benchmarks.proc import pid_at, pin
from benchmarks.tally import Load
from prr.wire.address import Address, Instance

HERE = Path(__file__).parent

ROUNDS_MAX = 50

QUIET = "quiet"
"""The binder without the background, which goes to the sink."""

MISS = "no"
"""The binder, asked for what is not there. Left out where every type has an instance, or others
subscribe meanwhile."""


def main(arguments: Sequence[str]) -> int:
    """Measure as `arguments` say, and print the result; the exit code."""
    return run(_parser(), _measure, arguments)


def measure(
    instances: int,
    types: int,
    seconds: float,
    rounds: int,
    in_flight: int = IN_FLIGHT,
    sockets: int = SOCKETS,
    subscriptions_per_second: int = 0,
    verifications: int = 0,
) -> dict[str, Any]:
    """The figures of each, in the median, and the binder's ratios to the others.

    `seconds` is for each of them in each of `rounds`. Raises Trouble.
    """
    has_work = bool(subscriptions_per_second or verifications)
    asked = types_from(0, types)
    registered = make_instances(instances, asked)
    with ExitStack() as processes:
        responders = _start_responders(registered, processes)
        (binder,) = start_full_binders(1, registered, processes)
        denied = b"" if has_work else types_from(types, min(types, 256 - types))
        nodes = {
            **responders,
            **({QUIET: binder} if has_work else {}),
            **({MISS: binder} if denied else {}),
            "binder": binder,
        }
        pids = {name: pid_at(node) for name, node in nodes.items()}
        pinned = pin(pid for pid in pids.values() if pid is not None)
        load = Load(
            [binder],
            asked,
            registered,
            seconds,
            in_flight,
            sockets,
            subscriptions_per_second=subscriptions_per_second,
            verifications=verifications,
            sink=_open_sink(processes),
            core=generator_core(),
        )
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in nodes}
        for _ in range(rounds):
            for name, node in nodes.items():
                pid = pids[name]
                its_load = replace(load, binders=[node], pids=[] if pid is None else [pid])
                if name == MISS:
                    its_load = replace(its_load, types=denied, denied=denied)
                found[name].append(_figures(name, its_load))
    return {
        "instances": instances,
        "types": types,
        "in_flight": in_flight,
        "sockets": sockets,
        "seconds": seconds,
        "rounds": rounds,
        "pinned": pinned,
        **({} if "c" in nodes else {"c": "not measured: no cc here"}),
        **{name: _in_short(rows) for name, rows in found.items()},
        **{
            f"binder_to_{name}": _ratios(found["binder"], rows)
            for name, rows in found.items()
            if name not in ("binder", MISS)
        },
        **({"no_to_binder": _ratios(found[MISS], found["binder"])} if denied else {}),
    }


def _figures(name: str, load: Load) -> dict[str, Any]:
    """One measurement of one of them."""
    if name in ("binder", MISS):
        return measure_load(replace(load, sink=None))
    if name == QUIET:
        return measure_load(load)
    tally = generate(load)
    return figures_of(tally) | {"wrong": tally.wrong(load.instances)}


def _open_sink(processes: ExitStack) -> Address:
    """Where datagrams go to that nobody reads: the kernel drops them, and wakes nobody for it.

    A process that read them would take from one of two cores what is to be measured there.
    """
    sink = processes.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sink.bind(("127.0.0.1", 0))
    return sink.getsockname()


def _start_responders(registered: list[Instance], processes: ExitStack) -> dict[str, Address]:
    """The C and the Python that the binder is compared with, and where they listen."""
    folder = Path(processes.enter_context(tempfile.TemporaryDirectory()))
    file = folder / "instances"
    file.write_bytes(b"".join(registered))
    responders = {}
    if shutil.which("cc") is not None:
        program = build(folder, HERE / "responder.c")
        responders["c"] = _start([str(program), str(file)], processes)
    bare = [sys.executable, str(HERE / "bare.py"), str(file)]
    return {**responders, "python": _start(bare, processes)}


def _start(command: list[str], processes: ExitStack) -> Address:
    """Where a responder listens, whose first line is its port."""
    responder = processes.enter_context(Popen(command, stdout=PIPE, text=True))
    processes.callback(responder.kill)
    with gevent.Timeout(READY_LIMIT, Trouble(f"{command[0]} was not ready in {READY_LIMIT:g} s")):
        port = responder.stdout.readline()
    if not port.strip().isdecimal():
        raise Trouble(f"{command[0]} ended")
    return "127.0.0.1", int(port)


def _in_short(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """One row for those of all rounds: the median, or the sum of what must not happen."""
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


def _measure(parsed: argparse.Namespace) -> dict[str, Any]:
    check_counts(parsed.instances, parsed.types)
    check_in_flight(parsed.in_flight, parsed.sockets)
    return measure(
        parsed.instances,
        parsed.types,
        parsed.seconds,
        parsed.rounds,
        parsed.in_flight,
        parsed.sockets,
        parsed.subscriptions_per_second,
        parsed.verifications,
    )


def _parser() -> argparse.ArgumentParser:
    parser = parser_for("limit", __doc__, seconds=2.0)
    add_count(parser, "--rounds", 5, ROUNDS_MAX, "each of which measures all of them (5)")
    add_count(parser, "--instances", INSTANCES, INSTANCES_MAX, f"registered ({INSTANCES})")
    add_in_flight(parser)
    add_work(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
