"""What a program on the binder's own host is answered: the list, or how things are."""

from prr.core.directory.directory import Directory
from prr.core.effects import Effect, Send, Tell, Update
from prr.core.replication.pages import PAGE_WORDS, fitting, is_other, updates_in_others
from prr.wire.fields import LIST_INSTANCES_MAX
from prr.wire.frames import ListRequest, ServiceList
from prr.wire.inquiries import ListPage, ListQuery, TextQuery
from prr.wire.instance import Address, Instance
from prr.wire.messages import PageRequest
from prr.wire.trailer import Listed, Question


def answer_program(directory: Directory, frame: ListRequest, source: Address) -> list[Effect]:
    """The answer to a program at `source`; it gets a trailer if its question had one."""
    asked = frame.trailer
    if isinstance(asked, TextQuery):
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
    words, after = fitting([(one, _update(directory, one)) for one in page], after, wide)
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


def _update(directory: Directory, instance: Instance) -> Update:
    version = directory.version(instance)
    assert version is not None
    return Update(version, True, directory.particulars(instance))


def _listed(directory: Directory, instance: Instance) -> Listed:
    if directory.is_disputed(instance):
        return Listed.DISPUTED
    return Listed.SUSPECT if directory.is_suspect(instance) else Listed.UP
