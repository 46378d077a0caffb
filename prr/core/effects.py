"""What a core asks its shell to do. Data only, in the order it is to be done."""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from prr.core.answers import answers, proves
from prr.record import record
from prr.wire.frames import Frame, Verify
from prr.wire.instance import Address, Instance, describe, describe_address
from prr.wire.questions import Asked
from prr.wire.seal import Seal
from prr.wire.sealed_subscriptions import SealedSubscription
from prr.wire.trailer import Question
from prr.wire.version import Version


class Event(StrEnum):
    """What a Report says has happened."""

    __hash__ = str.__hash__  # Enum's own is written in Python, and each Report pays for it

    SUBSCRIBED = "subscribed"
    LEARNED = "learned"
    WITHDRAWN = "deregistered"
    REMOVED = "removed"
    DISPUTED = "disputed"
    EVICTED = "evicted"
    COMPLAINT = "complaint"
    PASSED_ON = "complaint passed on"
    SUSPECTED = "suspected"
    VERIFIED = "verified"
    UNVERIFIED = "not verified"
    ASKED = "asked"
    REFUSED = "refused"
    EXCLUDED = "loopback address refused"
    KEPT = "kept"
    DRAINED = "drained"
    UNDRAINED = "no longer drained"
    ADOPTED = "adopted"
    BRAKE = "eviction limiter"
    LATE = "late"
    SYNCED = "synced"
    PEER_SILENT = "peer silent"
    TWIN = "same identity"
    PEER_LOST = "peer lost"
    PEER_BACK = "peer back"
    ISOLATED = "isolated"
    CONNECTED = "no longer isolated"
    CONFIRMED = "confirmed"
    NO_CONFIRMATION = "no confirmation"
    FOUND = "found"
    OUT_OF_PLACE = "out of place"
    NOT_HELD = "complaint about what is not held"
    OVER_QUOTA = "subscription over a quota"
    UNPROVED = "believed without proof"
    NOT_BELIEVED = "not believed"
    REPLAYED = "said before"
    FLOODED = "subscription over the quota of all"
    HOST_FULL = "instance over its host's quota"
    CREDENTIAL_FULL = "instance over its credential's quota"
    OVER_COMPLAINTS = "complaint over its source's quota"
    PUT_OFF = "complaint put off"
    CHECK_PASSED = "check passed"
    CHECK_FAILED = "check failed"
    FLAPPING = "flapping"
    ENDED = "ended"
    CALL_FAILED = "call failed"
    CALL_DROPPED = "call dropped"


@record
class Send:
    """Send a frame from the node's own socket."""

    frame: Frame
    target: Address


@record
class Answer:
    """Answer a lookup from the node's own socket with the instance `found`, or NOBODY: that the
    service has none. The codec knows in which of the two forms; `asked` is what the trailer of
    the lookup was read for, if it was, and `seal` what the answer is sealed with."""

    found: Instance
    target: Address
    asked: Asked | None = None
    seal: Seal | None = None


class Update(NamedTuple):
    """The last update about an instance: its version, whether the instance is present, and with
    which particulars (encoded)."""

    version: Version
    is_present: bool
    particulars: bytes = b""


@record
class Persist:
    """Keep what has changed, soon: for each instance the last update about it, None if it is
    forgotten. `counter` is no earlier than any that this binder has used."""

    updates: dict[Instance, Update | None]
    counter: int


DrainRow: TypeAlias = tuple[Instance, bytes, float]
"""An instance that is drained, the word on it (see `wire.drain`), and when that ends: a moment of
the core's clock in what it says, the seconds that are left in what it is told."""


@record
class KeepDrains:
    """Keep until when instances are drained, soon, instead of what was kept of that. What is lost
    counts anew. `rows` are read when they are written: what they are then."""

    rows: Iterable[DrainRow]


@record
class Confirm:
    """Send a frame once all that was said about `instance` so far is on disk; else never."""

    instance: Instance
    frame: Frame
    target: Address


@record
class ConfirmAll:
    """Send each of some instances the same frame, once all that was said about it so far is on
    disk; else never."""

    instances: Sequence[Instance]
    frame: Frame


@record
class ConfirmSealed:
    """Likewise, each with the ticket for what it says next, sealed as it has sealed what it said,
    and with within how many seconds it is to renew (None: as usual)."""

    said: Sequence[SealedSubscription]
    tickets: Sequence[int]
    renewal: int | None

    def of(self, instances: Sequence[Instance]) -> "ConfirmSealed":
        """The same for some of the instances, which are all different, in their order."""
        if [one.instance for one in self.said] == [*instances]:
            return self  # as they are where nothing is waited for
        rows = {one.instance: (one, no) for one, no in zip(self.said, self.tickets, strict=True)}
        said, tickets = zip(*[rows[one] for one in instances], strict=True)
        return ConfirmSealed(said, tickets, self.renewal)


