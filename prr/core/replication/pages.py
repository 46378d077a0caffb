"""Pages that tell of many instances at once: what is in one, and where one may end."""

from collections.abc import Iterable, Sequence

from prr.core.directory.digests import bucket_of
from prr.core.directory.tables import WIDE_WORDS
from prr.wire.frames import ServiceList
from prr.wire.instance import Instance, is_wide
from prr.wire.messages import GroupRequest, PageRequest, UnaskedPage
from prr.wire.trailer import GROUPS
from prr.wire.version import Version, encode_versions
from prr.wire.wide import WideUpdate, encode_wide

PAGE_WORDS = 46
"""Updates about instances in one page: 27 bytes each fill what a datagram has room for."""

WIDE_PAGE_WORDS = PAGE_WORDS // WIDE_WORDS
"""Updates about wide instances in one page."""

UNASKED = 0
"""The nonce of a page that answers no question: those of questions begin at one."""


def goes_on(asked: GroupRequest | PageRequest, cursor: bytes) -> bool:
    """A page may end there that answers this question: in its group, beyond where it began."""
    place = _place(cursor)
    if place[1] // GROUPS != asked.group or (place[0] and asked.wide is None):
        return False
    began = asked.cursor if isinstance(asked, PageRequest) else b""
    return not began or place > _place(began)


def _place(cursor: bytes) -> tuple[bool, int, bytes]:
    """Where a page ends: wide instances come last."""
    return is_wide(Instance(cursor)), bucket_of(Instance(cursor)), cursor


def spec_page(identity: int, there: Sequence[tuple[Instance, Version]]) -> ServiceList:
    """A page that nobody has asked for: instances of the spec that are there."""
    versions = encode_versions([version for _, version in there])
    updates = UnaskedPage(binder=identity, versions=versions, nonce=UNASKED)
    return ServiceList(tuple(instance for instance, _ in there), trailer=updates)


def wide_page(identity: int, updates: Sequence[WideUpdate]) -> ServiceList:
    """The same about wide instances. None stands in front: whoever knows none would take what does
    for another one."""
    rows = encode_wide(updates)
    said = UnaskedPage(binder=identity, versions=b"", others=rows, nonce=UNASKED)
    return ServiceList((), trailer=said)


def apart(instances: Iterable[Instance]) -> tuple[list[Instance], list[Instance]]:
    """Those of the spec, and the wide ones."""
    spec: list[Instance] = []
    wide: list[Instance] = []
    for instance in instances:
        (wide if is_wide(instance) else spec).append(instance)
    return spec, wide


def cut(instances: list[Instance], size: int) -> list[list[Instance]]:
    """Parts of `size` at most."""
    return [instances[start : start + size] for start in range(0, len(instances), size)]
