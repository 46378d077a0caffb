"""Queries a binder on this host: its list, status and event history, fetched page by page."""

import secrets
import socket
import time
from itertools import chain, repeat
from typing import NamedTuple

from prr.addresses import family_of
from prr.core.retry import Retry
from prr.trust.keyring import Held
from prr.wire.codec import Codec
from prr.wire.drain import Drain, decode_drain, drain_in
from prr.wire.errors import MalformedFrame
from prr.wire.frames import ListRequest, Role, ServiceList
from prr.wire.inquiries import DrainQuery, ListPage, ListQuery, TextPart, TextQuery
from prr.wire.instance import Address, Instance, is_wide
from prr.wire.messages import Hello
from prr.wire.particulars import Particulars, decode_particulars
from prr.wire.proofs import Again
from prr.wire.trailer import PART_BITS, Drained, Listed, Question
from prr.wire.wide import decode_wide

PAGE_LIMIT = 2.0
"""Seconds in which each page must come, all resends included."""

RECEIVE_BYTES = 2048


def fetch_list(binder: Address) -> list[Instance] | None:
    """What `binder` knows; None when it does not answer. Blocks for 2 s a page at most."""
    listed = fetch_listings(binder)
    return None if listed is None else list(listed)


class Listing(NamedTuple):
    """What a binder's list says of an instance: how it is, None where it does not say, its
    particulars, and for how long it is drained."""

    state: Listed | None
    particulars: Particulars
    drain: Drain


def fetch_listings(binder: Address, key: Held | None = None) -> dict[Instance, Listing] | None:
    """The same, and what it says of each instance; `key` is that of who asks."""
    codec = _codec(key)
    found: dict[Instance, Listing] = {}
    cursor: bytes | None = b""
    with socket.socket(family_of(binder), socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(binder)
        except OSError:  # no route, or not an address that a binder can have
            return None
        while cursor is not None:
            wanted = ListQuery(cursor=cursor, wide=1, nonce=len(found))
            page = _fetch_page(asking, binder, wanted, codec)
            if page is None:
                return None
            known = len(found)
            said = page.trailer if isinstance(page.trailer, ListPage) else ListPage()
            others = decode_wide(said.others or b"")
            rows = [(instance, b"") for instance in page.instances]
            rows += [(update.instance, update.particulars) for update in others]
            states = chain(map(Listed, said.states or b""), repeat(None))
            for (instance, particulars), state in zip(rows, states):  # noqa: B905 as many
                drain = decode_drain(drain_in(particulars))
                found[instance] = Listing(state, decode_particulars(particulars), drain)
            brought_more = len(found) > known  # a page that brings nothing new must be the last
            cursor = said.cursor if brought_more else None
    return found


def drain(
    binder: Address,
    instance: Instance,
    seconds: int,
    why: str,
    last: bool,
    key: Held | None = None,
) -> Drained | None:
    """Have `binder` drain an instance for so many seconds, 0: no longer, because of `why`; the last
    one in turn of its service only with `last`. `key` is an operator's. What became of it; None
    when it does not answer."""
    asking_for = DrainQuery(
        nonce=secrets.randbits(63),
        question=Question.DRAIN,
        seconds=seconds,
        text=why.encode(),
        cursor=None if is_wide(instance) else instance,
        instance=instance if is_wide(instance) else None,
        last=1 if last else None,
    )
    with socket.socket(family_of(binder), socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(binder)
        except OSError:
            return None
        answer = _fetch_page(asking, binder, asking_for, _codec(key))
    if answer is None or not isinstance(answer.trailer, TextPart):
        return None
    return Drained(answer.trailer.text.decode())


def fetch_text(
    binder: Address,
    question: Question,
    instance: Instance | None = None,
    key: Held | None = None,
) -> bytes | None:
    """What `binder` answers to a question; None when it does not answer. `key` is that of who
    asks."""
    codec = _codec(key)
    # One of before names would take a wide one for no frame at all.
    wide = instance if instance is not None and is_wide(instance) else None
    place = instance if wide is None else None
    text = b""
    nonce = secrets.randbits(63 - PART_BITS) << PART_BITS
    with socket.socket(family_of(binder), socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(binder)
        except OSError:
            return None
        while True:
            wanted = TextQuery(
                nonce=nonce, question=question, offset=len(text), cursor=place, instance=wide
            )
            answer = _fetch_page(asking, binder, wanted, codec)
            if answer is None or not isinstance(answer.trailer, TextPart):
                return None
            part = answer.trailer
            text += part.text
            if len(text) >= part.offset or not part.text:
                return text
            nonce += 1


def _codec(key: Held | None) -> Codec:
    """It asks as another binder does, and is answered as one: lists go to no other role."""
    return Codec(Role.BINDER, keys=key)


def _fetch_page(
    asking: socket.socket, binder: Address, wanted: ListQuery | TextQuery | DrainQuery, codec: Codec
) -> ServiceList | None:
    """The page that `wanted` asks for; its nonce tells it from a late copy of another."""
    question = codec.encode(ListRequest(trailer=wanted))
    rotation = Retry([binder], PAGE_LIMIT, time.monotonic())
    while not rotation.ended(time.monotonic()):
        try:
            if rotation.due(time.monotonic()):
                asking.send(question)
            asking.settimeout(max(rotation.deadline() - time.monotonic(), 1e-6))
            frame = codec.decode(asking.recv(RECEIVE_BYTES))
        except (OSError, MalformedFrame):
            continue
        if isinstance(frame, ServiceList) and _is_wanted(frame, wanted):
            return frame
    return None


def _is_wanted(page: ServiceList, wanted: ListQuery | TextQuery | DrainQuery) -> bool:
    """It answers this question; a legacy (2016) binder answers the first only, with no trailer."""
    match page.trailer:
        case None:
            return isinstance(wanted, ListQuery) and wanted.cursor == b""
        case Hello() | Again():
            return False
        case said:
            return said.nonce == wanted.nonce
