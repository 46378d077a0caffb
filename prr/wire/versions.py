"""Versions: which of two words about one instance is the newer one.

A version is (counter, home, start), compared in that order. `counter` follows the highest one its
binder has seen (Lamport 1978), so that what was decided later, knowing the earlier, is higher.
`home` is the identity of the binder that decided; it breaks ties, and it is the one that watches
the instance's lease. `start` is the number that a server of ours draws when it starts, 0 where
none is known.
"""

import struct
from typing import NamedTuple

from prr.wire.address import INSTANCE_BYTES, Instance

COUNTER_MAX = 2**64 - 1
IDENTITY_MAX = 2**64 - 1
START_MAX = 2**32 - 1

LEFT = 1
"""The `start` in the removal of an instance that took its leave before its start was known."""

_LAYOUT = struct.Struct("<QQI")
VERSION_BYTES = _LAYOUT.size
HOME = slice(8, 16)
"""Where an encoded version has its home."""

REMOVAL_BYTES = INSTANCE_BYTES + VERSION_BYTES


class Version(NamedTuple):
    """One word about an instance, by whom and how late."""

    counter: int
    home: int
    start: int


def encode_version(version: Version) -> bytes:
    """Its 20 bytes: counter, home and start, little-endian."""
    return _LAYOUT.pack(*version)


def encode_versions(versions: list[Version]) -> bytes:
    """The versions of a list's instances, in their order."""
    return b"".join(_LAYOUT.pack(*version) for version in versions)


def decode_version(data: bytes) -> Version:
    """The version in 20 bytes."""
    return Version._make(_LAYOUT.unpack(data))


def encode_home(home: int) -> bytes:
    """A home as it stands in an encoded version."""
    return home.to_bytes(8, "little")


def home_in(data: bytes) -> int:
    """The home of an encoded version."""
    return int.from_bytes(data[HOME], "little")


def decode_versions(data: bytes) -> list[Version]:
    """The versions in a multiple of 20 bytes."""
    assert len(data) % VERSION_BYTES == 0
    return [Version(*values) for values in _LAYOUT.iter_unpack(data)]


def encode_removals(removals: list[tuple[Instance, Version]]) -> bytes:
    """Instances that are gone, each with its removal's version: 27 bytes each."""
    return b"".join(instance + _LAYOUT.pack(*version) for instance, version in removals)


def decode_removals(data: bytes) -> list[tuple[Instance, Version]]:
    """The removals in a multiple of 27 bytes."""
    assert len(data) % REMOVAL_BYTES == 0
    rows = range(0, len(data), REMOVAL_BYTES)
    return [
        (
            Instance(data[at : at + INSTANCE_BYTES]),
            Version(*_LAYOUT.unpack_from(data, at + INSTANCE_BYTES)),
        )
        for at in rows
    ]
