"""A question that UDP may lose: asked again with growing pauses, within a limit, of one or several.

Every role asks this way. The turns go round the targets, so that one that is dead costs a pause
and not the answer.
"""

from random import Random  # noqa: TID251 the type only: the RNG comes in as an argument

from prr.wire.instance import Address

PAUSE_FIRST = 0.1
"""Seconds before a question is asked again; each further pause is twice as long. A local answer
takes under a millisecond, a distant one well under a tenth of a second."""

PAUSE_MAX = 1.6
"""Seconds, beyond which pauses do not grow."""

SPREAD = 1.4
"""So much longer a pause may be by chance: the first three fit into a second all the same."""


class Retry:
    """When, and whom, to ask next."""

    def __init__(
        self,
        targets: list[Address],
        limit: float,
        now: float,
        refused_limit: float | None = None,
        rng: Random | None = None,
    ) -> None:
        """`targets` in the order they are to be asked; `limit` in seconds for all of it, and
        `refused_limit` once every one of them has refused (None: the same). With `rng` each pause
        is up to SPREAD times as long by chance: a herd of them may ask at once."""
        assert targets
        self._targets = list(dict.fromkeys(targets))  # two names may mean one address
        self._turn = 0
        self._pause = PAUSE_FIRST
        self._rng = rng
        self._again_at = now
        self._refused: set[Address] = set()
        self.ends_at = now + limit
        self._refused_ends_at = self.ends_at if refused_limit is None else now + refused_limit

    @property
    def targets(self) -> list[Address]:
        """All who may have been asked."""
        return self._targets

    def deadline(self) -> float:
        """When to call `due`."""
        return min(self._again_at, self.ends_at)

    def ended(self, now: float) -> bool:
        """The time limit is over."""
        return now >= self.ends_at

    def due(self, now: float) -> Address | None:
        """Whom to ask now; None while it is not yet time."""
        if now < self._again_at or self.ended(now):
            return None
        spread = self._rng.uniform(1, SPREAD) if self._rng else 1.0
        self._again_at = now + self._pause * spread
        self._pause = min(2 * self._pause, PAUSE_MAX)
        return self._next()

    def refused(self, target: Address, now: float) -> Address | None:
        """`target` refused the question: whom to ask at once instead, if anybody is left.

        When all have refused, the next round waits for its time: one may be just restarting.
        """
        self._refused.add(target)
        if len(self._refused) < len(self._targets):
            return None if self.ended(now) else self._next()
        self._refused.clear()
        self.ends_at = min(self.ends_at, self._refused_ends_at)
        return None

    def _next(self) -> Address:
        target = self._targets[self._turn % len(self._targets)]
        self._turn += 1
        return target
