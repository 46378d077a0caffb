"""Where the turns of each service are: a small number for each, its slot.

The slot of a numbered service is its number. A name has one as long as it has an instance; then
another name may get it.
"""

from collections.abc import Iterable
from itertools import islice

from prr.wire.instance import TYPES, Instance, Service, is_name, service_of

NAMES_MAX = 1 << 16
"""Names at once, 1.5 kB each beside their instances: whoever makes up names fills 100 MB, and no
cluster has so many services. A restore may bring as many again, which were kept by this limit."""

NOT_NAMED = TYPES
"""The slot of all names that have no instance. Nothing ever has its turn there."""


class Slots:
    """The slots of one directory's services."""

    def __init__(self) -> None:
        self._by_name: dict[bytes, int] = {}
        self._named: list[str] = []  # by slot, from NOT_NAMED + 1 on
        self._free: list[int] = []

    @property
    def places(self) -> int:
        """Every slot is below this."""
        return NOT_NAMED + 1 + len(self._named)

    @property
    def size(self) -> tuple[int, int]:
        """How many names have a slot, and how many may."""
        return len(self._by_name), NAMES_MAX

    def of(self, instance: Instance) -> int:
        """The slot of the service of an instance; NOT_NAMED for a name that has none."""
        service = service_of(instance)
        if isinstance(service, int):
            return service
        return self._by_name.get(service.encode(), NOT_NAMED)

    def of_services(self, services: Iterable[Service]) -> list[int]:
        """The slots of some services; NOT_NAMED for a name that has none."""
        return [
            self._by_name.get(service.encode(), NOT_NAMED) if isinstance(service, str) else service
            for service in services
        ]

    def of_names(self, names: list[bytes]) -> list[int]:
        """The slots of some names, up to the first that is none."""
        by_name = self._by_name
        slots = [by_name.get(name, NOT_NAMED) for name in names]
        if NOT_NAMED in slots:
            for number, name in enumerate(names):
                if slots[number] == NOT_NAMED and not is_name(name):
                    return slots[:number]
        return slots

    def names(self, most: int) -> list[str]:
        """Some of the names that have a slot, `most` at most."""
        return [name.decode() for name in islice(self._by_name, most)]

    def has_room(self, instance: Instance, share: float) -> bool:
        """The service of an instance has a slot, or there is one for it, while no more than `share`
        of them are taken."""
        return self.of(instance) != NOT_NAMED or len(self._by_name) < share * NAMES_MAX

    def is_named(self, slot: int) -> bool:
        """It is the slot of a name."""
        return slot > NOT_NAMED

    def service(self, slot: int) -> Service:
        """The service whose slot it is."""
        return self._named[slot - NOT_NAMED - 1] if slot > NOT_NAMED else slot

    def take(self, instance: Instance) -> int:
        """The slot of the service of an instance, which gets one if it has none."""
        slot = self.of(instance)
        if slot != NOT_NAMED:
            return slot
        service = service_of(instance)
        assert isinstance(service, str)
        if self._free:
            slot = self._free.pop()
            self._named[slot - NOT_NAMED - 1] = service
        else:
            slot = self.places
            self._named.append(service)
        self._by_name[service.encode()] = slot
        return slot

    def free(self, instance: Instance) -> None:
        """The name of an instance, which has a slot, has no instance any more."""
        service = service_of(instance)
        assert isinstance(service, str)
        self._free.append(self._by_name.pop(service.encode()))
