"""Whose turn it is, service by service. Knows no version, no peer and no time.


A service has a slot, by which its turns are found: the slot of a number is the number, so that a
run of lookups as it arrived is a list of slots. Names get slots beyond these while they have an
instance.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice, repeat
from operator import length_hint
from typing import TypeAlias

from prr.core.directory.ring import Ring
from prr.core.directory.slots import Slots
from prr.core.directory.weighted_ring import WeightedRing
from prr.wire.instance import TYPES, Instance, Service, describe_service

AHEAD = 64
"""Turns of a service that lie ready: enough that a lookup costs little more than a `next`, and so
few that a change, which takes them back, costs no more with a million instances than with ten."""

ORDINARY = (1, "")
"""The weight and the zone of an instance that says nothing of either."""

NOBODY = Instance(b"")
"""Stands for the instance of a service that has none."""


Turns: TypeAlias = Ring | WeightedRing
"""Those of a service that are in the same state: a plain ring while none weighs more than 1."""


class Rotation:
    """The instances of each service in turn; those that were not heard since they were restored
    come after those that were, and suspects last. As large as the table beside it."""

    def __init__(self) -> None:
        self._slots = Slots()
        self._ahead: list[Iterator[Instance]] = []
        self._in_turn: dict[int, Turns] = {}
        self._unheard_turns: dict[int, Turns] = {}
        self._suspect_turns: dict[int, Turns] = {}
        self._unheard: set[Instance] = set()
        self._suspects: set[Instance] = set()
        self._said: dict[Instance, tuple[int, str]] = {}  # weight and zone, of who has any
        self._make_room()

    def add(self, instance: Instance, weight: int = 1, zone: str = "") -> None:
        """Put in an instance that is not in, at the end of its service's turns: it has `weight` (1
        to 16) of them in a round, and is in `zone`, or in none."""
        self._take_back(self._take_slot(instance))
        self._describe(instance, weight, zone)
        self._enter(instance)

    def change(self, instance: Instance, weight: int, zone: str) -> None:
        """An instance that is in says something else of itself; its state stays what it was."""
        self._take_back(self._slots.of(instance))
        self._leave(instance)
        self._describe(instance, weight, zone)
        self._enter(instance)

    def add_all(self, instances: Collection[Instance]) -> None:
        """The same for many, in their order."""
        slots = [self._take_slot(instance) for instance in instances]
        for slot in set(slots):
            self._take_back(slot)
        for slot, instance in zip(slots, instances, strict=True):
            self._in_turn.setdefault(slot, Ring()).add(instance)

    def add_unheard(self, instances: Collection[Instance]) -> None:
        """Put in many that are not in, in their order, after those that were heard."""
        rings: dict[int, Turns] = {}
        for instance in instances:
            slot = self._take_slot(instance)
            ring = rings.get(slot)
            if ring is None:
                self._take_back(slot)
                ring = rings[slot] = self._unheard_turns.setdefault(slot, Ring())
            ring.add(instance)
        self._unheard.update(instances)

    def remove(self, instance: Instance) -> None:
        """Take out an instance that is in."""
        slot = self._slots.of(instance)
        self._take_back(slot)
        self._leave(instance)
        self._suspects.discard(instance)
        self._unheard.discard(instance)
        self._said.pop(instance, None)
        if self._slots.is_named(slot) and self._turning(slot) is None:
            self._slots.free(instance)

    def has_room(self, instance: Instance, share: float) -> bool:
        """Its service has a slot, or there is one for it: see `Slots.has_room`."""
        return self._slots.has_room(instance, share)

    def slots(self, services: Iterable[Service]) -> list[int]:
        """Where the turns of each of `services` are."""
        return self._slots.of_services(services)

    def slots_of_names(self, names: list[bytes]) -> list[int]:
        """The same of names, up to the first that is none."""
        return self._slots.of_names(names)

    def is_suspect(self, instance: Instance) -> bool:
        """It is out of turn."""
        return instance in self._suspects

    def is_unheard(self, instance: Instance) -> bool:
        """It was restored, and neither heard nor suspected since."""
        return instance in self._unheard

    def are_in_turn(self, instances: Collection[Instance]) -> bool:
        """All of them, which are in, were heard, and none is suspect."""
        return self._suspects.isdisjoint(instances) and self._unheard.isdisjoint(instances)

    def suspect(self, instance: Instance) -> None:
        """Take an instance out of turn."""
        if instance not in self._suspects:
            self._take_back(self._slots.of(instance))
            self._leave(instance)
            self._unheard.discard(instance)
            self._suspects.add(instance)
            self._enter(instance)

    def trust(self, instance: Instance) -> None:
        """Put an instance back in turn."""
        if instance in self._suspects or instance in self._unheard:
            self._take_back(self._slots.of(instance))
            self._leave(instance)
            self._suspects.discard(instance)
            self._unheard.discard(instance)
            self._enter(instance)

    def next(self, slots: Sequence[int], denies: bool = False) -> list[Instance]:
        """For each of `slots` the instance whose turn it is.

        With `denies` it is NOBODY for a service that has none; without, the list ends there.

        Suspects have their turn only while a service has nothing else: one that may be alive is
        worth more to a client than a "no" that may be wrong.
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

    def services(self, most: int) -> list[Service]:
        """The services of which there is at least one instance, in turn or suspect, `most` at most:
        numbers in order, then names."""
        numbers = [number for number in range(TYPES) if any(self._count(number))]
        return [*numbers[:most], *sorted(self._slots.names(max(0, most - len(numbers))))]

    def service_count(self) -> int:
        """How many services have an instance."""
        return sum(any(self._count(number)) for number in range(TYPES)) + self._slots.size[0]

    def count(self, service: Service) -> tuple[int, int]:
        """How many of a service are in turn, heard or not, and how many suspect."""
        (slot,) = self.slots([service])
        return self._count(slot)

    def instances_of(self, service: Service) -> list[Instance]:
        """All of a service in the order of their turns: heard, then unheard ones, then suspects."""
        (slot,) = self.slots([service])
        self._take_back(slot)
        rings = (self._in_turn, self._unheard_turns, self._suspect_turns)
        return [instance for ring in rings for instance in ring.get(slot, ())]

    def suspects(self) -> frozenset[Instance]:
        """Those out of turn."""
        return frozenset(self._suspects)

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Places and their limit in each ring, and names."""
        rings = {"turns": self._in_turn, "unheard": self._unheard_turns}
        rings["suspects"] = self._suspect_turns
        sizes = {
            f"{name} of {describe_service(self._slots.service(slot))}": ring.size
            for name, by_slot in rings.items()
            for slot, ring in by_slot.items()
        }
        return sizes | {"names": self._slots.size}

    def _count(self, slot: int) -> tuple[int, int]:
        rings = (self._in_turn, self._unheard_turns, self._suspect_turns)
        heard, unheard, suspect = (len(ring.get(slot, ())) for ring in rings)
        return heard + unheard, suspect

    def _take_slot(self, instance: Instance) -> int:
        """The slot of an instance's service, which gets one if it has none."""
        slot = self._slots.take(instance)
        if slot >= len(self._ahead):
            self._make_room()
        return slot

    def _make_room(self) -> None:
        self._ahead += [iter(())] * (self._slots.places - len(self._ahead))

    def _look_ahead(self, slot: int, denies: bool) -> bool:
        """Lay the next turns of a service ready; False if it has none and that must not be said."""
        ring = self._turning(slot)
        if ring is not None:
            self._ahead[slot] = iter(ring.take(AHEAD))
        elif denies:
            self._ahead[slot] = repeat(NOBODY, AHEAD)
        return ring is not None or denies

    def _take_back(self, slot: int) -> None:
        """The instances of a service are about to change: nothing of it may lie ready."""
        ready = length_hint(self._ahead[slot])
        if ready:
            if (ring := self._turning(slot)) is not None:
                ring.give_back(ready)
            self._ahead[slot] = iter(())

    def _turning(self, slot: int) -> Turns | None:
        """The ring that gives the turns of a service; None if it has no instance."""
        for rings in (self._in_turn, self._unheard_turns, self._suspect_turns):
            if ring := rings.get(slot):
                return ring
        return None

    def _enter(self, instance: Instance) -> None:
        """At the end of the turns of where its state puts it."""
        rings, slot = self._rings(instance), self._slots.of(instance)
        ring = rings.setdefault(slot, Ring())
        weight, _ = self._said.get(instance, ORDINARY)
        if weight > 1:
            ring = rings[slot] = ring if isinstance(ring, WeightedRing) else WeightedRing(ring)
            ring.add(instance, weight)
        else:
            ring.add(instance)

    def _leave(self, instance: Instance) -> None:
        """Out of the turns of where its state puts it."""
        rings, slot = self._rings(instance), self._slots.of(instance)
        ring = rings[slot]
        ring.remove(instance)
        if not ring:
            del rings[slot]  # services may be many
        elif isinstance(ring, WeightedRing) and (plain := ring.plain) is not None:
            rings[slot] = plain

    def _describe(self, instance: Instance, weight: int, zone: str) -> None:
        if (weight, zone) != ORDINARY:
            self._said[instance] = weight, zone
        else:
            self._said.pop(instance, None)

    def _rings(self, instance: Instance) -> dict[int, Turns]:
        """The rings an instance's state puts it in."""
        if instance in self._suspects:
            return self._suspect_turns
        return self._unheard_turns if instance in self._unheard else self._in_turn
