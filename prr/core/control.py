"""What a program on the binder's own host is answered: the list, or how things are."""

from prr.core.directory.directory import Directory
from prr.core.effects import Effect, Send, Tell
from prr.wire.fields import LIST_INSTANCES_MAX
from prr.wire.frames import ListRequest, ServiceList
from prr.wire.instance import Address, Instance
from prr.wire.messages import ListPage, ListQuery, PageRequest, TextQuery
from prr.wire.trailer import Listed, Question


def answer_program(directory: Directory, frame: ListRequest, source: Address) -> list[Effect]:
    """The answer to a program at `source`; it gets a trailer if its question had one."""
    asked = frame.trailer
    if isinstance(asked, TextQuery):
        subject = Instance(asked.cursor) if asked.cursor else None
        return [Tell(Question(asked.question), source, asked.nonce or 0, asked.offset, subject)]
    cursor = asked.cursor if isinstance(asked, ListQuery | PageRequest) else b""
    page, after = directory.instances(cursor, LIST_INSTANCES_MAX)
    trailer = None
    if asked is not None:
        states = bytes(_listed(directory, instance) for instance in page)
        trailer = ListPage(cursor=after, nonce=asked.nonce, states=states)
    return [Send(ServiceList(tuple(page), trailer=trailer), source)]


def _listed(directory: Directory, instance: Instance) -> Listed:
    if directory.is_disputed(instance):
        return Listed.DISPUTED
    return Listed.SUSPECT if directory.is_suspect(instance) else Listed.UP
