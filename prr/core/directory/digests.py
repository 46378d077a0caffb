"""In which bucket an instance lies, and what it adds to the digests that binders compare."""

from collections.abc import Iterable, Sequence
from functools import lru_cache, reduce
from hashlib import blake2b
from itertools import repeat
from operator import mod, xor
from struct import Struct
from typing import TypeAlias
from zlib import crc32

from prr.wire.instance import Instance, address_key, address_keys, is_wide
from prr.wire.trailer import DIGEST_BYTES, GROUPS
from prr.wire.version import VERSION_BYTES

BUCKETS = GROUPS * GROUPS
"""24 instances a bucket at 100,000: cheap to compare and to send, half a MB while empty."""

_ROW = Struct(f"<{GROUPS}Q")
assert _ROW.size == GROUPS * DIGEST_BYTES

RECENT = 256
"""Instances whose bucket is remembered, 50 kB: what one frame sets off asks for it often."""


Entry: TypeAlias = tuple[Instance, bytes, int, int]
"""An instance, its word, `hash_of` both but for the particulars, and its bucket: what takes time to
compute, once for whoever checks it and for whoever keeps it.

A word is an encoded version, and behind it the particulars, if there are any."""


def entry_of(instance: Instance, word: bytes) -> Entry:
    """The entry of an instance."""
    return instance, word, hash_of(instance, word[:VERSION_BYTES]), bucket_of(instance)


class Digests:
    """The digests of a table's buckets, of their groups, and of it all: each the XOR of what its
    entries add to it."""

    def __init__(self) -> None:
        self._buckets = [0] * BUCKETS
        self._groups = [0] * GROUPS
        self._all = 0

    def toggle(self, number: int, bucket: int) -> None:
        """Put in what an entry adds to them, or take it out: XOR is its own inverse."""
        self._buckets[bucket] ^= number
        self._groups[bucket // GROUPS] ^= number
        self._all ^= number

    def toggle_all(self, numbers: Sequence[int], buckets: Sequence[int]) -> None:
        """The same for many entries."""
        of_buckets, of_groups = self._buckets, self._groups
        for number, bucket in zip(numbers, buckets, strict=True):
            of_buckets[bucket] ^= number
            of_groups[bucket // GROUPS] ^= number
        self._all ^= reduce(xor, numbers)

    def total(self) -> bytes:
        """The digest of it all."""
        return self._all.to_bytes(DIGEST_BYTES, "little")

    def row(self, group: int | None) -> bytes:
        """The digests of the groups, or of the buckets of one group."""
        parts = self._groups
        if group is not None:
            parts = self._buckets[group * GROUPS : (group + 1) * GROUPS]
        return _ROW.pack(*parts)


def combined(digests: bytes, others: bytes) -> bytes:
    """The digests of what lies in two tables, by those of each: their XOR."""
    assert len(digests) == len(others)
    number = int.from_bytes(digests, "little") ^ int.from_bytes(others, "little")
    return number.to_bytes(len(digests), "little")


def differing(ours: bytes, theirs: bytes) -> int:
    """Which of two rows of 64 digests differ: a bit each, the lowest first."""
    pairs = zip(_ROW.unpack(ours), _ROW.unpack(theirs), strict=True)
    return sum(1 << bit for bit, (one, other) in enumerate(pairs) if one != other)


@lru_cache(maxsize=RECENT)
def bucket_of(instance: Instance) -> int:
    """By the address only: the types given at one address lie together."""
    return crc32(address_key(instance)) % BUCKETS


def place_of(cursor: bytes) -> tuple[bool, int, bytes]:
    """Where an instance stands in the order of all that is told page by page: wide ones last."""
    return is_wide(Instance(cursor)), bucket_of(Instance(cursor)), cursor


def offset_of(cursor: bytes) -> int:
    """The bucket of an instance, counted through both tables in that order."""
    return is_wide(Instance(cursor)) * BUCKETS + bucket_of(Instance(cursor))


def buckets_of(instances: Iterable[Instance]) -> list[int]:
    """The bucket of each."""
    return [*map(mod, map(crc32, address_keys(instances)), repeat(BUCKETS))]


_UNUSED = blake2b(digest_size=DIGEST_BYTES)
"""Copied for each entry: to set one up takes as long as to hash it."""


def hash_of(instance: bytes, word: bytes) -> int:
    """What an entry adds to the digests."""
    hashed = _UNUSED.copy()
    hashed.update(instance + word)
    return int.from_bytes(hashed.digest(), "little")
