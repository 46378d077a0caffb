"""What a node counts: the one table that the log, `status` and the documents read."""

from collections.abc import Iterable, Mapping
from enum import Enum

from prr.core.effects import Event, Report, ReportAll


class Metric(Enum):
    """A count since the node started, which never falls."""

    __hash__ = object.__hash__  # Enum's own is written in Python, and every burst pays for it

    FRAMES_RECEIVED = "frames received", "frames", "all that could be read, lookups included"
    MALFORMED = "malformed datagrams dropped", "datagrams", "not a frame, or not one for this role"
    LOOKUPS = "lookups answered", "lookups", "those that waited until this binder knew included"
    UNKNOWN = "lookups answered with no instance", "lookups", "their service has none"
    KERNEL_DROPS = (
        "datagrams dropped by the kernel, the queue being full",
        "datagrams",
        "more arrive than this process can take, or than may wait of one host",
    )
    SEND_DROPS = (
        "datagrams dropped, the network being full",
        "datagrams",
        "too many wait already for room to send",
    )
    SEND_ERRORS = "datagrams that could not be sent", "datagrams", "the system refused to send them"
    COMMITS = "commits", "commits", "groups of changes that are on disk"
    COMMITS_FAILED = "commits failed", "commits", "the disk refuses to write; tried again"
    CONFIRMATIONS_SLOW = (
        "confirmations dropped, the disk being slow",
        "confirmations",
        "too many wait for the disk already; the server asks again",
    )
    CONFIRMATIONS_FAILING = (
        "confirmations dropped, the disk failing",
        "confirmations",
        "the disk refuses to write; the server asks again",
    )

    ETCD_WRITTEN = "updates written to etcd", "updates", "in those transactions"
    ETCD_COMMITS = "transactions in etcd", "transactions", "of 100 updates at most"
    ETCD_CONFLICTS = (
        "transactions that met another update",
        "transactions",
        "which was heard instead; what is newer is written again",
    )
    ETCD_MALFORMED = "malformed keys or values in etcd", "keys", "somebody else's: not read"
    ETCD_READINGS = "readings of all that is in etcd", "readings", "at the start, and after a gap"

    SUBSCRIBED = Event.SUBSCRIBED, "instances", "new here, by their own subscription"
    LEARNED = Event.LEARNED, "reports", "new instances, or removals, from a peer"
    WITHDRAWN = Event.WITHDRAWN, "instances", "deregistered by themselves"
    REMOVED = Event.REMOVED, "instances", "gone because a peer says so, or may not be here"
    DISPUTED = Event.DISPUTED, "instances", "a peer says gone, was heard here lately: asked first"
    EVICTED = Event.EVICTED, "instances", "found dead by this binder"
    COMPLAINT = Event.COMPLAINT, "complaints", "about an instance that is held, which is asked"
    PASSED_ON = Event.PASSED_ON, "complaints", "about an instance just learned, to its lease owner"
    SUSPECTED = Event.SUSPECTED, "instances", "out of turn for a moment, since a peer doubts them"
    VERIFIED = Event.VERIFIED, "instances", "in doubt, and answered"
    UNVERIFIED = Event.UNVERIFIED, "complaints", "no room to ask at once; the instance waits"
    ASKED = Event.ASKED, "questions", "sent to instances to see whether they live"
    REFUSED = Event.REFUSED, "instances", "no room, or a loopback address: not taken in"
    EXCLUDED = Event.EXCLUDED, "updates", "from peers, about loopback addresses: ignored"
    KEPT = Event.KEPT, "instances", "silent, and kept all the same for now"
    DRAINED = Event.DRAINED, "instances", "taken out of turn by an operator"
    UNDRAINED = Event.UNDRAINED, "instances", "put back in turn after that"
    ADOPTED = Event.ADOPTED, "instances", "taken over from a lease owner that is silent"
    BRAKE = Event.BRAKE, "changes", "the eviction limiter tripped, or was released"
    LATE = Event.LATE, "times", "the event loop lagged; silence meanwhile does not count"
    SYNCED = Event.SYNCED, "lists", "received in full from a peer at the start"
    PEER_SILENT = Event.PEER_SILENT, "peers", "did not answer at the start"
    TWIN = Event.TWIN, "times", "a peer has this binder's identity"
    PEER_LOST = Event.PEER_LOST, "peers", "nothing heard for seconds"
    PEER_BACK = Event.PEER_BACK, "peers", "heard again"
    ISOLATED = Event.ISOLATED, "times", "no peer is heard"
    CONNECTED = Event.CONNECTED, "times", "a peer is heard again"
    CONFIRMED = Event.CONFIRMED, "subscriptions", "of this server, by a binder"
    NO_CONFIRMATION = Event.NO_CONFIRMATION, "questions", "of this server that a binder left open"
    FOUND = Event.FOUND, "instances", "named to this client"
    OUT_OF_PLACE = Event.OUT_OF_PLACE, "frames", "from somebody who may not send them"
    NOT_HELD = Event.NOT_HELD, "complaints", "about an instance that is not held"
    UNPROVED = Event.UNPROVED, "frames", "whose senders proved nothing: --require log"
    NOT_BELIEVED = Event.NOT_BELIEVED, "frames", "whose senders did not prove who they are"
    REPLAYED = Event.REPLAYED, "frames", "with a ticket or a number that has been used"
    OVER_QUOTA = (
        Event.OVER_QUOTA,
        "subscriptions",
        "too many at an address, or of a host that have not answered: not confirmed",
    )
    FLOODED = (
        Event.FLOODED,
        "subscriptions",
        "too many of all hosts have not answered: not confirmed",
    )
    HOST_FULL = Event.HOST_FULL, "instances", "their host has as many as it may: not confirmed"
    CREDENTIAL_FULL = (
        Event.CREDENTIAL_FULL,
        "instances",
        "as many as may have subscribed with their credential: not confirmed",
    )
    OVER_COMPLAINTS = Event.OVER_COMPLAINTS, "complaints", "too many from one host: ignored"
    PUT_OFF = (
        Event.PUT_OFF,
        "complaints",
        "about one that was just asked: it is asked again a moment later",
    )
    CHECK_PASSED = Event.CHECK_PASSED, "times", "an agent's program works, and is made known"
    CHECK_FAILED = (
        Event.CHECK_FAILED,
        "times",
        "an agent's program does not work, and is out of turn",
    )
    FLAPPING = Event.FLAPPING, "times", "it works again, but came and went too often to be believed"
    ENDED = Event.ENDED, "times", "the program that an agent runs has ended"

    CALL_FAILED = Event.CALL_FAILED, "requests", "at which the program behind this server failed"
    CALL_DROPPED = Event.CALL_DROPPED, "requests", "too many wait for the program already"

    def __init__(self, key: str, unit: str, help_: str) -> None:
        """`key`: what `status` and the log call it. `help_`: what is counted, and why."""
        self.key = str(key)
        self.unit = unit
        self.help = help_


METRIC_OF = {event: Metric[event.name] for event in Event}
"""What a Report counts for. Every event has one."""

SILENT_EVENTS = frozenset(
    {
        Event.OUT_OF_PLACE,
        Event.NOT_HELD,
        Event.PASSED_ON,
        Event.SUSPECTED,
        Event.OVER_QUOTA,
        Event.REPLAYED,
        Event.FLOODED,
        Event.HOST_FULL,
        Event.CREDENTIAL_FULL,
        Event.OVER_COMPLAINTS,
        Event.PUT_OFF,
        Event.ASKED,
        Event.EXCLUDED,
        Event.DISPUTED,
    }
)
"""Counted, never written to the log: a stranger must not be able to fill it, and of what is
disputed the end is said."""


def count_of(reports: Iterable[Report | ReportAll]) -> int:
    """How much they report."""
    return sum([len(one.instances) if isinstance(one, ReportAll) else 1 for one in reports])


def by_key(counts: Mapping[Metric, int]) -> dict[str, int]:
    """Counts as `status` and the log show them: in order, without what never happened."""
    return dict(sorted((metric.key, count) for metric, count in counts.items() if count))
