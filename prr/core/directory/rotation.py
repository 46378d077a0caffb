"""Whose turn it is, type by type. Knows no version, no peer and no time."""

from collections.abc import Collection, Iterator, Sequence
from itertools import islice, repeat
from operator import length_hint

from prr.core.directory.ring import Ring
from prr.wire.instance import TYPES, Instance, type_of

AHEAD = 64
"""Turns of a type that lie ready: enough that a lookup costs little more than a `next`, and so
few that a change, which takes them back, costs no more with a million instances than with ten."""

NOBODY = Instance(b"")
"""Stands for the instance of a type that has none."""


class Rotation:
    """The instances of each type in turn; those that were not heard since they were restored come
    after those that were, and suspects last. As large as the table beside it."""

    def __init__(self) -> None:
        self._ahead: list[Iterator[Instance]] = [iter(())] * TYPES
        self._in_turn: dict[int, Ring] = {}
        self._unheard_turns: dict[int, Ring] = {}
        self._suspect_turns: dict[int, Ring] = {}
        self._unheard: set[Instance] = set()
        self._suspects: set[Instance] = set()

    def add(self, instance: Instance) -> None:
        """Put in an instance that is not in, at the end of its type's turns."""
        self._take_back(type_of(instance))
        self._ring(instance).add(instance)

    def add_all(self, instances: Collection[Instance]) -> None:
        """The same for many, in their order."""
        for type_ in set(map(type_of, instances)):
            self._take_back(type_)
        for instance in instances:
            self._in_turn.setdefault(type_of(instance), Ring()).add(instance)

    def add_unheard(self, instances: Collection[Instance]) -> None:
        """Put in many that are not in, in their order, after those that were heard."""
        rings: dict[int, Ring] = {}
        for type_ in set(map(type_of, instances)):
            self._take_back(type_)
            rings[type_] = self._unheard_turns.setdefault(type_, Ring())
        for instance in instances:
            rings[type_of(instance)].add(instance)
        self._unheard.update(instances)

    def remove(self, instance: Instance) -> None:
        """Take out an instance that is in."""
        self._take_back(type_of(instance))
        self._ring(instance).remove(instance)
        self._suspects.discard(instance)
        self._unheard.discard(instance)

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
            self._take_back(type_of(instance))
            self._ring(instance).remove(instance)
            self._unheard.discard(instance)
            self._suspects.add(instance)
            self._ring(instance).add(instance)

    def trust(self, instance: Instance) -> None:
        """Put an instance back in turn."""
        if instance in self._suspects or instance in self._unheard:
            self._take_back(type_of(instance))
            self._ring(instance).remove(instance)
            self._suspects.discard(instance)
            self._unheard.discard(instance)
            self._ring(instance).add(instance)

    def next(self, types: Sequence[int], denies: bool = False) -> list[Instance]:
        """For each of `types` the instance whose turn it is.

        With `denies` it is NOBODY for a type that has none; without, the list ends there.

        Suspects have their turn only while a type has nothing else: one that may be alive is
        worth more to a client than a "no" that may be wrong.
        """
        found: list[Instance] = []
        while rest := types[len(found) :]:
            # Either ends early, without an error, at the first type of which nothing lies ready.
            if rest.count(rest[0]) == len(rest):  # a fifth of what different ones cost
                found += islice(self._ahead[rest[0]], len(rest))
            else:
                found += map(next, map(self._ahead.__getitem__, rest))
            if len(found) < len(types) and not self._look_ahead(types[len(found)], denies):
                break
        return found

    def types(self) -> list[int]:
        """The types of which there is at least one, in turn or suspect."""
        rings = {**self._in_turn, **self._unheard_turns, **self._suspect_turns}
        return sorted(type_ for type_ in rings if any(self.count(type_)))

    def count(self, type_: int) -> tuple[int, int]:
        """How many of a type are in turn, heard or not, and how many suspect."""
        rings = (self._in_turn, self._unheard_turns, self._suspect_turns)
        heard, unheard, suspect = (len(ring.get(type_, ())) for ring in rings)
        return heard + unheard, suspect

    def instances_of(self, type_: int) -> list[Instance]:
        """All of a type in the order of their turns: heard, then unheard ones, then suspects."""
        self._take_back(type_)
        rings = (self._in_turn, self._unheard_turns, self._suspect_turns)
        return [instance for ring in rings for instance in ring.get(type_, ())]

    def suspects(self) -> frozenset[Instance]:
        """Those out of turn."""
        return frozenset(self._suspects)

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Places and their limit in each ring."""
        rings = {"turns": self._in_turn, "unheard": self._unheard_turns}
        rings["suspects"] = self._suspect_turns
        return {
            f"{name} of {type_}": ring.size
            for name, by_type in rings.items()
            for type_, ring in by_type.items()
        }

    def _look_ahead(self, type_: int, denies: bool) -> bool:
        """Lay the next turns of a type ready; False if it has none and that must not be said."""
        ring = self._turning(type_)
        if ring is not None:
            self._ahead[type_] = iter(ring.take(AHEAD))
        elif denies:
            self._ahead[type_] = repeat(NOBODY, AHEAD)
        return ring is not None or denies

    def _take_back(self, type_: int) -> None:
        """The instances of a type are about to change: nothing of it may lie ready."""
        ready = length_hint(self._ahead[type_])
        if ready:
            if (ring := self._turning(type_)) is not None:
                ring.give_back(ready)
            self._ahead[type_] = iter(())

    def _turning(self, type_: int) -> Ring | None:
        """The ring that gives the turns of a type; None if it has no instance."""
        for rings in (self._in_turn, self._unheard_turns, self._suspect_turns):
            if ring := rings.get(type_):
                return ring
        return None

    def _ring(self, instance: Instance) -> Ring:
        """The ring an instance's state puts it in."""
        rings = self._in_turn
        if instance in self._suspects:
            rings = self._suspect_turns
        elif instance in self._unheard:
            rings = self._unheard_turns
        return rings.setdefault(type_of(instance), Ring())
