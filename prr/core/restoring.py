"""What was kept on disk: how a word about an instance is written there, checked and read back.

A row is (instance, encoded version, 1 if present or 0 if gone, check). Whatever reads rows from a
disk believes none whose check is wrong.
"""

from collections.abc import Iterable
from typing import TypeAlias

from prr.core.effects import Word
from prr.core.members import Members
from prr.core.table import Entry, hash_of
from prr.core.watch import Watch
from prr.wire.address import INSTANCE_BYTES, Instance
from prr.wire.versions import VERSION_BYTES, Version, decode_version, encode_version

Row: TypeAlias = tuple[Instance, bytes, int, int]

CHECK_MAX = (1 << 40) - 1
"""40 bits of the hash that the digests are made of, so that one computation serves both; a sum of
2**23 checks, more than there are rows, still fits into the 63 bits that SQLite can add up."""


def row_of(instance: Instance, word: Word) -> Row:
    """The row of a word."""
    version, is_present = word
    data = encode_version(version)
    check = hash_of(instance, data) & CHECK_MAX
    return instance, data, int(is_present), check if is_present else check ^ CHECK_MAX


class Restoring:
    """Takes rows over into what a binder knows, a chunk at a time, while it serves already."""

    def __init__(self, members: Members, watch: Watch) -> None:
        self._members = members
        self._watch = watch

    def take(self, rows: Iterable[Row], now: float) -> int:
        """Take over what is newer than what is known; the number of rows that are damaged."""
        there: list[Entry] = []
        gone: list[tuple[Instance, Version]] = []
        damaged = 0
        for instance, data, present, check in rows:
            number = _sound(instance, data, present, check)
            if number is None:
                damaged += 1
            elif present:
                there.append((instance, decode_version(data), number))
            else:
                gone.append((instance, decode_version(data)))
        self._fill_in(there, now)
        for instance, version in gone:
            if not self._members.registry.table.fill_in_removal(instance, version, now):
                self._members.take_over(instance, version, False, now)
        return damaged

    def _fill_in(self, there: list[Entry], now: float) -> None:
        registry, identity = self._members.registry, self._members.identity
        heard = registry.table.fill_in(there)
        if heard:
            # It has heard of these while it was reading, though not always the newest.
            known = {instance for instance, _, _ in heard}
            there = [entry for entry in there if entry[0] not in known]
            for instance, version, _ in heard:
                self._members.take_over(instance, version, True, now)
        registry.turns.add_all(instance for instance, _, _ in there)
        self._watch.restored([entry[0] for entry in there if entry[1].home == identity], now)


def _sound(instance: bytes, data: bytes, present: int, check: int) -> int | None:
    """The hash of a sound row; None for a damaged one, of which anything may be expected."""
    try:
        if len(instance) != INSTANCE_BYTES or len(data) != VERSION_BYTES:
            return None
        number = hash_of(instance, data)
    except TypeError:
        return None
    if present == 1:
        return number if number & CHECK_MAX == check else None
    return number if present == 0 and number & CHECK_MAX ^ CHECK_MAX == check else None
