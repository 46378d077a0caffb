"""The verbs client, lookup and list."""

import json
import logging
import sys
import time
from functools import partial
from typing import Any

from prr.addresses import resolve_any
from prr.cli.everyone import ask_each, complain
from prr.cli.exits import NO, NO_BINDER, NO_SERVICE, YES
from prr.cli.formats import fill_in
from prr.cli.output import say
from prr.cli.particulars_text import particulars_row, tags_text
from prr.cli.table import as_table
from prr.client.api import Client
from prr.client.control import Listing, fetch_listings
from prr.client.errors import (
    NoBinderAnswered,
    NoSuchService,
    PrrError,
    ServiceDidNotAnswer,
    ServiceFailed,
)
from prr.client.instances import ServiceInstance
from prr.config import ClientConfig
from prr.services import names_by_number
from prr.shell.log.handler import log_to_stderr
from prr.wire.instance import (
    Address,
    Instance,
    Service,
    address_of,
    describe_address,
    describe_service,
    make_instance,
    service_of,
)
from prr.wire.particulars import Particulars
from prr.wire.trailer import Listed

_EXIT_BY_ERROR = {
    NoSuchService: NO,
    NoBinderAnswered: NO_BINDER,
    ServiceDidNotAnswer: NO_SERVICE,
    ServiceFailed: NO_SERVICE,
}


_WORSE = (Listed.UP, Listed.DRAINED, Listed.SUSPECT, Listed.DISPUTED).index
"""Of two states the one that is worse has the greater number."""


def run_client(config: ClientConfig, hedge: bool) -> int:
    """Look up and call, `count` times; stop at the first error, with its exit code."""
    log_to_stderr(timestamps=False)
    client = _client(config)
    for call in range(config.count):
        if call:
            time.sleep(config.interval)
        try:
            answer = _call(client, config, hedge)
        except PrrError as error:
            return _failed(error)
        say(answer.decode(errors="backslashreplace"))
    return YES


def look_up(config: ClientConfig) -> Address | int:
    """Look up one instance: its address, or the exit code if there is none."""
    log_to_stderr(logging.WARNING)
    try:
        return _client(config).lookup(config.type)
    except PrrError as error:
        return _failed(error)


def run_lookup(config: ClientConfig, output: str, form: str | None) -> int:
    """Look up one instance and print it, in the format `form` if there is one."""
    found = look_up(config)
    if isinstance(found, int):
        return found
    if form is not None:
        say(fill_in(form, found))
        return YES
    row = _row(make_instance(config.type, found), names_by_number())
    say(json.dumps(row, indent=2) if output == "json" else row["address"])
    return YES


def run_lookup_all(config: ClientConfig, output: str, form: str | None) -> int:
    """Print all instances of one service, as a table or JSON, or each in the format `form`."""
    log_to_stderr(logging.WARNING)
    try:
        found = _client(config).instances(config.type)
    except PrrError as error:
        return _failed(error)
    if not found:
        return _failed(NoSuchService(f"no binder knows {describe_service(config.type)}"))
    if form is not None:
        say("\n".join(fill_in(form, one.address) for one in found))
        return YES
    rows = [_found_row(config.type, one) for one in found]
    say(json.dumps(rows, indent=2) if output == "json" else _as_table(rows, False))
    return YES


def _found_row(service: Service, one: ServiceInstance) -> dict[str, Any]:
    in_turn = Listed.DRAINED if one.is_drained else Listed.UP
    state = Listed.SUSPECT if one.is_suspect else in_turn
    row = _row(make_instance(service, one.address), names_by_number())
    said = Particulars(one.weight, one.zone, one.tags)
    return row | particulars_row(said) | {"state": state.name.lower()}


def run_list(config: ClientConfig, output: str) -> int:
    """Print the instances that binders know, as a table or JSON, how they are, and who lacks
    which."""
    said = ask_each(config.binders, partial(fetch_listings, key=config.key))
    complain(said, "list", "A binder gives its list to its own host, and to operators (--key)")
    if all(row.answer is None for row in said):
        return NO_BINDER
    known = {row.binder: row.answer for row in said if row.answer is not None}
    everything = frozenset[Instance]().union(*known.values())
    rows = [_listed(instance, known) for instance in sorted(everything, key=_order)]
    say(json.dumps(rows, indent=2) if output == "json" else _as_table(rows, len(said) > 1))
    return YES


def _listed(instance: Instance, known: dict[str, dict[Instance, Listing]]) -> dict[str, Any]:
    """A row of the list: the instance, how it is, and which of the binders that answered lack
    it. Where they differ it is as bad as one of them says, and has what the first one says."""
    said = [there[instance] for there in known.values() if instance in there]
    worst = max((one.state for one in said if one.state is not None), key=_WORSE, default=None)
    state = None if worst is None else worst.name.lower()
    lacking = [binder for binder, there in known.items() if instance not in there]
    row = _row(instance, names_by_number()) | particulars_row(said[0].particulars)
    seconds, why = max((one.drain.seconds, one.drain.why) for one in said)
    until = round(time.time() + seconds) if seconds else None
    drained = {"drained_until": until, "drained_why": why or None}
    return row | {"state": state} | drained | {"not_at": lacking}


def _client(config: ClientConfig) -> Client:
    resolve_any(config.binders)  # names that have no address are wrong usage, not silent binders
    binders = [describe_address(binder) for binder in config.binders]
    return Client(binders, zone=config.zone or None, key=config.key)


def _call(client: Client, config: ClientConfig, hedge: bool) -> bytes:
    while True:
        try:
            return client.call(config.type, config.message.encode(), hedge=hedge)
        except NoSuchService as error:
            if config.retry_unknown is None:
                raise
            print(f"prr: {error}; trying again in {config.retry_unknown:g} s", file=sys.stderr)
            time.sleep(config.retry_unknown)


def _failed(error: PrrError) -> int:
    print(f"prr: {error}", file=sys.stderr)
    return _EXIT_BY_ERROR[type(error)]


def _order(instance: Instance) -> tuple[bool, Service, Address]:
    """Numbers first, then names."""
    service = service_of(instance)
    return isinstance(service, str), service, address_of(instance)


def _row(instance: Instance, names: dict[int, str]) -> dict[str, Any]:
    service = service_of(instance)
    number = service if isinstance(service, int) else None
    name = service if isinstance(service, str) else names.get(service)
    return {
        "service": name or str(number),
        "type": number,
        "name": name,
        "address": describe_address(address_of(instance)),
    }


def _as_table(rows: list[dict[str, Any]], has_several: bool) -> str:
    """With columns for what some instance has."""
    texts = [
        row
        | {"tags": tags_text(row["tags"]), "not_at": ", ".join(row.get("not_at", []))}
        | {"until": _clock(row.get("drained_until"))}
        for row in rows
    ]
    columns = ["type", "name", "address", "state"]
    if any(row.get("drained_until") for row in rows):
        columns.append("until")
    if any(row["weight"] > 1 for row in rows):
        columns.append("weight")
    columns += [one for one in ("zone", "tags") if any(row[one] for row in texts)]
    columns += ["not_at"] if has_several else []
    header = [column.upper().replace("_", " ") for column in columns]
    return as_table(header, [[_cell(row[one]) for one in columns] for row in texts])


def _clock(when: int | None) -> str:
    """A moment as people here say it; it is no more than a day away."""
    return "" if when is None else time.strftime("%H:%M:%S", time.localtime(when))


def _cell(value: object) -> object:
    """What a cell shows: nothing for an empty text."""
    return None if value == "" else value
