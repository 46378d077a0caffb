"""How long a caller waits for a service before it tells the binder: by what that service takes."""

PATIENCE_MIN = 0.1
"""Seconds: what a busy machine, or a lost datagram and its resend, may take."""

PATIENCE_MAX = 0.5
"""Seconds: also where nothing is known of the service yet. A complaint about one that lives costs
the binder one question; one about a dead one that comes late costs every caller meanwhile."""

MULTIPLE = 4.0
"""Times what the service usually takes."""

WEIGHT = 0.125
"""Of the newest answer in the average (RFC 6298's alpha)."""


class Patience:
    """What each service type usually takes, of 256 at most. Safe to share between threads: a
    measurement that is lost in a race is one of many."""

    def __init__(self) -> None:
        self._usual: dict[int, float] = {}

    def of(self, type_: int) -> float:
        """Seconds to wait for an answer of a service of `type_`, 0.1 to 0.5."""
        usual = self._usual.get(type_)
        if usual is None:
            return PATIENCE_MAX
        return min(max(MULTIPLE * usual, PATIENCE_MIN), PATIENCE_MAX)

    def answered(self, type_: int, seconds: float) -> None:
        """A service of `type_` (0 to 255) has answered, after so many `seconds`."""
        usual = self._usual.get(type_, seconds)
        self._usual[type_] = usual + WEIGHT * (seconds - usual)
