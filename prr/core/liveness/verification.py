"""One verification under way: what is asked, and what has come of it so far."""

from dataclasses import dataclass

from prr.core.liveness.phases import WAITS, Phase
from prr.wire.instance import Address


@dataclass(slots=True)
class Verification:
    """A row of `Verifications`."""

    serial: int
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
    is_over: bool = False  # settled by other means; kept while its question may still be open
