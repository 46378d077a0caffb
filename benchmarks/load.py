"""How many look-ups a binder answers, how fast, and whether the answers are right.

    python -m benchmarks.load --clients 64 --seconds 5
    python -m benchmarks.load --binder 127.0.0.1:2222 --type 2 --json

A closed loop: each client asks, waits for the answer and asks again. The clients share this
machine with the binder and cost more than it does, so this measures both together.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: prr is beside its folder, not in it
    sys.path.insert(0, str(Path(__file__).parents[1]))

import gevent
import gevent.socket
from gevent.queue import Queue

from prr.cli.exits import NO_BINDER, USAGE, YES
from prr.cli.processes import Process
from prr.cli.settings import service_names
from prr.config import BadInput
from prr.shell.addresses import resolve
from prr.shell.listing import fetch_list
from prr.text import parse_count, parse_peer, parse_seconds, parse_type
from prr.wire.address import Address, address_of, describe_address, make_instance, type_of
from prr.wire.codec import encode
from prr.wire.frames import Found, FoundInstance, Lookup

SERVERS = 3
"""Servers started when no binder is given: enough to see that they take turns."""

READY_LIMIT = 10.0
"""Seconds for each process that is started here."""

ANSWER_LIMIT = 1.0
"""Seconds after which a look-up is lost."""

RECEIVE_BYTES = 2048
CLIENTS_MAX = 512  # a socket each, and a process has 1,024 unless told otherwise
SECONDS_MAX = 60.0  # the waits are kept, and there are some 50,000 a second


class Trouble(Exception):
    """There is nothing to measure; the text says why."""


@dataclass(slots=True)
class Tally:
    """What the clients have seen."""

    waits: list[float] = field(default_factory=list)  # seconds, one for each answer
    answers: Counter[bytes] = field(default_factory=Counter)
    lost: int = 0


def main(arguments: Sequence[str]) -> int:
    """Measure as `arguments` say, and print the result; the exit code."""
    parsed = _parser().parse_args(arguments)
    try:
        with ExitStack() as processes:
            result = _measure(parsed, processes)
    except BadInput as error:
        print(f"load: {error}", file=sys.stderr)
        return USAGE
    except Trouble as trouble:
        print(f"load: {trouble}", file=sys.stderr)
        return NO_BINDER
    if parsed.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:<20}{', '.join(value) if isinstance(value, list) else value}")
    return YES


def _measure(parsed: argparse.Namespace, processes: ExitStack) -> dict[str, object]:
    if parsed.binder:
        binders = [resolve(binder) for binder in parsed.binder]
        subscribed = _listed(binders, parsed.type)
        if not subscribed:
            raise Trouble(f"no binder there knows a server of type {parsed.type}; start them first")
    else:
        binders, subscribed = _start_nodes(parsed.type, processes)
    tally = _load(binders, parsed.type, parsed.clients, parsed.seconds)
    if parsed.binder:  # what subscribed meanwhile is no wrong answer
        subscribed |= _listed(binders, parsed.type)
    right = _right_answers(parsed.type, subscribed)
    answered = len(tally.waits)
    return {
        "binders": [describe_address(binder) for binder in binders],
        "clients": parsed.clients,
        "seconds": parsed.seconds,
        "lookups_per_second": round(answered / parsed.seconds),
        "p50_ms": _percentile_ms(tally.waits, 0.50),
        "p99_ms": _percentile_ms(tally.waits, 0.99),
        "answered": answered,
        "lost": tally.lost,
        "wrong": sum(count for answer, count in tally.answers.items() if answer not in right),
    }


def _load(binders: list[Address], type_: int, clients: int, seconds: float) -> Tally:
    """Let the clients, spread over the binders, ask for so long."""
    tally = Tally()
    ends_at = time.perf_counter() + seconds
    question = encode(Lookup(type_))
    asking = [
        gevent.spawn(_keep_asking, binders[client % len(binders)], question, ends_at, tally)
        for client in range(clients)
    ]
    gevent.joinall(asking, raise_error=True)
    return tally


def _keep_asking(binder: Address, question: bytes, ends_at: float, tally: Tally) -> None:
    while time.perf_counter() < ends_at:
        # A look-up that was lost costs the socket: its answer must not be taken for the next one.
        with gevent.socket.socket(type=gevent.socket.SOCK_DGRAM) as asking:
            asking.settimeout(ANSWER_LIMIT)
            asking.connect(binder)
            _ask_until_lost(asking, question, ends_at, tally)


def _ask_until_lost(
    asking: gevent.socket.socket, question: bytes, ends_at: float, tally: Tally
) -> None:
    while (asked_at := time.perf_counter()) < ends_at:
        try:
            asking.send(question)
            answer = asking.recv(RECEIVE_BYTES)
        except OSError:  # silence; or a refusal, which comes at once and says no more
            tally.lost += 1
            gevent.sleep(max(0.0, asked_at + ANSWER_LIMIT - time.perf_counter()))
            return
        tally.waits.append(time.perf_counter() - asked_at)
        tally.answers[answer] += 1


def _start_nodes(type_: int, processes: ExitStack) -> tuple[list[Address], set[Address]]:
    """A binder, and the servers that it has confirmed."""
    binder = _start("binder", ["binder", "--listen=127.0.0.1:0"], "binder listening", processes)
    arguments = ["server", f"--type={type_}", f"--binder={binder}"]
    servers = [_start("server", arguments, "confirmed", processes) for _ in range(SERVERS)]
    return [parse_peer(binder)], {parse_peer(server) for server in servers}


def _start(name: str, arguments: list[str], ready: str, processes: ExitStack) -> str:
    """Where the node listens, once it has written a line with `ready` in it."""
    lines: Queue[str | None] = Queue()
    process = processes.enter_context(
        Process(name, arguments, lambda process, line: lines.put(line))
    )
    with gevent.Timeout(READY_LIMIT, Trouble(f"the {name} was not ready in {READY_LIMIT:g} s")):
        while ready not in (line := lines.get() or ""):
            if not line:
                raise Trouble(f"the {name} ended: {process.last_line}")
    return process.address


def _listed(binders: list[Address], type_: int) -> set[Address]:
    """Where instances of the type listen, by the binders' own word."""
    found: set[Address] = set()
    for binder in binders:
        instances = fetch_list(binder) or []  # one that was killed meanwhile has nothing to say
        found.update(address_of(one) for one in instances if type_of(one) == type_)
    return found


