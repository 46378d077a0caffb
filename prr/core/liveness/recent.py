"""What happened to instances a moment ago."""

from math import inf

from prr.wire.instance import Instance


class Recent:
    """When it happened to each last, the oldest first."""

    def __init__(self, seconds: float, most: int) -> None:
        """It counts for so many `seconds`. Beyond so many instances the oldest is forgotten."""
        self._seconds = seconds
        self._most = most
        self._when: dict[Instance, float] = {}

    def __len__(self) -> int:
        return len(self._when)

    @property
    def size(self) -> tuple[int, int]:
        """Entries and limit."""
        return len(self._when), self._most

    def add(self, instance: Instance, now: float) -> None:
        """It happens to this one now."""
        self._when.pop(instance, None)
        if len(self._when) >= self._most:
            del self._when[next(iter(self._when))]
        self._when[instance] = now

    def has(self, instance: Instance, now: float) -> bool:
        """It happened to this one, and still counts."""
        return self.until(instance) > now

    def until(self, instance: Instance) -> float:
        """When it counts no longer, in seconds; never if it did not happen, or is forgotten."""
        when = self._when.get(instance)
        return -inf if when is None else when + self._seconds
