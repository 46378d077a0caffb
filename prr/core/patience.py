"""How long a caller waits for a service before it tells the binder: by what that service takes."""

from prr.wire.instance import Service

PATIENCE_MIN = 0.1
"""Seconds: what a busy machine, or a lost datagram and its resend, may take."""

PATIENCE_MAX = 0.5
"""Seconds: also where nothing is known of the service yet. A complaint about one that lives costs
the binder one question; one about a dead one that comes late costs every caller meanwhile."""

MULTIPLE = 4.0
"""Times what the service usually takes."""

WEIGHT = 0.125
"""Of the newest answer in the average (RFC 6298's alpha)."""


SERVICES_MAX = 1024
"""Services of which that is known, 100 kB: more than one program calls."""


class Patience:
    """What each service usually takes. Safe to share between threads: a measurement that is lost in
    a race is one of many."""

    def __init__(self) -> None:
        self._usual: dict[Service, float] = {}

    def of(self, service: Service) -> float:
        """Seconds to wait for an answer of `service`, 0.1 to 0.5."""
        usual = self._usual.get(service)
        if usual is None:
            return PATIENCE_MAX
        return min(max(MULTIPLE * usual, PATIENCE_MIN), PATIENCE_MAX)

    def answered(self, service: Service, seconds: float) -> None:
        """`service` has answered, after so many `seconds`."""
        usual = self._usual.get(service)
        if usual is None:
            if len(self._usual) < SERVICES_MAX:
                self._usual[service] = seconds
            return
        self._usual[service] = usual + WEIGHT * (seconds - usual)
