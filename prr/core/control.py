"""What a program on the binder's own host is answered: the list, or how things are."""

from dataclasses import replace
from math import ceil

from prr.config import Require
from prr.core.directory.listed import listed
from prr.core.effects import Effect, Send, Tell, Update, stray
from prr.core.gate import Gate, not_believed
from prr.core.replication.draining import Draining
from prr.core.replication.pages import PAGE_WORDS, fitting, is_other, updates_in_others
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.core.trust import is_operator
from prr.wire.drain import decode_drain, drain_in, encode_drain, with_drain
from prr.wire.fields import LIST_INSTANCES_MAX
from prr.wire.frames import ListRequest, ServiceList
from prr.wire.inquiries import DrainQuery, ListPage, ListQuery, TextQuery
from prr.wire.instance import Address, Instance, encode_address
from prr.wire.messages import PageRequest
from prr.wire.proofs import Again
from prr.wire.trailer import Listed, Question

READ_FOR = 10.0
"""Seconds for which an operator on another host may ask with one ticket, whatever is only read."""


class Programs:
    """What one binder answers programs of its own host, and operators."""

    def __init__(
        self,
        versioned: VersionedDirectory,
        draining: Draining,
        gate: Gate,
    ) -> None:
        self._versioned = versioned
        self._draining = draining
        self._tickets = gate.tickets
        self._trust = gate.trust

    def answer(self, frame: ListRequest, source: Address, now: float) -> list[Effect]:
        """The answer to a program at `source`; it gets a trailer if its question had one."""
        asked = frame.trailer
        if isinstance(asked, DrainQuery):
            if not (asked.instance or asked.cursor):
                return [stray(frame, source)]  # it names nothing
            return self._drain(frame, asked, source, now)
        if is_operator(frame.seal) and not self._may_read(frame, source, now):
            return [self._again(source, b"", b"", now)]
        if isinstance(asked, TextQuery):
            if asked.question == Question.DRAIN:
                return [stray(frame, source)]
            place = asked.instance or asked.cursor
            subject = Instance(place) if place else None
            return [Tell(Question(asked.question), source, asked.nonce or 0, asked.offset, subject)]
        return [Send(_list(self._versioned, frame, now), source)]

    def _drain(
        self, frame: ListRequest, asked: DrainQuery, source: Address, now: float
    ) -> list[Effect]:
        """An operator's word; where nobody has to prove who he is, that of the binder's host."""
        if self._tickets is not None and is_operator(frame.seal):
            assert frame.seal is not None
            about, state = self._drained(Instance(asked.instance or asked.cursor or b""))
            number = frame.seal.number
            age = self._tickets.age(number, encode_address(source), about, state, now)
            if age is None or not self._tickets.use(number, about, now):
                return [self._again(source, about, state, now)]
        elif self._trust.require is Require.ON:
            return [not_believed(frame, source)]
        return self._draining.asked(asked, source, now)

    def _drained(self, instance: Instance) -> tuple[bytes, bytes]:
        """What a ticket to drain an instance depends on."""
        return b"drain" + instance, self._versioned.drains.word(instance)

    def _may_read(self, frame: ListRequest, source: Address, now: float) -> bool:
        """Whoever asks is where the question comes from: it is answered with more than it has."""
        if self._tickets is None or frame.seal is None:
            return False
        where = encode_address(source)
        age = self._tickets.age(frame.seal.number, where, b"", b"", now)
        return age is not None and age <= READ_FOR

    def _again(self, source: Address, about: bytes, state: bytes, now: float) -> Effect:
        assert self._tickets is not None
        ticket = self._tickets.issue(encode_address(source), about, state, now)
        return Send(ServiceList((), trailer=Again(ticket=ticket)), source)


def _list(versioned: VersionedDirectory, frame: ListRequest, now: float) -> ServiceList:
    """A page of the list."""
    asked, directory = frame.trailer, versioned.directory
    cursor = asked.cursor if isinstance(asked, ListQuery | PageRequest) else b""
    if asked is None:
        page, _ = directory.instances(b"", LIST_INSTANCES_MAX, wide=False)
        return ServiceList(tuple(page))
    wide = isinstance(asked, ListQuery) and asked.wide is not None
    size = PAGE_WORDS if wide else LIST_INSTANCES_MAX
    page, after = directory.instances(cursor, size, wide)
    words, after = fitting([(one, _update(versioned, one, now)) for one in page], after, wide)
    others = [word for word in words if is_other(word[0], word[1].particulars, wide)]
    spec = [one for one, last in words if not is_other(one, last.particulars, wide)]
    every = [*spec, *(one for one, _ in others)]
    trailer = ListPage(
        cursor=after,
        nonce=asked.nonce,
        states=bytes(listed(directory, instance) or Listed.UP for instance in every),
        others=updates_in_others(others),
    )
    return ServiceList(tuple(spec), trailer=trailer)


def _update(versioned: VersionedDirectory, instance: Instance, now: float) -> Update:
    """The update about an instance; of a drained one with how long it is that from now on."""
    version = versioned.directory.version(instance)
    assert version is not None
    particulars = versioned.directory.particulars(instance)
    left = versioned.drains.seconds_left(instance, now)
    if left is not None:
        word = replace(decode_drain(drain_in(particulars)), seconds=max(ceil(left), 1))
        particulars = with_drain(particulars, encode_drain(word))
    return Update(version, True, particulars)
