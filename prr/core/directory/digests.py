"""In which bucket an instance lies, and what it adds to the digests that binders compare."""

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import TypeAlias
from zlib import crc32

from prr.wire.instance import Instance, address_key
from prr.wire.trailer import DIGEST_BYTES, GROUPS

BUCKETS = GROUPS * GROUPS
"""24 instances a bucket at 100,000: cheap to compare and to send, half a MB while empty."""

RECENT = 256
"""Instances whose bucket is remembered, 50 kB: what one frame sets off asks for it often."""


Entry: TypeAlias = tuple[Instance, bytes, int, int]
"""An instance, its encoded version, `hash_of` both, and its bucket: what takes time to compute,
once for whoever checks it and for whoever keeps it."""


def entry_of(instance: Instance, version: bytes) -> Entry:
    """The entry of an instance at `version` (encoded)."""
    return instance, version, hash_of(instance, version), bucket_of(instance)


def combined(digests: bytes, others: bytes) -> bytes:
    """The digests of what lies in two tables, by those of each: their XOR."""
    assert len(digests) == len(others)
    number = int.from_bytes(digests, "little") ^ int.from_bytes(others, "little")
    return number.to_bytes(len(digests), "little")


def differing(ours: bytes, theirs: bytes) -> int:
    """Which of two rows of 64 digests differ: a bit each, the lowest first."""
    assert len(ours) == len(theirs) == GROUPS * DIGEST_BYTES
    bits = 0
    for bit, at in enumerate(range(0, len(ours), DIGEST_BYTES)):
        if ours[at : at + DIGEST_BYTES] != theirs[at : at + DIGEST_BYTES]:
            bits |= 1 << bit
    return bits


@lru_cache(maxsize=RECENT)
def bucket_of(instance: Instance) -> int:
    """By the address only: the types given at one address lie together."""
    return crc32(address_key(instance)) % BUCKETS


def buckets_of(instances: Iterable[Instance]) -> list[int]:
    """The bucket of each."""
    return [crc32(address_key(instance)) % BUCKETS for instance in instances]


def hash_of(instance: bytes, version: bytes) -> int:
    """What an entry adds to the digests; `version` is encoded."""
    digest = blake2b(instance + version, digest_size=DIGEST_BYTES).digest()
    return int.from_bytes(digest, "little")
