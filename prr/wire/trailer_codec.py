"""A trailer's bytes, from its values and back. What they mean is not known here: see KEYS."""

from collections.abc import Mapping
from typing import Any

import msgpack

from prr.wire.errors import MalformedFrame
from prr.wire.keys import KEYS
from prr.wire.trailer import MARK

_KEY_BY_NUMBER = {key.number: key for key in KEYS}
_NUMBER_BY_FIELD = {key.field: key.number for key in KEYS}


class _Map(tuple[tuple[Any, Any], ...]):
    """A map as its pairs: a dict would take True and 1.0 for the key 1."""

    __slots__ = ()


def encode_trailer(values: Mapping[str, Any]) -> bytes:
    """The bytes of a trailer that holds `values`, by field, its mark included."""
    packed: bytes = msgpack.packb(
        {_NUMBER_BY_FIELD[field]: value for field, value in values.items()}
    )
    return bytes((MARK,)) + packed


def decode_trailer(data: bytes) -> dict[str, Any]:
    """What a trailer holds that starts at the mark, by field. Unknown keys are skipped.

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
    return known
