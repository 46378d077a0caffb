"""Subscriptions as they stand in a burst, one behind the other: read by columns, without frames.

Of those that a server of ours or a legacy (2016) one sends there are three, each of its own length
and alike but for the type and the start number: the bare one, the one with a start number, and the
question whether a binder is ours. What is longer or shorter, or says anything else, is left to the
codec; the tests compare the two.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, Protocol

from prr.wire.instance import ADDRESS_BYTES, INSTANCE_BYTES, Instance
from prr.wire.version import NO_START

_ONE = struct.Struct(f"{INSTANCE_BYTES}s")
_FIRST_START = 2


class Columns(Protocol):
    """The datagrams of a burst, by number; `at` is the first of a row."""

    def alike(self, at: int, size: int, fixed: Sequence[tuple[int, int]]) -> int:
        """How many in a row have `size` bytes, and each byte that is `fixed`: (place, value)."""

    def column(self, at: int, count: int, place: int) -> bytes:
        """The byte of each at a place that it has."""

    def addresses(self, at: int, count: int) -> bytes:
        """Who sent each, six bytes as an instance has them."""


class _Form(NamedTuple):
    """How one of them looks: which bytes are the same in all, and where the others stand."""

    size: int
    fixed: tuple[tuple[int, int], ...]
    type_at: int
    start_at: int | None  # four bytes, the highest first


_FORMS = (
    _Form(2, ((0, 5),), 1, None),
    _Form(10, ((0, 5), (2, 0xC1), (3, 0x81), (4, 10), (5, 0xCE)), 1, 6),
    _Form(
        13,
        ((0, 12), (1, 0xC1), (2, 0x82), (3, 9), (4, 0xC4), (5, 1), (7, 10), (8, 0xCE)),
        6,
        9,
    ),
)
"""By hand, since what is to be fast reads columns: `test_subscription_runs` has the codec write
them."""


@dataclass(frozen=True, slots=True)
class SubscriptionRun:
    """Who subscribes, and with which start number; NO_START for all of them: without a trailer."""

    instances: list[Instance]
    starts: list[int]

    def __len__(self) -> int:
        return len(self.instances)

    def __bool__(self) -> bool:
        return bool(self.instances)

    @property
    def is_bare(self) -> bool:
        """They have no trailer, and so has what confirms them."""
        return self.starts[0] == NO_START

    def first(self, count: int) -> "SubscriptionRun":
        """So many of them."""
        return SubscriptionRun(self.instances[:count], self.starts[:count])


NOTHING = SubscriptionRun([], [])


def subscription_run(burst: Columns, at: int) -> SubscriptionRun:
    """The subscriptions of one form that stand in a row from `at` on, perhaps none."""
    for form in _FORMS:
        if count := burst.alike(at, form.size, form.fixed):
            run = SubscriptionRun(
                _instances(burst, at, count, form), _starts(burst, at, count, form)
            )
            is_sound = form.start_at is None or min(run.starts) >= _FIRST_START
            return run if is_sound else NOTHING
    return NOTHING


def _instances(burst: Columns, at: int, count: int, form: _Form) -> list[Instance]:
    rows = bytearray(count * INSTANCE_BYTES)
    rows[::INSTANCE_BYTES] = burst.column(at, count, form.type_at)
    addresses = burst.addresses(at, count)
    for place in range(ADDRESS_BYTES):
        rows[1 + place :: INSTANCE_BYTES] = addresses[place::ADDRESS_BYTES]
    return [Instance(one) for one in chain.from_iterable(_ONE.iter_unpack(rows))]


def _starts(burst: Columns, at: int, count: int, form: _Form) -> list[int]:
    if form.start_at is None:
        return [NO_START] * count
    data = bytearray(4 * count)
    for place in range(4):
        data[place::4] = burst.column(at, count, form.start_at + place)
    return list(struct.unpack(f">{count}I", data))
