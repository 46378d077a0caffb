"""Pages that tell of many instances at once: what is in one, and where one may end.

In front stand instances of the spec, with no more than their versions, as all binders of ours
understand it. What else there is stands in `others`, for those that read it.
"""

from collections.abc import Iterator, Sequence
from itertools import compress
from typing import TypeAlias

from prr.core.directory.digests import place_of
from prr.core.effects import Send, Update
from prr.core.replication.peers import Peer
from prr.wire.frames import ServiceList
from prr.wire.instance import Instance, is_wide
from prr.wire.messages import GroupRequest, PageRequest, UnaskedPage
from prr.wire.trailer import GROUPS
from prr.wire.version import VERSION_BYTES, decode_version
from prr.wire.wide import ROWS_BYTES_MAX, SPEC_ROW_BYTES, Said, WideUpdate, encode_wide, row_bytes

PAGE_WORDS = ROWS_BYTES_MAX // SPEC_ROW_BYTES
"""Updates about instances in one page at most: what a datagram has room for."""

Row: TypeAlias = tuple[Instance, bytes]
"""An instance that is there, and the word that it is held with: its version, encoded, and behind it
the particulars."""

UNASKED = 0
"""The nonce of a page that answers no question: those of questions begin at one."""


def goes_on(asked: GroupRequest | PageRequest, cursor: bytes) -> bool:
    """A page may end there that answers this question: in its group, beyond where it began."""
    place = place_of(cursor)
    if place[1] // GROUPS != asked.group or (place[0] and asked.wide is None):
        return False
    began = asked.cursor if isinstance(asked, PageRequest) else b""
    return not began or place > place_of(began)


def is_other(instance: Instance, particulars: bytes, wide: bool) -> bool:
    """It stands in `others` in what one is told that reads them (`wide`), or one that does not."""
    return is_wide(instance) or (wide and bool(particulars))


def fitting(
    words: list[tuple[Instance, Update]], after: bytes | None, wide: bool
) -> tuple[list[tuple[Instance, Update]], bytes | None]:
    """As many of the first as one page has room for, and where to go on: behind the last of them,
    or, if that is all of them, at `after`."""
    room = ROWS_BYTES_MAX
    for number, (instance, update) in enumerate(words):
        is_long = is_other(instance, update.particulars, wide)
        room -= row_bytes(instance, update.particulars) if is_long else SPEC_ROW_BYTES
        if room < 0:
            return words[:number], words[number - 1][0]
    return words, after


def told_in_pages(identity: int, rows: Sequence[Row], peers: Sequence[Peer]) -> Iterator[Send]:
    """What tells peers of ours, in pages that nobody has asked for, what is there. Those that do
    not read `others` are told of the spec's instances alone."""
    for wide in (False, True):
        told = [peer.address for peer in peers if peer.is_wide is wide]
        for page in _unasked_pages(identity, rows, wide) if told else ():
            for address in told:
                yield Send(page, address)


def _unasked_pages(identity: int, rows: Sequence[Row], wide: bool) -> list[ServiceList]:
    """Those for one that reads `others` (`wide`), or one that does not."""
    are_others = [is_other(one, word[VERSION_BYTES:], wide) for one, word in rows]
    front = [row for row, is_one in zip(rows, are_others, strict=True) if not is_one]
    parts = [front[start : start + PAGE_WORDS] for start in range(0, len(front), PAGE_WORDS)]
    pages = [_spec_page(identity, part) for part in parts]
    if not wide:
        return pages
    others = [_in_others(*row) for row in compress(rows, are_others)]
    return pages + [others_page(identity, part) for part in _cut(others)]


def _in_others(instance: Instance, word: bytes) -> WideUpdate:
    return WideUpdate(instance, decode_version(word), Said.THERE, word[VERSION_BYTES:])


def others_page(identity: int, rows: Sequence[WideUpdate]) -> ServiceList:
    """One such page with all of `rows`. None stands in front: whoever does not read `others` would
    take what does for another one."""
    said = UnaskedPage(binder=identity, versions=b"", others=encode_wide(rows), nonce=UNASKED)
    return ServiceList((), trailer=said)


def _spec_page(identity: int, rows: Sequence[Row]) -> ServiceList:
    versions = b"".join([word[:VERSION_BYTES] for _, word in rows])
    updates = UnaskedPage(binder=identity, versions=versions, nonce=UNASKED)
    return ServiceList(tuple([instance for instance, _ in rows]), trailer=updates)


def _cut(rows: Sequence[WideUpdate]) -> Iterator[list[WideUpdate]]:
    """Parts that fit into a page each."""
    part: list[WideUpdate] = []
    room = ROWS_BYTES_MAX
    for row in rows:
        size = row_bytes(row.instance, row.particulars)
        if size > room:
            yield part
            part, room = [], ROWS_BYTES_MAX
        part.append(row)
        room -= size
    if part:
        yield part


def updates_in_others(words: Sequence[tuple[Instance, Update]]) -> bytes | None:
    """The `others` of a page that is asked for; None: it has none."""
    said = {True: Said.THERE, False: Said.GONE}
    rows = [
        WideUpdate(one, version, said[is_present], particulars)
        for one, (version, is_present, particulars) in words
    ]
    return encode_wide(rows) if rows else None
