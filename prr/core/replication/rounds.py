"""What is known of a round of anti-entropy: see `anti_entropy`."""

from dataclasses import dataclass, field

from prr.core.effects import Send
from prr.core.replication.answering import Asked
from prr.record import record
from prr.wire.messages import DigestRequest


@dataclass(slots=True)
class Question:
    """One question of a round that is not answered yet."""

    asked: Asked
    at: float
    is_repeated: bool = False

    @property
    def group(self) -> int | None:
        """What it asks about; None: everything, which is the first question."""
        return None if isinstance(self.asked, DigestRequest) else self.asked.group


@dataclass(slots=True)
class Round:
    """A round under way: what is asked in it, and what has come of it so far."""

    began_at: float
    pause: float
    open: dict[int | None, Question] = field(default_factory=dict)
    groups_to_ask: list[int] = field(default_factory=list)
    digest: bytes | None = None  # what the peer said first: the digest of all that it knows
    is_wide: bool = False  # the peer knows wide instances, and means them too
    is_same: bool = False  # as ours was when we asked
    is_told: bool = False  # the peer is telling what differs
    pages: int = 0
    news: int = 0
    refused: int = 0
    tries: int = 0  # how often all that is open was asked again since the peer's last answer


@record
class Heard:
    """What a peer's answer led to: further questions, and how the round ended, if it is over."""

    sends: list[Send] = field(default_factory=list)
    end: "End | None" = None
    round_trip: float | None = None


@record
class End:
    """How a round ended."""

    agrees: bool
    """The two digests were equal when it began, or are now."""

    is_complete: bool
    """All that the peer told was taken in: neither was there no room, nor did it go on for ever."""

    news: int
    """Words that were news here."""

    refused: int
    """Words there was no room for."""

    took: float
    """Seconds from its first answer to its end."""

    pages: int
    """Pages that the peer told."""

    is_put_off: bool = False
    """The peer differs, but another one is being heard: who knows the same tells it once."""
