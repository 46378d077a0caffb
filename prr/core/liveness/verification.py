"""One verification under way: what is asked, and what has come of it so far."""

from dataclasses import dataclass, field

from prr.core.liveness.phases import WAITS, Phase
from prr.wire.instance import Address

REFUSALS = 2
"""Refusals that evict."""

REFUSAL_PAUSE = 0.05
"""Seconds between a refusal and the next question."""


@dataclass(slots=True)
class Verification:
    """A row of `Verifications`."""

    serial: int  # of its questions from now on
    nonce: int
    start: int
    with_nonce: bool
    is_urgent: bool
    began_at: float
    accuser: Address | None
    questions: int
    particulars: bytes
    phase: Phase = Phase.NOTHING_ASKED
    wait: float = WAITS[0]  # seconds, of its last question
    refused: int = 0
    refused_at: float | None = None
    unsent: int = 0
    first: int = field(init=False)  # the serial of its first ones
    is_over: bool = False  # settled by other means; kept while its question may still be open

    def __post_init__(self) -> None:
        self.first = self.serial

    def void_refusals(self, serial: int) -> None:
        """From now on its questions have another serial, the highest so far."""
        self.serial, self.refused, self.refused_at = serial, 0, None

    def has_asked(self, serial: int | None) -> bool:
        """A question with this serial is its own; None: another binder's question counts too."""
        return serial is None or self.first <= serial <= self.serial
