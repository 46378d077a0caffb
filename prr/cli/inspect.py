"""The verbs that inspect binders: status, health and why."""

import json
import time
from collections import Counter
from functools import partial
from typing import Any

from prr.cli.everyone import Said, ask_each, complain
from prr.cli.exits import DEGRADED, NO, NO_BINDER, YES
from prr.cli.output import say
from prr.cli.particulars_text import tags_text
from prr.cli.status_text import in_full, in_rows
from prr.cli.table import as_table
from prr.client.control import fetch_text
from prr.config import ClientConfig, HostPort
from prr.services import names_by_number
from prr.trust.keyring import Held
from prr.wire.instance import (
    Address,
    Instance,
    Service,
    describe_address,
    describe_service,
    make_instance,
)
from prr.wire.trailer import Question

AGAIN = 1.0
"""Seconds before binders that differ are asked once more: a change may have been on its way."""

HINT = "A binder answers this to its own host, and to operators (--key)"

Status = dict[str, Any]


def run_status(config: ClientConfig, output: str) -> int:
    """Print the status of binders: a single one in full, several in a row each."""
    said = _statuses(config)
    if not any(row.answer for row in said):
        complain(said, "answer", HINT)
        return NO_BINDER
    reasons = reasons_of(said)
    if output == "json":
        say(json.dumps(_as_json(said, reasons), indent=2))
    else:
        text = in_full(said[0]) if len(said) == 1 else in_rows(said, odd_ones(said))
        say(f"{verdict(reasons)}\n{text}")
    return DEGRADED if reasons else YES


def run_health(config: ClientConfig) -> int:
    """Print in one line whether all binders are well: 0 if so, 1 if not, 3 if none answers."""
    said = ask_each(config.binders, partial(fetch_status, key=config.key))
    names = ", ".join(row.binder for row in said)
    if not any(row.answer for row in said):
        say(f"NO ANSWER from {names}; is a binder running there? {HINT}")
        return NO_BINDER
    reasons = reasons_of(said)
    say(verdict(reasons) if reasons else f"OK: {names}")
    return NO if reasons else YES


def run_why(config: ClientConfig, address: HostPort, output: str) -> int:
    """Print the last events of one instance, each with its reason; 1 if no binder has any."""
    instance = make_instance(config.type, address)
    said = ask_each(
        config.binders, lambda binder: _fetch(binder, Question.WHY, instance, config.key)
    )
    answered = [row for row in said if row.answer is not None]
    complain(said, "answer", HINT)
    if not answered:
        return NO_BINDER
    knowing = [row for row in answered if row.answer and _is_known(row.answer)]
    if output == "json":
        first = (knowing or answered)[0]
        say(json.dumps({"binder": first.binder} | (first.answer or {}), indent=2))
    elif knowing:
        name = _name(config.type, address)
        say("\n\n".join(_why_text(name, row.binder, row.answer or {}) for row in knowing))
    else:
        names = ", ".join(row.binder for row in answered)
        say(f"no record of {_name(config.type, address)} on binder {names}")
    return YES if knowing else NO


def _statuses(config: ClientConfig) -> list[Said[Status]]:
    ask = partial(fetch_status, key=config.key)
    said = ask_each(config.binders, ask)
    if odd_ones(said):
        time.sleep(AGAIN)
        said = ask_each(config.binders, ask)
    return said


def fetch_status(binder: Address, key: Held | None) -> Status | None:
    return _fetch(binder, Question.STATUS, None, key)


def _fetch(
    binder: Address, question: Question, instance: Instance | None, key: Held | None
) -> Status | None:
    text = fetch_text(binder, question, instance, key)
    answer: Status | None = None if text is None else json.loads(text)
    return answer


def reasons_of(said: list[Said[Status]]) -> list[str]:
    """Why the binders are not well, each with the binder's name if there are several."""
    reasons = []
    for row in said:
        found = (
            [row.why]
            if row.answer is None
            else row.answer.get("degraded", ["its answer says nothing about its health"])
        )
        reasons += [f"{row.binder}: {why}" if len(said) > 1 else why for why in found]
    return reasons


def verdict(reasons: list[str]) -> str:
    return f"DEGRADED: {'; '.join(reasons)}" if reasons else "OK"


def odd_ones(said: list[Said[Status]]) -> set[str]:
    """The binders whose digest is not the most common one (or, in a tie, not the first one's):
    that of everything, unless one of them knows no names."""
    answers = {row.binder: row.answer for row in said if row.answer}
    key = "full_digest" if all("full_digest" in one for one in answers.values()) else "digest"
    digests = {binder: answer[key] for binder, answer in answers.items()}
    if not digests:
        return set()
    ((usual, _),) = Counter(digests.values()).most_common(1)
    return {binder for binder, digest in digests.items() if digest != usual}


def _as_json(said: list[Said[Status]], reasons: list[str]) -> Status:
    """The first answer's keys, whether all are well, and each binder's answer or null."""
    first = next(row.answer for row in said if row.answer)
    odd = odd_ones(said)
    every = [
        {"binder": row.binder, "differs": row.binder in odd, "status": row.answer} for row in said
    ]
    return first | {"ok": not reasons, "degraded": reasons, "binders": every}


def _name(service: Service, address: HostPort) -> str:
    name = names_by_number().get(service) if isinstance(service, int) else None
    suffix = f" ({name})" if name else ""
    return f"{describe_service(service)}{suffix} at {describe_address(address)}"


def _is_known(answer: Status) -> bool:
    return bool(answer["held"] or answer["events"])


def _why_text(name: str, binder: str, answer: Status) -> str:
    state = "listed" if answer["held"] else "not listed"
    if answer["suspect"]:
        state += ", suspect: out of turn"
    state += _drain_text(answer) + _lease_text(answer) + _particulars_text(answer)
    rows = [(_clock(row["at"]), row["event"], row["why"]) for row in answer["events"]]
    table = f"\n\n{as_table(('AT', 'EVENT', 'WHY'), rows)}" if rows else "; no event recorded"
    return f"{name}, on binder {binder}: {state}{table}"


def _drain_text(answer: Status) -> str:
    """For how long it is drained, and why; a binder of before does not know."""
    if answer.get("drain_s") is None:
        return ""
    why = answer["drain_why"]
    return f"; drained for another {answer['drain_s']:.0f} s" + (f": {why}" if why else "")


def _lease_text(answer: Status) -> str:
    """Which binder hears it, and until when that counts; a binder of before does not say."""
    if not answer.get("owner"):
        return ""
    elsewhere = answer["owner_address"] or f"unknown, identity {answer['owner']}"
    text = "; its lease owner is " + ("this binder" if answer["is_owner"] else elsewhere)
    seconds = answer["lease_s"]
    if seconds is None:
        return f"{text}, not heard here"
    return f"{text}, asked here unless heard within {max(seconds, 0.0):.1f} s"


def _particulars_text(answer: Status) -> str:
    """What the instance says of itself beyond what is usual; a binder of before does not know."""
    said = {"weight": answer.get("weight", 1), "zone": answer.get("zone")}
    said["tags"] = tags_text(answer.get("tags", {}))
    return "".join(f"; {key} {value}" for key, value in said.items() if value not in (1, None, ""))


def _clock(when: float) -> str:
    fraction = f"{when % 1:.3f}"[1:]
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when)) + fraction
