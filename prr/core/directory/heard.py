"""When each instance was heard last. Only a binder that somebody may watch notes it."""

from collections.abc import Callable, Collection

from prr.wire.instance import Instance


class Heard:
    """The instances that this binder has heard itself: they have subscribed, or answered a question
    of its. As large as the table at most: what is not held is not noted."""

    def __init__(self, is_held: Callable[[Instance], bool]) -> None:
        self._is_held = is_held
        self._at: dict[Instance, float] = {}
        self.noted = 0
        """How often some were heard."""

    def __len__(self) -> int:
        return len(self._at)

    def note(self, instances: Collection[Instance], now: float) -> None:
        """These were heard at `now` (seconds)."""
        self.noted += 1
        self._at.update(dict.fromkeys(filter(self._is_held, instances), now))

    def at(self, instance: Instance) -> float | None:
        """When an instance was heard last (seconds); None if it never was while it was held."""
        return self._at.get(instance)

    def forget(self, instance: Instance) -> None:
        """It is not held any more. No error if it was never heard."""
        self._at.pop(instance, None)
