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
from collections.abc import Sequence
from contextlib import ExitStack, closing
from time import perf_counter
from typing import Any

import gevent

from benchmarks.arguments import Flag, parser_for, run
from benchmarks.fleet import Fleet, Message
from benchmarks.generate import generate
from benchmarks.keyed_fleet import KeyedFleet
from benchmarks.load import figures_of, types_from
from benchmarks.nodes import make_keyring, start_binders, status_of
from benchmarks.proc import cpu_seconds, generator_core, on_core, pin
from benchmarks.tally import Load, Tally
from benchmarks.writes import measure_writes

FLAGS = (
    Flag("--servers", 20_000, 100_000, "that come, stay and leave"),
    Flag("--herd", 50_000, 100_000, "that come back within a second"),
    Flag("--lookups", 20_000, 200_000, "a second, while they do"),
)

TYPES = 100

LEAVES = 400
"""Servers that leave, at most: each is asked afterwards whether it has, which takes a second from a
socket of its own, and a binder has 512 places for that."""

CASES = {
    f"{peers} peers, {'on disk' if keeps else 'in memory'}": (peers, keeps, False)
    for keeps in (False, True)
    for peers in (0, 2)
}
"""How many peers the binder has, whether it keeps its state, and whether it has a keyring."""

KEYED_CASES = {f"{peers} peers, in memory, keyed": (peers, False, True) for peers in (0, 2)}

SETTLE = 1.5
"""Seconds after which each server has been asked whether it is there, and those it was told to know
it: what is done then belongs to what was said before."""

FLEET_NET, KNOWN_NET = 64, 32
KNOWN = 100
"""Servers that are looked up while the herd comes."""

START = 0.3
"""Seconds after which the lookups are under way."""


def main(arguments: Sequence[str]) -> int:
    """Measure as `arguments` say, and print the result; the exit code."""
    parser = parser_for("subscribe", __doc__, 5.0, *FLAGS)
    parser.add_argument("--keys", action="store_true", help="binders with a keyring, too")
    return run(parser, _measure, arguments)


def _measure(parsed: argparse.Namespace) -> dict[str, Any]:
    """The figures of each case, and of the herd."""
    cases = CASES | (KEYED_CASES if parsed.keys else {})
    result: dict[str, Any] = {"servers": parsed.servers, "herd": parsed.herd}
    with on_core(generator_core()):
        for name, case in cases.items():
            with ExitStack() as stack:
                result[name] = _costs(_Binder(*case, stack), parsed.servers)
        for name, (peers, *how) in cases.items():
            if not peers:
                with ExitStack() as stack:
                    herd = name.replace("0 peers", "herd")
                    result[herd] = _herd(_Binder(0, *how, stack), parsed)
    return result | measure_writes(parsed.seconds)


def _costs(binder: "_Binder", servers: int) -> dict[str, Any]:
    """What a fleet costs as it comes, stays and leaves."""
    fleet = binder.fleet(servers, _types(), FLEET_NET)
    costs = {"first": binder.cost_of(fleet, fleet.first, settle=True)}
    if not binder.keyring:  # else the binder is known to be ours from the first
        costs["second"] = binder.cost_of(fleet, fleet.search, settle=True)
    costs["renewal"] = binder.cost_of(fleet, fleet.renewal)
    fleet.answers, fleet.count = False, min(fleet.count, LEAVES)
    costs["leave"] = binder.cost_of(fleet, fleet.leave)
    return {f"{what}_{key}": value for what, cost in costs.items() for key, value in cost.items()}


def _types() -> bytes:
    return types_from(1, TYPES)


class _Binder:
    """A binder on a core of its own, with so many peers on the generator's."""

    def __init__(self, peers: int, keeps: bool, is_keyed: bool, stack: ExitStack) -> None:
        self._stack = stack
        self.keyring, flags = make_keyring(stack) if is_keyed else (None, [])
        binders = start_binders(stack, 1 + peers, keeps, flags)
        self.address, *_ = [binder.address for binder in binders]
        self.pid = binders[0].pid
        pin([self.pid])
        gevent.sleep(SETTLE)

    def fleet(self, count: int, types: bytes, net: int) -> Fleet:
        """Servers that it believes."""
        whose = count, types, net
        made = KeyedFleet(*whose, self.keyring) if self.keyring else Fleet(*whose)
        return self._stack.enter_context(closing(made))

    def cost_of(self, fleet: Fleet, message: Message, settle: bool = False) -> dict[str, Any]:
        """What it takes when each server says this: in all, and of the binder."""
        used, began = cpu_seconds([self.pid]), perf_counter()
        fleet.sent = 0
        fleet.say(message, self.address)
        elapsed = perf_counter() - began
        if settle:
            fleet.stay(SETTLE)
        cpu = cpu_seconds([self.pid])
        has_cpu = cpu is not None and used is not None
        return {
            "per_second": round(fleet.count / elapsed),
            "cpu_us": round(1e6 * (cpu - used) / fleet.count, 2) if has_cpu else None,
            "said_again": fleet.sent - fleet.count,
        }


def _herd(binder: _Binder, parsed: argparse.Namespace) -> dict[str, Any]:
    """All come within a second to a binder that knows none of them, and is asked meanwhile."""
    known = binder.fleet(KNOWN, b"\0", KNOWN_NET)
    binder.cost_of(known, known.first, settle=True)
    load = Load(
        [binder.address],
        b"\0",
        known.instances(),
        parsed.seconds,
        rate=parsed.lookups,
        pids=[binder.pid],
    )
    quiet = generate(load)
    fleet = binder.fleet(parsed.herd, _types(), FLEET_NET)
    lookups = gevent.spawn(generate, load)
    gevent.sleep(START)
    took = sorted(fleet.say(fleet.first, binder.address, rate=parsed.herd))
    while not lookups.ready():
        list(fleet.hear())
        list(known.hear())
        gevent.sleep(0.001)
    status = status_of(binder.address) or {}
    return {
        "half_confirmed_within_s": round(took[len(took) // 2], 3),
        "all_confirmed_within_s": round(took[-1], 3),
        "asked_whether_there": fleet.questions.total(),
        "held_afterwards": status.get("instances"),
        **_lookups("before", quiet),
        **_lookups("meanwhile", lookups.get()),
    }


def _lookups(when: str, tally: Tally) -> dict[str, Any]:
    figures = figures_of(tally)
    return {
        f"lookups_{when}": figures["lookups_per_second"],
        f"lookups_lost_{when}": figures["lost"],
        f"p99_ms_{when}": figures["p99_ms"],
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
