"""What verifications have come to, and how long they took: counted since the node started."""

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

from prr.core.liveness.states import Trigger

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 5.0)
"""Seconds: one that answers takes as long as its network, two refusals 0.05, silence 1 to 2."""

FINDINGS = (
    *(Trigger.ANSWERED, Trigger.REFUSED, Trigger.SILENT, Trigger.SILENT_ALONE),
    *(Trigger.MUTE, Trigger.UNSENT),
)
"""How a verification ends."""


class Verdicts:
    """Counts of one binder."""

    def __init__(self, evictions: Mapping[str, int]) -> None:
        """`evictions`: how many instances were evicted, by what was found."""
        self.evictions = evictions
        self._counts = {finding: [0] * (len(BOUNDS) + 1) for finding in FINDINGS}
        self._seconds = dict.fromkeys(FINDINGS, 0.0)

    def count(self, finding: Trigger, seconds: float) -> None:
        """One has ended with this, so long after its first question."""
        self._counts[finding][bisect_left(BOUNDS, seconds)] += 1
        self._seconds[finding] += seconds

    def status(self) -> dict[str, Any]:
        """By finding: how many took no longer than each of BOUNDS, and longer, not added up; and
        how many seconds they took together."""
        return {
            str(one): {"counts": list(self._counts[one]), "seconds": round(self._seconds[one], 6)}
            for one in FINDINGS
        }
