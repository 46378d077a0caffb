"""Whose turn it is, service by service. Knows no version, no peer and no time.

A service has a slot, by which its turns are found, and so has each of its views (see `slots`): the
slot of a number is the number, so that a run of lookups as it arrived is a list of slots.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice, repeat
from operator import length_hint

from prr.core.directory.results import NOBODY
from prr.core.directory.ring import Ring
from prr.core.directory.slots import ROUTES_MAX, Routes, Slots
from prr.core.directory.weighted_ring import Turns, WeightedRing
from prr.wire.instance import TYPES, Instance, Service, is_wide
from prr.wire.questions import Asked

AHEAD = 64
"""Turns of a service that lie ready: enough that a lookup costs little more than a `next`, and so
few that a change, which takes them back, costs no more with a million instances than with ten."""

ORDINARY = (1, "")
"""The weight and the zone of an instance that says nothing of either."""


class Rotation:
    """The instances of each view in turn: those heard since they were restored, then those that
    were not, the drained, and suspects last. As large as the table beside it."""

    def __init__(self) -> None:
        self._slots = Slots()
        self._ahead: list[Iterator[Instance]] = []
        self._in_turn: dict[int, Turns] = {}
        self._unheard_turns: dict[int, Turns] = {}
        self._drained_turns: dict[int, Turns] = {}
        self._suspect_turns: dict[int, Turns] = {}
        self._unheard: set[Instance] = set()
        self._drained: set[Instance] = set()
        self._suspects: set[Instance] = set()
        self._said: dict[Instance, tuple[int, str]] = {}  # weight and zone, of who has any
        self._routes = Routes(self._slot)
        self._make_room()

    def add(
        self, instance: Instance, weight: int = 1, zone: str = "", drained: bool = False
    ) -> None:
        """Put in an instance that is not in, at the end of its turns: it has `weight` (1 to 16) of
        them in a round, is in `zone`, or in none, and may be `drained`."""
        self._describe(instance, weight, zone, drained)
        self._enter(instance, self._open(instance))

    def add_all(self, instances: Collection[Instance]) -> None:
        """The same for many, in their order."""
        self._add_to(self._in_turn, instances)

    def add_unheard(self, instances: Collection[Instance]) -> None:
        """Put in many that are not in, in their order, after those that were heard."""
        self._add_to(self._unheard_turns, instances)
        self._unheard.update(instances)

    def change(self, instance: Instance, weight: int, zone: str, drained: bool = False) -> None:
        """Something else is said of an instance that is in; for the rest its state stays."""
        left = self._leave(instance)
        self.add(instance, weight, zone, drained)
        self._slots.free(instance, left, self._is_empty)

    def remove(self, instance: Instance) -> None:
        """Take out an instance that is in."""
        left = self._leave(instance)
        for state in (self._suspects, self._drained, self._unheard):
            state.discard(instance)
        self._said.pop(instance, None)
        self._slots.free(instance, left, self._is_empty)

    def has_room(self, instance: Instance, share: float) -> bool:
        """Its service has a slot, or there is one for it: see `Slots.has_room`."""
        return self._slots.has_room(instance, share)

    def slots(self, asked: Iterable[Asked]) -> list[int]:
        """Where the turns are of what was asked for: in a zone while it has an instance in turn."""
        return [*map(self._routes.__getitem__, asked)]

    def is_suspect(self, instance: Instance) -> bool:
        """It is out of turn."""
        return instance in self._suspects

    def is_drained(self, instance: Instance) -> bool:
        """It is out of turn, and before suspects."""
        return instance in self._drained

    def is_unheard(self, instance: Instance) -> bool:
        """It was restored, and neither heard nor suspected since."""
        return instance in self._unheard

    def is_last_in_turn(self, instance: Instance) -> bool:
        """Without this one, which is in, somebody who asks for its service has none in turn."""
        slots = self._slots.of(instance, "")
        itself, in_turn = self._rings(instance), self._states()[:2]
        of_view = [[(one is itself) < len(one.get(slot, ())) for one in in_turn] for slot in slots]
        return not all(map(any, of_view))

    def in_turn(self, instances: Sequence[Instance]) -> int:
        """How many of the first, which are in, were heard, and are not suspect."""
        if self._suspects.isdisjoint(ones := {*instances}) and self._unheard.isdisjoint(ones):
            return len(instances)
        return [one in self._suspects or one in self._unheard for one in instances].index(True)

    def suspect(self, instance: Instance) -> None:
        """Take an instance out of turn."""
        if instance not in self._suspects:
            slots = self._leave(instance)
            self._unheard.discard(instance)
            self._suspects.add(instance)
            self._enter(instance, slots)

    def trust(self, instance: Instance) -> None:
        """Put an instance back in turn."""
        if instance in self._suspects or instance in self._unheard:
            slots = self._leave(instance)
            self._suspects.discard(instance)
            self._unheard.discard(instance)
            self._enter(instance, slots)

    def next(self, slots: Sequence[int], denies: bool = False) -> list[Instance]:
        """For each of `slots` the instance whose turn it is.

        With `denies` it is NOBODY for a service that has none; without, the list ends there.

        Those drained or suspect have their turn only while a service has nothing else: one that may
        be alive is worth more to a client than a "no" that may be wrong.
        """
        found: list[Instance] = []
        while rest := slots[len(found) :]:
            # Either ends early, without an error, at the first service of which nothing lies ready.
            if rest.count(rest[0]) == len(rest):  # a fifth of what different ones cost
                found += islice(self._ahead[rest[0]], len(rest))
            else:
                found += map(next, map(self._ahead.__getitem__, rest))
            if len(found) < len(slots) and not self._look_ahead(slots[len(found)], denies):
                break
        return found

    def upcoming(self, slot: int, turns: int) -> list[Instance]:
        """Who has the next `turns` of a view, each once, in their order. None is taken."""
        self._take_back(slot)
        if (ring := self._turning(slot)) is None:
            return []
        ring.give_back(len(taken := ring.take(turns)))
        return [*dict.fromkeys(taken)]

    def services(self, most: int, after: Service | None = None) -> list[Service]:
        """The first `most` that have an instance, from behind `after`: see `Directory.services`."""
        name = after if isinstance(after, str) else ""
        numbers = [] if name else self._numbers(-1 if after is None else int(after))[:most]
        return [*numbers, *self._slots.names(name, most - len(numbers))]

    def service_count(self) -> int:
        """How many services have an instance."""
        return len(self._numbers()) + self._slots.name_count

    def count(self, service: Service) -> tuple[int, int, int]:
        """How many of a service are in turn, heard or not, drained, and suspect."""
        slot = self._slots.whole(service)
        heard, unheard, drained, suspect = (len(rings.get(slot, ())) for rings in self._states())
        return heard + unheard, drained, suspect

    def instances_of(self, service: Service) -> list[Instance]:
        """All of a service in the order of their turns: in turn, drained, suspect."""
        slot = self._slots.whole(service)
        self._take_back(slot)
        return [instance for rings in self._states() for instance in rings.get(slot, ())]

    def out_of_turn(self) -> tuple[frozenset[Instance], frozenset[Instance]]:
        """The suspects, and those drained, suspect or not."""
        return frozenset(self._suspects), frozenset(self._drained)

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Places and their limit in each ring, and names."""
        names = ("turns", "unheard", "drained", "suspects")
        of_rings = {
            f"{name} of {self._slots.describe(slot)}": ring.size
            for name, rings in zip(names, self._states(), strict=True)
            for slot, ring in rings.items()
        }
        return of_rings | self._slots.sizes | {"routes": (len(self._routes), ROUTES_MAX)}

    def _numbers(self, after: int = -1) -> list[Service]:
        """The numbered services that have an instance, beyond `after`, in order."""
        slots = {self._slots.whole(number): number for number in range(after + 1, TYPES)}
        return sorted({slots[at] for rings in self._states() for at in slots.keys() & rings.keys()})

    def _slot(self, asked: Asked) -> int:
        service, zone, wide = asked
        if zone:
            slot = self._slots.of_zone(service, zone, wide)
            if slot in self._in_turn or slot in self._unheard_turns:
                return slot
        return self._slots.whole(service) if wide else self._slots.of_service(service)

    def _states(self) -> tuple[dict[int, Turns], ...]:
        """Those that have their turns first come first."""
        return self._in_turn, self._unheard_turns, self._drained_turns, self._suspect_turns

    def _turning(self, slot: int) -> Turns | None:
        """The ring that gives the turns of a view; None if it has no instance."""
        return next((rings[slot] for rings in self._states() if slot in rings), None)

    def _is_empty(self, slot: int) -> bool:
        return self._turning(slot) is None

    def _make_room(self) -> None:
        self._ahead += [iter(())] * (self._slots.places - len(self._ahead))

    def _look_ahead(self, slot: int, denies: bool) -> bool:
        """Lay the next turns of a view ready; False if it has none and that must not be said."""
        ring = self._turning(slot)
        if ring is not None:
            self._ahead[slot] = iter(ring.take(AHEAD))
        elif denies:
            self._ahead[slot] = repeat(NOBODY, AHEAD)
        return ring is not None or denies

    def _take_back(self, slot: int) -> None:
        """The instances of a view are about to change: nothing of it may lie ready."""
        if ready := length_hint(self._ahead[slot]):
            if (ring := self._turning(slot)) is not None:
                ring.give_back(ready)
            self._ahead[slot] = iter(())

    def _open(self, instance: Instance) -> list[int]:
        """The slots of the views that an instance is about to enter, those that are new among
        them."""
        _, zone = self._said.get(instance, ORDINARY)
        if zone or is_wide(instance):  # others need no more than their service has anyway
            for slot, begins_as in self._slots.take(instance, zone):
                self._routes.clear()
                for rings in self._states():
                    if begins_as in rings:
                        rings[slot] = rings[begins_as].copy()
            self._make_room()
        return self._slots.of(instance, zone)

    def _enter(self, instance: Instance, slots: Iterable[int]) -> None:
        """At the end of the turns of where its state puts it."""
        rings, (weight, _) = self._rings(instance), self._said.get(instance, ORDINARY)
        for slot in slots:
            self._take_back(slot)
            ring = rings[slot] if slot in rings else self._begin(rings, slot)
            if weight > 1:
                ring = rings[slot] = ring if isinstance(ring, WeightedRing) else WeightedRing(ring)
                ring.add(instance, weight)
            else:
                ring.add(instance)

    def _leave(self, instance: Instance) -> list[int]:
        """Out of the turns of where its state puts it; the slots where that was."""
        rings, (_, zone) = self._rings(instance), self._said.get(instance, ORDINARY)
        slots = self._slots.of(instance, zone)
        for slot in slots:
            self._take_back(slot)
            ring = rings[slot]
            ring.remove(instance)
            if not ring:
                del rings[slot]  # services may be many
                self._routes.clear()
            elif isinstance(ring, WeightedRing) and (plain := ring.plain) is not None:
                rings[slot] = plain
        return slots

    def _add_to(self, rings: dict[int, Turns], instances: Collection[Instance]) -> None:
        """Put in many, of which none says anything of itself."""
        begun: dict[int, Turns] = {}
        rows = self._slots.of_plain(instances) or map(self._open, instances)
        for instance, slots in zip(instances, rows, strict=True):
            for slot in slots:
                if (ring := begun.get(slot)) is None:
                    self._take_back(slot)
                    begun[slot] = ring = rings.get(slot) or self._begin(rings, slot)
                ring.add(instance)

    def _begin(self, rings: dict[int, Turns], slot: int) -> Turns:
        """The ring for the first of a view in some state."""
        self._routes.clear()
        ring = rings[slot] = Ring()
        return ring

    def _describe(self, instance: Instance, weight: int, zone: str, drained: bool) -> None:
        (self._drained.add if drained else self._drained.discard)(instance)
        said = weight, zone if self._slots.has_zone(instance, zone) else ""
        self._said.pop(instance, None)
        if said != ORDINARY:
            self._said[instance] = said

    def _rings(self, instance: Instance) -> dict[int, Turns]:
        """The rings an instance's state puts it in."""
        if instance in self._suspects:
            return self._suspect_turns
        if instance in self._drained:
            return self._drained_turns
        return self._unheard_turns if instance in self._unheard else self._in_turn
