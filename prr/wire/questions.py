"""Lookups that say more than a number, and what they ask for.

Their bytes are read once: what they ask is remembered under the very bytes, so that one that comes
again costs a glance into a dict, whatever stands in it. A thousand clients of a service ask the
same question.
"""

from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import NamedTuple, Protocol

from prr.wire.errors import MalformedFrame
from prr.wire.forms import FORM_OF
from prr.wire.frames import Frame, Lookup
from prr.wire.instance import Service
from prr.wire.query import FOUND_BYTES, Query
from prr.wire.seal import read_seal

_LOOKUP_CODE = bytes((FORM_OF[Lookup].code,))

QUESTION_BYTES_MAX = 224
"""The longest name and the longest zone have 138, and a client's seal 67 at most. What is longer is
read each time."""

REMEMBERED = 1 << 14
"""Questions in each of two generations: some 14 MB at the most, if somebody invents them."""


class Asked(NamedTuple):
    """What a lookup asks for: an instance of a service, in a zone if that has one in turn ("":
    wherever), at an IPv6 address too if it is `wide`."""

    service: Service
    zone: str = ""
    wide: bool = False


class Rows(Protocol):
    """The datagrams of a burst, by number."""

    def rows(self, at: int, first: bytes, least: int, most: int) -> Iterator[bytes]:
        """Those that stand in a row from `at` on, begin with `first`, one byte, and have `least` (1
        or more) to `most` bytes."""


def asked_by(lookup: Lookup) -> Asked:
    """What a lookup asks for."""
    said = lookup.trailer
    if not isinstance(said, Query):
        return Asked(lookup.service)
    zone = said.zone.decode() if said.zone else ""
    return Asked(lookup.service, zone, said.takes_ipv6)


class Questions:
    """What is known of questions."""

    def __init__(self, decode: Callable[[bytes], Frame]) -> None:
        """`decode` reads a datagram; see `Codec.decode`."""
        self._known = _Known(decode)

    @property
    def size(self) -> tuple[int, int]:
        """How many are remembered, and how many may be."""
        return len(self._known) + len(self._known.before), 2 * REMEMBERED

    def asked(self, burst: Rows, at: int) -> list[Asked]:
        """What the lookups ask that stand in a row from `at` on, if each has a trailer that says
        something and room for the answer."""
        rows = burst.rows(at, _LOOKUP_CODE, FOUND_BYTES, QUESTION_BYTES_MAX)
        return [*takewhile(bool, map(self._known.__getitem__, rows))]


class _Known(dict[bytes, Asked]):
    """What questions ask: the latest generation. One of the generation before that comes again goes
    over to it, and it begins anew when it is full: who invents questions pushes out none that
    comes once in so many."""

    def __init__(self, decode: Callable[[bytes], Frame]) -> None:
        super().__init__()
        self.before: dict[bytes, Asked] = {}
        self._decode = decode

    def __missing__(self, row: bytes) -> Asked | None:
        """What one asks that is not in this generation; None if it is no such lookup."""
        asked = self.before.get(row) or self._parse(row)
        if asked is not None:
            if len(self) >= REMEMBERED:
                self.before = self.copy()
                self.clear()
            self[row] = asked
        return asked

    def _parse(self, row: bytes) -> Asked | None:
        if read_seal(row) is not None:
            return None  # which is another one each time
        try:
            frame = self._decode(row)
        except MalformedFrame:
            return None
        if isinstance(frame, Lookup) and isinstance(frame.trailer, Query):
            return asked_by(frame) if frame.trailer.has_room else None
        return None