def _right_answers(type_: int, subscribed: set[Address]) -> set[bytes]:
    """The datagrams that name one of them, in either wire form."""
    spec = {encode(Found(address)) for address in subscribed}
    return spec | {encode(FoundInstance(make_instance(type_, one))) for one in subscribed}


def _percentile_ms(waits: list[float], share: float) -> float | None:
    """The wait that `share` of the answers did not exceed."""
    if not waits:
        return None
    return round(1000 * sorted(waits)[int(share * (len(waits) - 1))], 3)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="load", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--binder",
        type=_said_well(parse_peer),
        action="append",
        metavar="HOST:PORT",
        help=f"one that runs on this host; repeat it (without: one is started, {SERVERS} servers)",
    )
    parser.add_argument("--clients", type=_said_well(_parse_clients), default=64, metavar="N")
    parser.add_argument("--seconds", type=_said_well(_parse_seconds), default=5.0, metavar="S")
    parser.add_argument("--type", type=_said_well(_parse_type), default=1, metavar="TYPE")
    parser.add_argument("--json", action="store_true", help="print the result as a JSON object")
    return parser


def _parse_clients(text: str) -> int:
    clients = parse_count(text)
    if clients > CLIENTS_MAX:
        raise ValueError(f"{clients} clients; write {CLIENTS_MAX} at most")
    return clients


def _parse_seconds(text: str) -> float:
    seconds = parse_seconds(text)
    if not 0 < seconds <= SECONDS_MAX:
        raise ValueError(f"{text} seconds; write more than 0, and {SECONDS_MAX:g} at most")
    return seconds


def _parse_type(text: str) -> int:
    return parse_type(text, service_names())


def _said_well(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """`parse` for argparse, which keeps the words of this one error only."""

    def checked(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return checked


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
