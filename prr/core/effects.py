"""What a core asks its shell to do. Data only, in the order it is to be done."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from prr.wire.address import Address, Instance
from prr.wire.frames import Frame


class Event(StrEnum):
    """What a Report says has happened."""

    SUBSCRIBED = "subscribed"
    LEARNED = "learned"
    WITHDRAWN = "withdrawn"
    REMOVED = "removed"
    EVICTED = "evicted"
    COMPLAINT = "complaint"
    VERIFIED = "verified"
    UNVERIFIED = "not verified"
    REFUSED = "refused"
    SYNCED = "synced"
    PEER_SILENT = "peer silent"
    CONFIRMED = "confirmed"
    NO_CONFIRMATION = "no confirmation"
    FOUND = "found"
    OUT_OF_PLACE = "out of place"
    NOT_HELD = "complaint about what is not held"


SILENT_EVENTS = frozenset({Event.OUT_OF_PLACE, Event.NOT_HELD})
"""Counted, never written: a stranger must not be able to fill a log."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a frame from the node's own socket."""

    frame: Frame
    target: Address


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask an instance whether it lives (VERIFIE_N_EXISTE_PAS), from a fresh connected socket.

    The shell listens `wait` seconds and tells the core what came: `probed(probe, outcome, now)`.
    Silence needs no word; the core watches its own deadline.
    """

    instance: Instance
    serial: int
    wait: float


class Outcome(StrEnum):
    """What became of a Probe."""

    ALIVE = "alive"  # J_EXISTE came
    REFUSED = "refused"  # nobody listens on that port
    UNSENT = "unsent"  # it never left this host: that says nothing about the instance


@dataclass(frozen=True, slots=True)
class Report:
    """Something happened to `subject`, and `why`. Logs and counters are made of these."""

    event: Event
    subject: str
    why: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The role is over: in good order, or because it cannot go on."""

    in_order: bool
    why: str


Effect: TypeAlias = Send | Probe | Report | Stop
