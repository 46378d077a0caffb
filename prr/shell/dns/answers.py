"""From the bytes of a query to the bytes of its answer.

An answer is put together of rows that are written already (see `records`), each behind a pointer to
its owner's name in the question. A query that comes again is known by its very bytes, since reading
it costs twice as much as all the rest; and so is an answer by what it is made of: in turns, a
service has as many as instances.
"""

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import TypeAlias

from prr.shell.dns.queries import (
    HEADER,
    IS_AUTHORITY,
    IS_TRUNCATED,
    NOERROR,
    NXDOMAIN,
    UDP_BYTES_MAX,
    Query,
    read_query,
)
from prr.shell.dns.records import TARGET_AT
from prr.shell.dns.zone import Found, Zone

TCP_BYTES_MAX = 65535
"""Of an answer over TCP; the longest has some 10,000."""

KNOWN_MAX = 1 << 12
"""Queries that are remembered: some 10 MB, if somebody invents them."""

KNOWN_BYTES_MAX = 160
"""Of a query that is remembered: a long name with options. What is longer is read each time."""

WRITTEN_MAX = 1 << 11
"""Answers that are remembered, of 1,232 bytes at the most: 3 MB."""

NOTHING = Found(NOERROR)

_NUMBER_BYTES = 2
_POINTER = struct.Struct(">H")
_IS_POINTER = 0xC000

_Known: TypeAlias = tuple[Query, Callable[[], Found]]
"""A query, and what finds its answer."""


class Answers:
    """What one binder answers."""

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self._known: dict[bytes, _Known] = {}
        self._written: dict[tuple[bytes, Found, int], bytes] = {}

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """How many queries and answers are remembered, and how many may be."""
        written = len(self._written), WRITTEN_MAX
        return {"queries": (len(self._known), KNOWN_MAX), "answers": written}

    def answer(self, data: bytes, most: int) -> bytes | None:
        """The answer to a query; None if it gets none.

        It has `most` bytes: UDP_BYTES_MAX, fewer if the query says so; TCP_BYTES_MAX; or 0, so that
        it only says to ask again over TCP, as does one of which not every record has room.
        """
        rest = data[_NUMBER_BYTES:]
        known = self._known_or_read(data, rest)
        if known is None:
            return None
        query, find = known
        room = min(most, query.room) if most <= UDP_BYTES_MAX else most
        found = find() if room else NOTHING
        same = rest, found, room
        written = self._written.get(same)
        if written is None:
            written = self._compose(query, found, room)
            if len(written) <= UDP_BYTES_MAX and len(rest) <= KNOWN_BYTES_MAX:
                if len(self._written) >= WRITTEN_MAX:
                    self._written.clear()
                self._written[same] = written
        return data[:_NUMBER_BYTES] + written

    def _known_or_read(self, data: bytes, rest: bytes) -> _Known | None:
        """What a query says that may have come before, with another number before the `rest`."""
        known = self._known.get(rest)
        if known is None and (query := read_query(data)) is not None:
            known = query, self._zone.finder(query.labels, query.type)
            if not query.refusal and len(rest) <= KNOWN_BYTES_MAX:
                if len(self._known) >= KNOWN_MAX:
                    self._known.clear()
                self._known[rest] = known
        return known

    def _compose(self, query: Query, found: Found, room: int) -> bytes:
        """All of an answer but its number."""
        if query.refusal or not query.is_supported:
            return _message(query, query.flags | query.refusal, b"", (0, 0, 0))
        at = HEADER.size + len(query.question)
        places = [*accumulate((_POINTER.size + len(row) for row in found.rows), initial=at)]
        count = max(0, bisect_right(places, room - len(query.options)) - 1)
        is_cut = count < len(found.rows) or not room
        rows = b"".join(_OWNER + row for row in found.rows[:count])
        authority = b"" if found.rows else self._authority(query, found)
        left = room - len(query.options) - places[count]
        if len(authority) > left:
            authority, is_cut = b"", True
        targets = _targets(found.targets, places[:count], left)
        flags = query.flags | found.code | (is_cut and IS_TRUNCATED)
        if found.code in (NOERROR, NXDOMAIN):
            flags |= IS_AUTHORITY
        body = b"".join((rows, authority, *targets))
        return _message(query, flags, body, (count, bool(authority), len(targets)))

    def _authority(self, query: Query, found: Found) -> bytes:
        """Behind what has no records: for how long that may be remembered (RFC 2308, 3)."""
        if found.code not in (NOERROR, NXDOMAIN):
            return b""
        labels_bytes = sum(len(label) + 1 for label in query.labels) + 1
        return _pointer(HEADER.size + labels_bytes - self._zone.domain_bytes) + self._zone.soa


def _message(query: Query, flags: int, rows: bytes, counts: tuple[int, int, int]) -> bytes:
    """Its parts, one behind the other."""
    answers, authorities, extra = counts
    extra += bool(query.options)
    head = HEADER.pack(0, flags, bool(query.question), answers, authorities, extra)
    return head[_NUMBER_BYTES:] + query.question + rows + query.options


def _targets(rows: Iterable[bytes], places: Iterable[int], left: int) -> list[bytes]:
    """The addresses of what the answers point to, which begin at `places`, as many as fit into
    `left` bytes: each can be asked for, so nothing is lost with the others (RFC 2181, 9). Those of
    several instances at one address are one record (RFC 2181, 5)."""
    fitting: dict[bytes, bytes] = {}
    for row, place in zip(rows, places, strict=False):
        if row in fitting:
            continue
        left -= _POINTER.size + len(row)
        if left < 0:
            break
        fitting[row] = _pointer(place + _POINTER.size + TARGET_AT) + row
    return [*fitting.values()]


def _pointer(at: int) -> bytes:
    """Stands for the name at that place (RFC 1035, 4.1.4)."""
    return _POINTER.pack(_IS_POINTER | at)


_OWNER = _pointer(HEADER.size)
"""Before each answer: the name in the question."""
