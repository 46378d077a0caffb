"""The verbs client, lookup and list."""

import json
import logging
import sys
import time
from typing import Any

from prr.addresses import resolve_any
from prr.cli.everyone import Said, ask_each, complain
from prr.cli.exits import NO, NO_BINDER, NO_SERVICE, YES
from prr.cli.output import say
from prr.cli.settings import type_names
from prr.cli.table import as_table
from prr.client.api import (
    Client,
    NoBinderAnswered,
    NoSuchService,
    PrrError,
    ServiceDidNotAnswer,
)
from prr.client.control import fetch_list
from prr.config import ClientConfig, HostPort
from prr.shell.log.handler import log_to_stderr
from prr.wire.instance import Instance, address_of, describe_address, make_instance, type_of

_EXIT_BY_ERROR = {NoSuchService: NO, NoBinderAnswered: NO_BINDER, ServiceDidNotAnswer: NO_SERVICE}


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


def run_lookup(config: ClientConfig, output: str) -> int:
    """Look up one instance and print it."""
    log_to_stderr(logging.WARNING)
    try:
        found = _client(config).lookup(config.type)
    except PrrError as error:
        return _failed(error)
    row = _row(make_instance(config.type, found), type_names())
    say(json.dumps(row, indent=2) if output == "json" else row["address"])
    return YES


def run_list(binders: tuple[HostPort, ...], output: str) -> int:
    """Print the instances that `binders` know, as a table or JSON, and who lacks which."""
    said = ask_each(binders, fetch_list)
    complain(said, "list", "A binder gives its list to its peers and its own host only")
    if all(row.answer is None for row in said):
        return NO_BINDER
    missing_at = _compare(said)
    if output == "json":
        names = type_names()
        rows = [_row(instance, names) | {"not_at": gaps} for instance, gaps in missing_at.items()]
        say(json.dumps(rows, indent=2))
    else:
        say(_as_table(missing_at, len(said) > 1))
    return YES


def _compare(said: list[Said[list[Instance]]]) -> dict[Instance, list[str]]:
    """All instances that any binder knows, sorted, each with the binders that lack it."""
    known = [(row.binder, frozenset(row.answer)) for row in said if row.answer is not None]
    everything = frozenset[Instance]().union(*(instances for _, instances in known))
    return {
        instance: [binder for binder, instances in known if instance not in instances]
        for instance in sorted(everything, key=lambda one: (type_of(one), address_of(one)))
    }


def _client(config: ClientConfig) -> Client:
    resolve_any(config.binders)  # names that have no address are wrong usage, not silent binders
    return Client(describe_address(binder) for binder in config.binders)


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


def _row(instance: Instance, names: dict[int, str]) -> dict[str, Any]:
    type_ = type_of(instance)
    address = describe_address(address_of(instance))
    return {"type": type_, "name": names.get(type_), "address": address}


def _as_table(missing_at: dict[Instance, list[str]], has_several: bool) -> str:
    names = type_names()
    header = ("TYPE", "NAME", "ADDRESS", *(("NOT AT",) if has_several else ()))
    rows = [
        (
            type_of(instance),
            names.get(type_of(instance)),
            describe_address(address_of(instance)),
            *((", ".join(missing) or None,) if has_several else ()),
        )
        for instance, missing in missing_at.items()
    ]
    return as_table(header, rows)
