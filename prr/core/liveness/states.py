"""The words of the lifecycle table: states, triggers, guards, actions, and what a row is."""

from dataclasses import dataclass
from enum import StrEnum

from prr.core.effects import Effect, Probe
from prr.record import record
from prr.wire.instance import Address, Instance
from prr.wire.version import NO_START, Version


class State(StrEnum):
    """What an instance is to a binder."""

    ABSENT = "absent"  # nothing is known of it
    UP = "up"  # held, in turn
    SUSPECT = "suspect"  # held, out of turn: handed out only while its service has no other
    DISPUTED = "disputed"  # held, out of turn, though a newer update says that it is gone
    LEFT = "left"  # gone; it has left, or is evicted and its start number is known
    EVICTED = "evicted"  # gone; its start number is not known: perhaps a legacy (2016) server


class Trigger(StrEnum):
    """What can happen to it."""

    SUBSCRIBED = "subscribed"  # as it says itself, first or again; its host has not too many
    WITHDREW = "deregistered"  # as it says itself
    PEER_SAYS_UP = "a peer says it is there"
    PEER_SAYS_GONE = "a peer says it is gone"  # or a legacy binder, as if that were decided here
    PEER_REMOVED = "removed by a peer"  # and taken out here
    OLDER_REMOVAL = "older removal"  # a peer's, told by itself, of one that is held
    LEGACY_SAYS_UP = "a legacy binder says it is there"
    LEGACY_SUBSCRIBED = "subscribed with a legacy binder"  # though it is held here
    PEER_SUSPECTS = "a peer suspects it"
    PEER_CLEARS = "a peer suspects it no longer"
    SUSPICION_ENDED = "a peer's suspicion ended"
    ACCUSED = "accused"
    LEASE_ENDED = "lease ended"
    OWNER_SILENT = "owner silent"
    RESTORED = "restored"
    RECHECK_DUE = "recheck due"
    UNANSWERED = "question unanswered"
    REFUSED_ONCE = "question refused"  # and one refusal is not enough
    NEWCOMER_DUE = "newcomer due"
    # How a verification ends.
    ANSWERED = "answered"  # it answered, or another binder's question
    REFUSED = "refused"  # nobody listens there
    SILENT = "silent"  # nobody was answered, and another binder says the same
    SILENT_ALONE = "silent alone"  # nobody was answered, and there was no other binder to ask
    MUTE = "mute"  # nobody was answered, not even by the binders that were asked
    UNSENT = "unsent"  # the question could not be sent


class Guard(StrEnum):
    """What a row may require. Each is a method of `Guards`, by its name."""

    SAYS_START = "its start number is said"
    SAYS_SAME = "ours already, with what it says"
    SAME_START = "held with the start number it says"
    UNPROVEN_SAYS_START = "back, has not answered yet, says its start number"
    HAS_LEASE = "a lease here"
    SUSPECTED_LATELY = "suspected by a peer lately"
    PEERS_KNOW = "a peer suspects it already"
    BEING_ASKED = "being asked"
    WAITS = "being asked, or waits for it"
    JUST_ASKED = "just asked for a complaint"
    NO_PLACE = "no place for a verification"
    HANDED_OVER = "another binder owns its lease"
    GONE_FOR_GOOD = "not heard here, and not legacy"
    NO_ROOM = "no room, over a quota, or a loopback address"
    NO_ROOM_TO_LEARN = "no room for what peers say"
    SAID_OURS = "said to be owned here"
    SAID_UNPROVEN = "said to have not answered yet"
    SAID_OURS_UNPROVEN = "said to be owned here, and to have not answered yet"
    VOUCHED_FOR = "heard here within its lease"
    OWNER_HEARD = "its owner is a peer that is heard"
    ORPHANED = "its owner is lost"
    OWNED_ELSEWHERE = "another binder owns it"
    UNPROVEN = "back, and has not answered yet"
    NEWCOMER = "newcomer"
    ACCUSED_SILENT = "accused, and that was the first question"
    QUESTIONS_LEFT = "newcomer with questions left"
    NO_QUESTIONS_LEFT = "newcomer without questions left"
    ASKABLE = "newcomer that may be asked"
    CUT_OFF = "newcomer, and no peer is heard"
    NEWCOMER_WITH_START = "newcomer with a start number"
    PEER_DECIDES = "a peer wants our opinion"
    LIMITED = "the eviction limiter holds"
    HAS_START = "start number known"
    REMOVAL_HAS_START = "the removal has a start number"


