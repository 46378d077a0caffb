"""What a program on the binder's own host is answered: the list, or how things are."""

from prr.core.directory.directory import Directory
from prr.core.effects import Effect, Send, Tell
from prr.core.replication.pages import PAGE_WORDS
from prr.wire.fields import LIST_INSTANCES_MAX
from prr.wire.frames import ListRequest, ServiceList
from prr.wire.inquiries import ListPage, ListQuery, TextQuery
from prr.wire.instance import Address, Instance, is_wide
from prr.wire.messages import PageRequest
from prr.wire.trailer import Listed, Question
from prr.wire.wide import Said, WideUpdate, encode_wide


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
    spec, others = [one for one in page if not is_wide(one)], list(filter(is_wide, page))
    trailer = ListPage(
        cursor=after,
        nonce=asked.nonce,
        states=bytes(_listed(directory, instance) for instance in [*spec, *others]),
        others=encode_wide(_updates(directory, others)) if others else None,
    )
    return [Send(ServiceList(tuple(spec), trailer=trailer), source)]


def _updates(directory: Directory, instances: list[Instance]) -> list[WideUpdate]:
    versions = zip(instances, map(directory.version, instances), strict=True)
    return [WideUpdate(one, version, Said.THERE) for one, version in versions if version]


def _listed(directory: Directory, instance: Instance) -> Listed:
    if directory.is_disputed(instance):
        return Listed.DISPUTED
    return Listed.SUSPECT if directory.is_suspect(instance) else Listed.UP
