"""Instances that peers said are there moments ago: who has to ask them is their lease owner.

A new instance is perhaps a forged subscription, and its owner counts what that brings to the
address (see `newcomers`). Were each binder that is told of it to ask as well, whoever complains at
each of them would multiply that by their number.
"""

from prr.core.liveness.recent import Recent

JUST_LEARNED = 10.0
"""Seconds: an owner asks one that never answers for 5 s and gives it up; and as long again."""

JUST_LEARNED_MAX = 4096
"""Instances, half a MB. Beyond it the oldest is forgotten, and may be asked here as well."""


class JustLearned(Recent):
    """When each was learned last."""

    def __init__(self) -> None:
        super().__init__(JUST_LEARNED, JUST_LEARNED_MAX)
