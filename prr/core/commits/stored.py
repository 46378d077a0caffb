"""What a store holds of an instance, what is to be written there, and which update prevails."""

from typing import TypeAlias

from prr.core.effects import Update
from prr.record import record
from prr.wire.drain import drain_in
from prr.wire.instance import Instance
from prr.wire.version import VERSION_BYTES, decode_version, encode_version, is_newer

Known: TypeAlias = tuple[int, bytes]
"""A revision, 0 where nothing is there; and what was written then: "+" or "-", the version, and the
particulars; b"" for nothing that can be read."""


@record
class Stored:
    """What a store holds of one instance: the update, None if it cannot be read, and the `revision`
    at which it was written; or nothing (not `is_there`), as of `revision`."""

    revision: int
    update: Update | None = None
    is_there: bool = True

    @property
    def cas_revision(self) -> int:
        """What a write that replaces it has to name: 0 where nothing is there."""
        return self.revision if self.is_there else 0


@record
class Write:
    """Make `update` what the store holds of `instance`, if that has `revision`."""

    instance: Instance
    revision: int
    update: Update


UNKNOWN: Known = (0, b"")


def word_of(update: Update | None) -> bytes:
    """An update as `Known` has it."""
    if update is None:
        return b""
    sign = b"+" if update.is_present else b"-"
    return sign + encode_version(update.version) + update.particulars


def prevails(update: Update, word: bytes) -> bool:
    """An update prevails over a stored one, as among peers: the newer one does, "it is gone" of two
    with one version, and of two that say it is there the one with the later or more particulars."""
    version = decode_version(word[1 : 1 + VERSION_BYTES])
    if update.version != version:
        return is_newer(update.version, version)
    if not update.is_present or word[:1] == b"-":
        return not update.is_present and word[:1] == b"+"
    stored, ours = word[1 + VERSION_BYTES :], update.particulars
    return (drain_in(ours), ours) > (drain_in(stored), stored)
