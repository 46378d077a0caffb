"""What is said only under a seal: proofs, and the tickets that keep a word from being said twice.

Whoever hears a sealed word can say it again, from anywhere. So a word that changes something counts
only if the number in its seal is a ticket of this very binder, for where it came from and for how
things stand: see `core.tickets`. Who has none is given one, and says it again.
"""

from prr.record import record
from prr.wire.message import Message

PROOF_PADDING = 304
"""Bytes in a question that wants a proof: it is as long as the longest one, so that a server that
is asked in somebody's name sends nobody more than was sent to it."""


@record(kw_only=True)
class Again(Message):
    """Say that again, with this ticket as the number of your seal."""

    ticket: int


@record(kw_only=True)
class Confirmed(Message):
    """Behind a confirmation: renew within `renewal` seconds (none: 5), with this ticket; or leave
    with it."""

    ticket: int
    renewal: int | None = None


@record(kw_only=True)
class Proof(Message):
    """The answer, under a server's seal whose number is the question's nonce: this instance is
    there, and it is I who speaks for it."""

    instance: bytes
    start: int
