"""Instances that legacy binders say are there, though they are gone here: to be asked before that
is believed, and not to be told to them again, who take each word for one more server.

What one of them says all of them have heard: it tells every peer.
"""

from collections.abc import Iterable, Iterator

from prr.wire.instance import Instance

RETURNING_MAX = 4096
"""Instances that are claimed: forty lists of 100. Beyond it the oldest claim is forgotten, and
legacy binders may be told what they have: they hold it twice then."""


class Returning:
    """What is claimed, as long as it is not settled."""

    def __init__(self) -> None:
        self._instances: dict[Instance, None] = {}

    def __contains__(self, instance: Instance) -> bool:
        return instance in self._instances

    def has_none_of(self, instances: Iterable[Instance]) -> bool:
        """None of `instances` is claimed."""
        return self._instances.keys().isdisjoint(instances)

    def __iter__(self) -> Iterator[Instance]:
        return iter(self._instances)

    def add(self, instance: Instance) -> None:
        """It is said to be there, and is not there here."""
        if instance not in self._instances and len(self._instances) >= RETURNING_MAX:
            del self._instances[next(iter(self._instances))]
        self._instances[instance] = None

    def settle(self, instance: Instance) -> bool:
        """It is there here, or nobody says so any more; whether it was claimed."""
        return instance in self._instances and self._instances.pop(instance) is None
