"""Whose turn it is, type by type. Knows no version, no peer and no time."""

from prr.core.ring import Ring
from prr.wire.address import Instance, type_of


class Turns:
    """The instances of each type in turn, the suspects apart. As large as the table beside it."""

    def __init__(self) -> None:
        self._in_turn: dict[int, Ring] = {}
        self._suspect_turns: dict[int, Ring] = {}
        self._suspects: set[Instance] = set()

    def add(self, instance: Instance) -> None:
        """Put in an instance that is not in, at the end of its type's turns."""
        self._ring(instance).add(instance)

    def remove(self, instance: Instance) -> None:
        """Take out an instance that is in."""
        self._ring(instance).remove(instance)
        self._suspects.discard(instance)

    def is_suspect(self, instance: Instance) -> bool:
        """It is out of turn."""
        return instance in self._suspects

    def suspect(self, instance: Instance) -> None:
        """Take an instance out of turn."""
        if instance not in self._suspects:
            self._ring(instance).remove(instance)
            self._suspects.add(instance)
            self._ring(instance).add(instance)

    def trust(self, instance: Instance) -> None:
        """Put an instance back in turn."""
        if instance in self._suspects:
            self._ring(instance).remove(instance)
            self._suspects.remove(instance)
            self._ring(instance).add(instance)

    def next(self, type_: int) -> Instance | None:
        """The instance of a type whose turn it is; None if there is none of the type.

        Suspects have their turn only while a type has nothing else: one that may be alive is
        worth more to a client than a "no" that may be wrong.
        """
        for rings in (self._in_turn, self._suspect_turns):
            ring = rings.get(type_)
            if ring is not None and (instance := ring.next()) is not None:
                return instance
        return None

    def types(self) -> list[int]:
        """The types of which there is at least one, in turn or suspect."""
        rings = {**self._in_turn, **self._suspect_turns}
        return sorted(type_ for type_ in rings if any(self.count(type_)))

    def count(self, type_: int) -> tuple[int, int]:
        """How many of a type are in turn, and how many suspect."""
        in_turn, suspect = self._in_turn.get(type_), self._suspect_turns.get(type_)
        return len(in_turn or ()), len(suspect or ())

    def _ring(self, instance: Instance) -> Ring:
        """The ring an instance's state puts it in."""
        rings = self._suspect_turns if instance in self._suspects else self._in_turn
        return rings.setdefault(type_of(instance), Ring())
