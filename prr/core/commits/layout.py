"""How updates stand in a shared store: a key for each instance, and a value that people can read.

    instances/billing/10.0.0.7:9000    {"state": "up", "counter": "00000000000a0001",
                                        "owner": "5fb1c2...", "start": 8172, "zone": "eu", ...}

What counts is the state, the version (counter, owner, start) and the particulars, in their own
encoding; weight, zone, tags and whether it is drained are there for who reads it. A removal has the
state "gone", so that an older update that arrives later is seen to be older.
"""

import json
from typing import Any

from prr.core.effects import Update
from prr.wire.drain import is_drained
from prr.wire.instance import (
    Instance,
    Service,
    address_of,
    describe_address,
    is_instance,
    is_name,
    make_instance,
    service_of,
)
from prr.wire.particulars import decode_particulars, is_particulars
from prr.wire.version import START_MAX, Version

INSTANCES = "instances/"
"""What the keys of instances begin with, behind the prefix of all keys."""

VALUE_BYTES_MAX = 4096
"""Of a value: one with the longest particulars, as text and in their encoding, has some 2,500."""

PORT_MAX = 65535

_UP, _GONE = "up", "gone"


def key_of(instance: Instance) -> str:
    """The key of an instance, behind the prefix."""
    return f"{INSTANCES}{service_of(instance)}/{describe_address(address_of(instance))}"


def instance_in(key: str) -> Instance:
    """The instance that has this key; ValueError if none has."""
    kind, service, address = key.split("/")
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or int(port) > PORT_MAX:
        raise ValueError(f"{port} is not a port")
    instance = make_instance(_service(service), (host.strip("[]"), int(port)))
    if not is_instance(instance) or key_of(instance) != key:  # it has no other spelling
        raise ValueError(f"{kind}/{service}/{address} is not in canonical form")
    return instance


def value_of(update: Update) -> bytes:
    """The value of an instance with this update."""
    version = update.version
    said = (  # as json.dumps has it, in a third of the time: most values have no more
        f'{{"state":"{_UP if update.is_present else _GONE}","counter":"{version.counter:016x}",'
        f'"owner":"{version.owner:016x}","start":{version.start}}}'
    )
    if update.particulars:
        more = _readable(update.particulars) | {"particulars": update.particulars.hex()}
        said = f"{said[:-1]},{json.dumps(more, separators=(',', ':'))[1:]}"
    return said.encode()


def update_in(value: bytes) -> Update:
    """The update that a value says; ValueError if it says none."""
    if len(value) > VALUE_BYTES_MAX:
        raise ValueError(f"a value of {len(value)} bytes")
    try:
        said = json.loads(value)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(said, dict) or said.get("state") not in (_UP, _GONE):
        raise ValueError("no state")
    counter, owner = _number(said.get("counter")), _number(said.get("owner"))
    start = said.get("start")
    if type(start) is not int or not 0 <= start <= START_MAX:
        raise ValueError("start is not a number of 32 bits")
    is_present = said["state"] == _UP
    particulars = said.get("particulars", "")
    if not isinstance(particulars, str):
        raise ValueError("particulars are not text")
    known = bytes.fromhex(particulars) if is_present else b""
    if not is_particulars(known):
        raise ValueError("particulars in no valid form")
    return Update(Version(counter, owner, start), is_present, known)


def _number(text: object) -> int:
    number = int(text, 16) if isinstance(text, str) and len(text) == 16 else 0
    if number < 0 or text != f"{number:016x}":
        raise ValueError("not a number of 16 hexadecimal digits")
    return number


def _service(text: str) -> Service:
    if text.isdecimal():
        if int(text) > 255:
            raise ValueError(f"{text} is not a type")
        return int(text)
    if not is_name(text.encode()):
        raise ValueError(f"{text} is not a name")
    return text


def _readable(particulars: bytes) -> dict[str, Any]:
    said = decode_particulars(particulars)
    shown: dict[str, Any] = {}
    if said.weight != 1:
        shown["weight"] = said.weight
    if said.zone:
        shown["zone"] = said.zone
    if said.tags:
        shown["tags"] = dict(said.tags)
    if is_drained(particulars):
        shown["drained"] = True
    return shown