class Action(StrEnum):
    """What a row may have done. Each is a method of `Actions`, by its name."""

    HOLD = "hold it, own it, tell the peers"
    HOLD_LEARNED = "hold it, own it, tell nobody"
    HOLD_UNPROVEN = "hold it as one that has not answered yet"
    REFUSE = "report that there is no room"
    HEAR = "end all doubt unreported, renew the lease"
    END_DOUBT = "end all doubt unreported"
    TAKE_OVER = "take over what the peer says"
    DISPUTE = "dispute the removal, ask it next"
    RELEASE = "another binder watches it"
    ENTRUST = "ask it within a lease, unless heard here"
    WATCH = "ask it in a lease, unless heard here"
    CLAIM = "note that a legacy binder claims it"
    TELL_OURS = "tell the peers that read versions"
    CONFIRM = "confirm it"
    CONFIRM_BARE = "confirm it at once, as a legacy binder does"
    WITHDRAW = "remove it as it says, tell the peers"
    VOID_ANSWERS = "answers to earlier questions are ignored"
    END_RECHECK = "no recheck"
    ASK_NO_MORE = "ask it no more"
    ACCUSE_OTHERS = "accuse others at its address"
    ASK_ANY_START = "ask it, whatever its start number"
    ASK_BARE = "ask it so that a legacy server can answer"
    ASK = "ask it"
    ASK_ON = "ask it again"
    ASK_ONCE = "ask it, once"
    ASK_WHEN_ROOM = "ask it when there is room"
    ASK_AFTER_MOMENT = "ask it again in a moment"
    NOTE_QUESTION = "note that it is asked now"
    ASK_SOON = "ask it in 2 s"
    ASK_LATER = "ask it in 30 s"
    ASK_NEWCOMER = "ask the newcomer in time"
    ASK_NEWCOMER_LATE = "ask the newcomer once more, late"
    FORGET_NEWCOMER = "no newcomer any more"
    SUSPECT = "take out of turn"
    TRUST = "put back in turn"
    NOTE_SUSPICION = "put it back in 2 s"
    END_SUSPICION = "the peer's suspicion is over"
    CLEAR = "end all doubt"
    PUT_OFF_LEASE = "put the lease off"
    RENEW_LEASE = "renew the lease"
    END_LEASE = "end the lease"
    PROVE = "it has proved to be there"
    TELL = "tell the peers that asked"
    TELL_SUSPICION = "tell the peers of ours to suspect it, once in 10 s"
    TAKE_BACK = "tell the peers of ours if they suspect it"
    OWN = "own it, tell the peers"
    PUT_BACK = "hold it again, tell the peers"
    REFUTE = "hold it with a newer version, tell the peers"
    CONCEDE = "the removal holds"
    DENY = "tell the legacy binders that claim it"
    EVICT = "remove it, tell the peers"
    COUNT = "count it against the limit"
    HOLD_BACK = "count it as held back"
    SAY_SUBSCRIBED = "report the subscription"
    SAY_COMPLAINT = "report the complaint"
    SAY_UNVERIFIED = "report that it waits"
    SAY_PUT_OFF = "report that it is put off"
    SAY_KEPT = "report that it is kept"
    SAY_ADOPTED = "report that it is adopted"


@record
class Verdict:
    """What a verification has found, before anything follows from it: its end, or REFUSED_ONCE."""

    instance: Instance
    finding: Trigger
    start: int  # the start number that the questions were about
    why: str
    particulars: bytes = b""  # those that it had when it was asked
    began_at: float = 0.0  # when it was asked first, in seconds; of its end only


@dataclass(slots=True)
class Case:
    """Something has happened to an instance. Not frozen, which takes a microsecond and a half more
    to make; nobody keeps it."""

    trigger: Trigger
    instance: Instance
    now: float  # seconds
    why: str = ""
    start: int = NO_START  # the start number that it says, or that the questions to it were about
    reply: Effect | None = None  # what confirms its subscription
    by: Address | None = None  # who accuses it
    probe: Probe | None = None  # the next question to it
    version: Version | None = None  # that of what a peer says
    renewal: int = 0  # seconds within which it says that it renews; 0: it does not say
    particulars: bytes = b""  # those that it says, or a peer says of it


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One way to go on. `after` is None where the state stays what it was. Equal to none but
    itself."""

    states: frozenset[State]
    triggers: frozenset[Trigger]
    guard: Guard | None
    after: State | None
    why: str
    actions: tuple[Action, ...]
