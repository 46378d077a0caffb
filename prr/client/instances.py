"""What `Client.instances` returns."""

from collections.abc import Mapping

from prr.core.whole_client import Whole
from prr.record import record
from prr.wire.drain import is_drained
from prr.wire.instance import address_of
from prr.wire.particulars import decode_particulars
from prr.wire.wide import Said, WideUpdate


@record
class ServiceInstance:
    """One instance of a service: its (ip, port), and what its server says of itself."""

    address: tuple[str, int]

    weight: int
    """Its turns in a round, 1 to 16."""

    zone: str
    """Where it is; "" if its server does not say."""

    tags: Mapping[str, str]

    is_suspect: bool
    """It is in doubt: `lookup` names it only while its service has no other."""

    is_drained: bool
    """An operator has taken it out of turn: likewise."""


def instances_of(whole: Whole) -> list[ServiceInstance]:
    """Those that were told, by address."""
    return sorted(map(_instance_of, whole.values()), key=lambda one: one.address)


def _instance_of(row: WideUpdate) -> ServiceInstance:
    said = decode_particulars(row.particulars)
    is_suspect = row.said is Said.DOUBTED
    tags = dict(said.tags)
    return ServiceInstance(
        address_of(row.instance),
        said.weight,
        said.zone,
        tags,
        is_suspect,
        is_drained(row.particulars),
    )
