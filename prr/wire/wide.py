"""Updates about instances that are wide or have particulars, as they stand in a trailer: their
lengths differ, so each says its own.

A row is the length of the instance, the instance, what is said of it (see `Said`), the version, the
length of the particulars in two bytes, and the particulars.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from prr.wire.instance import INSTANCE_BYTES, Instance, is_instance
from prr.wire.particulars import is_particulars
from prr.wire.version import VERSION_BYTES, Version, decode_version, encode_version


class Said(IntEnum):
    """What an update says of an instance."""

    GONE = 0
    THERE = 1
    SILENT = 2  # gone: it did not answer
    DOUBTED = 3  # there, but was asked in vain so far

    @property
    def is_there(self) -> bool:
        """It says that the instance is there."""
        return self in (Said.THERE, Said.DOUBTED)


_SAID = frozenset(Said)

SPEC_ROW_BYTES = INSTANCE_BYTES + VERSION_BYTES
"""What an instance of the spec takes in front of a trailer, and its version in it."""

ROWS_BYTES_MAX = 46 * SPEC_ROW_BYTES
"""Of all rows in a trailer: what 46 instances of the spec take in front, with their versions. The
longest row, with 640 bytes of particulars, has two thirds of the room."""

_LENGTH_BYTES = 2

ROW_BYTES_MIN = 1 + 1 + VERSION_BYTES + _LENGTH_BYTES
"""Of a row, beside the instance and the particulars."""


class WideUpdate(NamedTuple):
    """One update."""

    instance: Instance
    version: Version
    said: Said
    particulars: bytes = b""


def encode_wide(updates: Sequence[WideUpdate]) -> bytes:
    """Updates, one behind the other."""
    return b"".join(
        bytes((len(instance),))
        + instance
        + bytes((said,))
        + encode_version(version)
        + len(particulars).to_bytes(_LENGTH_BYTES, "little")
        + particulars
        for instance, version, said, particulars in updates
    )


def row_bytes(instance: Instance, particulars: bytes) -> int:
    """How long the row of an update is."""
    return ROW_BYTES_MIN + len(instance) + len(particulars)


def decode_wide(data: bytes) -> list[WideUpdate]:
    """The updates in rows that fill `data`: see `fills_rows`. What is not known here, another kind
    of instance or of word, is left out."""
    updates: list[WideUpdate] = []
    at = 0
    while at < len(data):
        said_at = at + 1 + data[at]
        length_at = said_at + 1 + VERSION_BYTES
        end = _end(data, length_at)
        instance, said = data[at + 1 : said_at], data[said_at]
        particulars = data[length_at + _LENGTH_BYTES : end]
        if said in _SAID and is_instance(instance) and is_particulars(particulars):
            version = decode_version(data[said_at + 1 : length_at])
            updates.append(WideUpdate(Instance(instance), version, Said(said), particulars))
        at = end
    return updates


def fills_rows(data: bytes) -> bool:
    """Rows fill `data`, and no byte is left. Cheap: anybody may send it, and hardly anybody is
    believed."""
    at, end = 0, len(data)
    while at < end:
        at = _end(data, at + data[at] + 2 + VERSION_BYTES)
    return at == end and end <= ROWS_BYTES_MAX


def _end(data: bytes, length_at: int) -> int:
    """Where a row ends whose particulars say their length there; beyond the end of `data` if some
    of it is missing."""
    at = length_at + _LENGTH_BYTES
    return at + int.from_bytes(data[length_at:at], "little")
