"""Where turns are: a small number for each view of a service, its slot.

A service has several views, each with turns of its own: its instances of the spec, which everybody
can take; all of them, those at IPv6 addresses too; and of either those of one zone. Only the first
is always there: the slot of a numbered service is its number, and a name has one as long as it has
an instance. The others come with the first instance that needs them, and go when they are empty.
What somebody asks makes none.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable
from typing import TypeAlias

from prr.wire.instance import (
    TYPES,
    Instance,
    Service,
    describe_service,
    is_ipv6,
    is_wide,
    service_of,
)
from prr.wire.questions import Asked

NAMES_MAX = 1 << 16
"""Names at once, 1.5 kB each beside their instances: whoever makes up names fills 100 MB, and no
cluster has so many services. A restore may bring as many again, which were kept by this limit."""

ZONE_VIEWS_MAX = 1 << 14
"""Views by zone at once, 1.5 kB each. An instance for whose zone there is no room is in none: it
has its turns among all of its service."""

NOT_NAMED = TYPES
"""The slot of all names that have no instance. Nothing ever has its turn there."""

ROUTES_MAX = 1 << 14
"""Of what was asked for lately, so much is known: some 3 MB. Finding one again costs half a
microsecond."""

View: TypeAlias = tuple[int, str, bool]
"""The slot of a service, a zone ("": wherever they are), and whether it has those at IPv6 addresses
too."""


class Routes(dict[Asked, int]):
    """The slots of what was asked for, found when it is asked for first. To be cleared whenever a
    view gets its first instance, or its first in turn, or loses its last."""

    def __init__(self, find: Callable[[Asked], int]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, asked: Asked) -> int:
        if len(self) >= ROUTES_MAX:
            self.clear()
        slot = self[asked] = self._find(asked)
        return slot


class Slots:
    """The slots of one directory's services."""

    def __init__(self) -> None:
        self._by_name: dict[str, int] = {}
        self._in_order: list[str] = []  # the same names; to put one in moves 0.5 MB at most
        self._views: dict[View, int] = {}
        self._zone_views = 0
        self._held: list[str | View] = []  # by slot, from NOT_NAMED + 1 on
        self._free: list[int] = []

    @property
    def places(self) -> int:
        """Every slot is below this."""
        return NOT_NAMED + 1 + len(self._held)

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """How many names and views by zone have a slot, and how many may."""
        zones = (self._zone_views, ZONE_VIEWS_MAX)
        return {"names": (len(self._by_name), NAMES_MAX), "views by zone": zones}

    def of_service(self, service: Service) -> int:
        """The slot of what everybody can take of a service; NOT_NAMED for a name that has none."""
        return service if isinstance(service, int) else self._by_name.get(service, NOT_NAMED)

    def whole(self, service: Service) -> int:
        """The slot of all of a service."""
        slot = self.of_service(service)
        return self._views.get((slot, "", True), slot)

    def of_zone(self, service: Service, zone: str, wide: bool) -> int:
        """The slot of a zone of a service; NOT_NAMED if there is none."""
        slot = self.of_service(service)
        narrow = self._views.get((slot, zone, False), NOT_NAMED)
        return self._views.get((slot, zone, True), narrow) if wide else narrow

    def of(self, instance: Instance, zone: str) -> list[int]:
        """The slots of all views that an instance in `zone` is in."""
        slot = self.of_service(service_of(instance))
        if not self._views:
            return [slot]
        wide = is_ipv6(instance)
        views: list[View] = [(slot, "", True)]
        if zone:
            views += [(slot, zone, True)] if wide else [(slot, zone, True), (slot, zone, False)]
        slots = [] if wide else [slot]
        return slots + [self._views[view] for view in views if view in self._views]

    def of_plain(self, instances: Iterable[Instance]) -> list[tuple[int]]:
        """For each of these, which say nothing of a zone, the slots of all views that it is in:
        that of its service, if all are of the spec and there are no others. Empty if some may be in
        more."""
        if self._views or any(map(is_wide, instances)):
            return []
        return [(self.of_service(service_of(instance)),) for instance in instances]

    @property
    def name_count(self) -> int:
        """How many names have a slot."""
        return len(self._by_name)

    def names(self, after: str, most: int) -> list[str]:
        """The first `most` names that have a slot, in order, from behind one, which need not."""
        at = bisect_right(self._in_order, after)
        return self._in_order[at : at + most]

    def describe(self, slot: int) -> str:
        """What has its turns there."""
        held = slot if slot < NOT_NAMED else self._held[slot - NOT_NAMED - 1]
        if not isinstance(held, tuple):
            return describe_service(held)
        of, zone, wide = held
        return f"{self.describe(of)}{f' in {zone}' if zone else ''}{' with IPv6' if wide else ''}"

    def has_room(self, instance: Instance, share: float) -> bool:
        """The service of an instance has a slot, or there is one for it, while no more than `share`
        of them are taken."""
        is_known = self.of_service(service_of(instance)) != NOT_NAMED
        return is_known or len(self._by_name) < share * NAMES_MAX

    def has_zone(self, instance: Instance, zone: str) -> bool:
        """The view that an instance needs in `zone` is there, or there is room for it."""
        view = self.of_service(service_of(instance)), zone, is_ipv6(instance)
        return view in self._views or self._zone_views < ZONE_VIEWS_MAX

    def take(self, instance: Instance, zone: str) -> list[tuple[int, int]]:
        """Give a slot to whatever an instance in `zone` needs and has none: the views that are new,
        each with the slot of that whose instances are in it from the beginning."""
        service = service_of(instance)
        slot = self.of_service(service)
        if slot == NOT_NAMED:
            assert isinstance(service, str)
            slot = self._by_name[service] = self._hold(service)
            insort(self._in_order, service)
        wide = is_ipv6(instance)
        begun: list[tuple[int, int]] = []
        if wide and (slot, "", True) not in self._views:
            begun.append((self._open((slot, "", True)), slot))
        if zone and (slot, zone, wide) not in self._views:
            narrow = self._views.get((slot, zone, False), NOT_NAMED)
            begun.append((self._open((slot, zone, wide)), narrow))
            self._zone_views += 1
        return begun

    def free(self, instance: Instance, slots: list[int], is_empty: Callable[[int], bool]) -> None:
        """An instance has left `slots`: those that are empty now may get something else."""
        if slots[-1] < NOT_NAMED:  # a numbered service, of which there is no view
            return
        for slot in filter(is_empty, slots):
            held = self._held[slot - NOT_NAMED - 1] if slot > NOT_NAMED else slot
            if isinstance(held, tuple):
                del self._views[held]
                self._zone_views -= bool(held[1])
                self._free.append(slot)
        service = service_of(instance)
        if isinstance(service, str) and is_empty(self.whole(service)):
            self._free.append(self._by_name.pop(service))
            del self._in_order[bisect_left(self._in_order, service)]

    def _open(self, view: View) -> int:
        slot = self._views[view] = self._hold(view)
        return slot

    def _hold(self, held: str | View) -> int:
        """A slot for a name or a view."""
        if not self._free:
            self._held.append(held)
            return self.places - 1
        slot = self._free.pop()
        self._held[slot - NOT_NAMED - 1] = held
        return slot
