"""Runs of bare lookups and of their answers, as they lie one behind the other in a burst.

A lookup without a trailer is two bytes and its answer seven (eight as the programs of 2016 want
it), or one where nobody provides the type, so that many are read and written by a few slices, with
no frame in between. The tests compare them with `encode`, frame by frame.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from prr.wire.codec import encode
from prr.wire.frames import Lookup, Unknown
from prr.wire.instance import INSTANCE_BYTES, Instance

LOOKUP_BYTES = len(encode(Lookup(0)))
LOOKUP_CODE = encode(Lookup(0))[:1]

FOUND_BYTES = INSTANCE_BYTES
"""A Found: its code stands where an instance has its type."""

FOUND_INSTANCE_BYTES = 1 + INSTANCE_BYTES

_FOUND_CODE = b"\x03"
_UNKNOWN = encode(Unknown())


@dataclass(slots=True)
class AnswerRun:
    """Answers one behind the other. Each has `size` bytes; where they differ in length `size` is
    0 and `sizes` has a byte for each."""

    data: bytes
    size: int
    sizes: bytes = b""

    @property
    def count(self) -> int:
        """How many answers there are."""
        return len(self.data) // self.size if self.size else len(self.sizes)

    def datagrams(self) -> Iterator[bytes]:
        """One answer after the other."""
        sizes = self.sizes or bytes((self.size,)) * self.count
        return (self.data[a:b] for a, b in pairwise(accumulate(sizes, initial=0)))


def encode_found_run(found: Sequence[Instance]) -> AnswerRun:
    """For each of `found` a Found, or an Unknown where it is empty."""
    run = b"".join(found)
    if len(run) != FOUND_BYTES * len(found):
        return _with_unknown([_FOUND_CODE + one[1:] if one else one for one in found])
    answers = bytearray(run)
    answers[::FOUND_BYTES] = _FOUND_CODE * len(found)
    return AnswerRun(bytes(answers), FOUND_BYTES)


def encode_found_instance_run(found: Sequence[Instance]) -> AnswerRun:
    """For each of `found` a FoundInstance, or an Unknown where it is empty."""
    if not all(found):
        return _with_unknown([_FOUND_CODE + one if one else one for one in found])
    run = _FOUND_CODE + _FOUND_CODE.join(found) if found else b""
    return AnswerRun(run, FOUND_INSTANCE_BYTES)


def _with_unknown(answers: list[bytes]) -> AnswerRun:
    """A run of answers some of which are empty: an Unknown goes there."""
    if not any(answers):
        return AnswerRun(_UNKNOWN * len(answers), len(_UNKNOWN))
    whole = [answer or _UNKNOWN for answer in answers]
    return AnswerRun(b"".join(whole), 0, bytes(map(len, whole)))