@record
class AskAgain:
    """Have each of some say that again, with its ticket."""

    said: Sequence[SealedSubscription]
    tickets: Sequence[int]


@record
class Probe:
    """Ask an instance whether it lives (VERIFIE_N_EXISTE_PAS), from a fresh connected socket.

    A further question of the same `serial` goes out from the same socket while that is open, so
    that a slow answer to the one before still counts; after a refusal it has a fresh one. The
    shell listens for another `wait` seconds for what `is_answer` accepts, and tells the core what
    came: `probed(probe, outcome, now)`. Silence needs no word; the core watches its own deadline.

    `at` is where it is asked, its own address or its agent's. `start` is the start number of the
    server asked, where known; ANY_START: any will do; NO_START: a bare answer will do as well, from
    a legacy (2016) program. `is_urgent`: binders disagree about the instance until it answers;
    others may have to wait for their turn. `wants_proof`: only a sealed answer counts.
    """

    instance: Instance
    serial: int
    wait: float
    frame: Verify
    start: int
    at: Address
    is_urgent: bool = False
    wants_proof: bool = False

    def is_answer(self, frame: Frame) -> bool:
        """The frame answers this question; see `answers`."""
        if self.wants_proof:
            return proves(self.frame, frame, self.instance, self.start, self.at)
        return answers(self.frame, frame, self.instance, self.start)


@record
class ProbeAll:
    """Ask some, each at another address, together from one fresh socket whether they are there. The
    shell listens for `wait` seconds for answers with the nonce and the start number of each
    (ANY_START: any will do), and tells the core whose have come (`answered_all(asked, instances,
    now)`), and nothing of the others. `serials`: of the verifications that begin with this, as in
    Probe; empty: newcomers are asked."""

    instances: Sequence[Instance]
    nonces: Sequence[int]
    starts: Sequence[int]
    wait: float
    serials: Sequence[int] = ()


class Outcome(StrEnum):
    """What became of a Probe."""

    ALIVE = "alive"  # J_EXISTE came
    REFUSED = "refused"  # nobody listens on that port
    UNSENT = "unsent"  # it never left this host: that says nothing about the instance


@record
class Report:
    """Something happened to `of`: an instance, something with that name, or, if it is empty, the
    node itself; and `why`. Logs and counters are made of these; it is formatted lazily."""

    event: Event
    of: Instance | str
    why: str

    @property
    def subject(self) -> str:
        """What it happened to, as text; empty for the node itself."""
        return self.of if isinstance(self.of, str) else describe(self.of)

    @property
    def instances(self) -> Sequence[Instance]:
        """The instance it happened to, whose history keeps it; none if it was none."""
        return () if isinstance(self.of, str) else (self.of,)

    def text(self, name: str | None = None) -> str:
        """All of it in one line; `name`: what the instance's number is called."""
        subject = f"{self.subject} ({name})" if name else self.subject
        return f"{self.event} {subject}: {self.why}" if subject else f"{self.event}: {self.why}"


@record
class ReportAll:
    """The same happened to each of many instances: as many Reports, most of them never made."""

    event: Event
    instances: Sequence[Instance]
    why: str

    def each(self) -> Iterator[Report]:
        """One after the other."""
        return (Report(self.event, one, self.why) for one in self.instances)


def stray(frame: Frame, source: Address) -> Report:
    """A Report about a frame that `source` had no business to send."""
    return Report(Event.OUT_OF_PLACE, type(frame).__name__, describe_address(source))


@record
class Tell:
    """A program on this host asks for what the shell knows as well: send it as text, in parts."""

    question: Question
    target: Address
    nonce: int
    offset: int
    instance: Instance | None
    seal: Seal | None = None


@record
class Stop:
    """The role is over: gracefully (`in_order`), or because it cannot go on."""

    in_order: bool
    why: str


ClientEffect: TypeAlias = Send | Report
"""What a client's core asks for."""

ServerEffect: TypeAlias = ClientEffect | Stop
"""What a server's core asks for."""

Kept: TypeAlias = Persist | KeepDrains | Confirm | ConfirmAll | ConfirmSealed
"""What it asks for of its disk."""

Effect: TypeAlias = ServerEffect | ReportAll | Answer | Kept | AskAgain | Probe | ProbeAll | Tell
"""What a binder's core asks for."""
