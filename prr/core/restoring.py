"""What was kept on disk: how a word about an instance is written there, checked and read back.

A row is (instance, encoded version, 1 if present or 0 if gone, check). Whatever reads rows from a
disk believes none whose check is wrong.
"""

from collections.abc import Iterable
from random import Random  # noqa: TID251 the type only: the dice come in as an argument
from typing import TypeAlias

from prr.core.effects import Word
from prr.core.members import Members
from prr.core.table import hash_of
from prr.core.watch import Watch
from prr.wire.address import INSTANCE_BYTES, Instance
from prr.wire.versions import VERSION_BYTES, decode_version, encode_version

Row: TypeAlias = tuple[Instance, bytes, int, int]

CHECK_MAX = (1 << 40) - 1
"""40 bits of the hash that the digests are made of, so that one computation serves both; a sum of
2**23 checks, more than there are rows, still fits into the 63 bits that SQLite can add up."""

VERIFIED_PER_SECOND = 500
"""Restored instances that fall due in a second, at most: a fraction of what the binder can verify
beside its other work."""


def row_of(instance: Instance, word: Word) -> Row:
    """The row of a word."""
    version, is_present = word
    data = encode_version(version)
    check = hash_of(instance, data) & CHECK_MAX
    return instance, data, int(is_present), check if is_present else check ^ CHECK_MAX


class Restoring:
    """Takes rows over into what a binder knows, a chunk at a time, while it serves already."""

    def __init__(
        self, members: Members, watch: Watch, lease: float, rng: Random, count: int
    ) -> None:
        """`count` is the number of rows to come; `lease` is in seconds."""
        self._members = members
        self._watch = watch
        self._spread = max(lease, count / VERIFIED_PER_SECOND)
        self._rng = rng

    def take(self, rows: Iterable[Row], now: float) -> int:
        """Take over what is newer than what is known; the number of rows that are damaged."""
        registry = self._members.registry
        fresh: list[Instance] = []
        damaged = 0
        for instance, data, present, check in rows:
            number = _sound(instance, data, present, check)
            if number is None:
                damaged += 1
                continue
            version = decode_version(data)
            latest = registry.table.latest(instance)
            if latest is not None:
                # It has heard of this one while it was reading, though not always the newest.
                self._members.take_over(instance, version, present == 1, now)
            elif present:
                registry.table.fill_in(instance, version, number)
                fresh.append(instance)
            else:
                registry.table.fill_in_removal(instance, version, now)
            if present and version.home == self._members.identity and latest is None:
                self._watch.restored(instance, now + self._spread * self._rng.random())
        registry.turns.add_all(fresh)
        return damaged


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
