"""All instances of one service, a page for each question, to whoever asks."""

from dataclasses import replace

from prr.core.directory.directory import Directory
from prr.core.effects import Effect, Send, stray
from prr.wire.drain import (
    decode_drain,
    drain_in,
    encode_drain,
    is_drained,
    own_particulars,
    with_drain,
)
from prr.wire.frames import Found, Lookup
from prr.wire.instance import Address, Instance, service_of
from prr.wire.particulars import decode_particulars, encode_particulars
from prr.wire.version import Version
from prr.wire.whole_service import WholePage, WholeQuery
from prr.wire.wide import Said, WideUpdate, encode_wide, row_bytes

NO_VERSION = Version(0, 0, 0)
"""Stands in a row for what is no business of a client's: who knows a server's start number might
renew its lease in its name."""

NOWHERE: Address = ("0.0.0.0", 0)
"""Stands in front where the instances are in the trailer."""


def answer_whole(
    directory: Directory, lookup: Lookup, asked: WholeQuery, source: Address
) -> list[Effect]:
    """The page that a client asked for; none where it could be longer than the question."""
    service = lookup.service
    if not asked.room or (asked.cursor and service_of(Instance(asked.cursor)) != service):
        return [stray(lookup, source)]
    instances, after = directory.page_of(service, asked.cursor, asked.offset)
    cursor = None
    rows: list[WideUpdate] = []
    room = asked.room
    for instance in instances:
        particulars = _told(directory.particulars(instance))
        room -= row_bytes(instance, particulars)
        if room < 0:
            cursor, after = rows[-1].instance, None
            break
        said = Said.DOUBTED if directory.is_suspect(instance) else Said.THERE
        rows.append(WideUpdate(instance, NO_VERSION, said, particulars))
    page = WholePage(nonce=asked.nonce, others=encode_wide(rows), cursor=cursor, offset=after)
    return [Send(Found(NOWHERE, trailer=page), source)]


def _told(particulars: bytes) -> bytes:
    """What a client may know: that an instance is drained, not what an operator says of it, nor
    whose it is."""
    said = decode_particulars(particulars)
    if said.credential:
        own = encode_particulars(replace(said, credential=""))
        particulars = with_drain(own, drain_in(particulars))
    if not is_drained(particulars):
        return own_particulars(particulars)
    word = replace(decode_drain(drain_in(particulars)), why="")
    return with_drain(particulars, encode_drain(word))
