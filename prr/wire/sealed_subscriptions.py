"""Subscriptions under a seal as they stand in a burst, and what answers them: without frames.

Read here are those that a server with a credential sends of itself, which say nothing but its
instance, its start number and when it renews. The key of who seals is remembered under his
credential's very bytes. What says anything else, or has a seal that does not hold, is left to the
codec; the tests compare both with it, frame by frame.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import chain, islice
from struct import Struct
from typing import Any, NamedTuple, Protocol

import msgpack

from prr.trust.credential import Credential, decode_credential
from prr.trust.keyring import KEYS_MAX, TAG_BYTES, Key, equal
from prr.wire.forms import FORM_OF
from prr.wire.frames import Alive, Subscribed, Verify
from prr.wire.instance import (
    INSTANCE_BYTES,
    Instance,
    address_key,
    is_wide_instance,
    rows_from,
)
from prr.wire.messages import ANNOUNCEMENT_PADDING
from prr.wire.particulars import as_held
from prr.wire.questions import Rows
from prr.wire.seal import NUMBER_BYTES, SEAL_KEY
from prr.wire.sealed_questions import ONE_TAG, SEAL, TAGS_AT
from prr.wire.sealing import BinderSealer
from prr.wire.trailer import MARK, RENEWAL_SECONDS_MAX
from prr.wire.version import FIRST_START

_ALIVE = bytes((FORM_OF[Alive].code,))
_AT_ONCE, _SOON = (_ALIVE + bytes((MARK, 0x80 + keys, 10, 0xCE)) for keys in (4, 5))
"""How one begins, up to its start number; without and with the seconds within which it renews."""

_NO_PORT = bytes(2)

_RENEWAL, _INSTANCE = 16, b"\x13\xc4"
_PADDING = bytes((20, 0xC4, ANNOUNCEMENT_PADDING, *bytes(ANNOUNCEMENT_PADDING)))

_START_BYTES = 4
_INSTANCE_SIZE_AT = len(_AT_ONCE) + _START_BYTES + len(_INSTANCE)
_SOON_BYTES = 2  # the key and the seconds, in front of the instance
_SEAL_FRONT_BYTES = 3  # the key, and the type and the length of its bytes
_SIGNER_BYTES = -TAGS_AT - TAG_BYTES
_LAYOUTS_MAX = 1024
"""Remembered, 100 kB: of each length a few, as names have."""

_BYTES_MIN, _BYTES_MAX = 64, 255
"""Of one at all; what is longer, with a long name or many networks, is left to the codec."""


class Senders(Rows, Protocol):
    """The datagrams of a burst, by number."""

    def address_columns(self, at: int, count: int) -> list[bytes]:
        """Who sent each: for each byte of an address a column."""


class SealHolder(NamedTuple):
    """Whose seal it is, the key that makes it, and the particulars with which an instance is held
    that it speaks for and that says nothing else."""

    credential: Credential
    key: Key
    particulars: bytes


class SealedSubscription(NamedTuple):
    """Who subscribes, with which start number, and within how many seconds it renews (0: it does
    not say); whose seal that has, and with which number; and its own address, encoded, from where
    it comes."""

    instance: Instance
    start: int
    renewal: int
    holder: SealHolder
    number: int
    where: bytes


_subscription = partial(tuple.__new__, SealedSubscription)
"""What makes one of its values in half of the time."""


class _Walk(NamedTuple):
    """What stood in a burst from a number on: the datagrams that were looked at, the columns of who
    sent these and maybe more, and those of the first that are subscriptions."""

    at: int
    rows: list[bytes]
    columns: list[bytes]
    said: list[SealedSubscription]

    def goes_on(self, rows: list[bytes], burst: Senders, at: int) -> bool:
        """The rest of it stands there from `at` on, as `rows`. All of it is compared: it may be
        another burst."""
        passed, end = at - self.at, len(self.rows)
        return rows == self.rows[passed:] and burst.address_columns(at, len(rows)) == [
            column[passed:end] for column in self.columns
        ]


class SealedSubscriptions:
    """Reads them, with one keyring."""

    def __init__(self, sealer: BinderSealer) -> None:
        self._sealer = sealer
        self._holders: dict[bytes, SealHolder] = {}
        self._opened_with: list[bytes] = []  # the secrets' ids, to be counted
        self._last = _Walk(0, [], [], [])

    @property
    def size(self) -> tuple[int, int]:
        """Of how many credentials the keys are remembered, and of how many they may be."""
        return len(self._holders), KEYS_MAX

    def read(self, burst: Senders, at: int) -> list[SealedSubscription]:
        """Those that stand in a row from `at` on. Of the others no more is looked at until the
        first one has shown to be such. What was read the last time is not read again: of those
        behind the first some are not decided with it, and asked for once more."""
        rows, last = burst.rows(at, _ALIVE, _BYTES_MIN, _BYTES_MAX), self._last
        first = next(rows, None)
        if first is None:
            return []
        passed, seen = at - last.at, [first]
        if passed >= 0 and seen == last.rows[passed : passed + 1]:
            seen += islice(rows, len(last.rows) - passed - 1)
            if last.goes_on(seen, burst, at):
                return last.said[passed:]
        self._last = self._walk(chain(seen, rows), burst, at)
        self._sealer.opened.update(self._opened_with)
        self._opened_with.clear()
        return self._last.said

    def _walk(self, rows: Iterator[bytes], burst: Senders, at: int) -> _Walk:
        first, said = next(rows), list[SealedSubscription]()
        one = self._read(first)
        if one is None:
            return _Walk(at, [first], burst.address_columns(at, 1), said)
        ones = [first, *rows]
        columns = burst.address_columns(at, len(ones))
        for row, source in zip(ones, rows_from(columns), strict=True):
            if said:
                one = self._read(row)
            if one is None or one.where != source or source.endswith(_NO_PORT):
                break
            said.append(one)
        return _Walk(at, ones[: len(said) + 1], columns, said)

    def _read(self, row: bytes) -> SealedSubscription | None:
        """What one says; None if it is for the codec."""
        is_soon = row.startswith(_SOON)
        layout = _layout(len(row), row[_INSTANCE_SIZE_AT + _SOON_BYTES * is_soon], is_soon)
        if layout is None or not (is_soon or row.startswith(_AT_ONCE)):
            return None
        unpack, expected = layout
        _, start, soon, key, instance, behind, who, size, number, signer, tag = unpack(row)
        if soon and (soon[0] != _RENEWAL or not 0 < soon[1] <= RENEWAL_SECONDS_MAX):
            return None
        if (key, behind, size) != expected or start < FIRST_START:
            return None
        where = instance[1:]
        if len(instance) != INSTANCE_BYTES:
            if not is_wide_instance(instance):
                return None
            where = address_key(instance)
        holder = self._holders.get(who + signer)
        if holder is None:
            holder = self._learn(row, who + signer)
            if holder is None:
                return None
        elif equal(tag, holder.key.tag_to_binder(row[:TAGS_AT])):
            self._opened_with.append(holder.key.secret_id)
        else:
            return None
        renewal = soon[1] if soon else 0
        return _subscription((instance, start, renewal, holder, number, where))

    def _learn(self, row: bytes, signer: bytes) -> SealHolder | None:
        """Remembered is only who has sealed what holds: nobody else can fill this."""
        seal = self._sealer.open(row)
        if seal is None or seal.fault is not None or not seal.credential:
            return None
        credential, key = decode_credential(seal.credential), self._sealer.key(seal)
        if credential is None or key is None:
            return None
        if len(self._holders) >= KEYS_MAX:
            self._holders.clear()
        holder = self._holders[signer] = SealHolder(
            credential, key, as_held(b"", None, credential=credential.id)
        )
        return holder


@lru_cache(maxsize=_LAYOUTS_MAX)
def _layout(
    size: int, instance: int, is_soon: bool
) -> tuple[Callable[[bytes], tuple[Any, ...]], tuple[bytes, bytes, int]] | None:
    """What takes apart one of `size` bytes in which the instance has so many, and what has to stand
    in front of that, behind it, and behind who seals it; None if there is none."""
    soon, behind = _SOON_BYTES * is_soon, len(_PADDING) + _SEAL_FRONT_BYTES
    who = size - len(_AT_ONCE) - _START_BYTES - soon - len(_INSTANCE) - 1 - instance - behind
    who -= 1 + NUMBER_BYTES - TAGS_AT
    if who < 1:
        return None
    front = f"{len(_AT_ONCE)}sI{soon}s{len(_INSTANCE) + 1}s{instance}s{behind}s"
    unpack = Struct(f">{front}{who}sBQ{_SIGNER_BYTES}s{TAG_BYTES}s").unpack
    seal = bytes((SEAL_KEY, 0xC4, who + 1 + NUMBER_BYTES - TAGS_AT))
    return unpack, (_INSTANCE + bytes((instance,)), _PADDING + seal, who)


_CONFIRMED, _CONFIRMED_RENEW, _AGAIN = (
    bytes((FORM_OF[frame].code, MARK, 0x80 + keys))
    for frame, keys in ((Subscribed, 2), (Subscribed, 3), (Verify, 2))
)
_TICKET = b"\x1f"
_UINT64, _UINT32_MAX = Struct(">BQ").pack, 0xFFFFFFFF  # as msgpack writes it, in half the time


def confirmed_run(
    said: Sequence[SealedSubscription], tickets: Sequence[int], renewal: int | None
) -> list[bytes]:
    """What confirms each, with its ticket, and has it renew within so many seconds (None: as
    usual)."""
    if renewal is None:
        return _answers(_CONFIRMED, said, tickets)
    return _answers(_CONFIRMED_RENEW + bytes((_RENEWAL, renewal)), said, tickets)


def again_run(said: Sequence[SealedSubscription], tickets: Sequence[int]) -> list[bytes]:
    """What has each say it again, with its ticket."""
    return _answers(_AGAIN, said, tickets)


def _answers(
    front: bytes, said: Sequence[SealedSubscription], tickets: Sequence[int]
) -> list[bytes]:
    front += _TICKET
    answers = []
    for one, ticket in zip(said, tickets, strict=True):
        key = one.holder.key
        packed = _UINT64(0xCF, ticket) if ticket > _UINT32_MAX else msgpack.packb(ticket)
        answer = front + packed + SEAL + one.number.to_bytes(NUMBER_BYTES, "big")
        answers.append(answer + ONE_TAG + key.secret_id + key.tag_from_binder(answer))
    return answers
