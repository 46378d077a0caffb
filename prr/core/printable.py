"""What others say, made fit for a line of a log or a terminal."""

from prr.wire.frames import Complaint
from prr.wire.instance import Address, describe_address
from prr.wire.messages import Reason

WORDS_MAX = 120
"""Characters of it: a line."""


def in_one_line(words: str | bytes) -> str:
    """`words` (bytes: UTF-8) without what would disturb a terminal, and cut to a bounded length."""
    text = words.decode(errors="replace") if isinstance(words, bytes) else words
    line = "".join(mark if mark.isprintable() else " " for mark in text).strip()
    return line if len(line) <= WORDS_MAX else f"{line[: WORDS_MAX - 3]}..."


def complaint_of(frame: Complaint, source: Address) -> str:
    """What a client complains of."""
    why = f"{describe_address(source)} could not reach it"
    said = frame.trailer
    return f"{why}: {in_one_line(said.error)}" if isinstance(said, Reason) else why
