"""Pauses that grow while something goes wrong again and again, and begin anew after a calm time."""

FIRST = 0.5
"""Seconds of the first pause, after the second failure; each further pause is twice as long."""

MOST = 60.0
"""Seconds of the longest pause: so late at most is noticed that all is well again."""

CALM = 60.0
"""Seconds for which it has to go well before a failure counts as the first one again."""


class Backoff:
    """The pause after each failure. The first one in a calm time has none."""

    def __init__(self) -> None:
        self._pause = 0.0

    def failed(self, lasted: float) -> float:
        """It went well for `lasted` seconds and has failed: seconds to wait before the next try."""
        pause = 0.0 if lasted >= CALM else self._pause
        self._pause = min(max(FIRST, 2 * pause), MOST)
        return pause
