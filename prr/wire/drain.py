"""What operators say of an instance: that it is drained, which is out of turn for a time, or no
longer. It travels as a field of the particulars, and no server says it of itself.

Every word counts the words before it, in its first bytes. So the greater of two is the later one,
byte by byte, and of two that were said at once, at different binders, the one that drains, and for
longer: they are merged without asking whose version of the instance is newer.
"""

import struct
from functools import lru_cache

from prr.record import record
from prr.wire.particulars import (
    DRAIN,
    DRAIN_NUMBER_MAX,
    OWN_BYTES_MAX,
    RECENT,
    decode_particulars,
    encode_field,
    encode_particulars,
    fields_of,
)

_LAYOUT = struct.Struct(">II")


@record
class Drain:
    """Such a word: for `seconds` from when a binder hears it, 0: no longer drained."""

    number: int
    """How many were said before it, and this one: at most DRAIN_NUMBER_MAX of one that drains, and
    one more of one that puts back."""

    seconds: int = 0
    """At most DRAIN_SECONDS_MAX."""

    why: str = ""
    """At most DRAIN_WHY_BYTES_MAX bytes, without control characters; "" if no longer drained."""

    def followed_by(self, seconds: int, why: str) -> "Drain":
        """The word after it; only one that puts back if `is_last`."""
        return Drain(min(self.number, DRAIN_NUMBER_MAX) + 1, seconds, why)

    @property
    def is_last(self) -> bool:
        """There is no number for another one that drains."""
        return self.number >= DRAIN_NUMBER_MAX


def encode_drain(drain: Drain) -> bytes:
    """The bytes of a word."""
    return _LAYOUT.pack(drain.number, drain.seconds) + drain.why.encode()


@lru_cache(maxsize=RECENT)
def decode_drain(word: bytes) -> Drain:
    """What the bytes of a word say; b"": nobody has said anything."""
    if not word:
        return Drain(0)
    number, seconds = _LAYOUT.unpack_from(word)
    return Drain(number, seconds, word[_LAYOUT.size :].decode())


def drain_in(particulars: bytes) -> bytes:
    """The word that particulars have, encoded; b"" if they have none."""
    if not particulars:
        return b""
    return next((value for number, value, _ in fields_of(particulars) if number == DRAIN), b"")


def is_drained(particulars: bytes) -> bool:
    """The instance that has these particulars is drained."""
    return bool(particulars) and decode_drain(drain_in(particulars)).seconds > 0


@lru_cache(maxsize=RECENT)
def own_particulars(particulars: bytes) -> bytes:
    """What a server says of itself: all of it but such a word, which has room beside the rest."""
    fields = [field for field in fields_of(particulars) if field[0] != DRAIN]
    own = b"".join(encode_field(number, value) for number, value, _ in fields)
    return own if len(own) <= OWN_BYTES_MAX else encode_particulars(decode_particulars(own))


def with_drain(particulars: bytes, word: bytes) -> bytes:
    """Particulars with this word, encoded, instead of theirs; b"": with none."""
    if not particulars and not word:
        return b""
    own = own_particulars(particulars)
    if not word:
        return own
    fields = [(number, value) for number, value, _ in fields_of(own)]
    return b"".join(encode_field(*field) for field in sorted([*fields, (DRAIN, word)]))
