"""Updates about wide instances, as they stand in a trailer: their lengths differ, so each says its
own.

A row is the length of the instance, the instance, what is said of it (see `Said`), and the version.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from prr.wire.instance import Instance, is_wide_instance
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

ROWS_BYTES_MAX = 1200
"""Of all rows in a trailer: a page has 11, of 105 bytes at most."""


class WideUpdate(NamedTuple):
    """One update."""

    instance: Instance
    version: Version
    said: Said


def encode_wide(updates: Sequence[WideUpdate]) -> bytes:
    """Updates, one behind the other."""
    return b"".join(
        bytes((len(instance),)) + instance + bytes((said,)) + encode_version(version)
        for instance, version, said in updates
    )


def decode_wide(data: bytes) -> list[WideUpdate]:
    """The updates in rows that fill `data`: see `fills_rows`. What is not known here, another kind
    of instance or of word, is left out."""
    updates: list[WideUpdate] = []
    at = 0
    while at < len(data):
        said_at = at + 1 + data[at]
        end = said_at + 1 + VERSION_BYTES
        instance, said = data[at + 1 : said_at], data[said_at]
        if said in _SAID and is_wide_instance(instance):
            version = decode_version(data[said_at + 1 : end])
            updates.append(WideUpdate(Instance(instance), version, Said(said)))
        at = end
    return updates


def fills_rows(data: bytes) -> bool:
    """Rows fill `data`, and no byte is left. Cheap: anybody may send it, and hardly anybody is
    believed."""
    at, end = 0, len(data)
    while at < end:
        at += data[at] + 2 + VERSION_BYTES
    return at == end and end <= ROWS_BYTES_MAX
