"""What a binder and the process that serves its HTTP say to each other.

Between them is a pair of UNIX sockets that keep messages apart (SEQPACKET, see unix(7)). Each
message is an array in msgpack. The binder begins with the Settings. Then the process asks, and the
binder answers, in parts if that is long; beside that it tells of every change. Either side takes
what the other sends for input, and is through with it if it is not valid.
"""

from collections.abc import Callable
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple

import msgpack

from prr.core.lease import Lease
from prr.wire.instance import Address, Instance, Service, canonical, is_instance, is_name
from prr.wire.particulars import DRAIN_SECONDS_MAX, DRAIN_WHY_BYTES_MAX, is_line
from prr.wire.trailer import ERROR_BYTES_MAX, Listed

MESSAGE_BYTES_MAX = 65536
"""Of one message, either way. The longest are the settings, with the names of 256 types."""

PART_BYTES = 8192
"""Of a text that is sent in parts: some 5 us of work each."""

TEXT_CHARACTERS_MAX = 8192
"""Of what stands in a request: no longer are its line and headers together."""

ROWS_MAX = 4096
"""Rows that may be asked for at once: 40 ms of work, in slices."""

NEWS = 0
"""The number of what nobody has asked: changes. Calls are numbered from 1 on."""


class Malformed(Exception):
    """A message that is not valid: whoever sent it does not do what is written here."""


class Settings(NamedTuple):
    """What the process needs to know to serve HTTP."""

    version: str  # of the program
    hosts: list[str]  # what this host is called
    names: dict[int, str]  # what numbers of services are called
    is_open: bool  # anybody may read
    needs_token: bool  # an operator is known by a token
    last: int  # the number of the last change; those behind it are told


class Call(NamedTuple):
    """One thing that is asked; the arguments are checked."""

    number: int
    name: str
    arguments: list[Any]


class Kind(IntEnum):
    """What an answer is."""

    PART = 0  # more follows
    LAST = 1
    REFUSED = 2  # why, as Refusal says it


class Refusal(StrEnum):
    """Why there is no answer."""

    BUSY = "busy"  # too much is asked at once
    BUG = "bug"  # the binder's log says more


class Answer(NamedTuple):
    """What the binder says: to the call of this number, or NEWS."""

    number: int
    kind: Kind
    payload: Any


class Changed(StrEnum):
    """What became of what an operator wants changed, where that is not what the core says."""

    DENIED = "denied"  # it is no operator
    TAKEN = "taken"  # a complaint
    DROPPED = "dropped"  # likewise: too many of this host
    NOT_HELD = "not held"
    LATE = "late"  # it is not on disk yet, and may be lost


class Row(NamedTuple):
    """An instance in a list."""

    instance: Instance
    state: Listed | None
    heard_at: float | None  # in seconds of the monotonic clock, which is that of the whole host
    lease: Lease


class News(NamedTuple):
    """A change; of which no more is known than its number if there is no instance: some before it
    are not known either."""

    number: int
    instance: Instance | None
    state: Listed | None
    event: str
    why: str
    when: float  # seconds since 1970


