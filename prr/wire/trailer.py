"""What we add behind a frame: 0xC1, then one msgpack map of small integer keys.

0xC1 is the one byte msgpack never uses, so a trailer can be mistaken neither for a value nor for
the zeros with which the programs of 2016 pad an answer. Who knows only the spec never looks here.

KEYS is append-only: a number once given keeps its meaning for ever.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import msgpack

from prr.wire.address import INSTANCE_BYTES
from prr.wire.errors import MalformedFrame

MARK = 0xC1


@dataclass(frozen=True, slots=True, kw_only=True)
class Trailer:
    """The values a trailer may carry; None where it carries none."""

    cursor: bytes | None = None
    nonce: int | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """One row of the table: the number on the wire, the field, its form, its meaning."""

    number: int
    field: str
    form: str
    is_valid: Callable[[Any], bool]
    meaning: str


def _is_cursor(value: object) -> bool:
    return type(value) is bytes and len(value) in (0, INSTANCE_BYTES)


def _is_nonce(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**64


KEYS = (
    Key(
        0,
        "cursor",
        f"bytes, 0 or {INSTANCE_BYTES}",
        _is_cursor,
        "in a question for a list: what comes after this instance (none: from the start); "
        "in a list: there is more, ask with this cursor",
    ),
    Key(1, "nonce", "integer, 64 bits", _is_nonce, "a number that the answer must repeat"),
)

_KEY_BY_NUMBER = {key.number: key for key in KEYS}

assert [key.field for key in KEYS] == [field.name for field in fields(Trailer)]


class _Map(tuple[tuple[Any, Any], ...]):
    """A map as its pairs: a dict would take True and 1.0 for the key 1."""

    __slots__ = ()


def encode_trailer(trailer: Trailer) -> bytes:
    """The bytes of `trailer`, its mark included."""
    values = {key.number: getattr(trailer, key.field) for key in KEYS}
    packed: bytes = msgpack.packb({n: value for n, value in values.items() if value is not None})
    return bytes((MARK,)) + packed


def decode_trailer(data: bytes) -> Trailer:
    """Read a trailer that starts at the mark. Unknown keys are skipped.

    Raises MalformedFrame: no mark, no map, something behind the map, a key that is no integer, a
    known key with a wrong type or size.
    """
    if data[0] != MARK:
        raise MalformedFrame("bytes behind the frame that are no trailer")
    try:
        values = msgpack.unpackb(data[1:], strict_map_key=False, object_pairs_hook=_Map)
    except (ValueError, TypeError, RecursionError) as error:
        raise MalformedFrame("a trailer that is not msgpack") from error
    if type(values) is not _Map:
        raise MalformedFrame("a trailer that is no map")
    known: dict[str, Any] = {}
    for number, value in values:
        if type(number) is not int:
            raise MalformedFrame("a trailer key that is no integer")
        key = _KEY_BY_NUMBER.get(number)
        if key is None:
            continue
        if not key.is_valid(value):
            raise MalformedFrame(f"trailer key {number} ({key.field}) is not {key.form}")
        if key.field in known:
            raise MalformedFrame(f"trailer key {number} ({key.field}) comes twice")
        known[key.field] = value
    return Trailer(**known)
