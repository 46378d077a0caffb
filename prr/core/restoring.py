"""What was kept on disk: how a word about an instance is written there, checked and read back.

A row is (key, encoded version, 1 if present or 0 if gone, check); the key is the bucket, in two
bytes, and the instance. Whatever reads rows
from a disk believes none whose check is wrong. They lie there by bucket, as in the table: a million
are read back in a third less time than by instance, and those of each type from the start.
"""

from collections.abc import Iterable
from typing import TypeAlias

from prr.core.directory.digests import bucket_of, hash_of
from prr.core.directory.table import Entry
from prr.core.effects import Word
from prr.core.liveness.detector import Detector
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.wire.instance import INSTANCE_BYTES, Instance
from prr.wire.version import VERSION_BYTES, decode_version, encode_version

Row: TypeAlias = tuple[bytes, bytes, int, int]

_KEY_BYTES = 2 + INSTANCE_BYTES

CHECK_MAX = (1 << 40) - 1
"""40 bits of the hash that the digests are made of, so that one computation serves both; a sum of
2**23 checks, more than there are rows, still fits into the 63 bits that SQLite can add up."""


def key_of(instance: Instance) -> bytes:
    """The key of an instance's row."""
    return bucket_of(instance).to_bytes(2, "big") + instance


def row_of(instance: Instance, word: Word) -> Row:
    """The row of a word."""
    version, is_present = word
    data = encode_version(version)
    check = hash_of(instance, data) & CHECK_MAX
    check = check if is_present else check ^ CHECK_MAX
    return key_of(instance), data, int(is_present), check


class Restoring:
    """Takes rows over into what a binder knows, a chunk at a time, while it serves already."""

    def __init__(self, versioned: VersionedDirectory, detector: Detector) -> None:
        self._versioned = versioned
        self._detector = detector

    def take(self, rows: Iterable[Row], now: float) -> int:
        """Take over what is newer than what is known; the number of rows that are damaged."""
        there: list[Entry] = []
        gone: list[Entry] = []
        damaged = 0
        for key, data, present, check in rows:
            entry = _entry_of(key, data, present, check)
            if entry is None:
                damaged += 1
            elif present and self._versioned.reach.excludes(entry[0]):
                self._forget(entry, now)
            elif present:
                there.append(entry)
            else:
                gone.append(entry)
        self._fill_in(there, now)
        for instance, version, _, _ in gone:
            if not self._versioned.directory.restore_removal(instance, version, now):
                self._versioned.take_over(instance, decode_version(version), False, now)
        return damaged

    def _forget(self, entry: Entry, now: float) -> None:
        """One on loopback, kept while only this host was told: it is gone, for its peers too."""
        instance, version = entry[0], decode_version(entry[1])
        self._versioned.take_over(instance, version, True, now)
        gone = self._versioned.next_version(instance, version.start)
        self._versioned.directory.remove(instance, gone, now)

    def _fill_in(self, there: list[Entry], now: float) -> None:
        restored, known = self._versioned.directory.restore(there)
        for instance, version, _, _ in known:
            # It has heard of these while it was reading, though not always the newest.
            self._versioned.take_over(instance, decode_version(version), True, now)
        self._detector.restored(restored, now)


def _entry_of(key: bytes, data: bytes, present: int, check: int) -> Entry | None:
    """What a sound row says; None for a damaged one, of which anything may be expected."""
    try:
        if len(key) != _KEY_BYTES or len(data) != VERSION_BYTES:
            return None
        instance = Instance(key[2:])
        bucket = bucket_of(instance)
        if key[0] << 8 | key[1] != bucket:
            return None
        number = hash_of(instance, data)
    except TypeError:
        return None
    expected = number & CHECK_MAX
    if check != (expected if present else expected ^ CHECK_MAX) or present not in (0, 1):
        return None
    return instance, data, number, bucket
