"""How an update stands in a state file: written, checked and read back.

A row is (key, encoded version and particulars, 1 if present or 0 if gone, check); the key is the
bucket, in two bytes, and the instance. Whatever reads rows from a disk believes none whose check is
wrong. They lie there by bucket, as in the directory: a million are read back in a third less time
than by instance, and those of each type from the start.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import TypeAlias

from prr.core.directory.digests import Entry, buckets_of, entry_of, hash_of
from prr.core.effects import Update
from prr.wire.instance import Instance, is_instance
from prr.wire.particulars import is_particulars
from prr.wire.version import VERSION_BYTES, encode_version

Row: TypeAlias = tuple[bytes, bytes, int, int]

CHECK_MAX = (1 << 40) - 1
"""40 bits of the hash that the digests are made of, so that one computation serves both; a sum of
2**23 checks, more than there are rows, still fits into the 63 bits that SQLite can add up."""


def keys_of(instances: Collection[Instance]) -> list[bytes]:
    """The keys of the rows of some instances."""
    buckets = buckets_of(instances)
    pairs = zip(buckets, instances, strict=True)
    return [bucket.to_bytes(2, "big") + instance for bucket, instance in pairs]


def rows_for(updates: Mapping[Instance, Update]) -> list[Row]:
    """The rows of some updates: a herd's at once, in half the time that they take one by one."""
    rows = []
    for key, (instance, update) in zip(keys_of(updates), updates.items(), strict=True):
        version, is_present, particulars = update
        data = encode_version(version) + particulars
        check = hash_of(instance, data) & CHECK_MAX
        rows.append((key, data, 1, check) if is_present else (key, data, 0, check ^ CHECK_MAX))
    return rows


def read_rows(rows: Iterable[Row]) -> tuple[list[Entry], list[Entry], int]:
    """What some rows say: the instances that are present, the removals, and how many of the rows
    are damaged, which say nothing."""
    present, gone = list[Entry](), list[Entry]()
    damaged = 0
    for row in rows:
        entry = _entry_of(*row)
        if entry is None:
            damaged += 1
        else:
            (present if row[2] else gone).append(entry)
    return present, gone, damaged


def _entry_of(key: bytes, data: bytes, present: int, check: int) -> Entry | None:
    """What a sound row says; None for a damaged one, of which anything may be expected."""
    try:
        if not is_instance(key[2:]) or (len(data) != VERSION_BYTES and not _is_word(data)):
            return None
        entry = entry_of(Instance(key[2:]), data)
        if key[0] << 8 | key[1] != entry[3]:
            return None
    except TypeError:
        return None
    number = entry[2] if len(data) == VERSION_BYTES else hash_of(*entry[:2])
    expected = number & CHECK_MAX
    if check != (expected if present else expected ^ CHECK_MAX) or present not in (0, 1):
        return None
    return entry


def _is_word(data: bytes) -> bool:
    """A version, and perhaps particulars."""
    return len(data) >= VERSION_BYTES and is_particulars(data[VERSION_BYTES:])
