"""Lookups and their answers: alone, or one behind the other as in a burst.

A lookup by number is two bytes and its answer seven (eight as legacy (2016) programs want it), or
one where nobody provides the type, so that many are read and written by a few slices, with no frame
in between. Those that say more are read in `questions`; here is what answers them. The tests
compare all with the codec's, frame by frame.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Protocol, TypeAlias

from prr.wire.forms import FORM_OF
from prr.wire.frames import Found, FoundInstance, Lookup, Unknown
from prr.wire.instance import (
    ADDRESS_BYTES,
    INSTANCE_BYTES,
    IPV6_ADDRESS_BYTES,
    NO_ADDRESS,
    Instance,
)
from prr.wire.query import FOUND_BYTES, FOUND_IPV6_BYTES
from prr.wire.questions import Asked
from prr.wire.trailer_codec import encode_trailer

_LOOKUP_CODE = bytes((FORM_OF[Lookup].code,))
_FOUND_CODE = bytes((FORM_OF[Found].code,))
_UNKNOWN = bytes((FORM_OF[Unknown].code,))

_FOUND_BYTES = INSTANCE_BYTES
"""A Found: its code stands where an instance has its type."""

_FOUND_INSTANCE_BYTES = 1 + INSTANCE_BYTES

_READ = encode_trailer({})
"""Behind an answer: the trailer of the question was read."""

_FOUND_IPV6 = _FOUND_CODE + NO_ADDRESS + encode_trailer({"address": bytes(IPV6_ADDRESS_BYTES)})
_FOUND_IPV6 = _FOUND_IPV6[:-IPV6_ADDRESS_BYTES]
"""An answer at an IPv6 address, up to that."""

_PADDED = encode_trailer({"padding": bytes(IPV6_ADDRESS_BYTES)})
"""Behind an address of IPv4, where one of IPv6 might have stood."""

_IPV6_FRONT = 2 + IPV6_ADDRESS_BYTES
"""Bytes of an instance at an IPv6 address, but for the name of its service."""

_UNKNOWN_READ = _UNKNOWN + _READ


class Pairs(Protocol):
    """The datagrams of a burst, by number."""

    def pairs(self, at: int, first: bytes) -> bytes:
        """The second bytes of those that stand in a row from `at` on and have two bytes, the
        first of them `first`."""


def types_asked(burst: Pairs, at: int) -> bytes:
    """The types that the lookups without a trailer ask for which stand in a row from `at` on."""
    return burst.pairs(at, _LOOKUP_CODE)


@dataclass(slots=True)
class AnswerRun:
    """Answers one behind the other. Each has `size` bytes; where they differ in length `size` is
    0 and `sizes` has a byte for each. So many of them say that there is no instance."""

    data: bytes
    size: int
    sizes: bytes = b""
    unknown: int = 0

    @property
    def count(self) -> int:
        """How many answers there are."""
        return len(self.data) // self.size if self.size else len(self.sizes)

    def datagrams(self) -> Iterator[bytes]:
        """One answer after the other."""
        sizes = self.sizes or bytes((self.size,)) * self.count
        return (self.data[a:b] for a, b in pairwise(accumulate(sizes, initial=0)))


def answer_run(answers: Sequence[bytes]) -> AnswerRun:
    """These answers."""
    sizes = set(map(len, answers))
    if len(sizes) == 1:
        return AnswerRun(b"".join(answers), sizes.pop())
    return AnswerRun(b"".join(answers), 0, bytes(map(len, answers)))


def _found_run(found: Sequence[Instance]) -> AnswerRun:
    run = b"".join(found)
    if len(run) != _FOUND_BYTES * len(found):
        return _with_unknown([_FOUND_CODE + one[1:] if one else one for one in found])
    answers = bytearray(run)
    answers[::_FOUND_BYTES] = _FOUND_CODE * len(found)
    return AnswerRun(bytes(answers), _FOUND_BYTES)


def _found_instance_run(found: Sequence[Instance]) -> AnswerRun:
    if not all(found):
        return _with_unknown([_FOUND_CODE + one if one else one for one in found])
    run = _FOUND_CODE + _FOUND_CODE.join(found) if found else b""
    return AnswerRun(run, _FOUND_INSTANCE_BYTES)


def found_read_run(found: Sequence[Instance], asked: Sequence[Asked]) -> AnswerRun:
    """A run of answers to lookups whose trailers were read: of `asked` the first."""
    wide = [one.wide for _, one in zip(found, asked, strict=False)]
    if found and all(found) and len({*wide}) == 1:
        size = FOUND_IPV6_BYTES if wide[0] else FOUND_BYTES
        return AnswerRun(_found_read(found, wide[0]), size)
    pairs = zip(found, wide, strict=True)
    answers = [_found_read((one,), its) if one else b"" for one, its in pairs]
    return _with_unknown(answers, _UNKNOWN_READ)


def _found_read(found: Sequence[Instance], wide: bool) -> bytes:
    """The answers to lookups that take IPv6, or do not. Those that do have answers of one length,
    so that a run of them is sent as one."""
    if not wide:
        between = _READ + _FOUND_CODE
        return _FOUND_CODE + between.join([one[-ADDRESS_BYTES:] for one in found]) + _READ
    answers = [
        _FOUND_IPV6 + one[-IPV6_ADDRESS_BYTES:]
        if len(one) - one[1] == _IPV6_FRONT  # `is_ipv6` takes four times as long
        else _FOUND_CODE + one[-ADDRESS_BYTES:] + _PADDED
        for one in found
    ]
    return b"".join(answers)


def _with_unknown(answers: list[bytes], unknown: bytes = _UNKNOWN) -> AnswerRun:
    """A run of answers some of which are empty: an Unknown goes there."""
    empty = answers.count(b"")
    if empty == len(answers):
        return AnswerRun(unknown * empty, len(unknown), unknown=empty)
    whole = [answer or unknown for answer in answers]
    return AnswerRun(b"".join(whole), 0, bytes(map(len, whole)), empty)


FoundForm: TypeAlias = type[Found] | type[FoundInstance]
"""Which of the two frames a binder answers a lookup with."""

FOUND_RUNS: Mapping[FoundForm, Callable[[Sequence[Instance]], AnswerRun]] = {
    Found: _found_run,
    FoundInstance: _found_instance_run,
}
"""What writes a run of each: a frame for each instance found, or an Unknown where it is empty."""
