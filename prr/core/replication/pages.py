"""Pages that tell of many instances at once: what is in one, and where one may end.

In front stand instances of the spec, with no more than their versions, as all binders of ours
understand it. What else there is stands in `others`, for those that read it.
"""

from collections.abc import Iterator, Sequence

from prr.core.directory.digests import place_of
from prr.core.effects import Update
from prr.wire.frames import ServiceList
from prr.wire.instance import Instance, is_wide
from prr.wire.messages import GroupRequest, PageRequest, UnaskedPage
from prr.wire.trailer import GROUPS
from prr.wire.version import encode_versions
from prr.wire.wide import ROWS_BYTES_MAX, SPEC_ROW_BYTES, Said, WideUpdate, encode_wide, row_bytes

PAGE_WORDS = ROWS_BYTES_MAX // SPEC_ROW_BYTES
"""Updates about instances in one page at most: what a datagram has room for."""

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


def unasked_pages(identity: int, rows: Sequence[WideUpdate], wide: bool) -> list[ServiceList]:
    """The pages, which nobody has asked for, that tell a peer of ours what is there: one that reads
    `others` (`wide`), or one that does not, which is told of the spec's instances alone."""
    front = [row for row in rows if not is_other(row.instance, row.particulars, wide)]
    parts = [front[start : start + PAGE_WORDS] for start in range(0, len(front), PAGE_WORDS)]
    pages = [_spec_page(identity, part) for part in parts]
    others = [row for row in rows if is_other(row.instance, row.particulars, wide)]
    return pages + [others_page(identity, part) for part in (_cut(others) if wide else ())]


def others_page(identity: int, rows: Sequence[WideUpdate]) -> ServiceList:
    """One such page with all of `rows`. None stands in front: whoever does not read `others` would
    take what does for another one."""
    said = UnaskedPage(binder=identity, versions=b"", others=encode_wide(rows), nonce=UNASKED)
    return ServiceList((), trailer=said)


def _spec_page(identity: int, rows: Sequence[WideUpdate]) -> ServiceList:
    versions = encode_versions([row.version for row in rows])
    updates = UnaskedPage(binder=identity, versions=versions, nonce=UNASKED)
    return ServiceList(tuple(row.instance for row in rows), trailer=updates)


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
