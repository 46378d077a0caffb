"""The verb watch."""

import json
import sys
import time

from prr.cli.exits import NO_BINDER
from prr.cli.output import in_one_line, say
from prr.client.errors import NoBinderAnswered
from prr.client.watch import Change, Watch
from prr.config import HostPort
from prr.services import names_by_number
from prr.trust.keyring import Held
from prr.wire.instance import Service, describe_address


def run_watch(
    service: Service | None, http: tuple[HostPort, ...], key: Held | None, output: str
) -> int:
    """Print what is there, then every change, a line each, until somebody stops it."""
    names = names_by_number()
    try:
        for change in Watch(service, http, key).changes():
            say(_as_json(change) if output == "json" else _as_text(change, names))
    except NoBinderAnswered as error:
        print(f"prr: {error}; is a binder running there with --http?", file=sys.stderr)
    return NO_BINDER


def _as_json(change: Change) -> str:
    address = describe_address(change.address)
    return json.dumps(
        {"service": change.service, "address": address, "state": change.state}
        | {"event": change.event, "why": change.why, "at": change.at}
    )


def _as_text(change: Change, names: dict[int, str]) -> str:
    number = change.service if isinstance(change.service, int) else None
    name = change.service if number is None else names.get(number, str(number))
    clock = time.strftime("%H:%M:%S", time.localtime(change.at))
    why = f": {in_one_line(change.why)}" if change.why else ""
    where = describe_address(change.address)
    return f"{clock}  {name}  {where}  {change.state}  ({change.event}{why})"
