"""What a binder has lost of its state on disk, for as long as that is a reason to look after it."""

import time

LOSS_TOLD = 300.0
"""Seconds for which a binder that lost some of its state is not well: whoever watches it asks once
a minute, and by then its servers have subscribed again."""


class Losses:
    """Remembers the last one."""

    def __init__(self) -> None:
        self._what: str | None = None
        self._at = 0.0

    def note(self, what: str) -> None:
        """Something was lost just now."""
        self._what, self._at = what, time.monotonic()

    def lately(self) -> str | None:
        """What was lost, if that is not long ago."""
        return self._what if time.monotonic() - self._at < LOSS_TOLD else None
