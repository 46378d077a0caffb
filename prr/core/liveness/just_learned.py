"""Instances that peers said are there moments ago: who has to ask them is their lease owner.

A new instance is perhaps a forged subscription, and its owner counts what that brings to the
address (see `newcomers`). Were each binder that is told of it to ask as well, whoever complains at
each of them would multiply that by their number.
"""

from prr.wire.instance import Instance

JUST_LEARNED = 10.0
"""Seconds: an owner asks one that never answers for 5 s and gives it up; and as long again."""

JUST_LEARNED_MAX = 4096
"""Instances, half a MB. Beyond it the oldest is forgotten, and may be asked here as well."""


class JustLearned:
    """When each was learned last, the oldest first."""

    def __init__(self) -> None:
        self._learned_at: dict[Instance, float] = {}

    def __len__(self) -> int:
        return len(self._learned_at)

    def add(self, instance: Instance, now: float) -> None:
        """A peer has said that it is there, which was news."""
        self._learned_at.pop(instance, None)
        if len(self._learned_at) >= JUST_LEARNED_MAX:
            del self._learned_at[next(iter(self._learned_at))]
        self._learned_at[instance] = now

    def has(self, instance: Instance, now: float) -> bool:
        """It was learned less than JUST_LEARNED seconds ago."""
        learned_at = self._learned_at.get(instance)
        return learned_at is not None and now - learned_at < JUST_LEARNED
