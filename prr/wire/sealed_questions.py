"""Lookups under a seal, and their answers: alone, or one behind the other as in a burst.

All of such a question but its number and its tag is the same each time, and remembered with the key
of who asks it: to read one more is a glance into a dict and one tag, to answer it another one. The
tests compare both with the codec's, frame by frame.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from prr.trust.credential import Holder, decode_credential
from prr.trust.keyring import TAG_BYTES, Key, equal
from prr.wire.errors import MalformedFrame
from prr.wire.forms import FORM_OF
from prr.wire.found import AnswerRun, answer_run
from prr.wire.frames import Found, Frame, Lookup, Unknown
from prr.wire.instance import ADDRESS_BYTES, IPV6_ADDRESS_BYTES, NO_ADDRESS, Instance, is_ipv6
from prr.wire.messages import Plain
from prr.wire.query import Query
from prr.wire.questions import QUESTION_BYTES_MAX, REMEMBERED, Asked, Rows, asked_by
from prr.wire.seal import NUMBER_BYTES, SEAL_KEY
from prr.wire.sealing import BinderSealer
from prr.wire.trailer import MARK

_LOOKUP_CODE = bytes((FORM_OF[Lookup].code,))
_FOUND_CODE = bytes((FORM_OF[Found].code,))

TAGS_AT = -1 - 4 - TAG_BYTES
"""Where the number of tags stands, counted from the end; there is one."""

_NUMBER_AT = TAGS_AT - NUMBER_BYTES
ONE_TAG = b"\1"

SEAL = bytes((SEAL_KEY, 0xC4, 1 + NUMBER_BYTES - TAGS_AT, 0))
"""A seal of an answer, up to its number."""

_FRONT = bytes((MARK, 0x81)) + SEAL
_UNKNOWN = bytes((FORM_OF[Unknown].code,)) + _FRONT
_FRONT_IPV6 = NO_ADDRESS + bytes((MARK, 0x82, 24, 0xC4, IPV6_ADDRESS_BYTES))

FOUND_SEALED_BYTES = 1 + ADDRESS_BYTES + len(_FRONT) + NUMBER_BYTES - TAGS_AT
FOUND_IPV6_SEALED_BYTES = FOUND_SEALED_BYTES + 3 + IPV6_ADDRESS_BYTES
"""Of an answer, and of one at an IPv6 address."""


class SealedAsked(NamedTuple):
    """What one asks for, under which number, and the key of who asks."""

    asked: Asked
    key: Key
    number: bytes


class SealedQuestions:
    """What is known of them, with one keyring."""

    def __init__(self, decode: Callable[[bytes], Frame], sealer: BinderSealer) -> None:
        """`decode` reads a datagram; see `Codec.decode`."""
        self._decode = decode
        self._sealer = sealer
        self._known: dict[bytes, tuple[Asked, Key]] = {}

    @property
    def size(self) -> tuple[int, int]:
        """How many are remembered, and how many may be."""
        return len(self._known), REMEMBERED

    def asked(self, burst: Rows, at: int) -> list[SealedAsked]:
        """What the lookups ask that stand in a row from `at` on, if each has a seal that holds, and
        room for the answer."""
        found = []
        for row in burst.rows(at, _LOOKUP_CODE, FOUND_SEALED_BYTES, QUESTION_BYTES_MAX):
            known = self._known.get(row[:_NUMBER_AT])
            if known is None:
                known = self._learn(row)
            elif not _holds(row, known[1]):
                break
            if known is None:
                break
            found.append(SealedAsked(*known, row[_NUMBER_AT:TAGS_AT]))
        for one in found[:1]:  # those of a burst mostly have the same secret
            self._sealer.opened[one.key.secret_id] += len(found)
        return found

    def _learn(self, row: bytes) -> tuple[Asked, Key] | None:
        """Only what holds is remembered: nobody else can fill this."""
        try:
            frame = self._decode(row)
        except MalformedFrame:
            return None
        seal = frame.seal
        if seal is None or seal.fault is not None or not seal.credential:
            return None
        if not isinstance(frame, Lookup) or not isinstance(frame.trailer, Query | Plain):
            return None
        holder = decode_credential(seal.credential)
        key = self._sealer.key(seal)
        asked = asked_by(frame)
        if holder is None or key is None or holder.holder is Holder.SERVER:
            return None
        if asked.wide and len(row) < FOUND_IPV6_SEALED_BYTES:
            return None
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        known = self._known[row[:_NUMBER_AT]] = asked, key
        return known


def found_sealed_run(found: Sequence[Instance], asked: Sequence[SealedAsked]) -> AnswerRun:
    """A run of answers to the first of `asked`, NOBODY where there is none."""
    return answer_run([_found(one, *its) for one, its in zip(found, asked, strict=False)])


def _found(instance: Instance, asked: Asked, key: Key, number: bytes) -> bytes:
    if not instance:
        said = _UNKNOWN + number
    elif asked.wide and is_ipv6(instance):
        said = _FOUND_CODE + _FRONT_IPV6 + instance[-IPV6_ADDRESS_BYTES:] + SEAL + number
    else:
        said = _FOUND_CODE + instance[-ADDRESS_BYTES:] + _FRONT + number
    return said + ONE_TAG + key.secret_id + key.tag_from_binder(said)


def _holds(row: bytes, key: Key) -> bool:
    """The tag of a question is its key's."""
    return row[TAGS_AT:-TAG_BYTES] == ONE_TAG + key.secret_id and equal(
        row[-TAG_BYTES:], key.tag_to_binder(row[:TAGS_AT])
    )
