"""Pauses between attempts that fail: they grow, and no two binders take the same."""

import random

FIRST = 0.05
MAX = 1.0
"""Seconds: each pause is twice the one before, and what is back is found within a second or so."""


class Pauses:
    """Those of one loop."""

    def __init__(self) -> None:
        self._next = FIRST

    def next(self) -> float:
        """Seconds until the next attempt: half of what is due at least."""
        due, self._next = self._next, min(2 * self._next, MAX)
        return due * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """An attempt has succeeded."""
        self._next = FIRST