def _is_number(value: object, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _is_service(value: object) -> bool:
    return _is_number(value, 0, 255) or (isinstance(value, str) and _is_name(value))


def _is_name(value: str) -> bool:
    return value.isascii() and is_name(value.encode())


def _is_instance(value: object) -> bool:
    return isinstance(value, bytes) and is_instance(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= TEXT_CHARACTERS_MAX


def _is_ip(value: object) -> bool:
    """Where a request comes from, "" if that is not known."""
    try:
        return isinstance(value, str) and (not value or canonical(value) == value)
    except ValueError:
        return False


def _is_why(value: object) -> bool:
    return isinstance(value, bytes) and len(value) <= DRAIN_WHY_BYTES_MAX and is_line(value)


def _is_none_or(check: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or check(value)


_WHO = (_is_none_or(_is_text), _is_ip)  # the token that came along, and where the request is from

CALLS: dict[str, tuple[Callable[[object], bool], ...]] = {
    "standing": (),
    "ready": (),
    "counts": (),
    "status": (),
    "why": (_is_instance,),
    "lookup": (_is_service, _is_text),
    "services": (lambda value: _is_number(value, 1, ROWS_MAX), _is_none_or(_is_service)),
    "instances": (
        *(_is_service, lambda value: _is_number(value, 1, ROWS_MAX)),
        _is_none_or(_is_instance),
    ),
    "operator": _WHO,
    "complain": (
        *(*_WHO, _is_instance),
        lambda value: isinstance(value, bytes) and len(value) <= ERROR_BYTES_MAX,
    ),
    "drain": (
        *(*_WHO, _is_instance, lambda value: _is_number(value, 0, DRAIN_SECONDS_MAX), _is_why),
        lambda value: isinstance(value, bool),
    ),
}
"""All that can be asked, and what its arguments have to be. `Interface` answers them."""


def write(message: tuple[Any, ...]) -> bytes:
    """The bytes of a message."""
    data: bytes = msgpack.packb(message)
    return data


def read_call(data: bytes) -> Call:
    """What is asked. Raises Malformed."""
    number, name, arguments = _array(data, 3)
    checks = CALLS.get(name) if isinstance(name, str) else None
    if checks is None or not _is_number(number, 1, 1 << 63) or not isinstance(arguments, list):
        raise Malformed(f"not a call: {str(name)[:40]!r}")
    if len(arguments) != len(checks):
        raise Malformed(f"{name} with {len(arguments)} arguments")
    if wrong := [at for at, one in enumerate(arguments) if not checks[at](one)]:
        raise Malformed(f"argument {wrong[0]} of {name} is not valid")
    return Call(number, name, arguments)


def read_answer(data: bytes) -> Answer:
    """What is answered, or told. Raises Malformed."""
    number, kind, payload = _array(data, 3)
    try:
        return Answer(int(number), Kind(kind), payload)
    except (TypeError, ValueError) as error:
        raise Malformed(f"not an answer: {error}") from error


def read_settings(data: bytes) -> Settings:
    """The first message of a binder. Raises Malformed."""
    return Settings(*_array(data, len(Settings._fields)))


def row_from(values: list[Any]) -> Row:
    """A row, as it was sent. Raises Malformed."""
    try:
        instance, state, heard_at, lease = values
        owner, is_owner, address, *rest = lease
        where = None if address is None else _address(address)
        return Row(
            _instance(instance), _state(state), heard_at, Lease(owner, is_owner, where, *rest)
        )
    except (TypeError, ValueError) as error:
        raise Malformed(f"not a row: {error}") from error


def news_from(values: list[Any]) -> News:
    """A change, as it was sent. Raises Malformed."""
    try:
        number, instance, state, event, why, when = values
        which = None if instance is None else _instance(instance)
        return News(int(number), which, _state(state), str(event), str(why), float(when))
    except (TypeError, ValueError) as error:
        raise Malformed(f"not a change: {error}") from error


def _state(value: int | None) -> Listed | None:
    return None if value is None else Listed(value)


def _instance(value: object) -> Instance:
    if not isinstance(value, bytes) or not is_instance(value):
        raise ValueError("not an instance")
    return Instance(value)


def _address(value: list[Any]) -> Address:
    ip, port = value
    return str(ip), int(port)


def service_from(value: object) -> Service:
    """A service, as it was sent. Raises Malformed."""
    if not _is_service(value):
        raise Malformed("not a service")
    assert isinstance(value, int | str)
    return value


def _array(data: bytes, length: int) -> list[Any]:
    try:
        values = msgpack.unpackb(data, strict_map_key=False)
    except (TypeError, ValueError, msgpack.exceptions.UnpackException) as error:  # or no keys
        raise Malformed(f"not msgpack: {error}") from error
    if not isinstance(values, list) or len(values) != length:
        raise Malformed(f"not an array of {length}")
    return values
