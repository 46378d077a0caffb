"""The verbs that look into a binder: status and why."""

import json
import sys
import time
from typing import Any

from prr.cli.exits import NO, NO_BINDER, YES
from prr.cli.settings import service_names
from prr.cli.streams import say
from prr.cli.table import as_table
from prr.config import ClientConfig, HostPort
from prr.shell.addresses import resolve_any
from prr.shell.listing import fetch_text
from prr.wire.address import describe_address, make_instance
from prr.wire.trailer import Question


def run_status(binders: tuple[HostPort, ...], output: str) -> int:
    """How a binder is, and whom it hears: the first of `binders` that answers."""
    status = _ask(binders, Question.STATUS)
    if status is None:
        return NO_BINDER
    say(json.dumps(status, indent=2) if output == "json" else _status_text(status))
    return YES


def run_why(config: ClientConfig, address: HostPort, output: str) -> int:
    """The last events about one instance, each with its reason; 1 if there is none."""
    answer = _ask(config.binders, Question.WHY, make_instance(config.type, address))
    if answer is None:
        return NO_BINDER
    name = f"type {config.type} at {describe_address(address)}"
    say(json.dumps(answer, indent=2) if output == "json" else _why_text(name, answer))
    return YES if answer["held"] or answer["events"] else NO


def _ask(
    binders: tuple[HostPort, ...], question: Question, instance: bytes | None = None
) -> dict[str, Any] | None:
    addresses = resolve_any(binders)
    for address in addresses:
        text = fetch_text(address, question, instance)
        if text is not None:
            answer: dict[str, Any] = json.loads(text)
            return answer
    names = ", ".join(describe_address(address) for address in addresses)
    print(
        f"prr: no answer from {names}; is a binder running there? It tells programs on its own "
        f"host only",
        file=sys.stderr,
    )
    return None


def _status_text(status: dict[str, Any]) -> str:
    names = {type_: name for name, type_ in service_names().items()}
    synced = "synced" if status["synced"] else "waiting for its peers"
    lines = [
        f"binder {status['identity']}, up {status['uptime_s']:.0f} s, {synced}, "
        f"{status['instances']} instances, digest {status['digest']}, {_kept(status['state'])}",
        "",
        as_table(
            ("TYPE", "NAME", "UP", "SUSPECT", "BEING VERIFIED"),
            [
                (
                    row["type"],
                    names.get(row["type"]),
                    row["up"],
                    row["suspect"],
                    row["being_verified"],
                )
                for row in status["types"]
            ],
        ),
        "",
        as_table(
            ("PEER", "KIND", "HEARD S AGO", "ROUND TRIP MS", "AGREES"),
            [
                (
                    row["address"],
                    row["kind"],
                    row["heard_s_ago"],
                    row["round_trip_ms"],
                    {True: "yes", False: "no", None: None}[row["agrees"]],
                )
                for row in status["peers"]
            ],
        ),
        "",
        as_table(("COUNT", "OF"), [(count, name) for name, count in status["counters"].items()]),
    ]
    return "\n".join(lines)


def _kept(state: dict[str, Any] | None) -> str:
    if state is None:
        return "nothing kept on disk"
    if state["failing"]:
        return f"the disk fails ({state['failing']})"
    return f"{state['unsaved']} changes not on disk yet" if state["unsaved"] else "all on disk"


def _why_text(name: str, answer: dict[str, Any]) -> str:
    state = "held" if answer["held"] else "not held"
    if answer["suspect"]:
        state += ", suspect: out of turn"
    rows = [(_clock(row["at"]), row["event"], row["why"]) for row in answer["events"]]
    return f"{name} is {state}\n\n" + as_table(("AT", "EVENT", "WHY"), rows)


def _clock(when: float) -> str:
    fraction = f"{when % 1:.3f}"[1:]
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when)) + fraction
