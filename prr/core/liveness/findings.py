"""What a verification finds: the end of the questions, before anything follows from it."""

from dataclasses import dataclass
from enum import Enum, auto

from prr.wire.instance import Instance


class Finding(Enum):
    """What a verification found."""

    ALIVE = auto()  # it answered, or another binder's question
    REFUSED = auto()  # nobody listens there
    SILENT = auto()  # nobody was answered, and another binder says the same
    SILENT_ALONE = auto()  # nobody was answered, and there was no other binder to ask
    MUTE = auto()  # nobody was answered, not even by the binders that were asked
    UNSENT = auto()  # the question could not be sent


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end of a verification."""

    instance: Instance
    finding: Finding
    start: int  # the start number that the questions were about
    why: str
