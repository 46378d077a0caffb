"""Queries a binder on this host: its list, status and event history, fetched page by page."""

import secrets
from itertools import chain, repeat
from typing import NamedTuple

from prr.client.pages import Pages
from prr.trust.keyring import Held
from prr.wire.drain import Drain, decode_drain, drain_in
from prr.wire.inquiries import DrainQuery, ListPage, ListQuery, TextPart, TextQuery
from prr.wire.instance import Address, Instance, is_wide
from prr.wire.particulars import Particulars, decode_particulars
from prr.wire.trailer import PART_BITS, Drained, Listed, Question
from prr.wire.wide import decode_wide


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
    found: dict[Instance, Listing] = {}
    cursor: bytes | None = b""
    with Pages(binder, key) as pages:
        while cursor is not None:
            page = pages.fetch(ListQuery(cursor=cursor, wide=1, nonce=len(found)))
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
    with Pages(binder, key) as pages:
        answer = pages.fetch(asking_for)
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
    # One of before names would take a wide one for no frame at all.
    wide = instance if instance is not None and is_wide(instance) else None
    place = instance if wide is None else None
    text = b""
    nonce = secrets.randbits(63 - PART_BITS) << PART_BITS
    with Pages(binder, key) as pages:
        while True:
            wanted = TextQuery(
                nonce=nonce, question=question, offset=len(text), cursor=place, instance=wide
            )
            answer = pages.fetch(wanted)
            if answer is None or not isinstance(answer.trailer, TextPart):
                return None
            part = answer.trailer
            text += part.text
            if len(text) >= part.offset or not part.text:
                return text
            nonce += 1
