"""The verbs that ask and end: client, lookup and list."""

import json
import logging
import sys
import time

from prr.cli.exits import NO, NO_BINDER, NO_SERVICE, YES
from prr.cli.settings import service_names
from prr.cli.streams import say
from prr.cli.table import as_table
from prr.config import ClientConfig, HostPort
from prr.shell.addresses import resolve_any
from prr.shell.library import (
    Client,
    NoBinderAnswered,
    NoSuchService,
    PrrError,
    ServiceDidNotAnswer,
)
from prr.shell.listing import fetch_list
from prr.shell.log import log_to_stderr
from prr.wire.address import Instance, address_of, describe_address, type_of

_EXIT_BY_ERROR = {NoSuchService: NO, NoBinderAnswered: NO_BINDER, ServiceDidNotAnswer: NO_SERVICE}


def run_client(config: ClientConfig) -> int:
    """Look up and call, `count` times; stop at the first error, with its exit code."""
    log_to_stderr(timestamps=False)
    client = _client(config)
    for call in range(config.count):
        if call:
            time.sleep(config.interval)
        try:
            answer = _call(client, config)
        except PrrError as error:
            return _failed(error)
        say(answer.decode(errors="backslashreplace"))
    return YES


def run_lookup(config: ClientConfig) -> int:
    """One question, one answer: ip:port."""
    log_to_stderr(logging.WARNING)
    try:
        say(describe_address(_client(config).lookup(config.type)))
    except PrrError as error:
        return _failed(error)
    return YES


def run_list(binders: tuple[HostPort, ...], output: str) -> int:
    """All that a binder knows, as a table or as JSON: the first of `binders` that answers."""
    addresses = resolve_any(binders)
    lists = (fetch_list(address) for address in addresses)
    instances = next((one for one in lists if one is not None), None)
    if instances is None:
        names = ", ".join(describe_address(address) for address in addresses)
        print(
            f"prr: no list from {names}; is a binder running there? "
            f"Lists are for its peers and for programs on its own host",
            file=sys.stderr,
        )
        return NO_BINDER
    instances.sort(key=lambda instance: (type_of(instance), address_of(instance)))
    say(_as_json(instances) if output == "json" else _as_table(instances))
    return YES


def _client(config: ClientConfig) -> Client:
    resolve_any(config.binders)  # names that have no address are wrong usage, not silent binders
    return Client(describe_address(binder) for binder in config.binders)


def _call(client: Client, config: ClientConfig) -> bytes:
    while True:
        try:
            return client.call(config.type, config.message.encode())
        except NoSuchService as error:
            if config.retry_unknown is None:
                raise
            print(f"prr: {error}; asking again in {config.retry_unknown:g} s", file=sys.stderr)
            time.sleep(config.retry_unknown)


def _failed(error: PrrError) -> int:
    print(f"prr: {error}", file=sys.stderr)
    return _EXIT_BY_ERROR[type(error)]


def _as_json(instances: list[Instance]) -> str:
    rows = [
        {"type": type_of(instance), "address": describe_address(address_of(instance))}
        for instance in instances
    ]
    return json.dumps(rows, indent=2)


def _as_table(instances: list[Instance]) -> str:
    names = {type_: name for name, type_ in service_names().items()}
    rows = [
        (type_of(instance), names.get(type_of(instance)), describe_address(address_of(instance)))
        for instance in instances
    ]
    return as_table(("TYPE", "NAME", "ADDRESS"), rows)
