"""What a program on the binder's own host is answered: the list, or how things are."""

from dataclasses import replace
from math import ceil

from prr.core.directory.directory import Directory
from prr.core.effects import Effect, Send, Tell, Update, stray
from prr.core.replication.draining import Draining
from prr.core.replication.pages import PAGE_WORDS, fitting, is_other, updates_in_others
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.wire.drain import decode_drain, drain_in, encode_drain, with_drain
from prr.wire.fields import LIST_INSTANCES_MAX
from prr.wire.frames import ListRequest, ServiceList
from prr.wire.inquiries import DrainQuery, ListPage, ListQuery, TextQuery
from prr.wire.instance import Address, Instance
from prr.wire.messages import PageRequest
from prr.wire.trailer import Listed, Question


def answer_program(
    versioned: VersionedDirectory,
    draining: Draining,
    frame: ListRequest,
    source: Address,
    now: float,
) -> list[Effect]:
    """The answer to a program at `source`; it gets a trailer if its question had one."""
    asked, directory = frame.trailer, versioned.directory
    if isinstance(asked, DrainQuery):
        return draining.asked(asked, source, now)
    if isinstance(asked, TextQuery):
        if asked.question == Question.DRAIN:
            return [stray(frame, source)]
        place = asked.instance or asked.cursor
        subject = Instance(place) if place else None
        return [Tell(Question(asked.question), source, asked.nonce or 0, asked.offset, subject)]
    cursor = asked.cursor if isinstance(asked, ListQuery | PageRequest) else b""
    if asked is None:
        page, _ = directory.instances(b"", LIST_INSTANCES_MAX, wide=False)
        return [Send(ServiceList(tuple(page)), source)]
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
        states=bytes(_listed(directory, instance) for instance in every),
        others=updates_in_others(others),
    )
    return [Send(ServiceList(tuple(spec), trailer=trailer), source)]


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


def _listed(directory: Directory, instance: Instance) -> Listed:
    if directory.is_disputed(instance):
        return Listed.DISPUTED
    if directory.is_suspect(instance):
        return Listed.SUSPECT
    return Listed.DRAINED if directory.is_drained(instance) else Listed.UP
