"""Subscriptions as they stand in a burst, one behind the other: read by columns, without frames.

Of those that a server of ours or a legacy (2016) one sends there are four, each of its own length
and alike but for the type and the numbers in it: the bare one, the one with a start number, the one
that also says when it is renewed, and the question whether a binder is ours. What is longer or
shorter, or says anything else, is left to the codec; the tests compare the two.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from prr.record import record
from prr.wire.instance import ADDRESS_BYTES, Instance, from_columns
from prr.wire.trailer import RENEWAL_SECONDS_MAX
from prr.wire.version import FIRST_START, NO_START


class Columns(Protocol):
    """The datagrams of a burst, by number; `at` is the first of a row."""

    def alike(self, at: int, size: int, fixed: Sequence[tuple[int, int]]) -> int:
        """How many in a row have `size` bytes, and each byte that is `fixed`: (place, value)."""

    def column(self, at: int, count: int, place: int) -> bytes:
        """The byte of each at a place that it has."""

    def address_columns(self, at: int, count: int) -> list[bytes]:
        """Who sent each: for each byte of an address a column."""


class _Form(NamedTuple):
    """How one of them looks: which bytes are the same in all, and where the others stand."""

    size: int
    fixed: tuple[tuple[int, int], ...]
    type_at: int
    start_at: int | None  # four bytes, the highest first
    renewal_at: int | None = None


_FORMS = (
    _Form(2, ((0, 5),), 1, None),
    _Form(10, ((0, 5), (2, 0xC1), (3, 0x81), (4, 10), (5, 0xCE)), 1, 6),
    _Form(
        12,
        ((0, 5), (2, 0xC1), (3, 0x82), (4, 10), (5, 0xCE), (10, 16)),
        1,
        6,
        11,
    ),
    _Form(
        13,
        ((0, 12), (1, 0xC1), (2, 0x82), (3, 9), (4, 0xC4), (5, 1), (7, 10), (8, 0xCE)),
        6,
        9,
    ),
)
"""By hand, since what is to be fast reads columns: `test_subscription_runs` has the codec write
them."""

_FORMS_OF = {
    bytes((code,)): [form for form in _FORMS if form.fixed[0][1] == code] for code in (5, 12)
}
"""By the code in front, so that what is under a seal is not compared with each in vain."""


@record
class SubscriptionRun:
    """Who subscribes, with which start number (NO_START for all of them: without a trailer), and
    within how many seconds each renews (0: it does not say)."""

    instances: list[Instance]
    starts: list[int]
    renewals: Sequence[int]

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
        return SubscriptionRun(self.instances[:count], self.starts[:count], self.renewals[:count])


NOTHING = SubscriptionRun([], [], b"")


def subscription_run(burst: Columns, at: int) -> SubscriptionRun:
    """The subscriptions of one form over IPv4 that stand in a row from `at` on, perhaps none."""
    for form in _FORMS_OF.get(burst.column(at, 1, 0), ()):
        if count := burst.alike(at, form.size, form.fixed):
            starts = _starts(burst, at, count, form)
            if form.start_at is not None and min(starts) < FIRST_START:
                break  # which no server draws
            renewals = bytes(count)
            if form.renewal_at is not None:
                renewals = burst.column(at, count, form.renewal_at)
                if not 0 < min(renewals) <= max(renewals) <= RENEWAL_SECONDS_MAX:
                    break
            types, addresses = (
                burst.column(at, count, form.type_at),
                burst.address_columns(at, count),
            )
            if len(addresses) != ADDRESS_BYTES:
                break  # those of IPv6 are wide
            instances = from_columns(types, addresses)
            return SubscriptionRun(instances, starts, renewals)
    return NOTHING


def _starts(burst: Columns, at: int, count: int, form: _Form) -> list[int]:
    if form.start_at is None:
        return [NO_START] * count
    data = bytearray(4 * count)
    for place in range(4):
        data[place::4] = burst.column(at, count, form.start_at + place)
    return list(struct.unpack(f">{count}I", data))
