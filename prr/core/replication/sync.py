"""Keeping up with the other binders: who is asked, when, and what their answers lead to.

A peer is first asked with the spec's bare byte, since it may be a legacy program. One that
answers with a trailer is ours, and is compared with every second or so. One that answers bare is
asked once more, with a trailer; if that too is answered bare, it is a legacy (2016) binder, which
tells what it knows in its own time.

A comparison begins for one of five reasons: it is this peer's turn, a peer that asked was seen to
differ, one that was lost is back, or the last comparison brought news, or a page that nobody asked
for did. Each has a pause of its own, and one peer that differs is heard at a time.
"""

from math import inf
from typing import assert_never

from prr.config import WireForm
from prr.core.deadlines import Deadlines, earliest
from prr.core.effects import Effect, Event, Report, Send
from prr.core.replication.answering import Answering
from prr.core.replication.anti_entropy import AntiEntropy
from prr.core.replication.peer_liveness import LATE, Liveness
from prr.core.replication.peers import Kind, Peer, Peers
from prr.core.replication.rounds import End
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.wire.fields import LIST_INSTANCES_MAX
from prr.wire.frames import Frame, ListRequest, ServiceList
from prr.wire.inquiries import ListPage, TextPart
from prr.wire.instance import Address, describe_address
from prr.wire.messages import DigestReply, DigestRequest, Hello, Page, UnaskedPage
from prr.wire.proofs import Again

SYNC_WAIT = 1.0
"""Seconds after which a binder that heard no peer answers "no such service" all the same."""

SYNC_TALK = 10.0
"""Seconds after which it does so although a peer is still telling what it knows."""

ROUND_PAUSE = 1.0
"""Seconds between two comparisons: what a lost datagram kept from a binder it learns by then."""

ROUND_PAUSE_NEWS = 0.1
"""Seconds to the next comparison when the last one brought news: the others may lack it too. So may
those that have told much at once, as after a partition: what was taken out on both sides is known
to each only when they have been compared both ways."""

ROUND_PAUSE_FULL = 10.0
"""Seconds before a peer is compared with again whose words found no room here: each time it would
say all of them once more, and what makes room is slower than that."""

HINT_PAUSE = 0.2
"""Seconds at least between two comparisons with a peer begun since it was seen to differ."""

MANY_PAGES, REST = 16, 4.0
"""After a comparison of so many pages the next waits so many times as long as it took, at most
ROUND_PAUSE: what differs then is mostly being asked, and told by who has asked. With the same peer
it waits twice as long, after any comparison, so that one that is slow, or tells much, keeps no
other from being heard."""

PAUSE_FIRST, PAUSE_MAX = 0.05, 5.0
"""Seconds between two questions to a peer that never answered: they double from first to max."""


class Sync:
    """What this binder asks of its peers, and answers them."""

    def __init__(self, versioned: VersionedDirectory, peers: Peers, wire: WireForm) -> None:
        self._versioned = versioned
        self._peers = peers
        self._volunteers = wire is WireForm.SPEC
        self._anti_entropy = AntiEntropy(versioned.identity, versioned.directory)
        self._answering = Answering(versioned.identity, versioned.directory)
        self._liveness = Liveness(peers)
        self._first_questions: Deadlines[Address] = Deadlines()
        self._pauses: dict[Address, float] = {}
        self._round_at: float | None = None
        self._rests_until = 0.0
        self._sync_until: float | None = None

    @property
    def is_synced(self) -> bool:
        """It has heard a peer, or waited long enough: what it does not know does not exist."""
        return self._sync_until is None

    def rounds(self) -> dict[Address, int]:
        """How many questions are open, for each peer with which a round is under way."""
        return self._anti_entropy.rounds()

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Entries and limit of each container."""
        due = {"first questions due": self._first_questions.size}
        return {"questions due": self._anti_entropy.deadlines.size, **due}

    def start(self, now: float, expects_peers: bool) -> list[Effect]:
        """Begin: ask every peer for its list."""
        if len(self._peers) or expects_peers:
            self._sync_until = now + SYNC_WAIT
        self._round_at = now + ROUND_PAUSE
        if len(self._peers):
            self._liveness.expect(now)
        return [self._ask_bare(peer.address, PAUSE_FIRST, now) for peer in self._peers.all()]

    def add_peer(self, address: Address, now: float) -> list[Effect]:
        """One more peer, which was named, or whose name could be resolved, only now."""
        if address in self._peers:
            return []
        self._peers.add(address)
        self._liveness.expect(now)
        return [self._ask_bare(address, PAUSE_FIRST, now)]

    def remove_peer(self, address: Address) -> None:
        """One peer less: nothing is asked of it any more. No error if it was none."""
        self._answered(address)
        self._anti_entropy.forget(address)
        self._liveness.forget(address)
        self._peers.remove(address)

    def heard(self, peer: Peer, frame: Frame, now: float) -> list[Effect]:
        """Any frame from a peer shows that it is there, and perhaps what it is."""
        effects: list[Effect] = []
        if peer.kind is Kind.OURS and self._liveness.is_lost(peer):  # it need not be waited for
            self._anti_entropy.forget(peer.address)
            effects += self._begin(peer, now)
        effects += self._liveness.heard(peer, now)
        peer.heard_at = now
        if frame.trailer is not None and frame.trailer.binder is not None:
            peer.kind, peer.answered_bare_at = Kind.OURS, None
            was, peer.identity = peer.identity, frame.trailer.binder
            if was != peer.identity == self._versioned.identity:
                why = "it has this binder's identity: one of the two runs on a copy of the other's "
                why += "state, or it is this binder itself; stop one, and remove its directory"
                effects.append(Report(Event.TWIN, describe_address(peer.address), why))
            if not isinstance(frame, ListRequest):
                self._answered(peer.address)
        return effects

    def answer(self, frame: ListRequest, peer: Peer, now: float) -> list[Effect]:
        """A peer's question for the list."""
        if frame.trailer is None:
            return [Send(self._answer_to_bare(peer), peer.address)]
        effects: list[Effect] = [Send(self._answering.answer(frame.trailer), peer.address)]
        if isinstance(frame.trailer, DigestRequest):
            peer.is_wide = frame.trailer.full is not None
            theirs = frame.trailer.full or frame.trailer.digest
            peer.agrees = theirs == self._versioned.directory.digest(peer.is_wide)
            if not peer.agrees:
                effects += self._begin_on_hint(peer, now)
        return effects

    def merged(
        self, frame: ServiceList, peer: Peer, news: int, refused: int, now: float
    ) -> list[Effect]:
        """A peer's answer, whose words have been taken over: so many were `news`, and so many
        `refused` for want of room. What to ask next."""
        self._answered(peer.address)
        match frame.trailer:
            case None | ListPage() | TextPart():
                return self._answered_bare(peer, now)
            case Again():
                return []  # of use to programs alone
            case Hello():
                if self._sync_until is not None:
                    self._sync_until = now + SYNC_TALK
                return self._begin(peer, now)
            case UnaskedPage():
                if news and self._round_at is not None:
                    soon = max(now + ROUND_PAUSE_NEWS, self._rests_until)
                    self._round_at = min(self._round_at, soon)
                return []
            case DigestReply() | Page():
                return self._heard(frame.trailer, peer, news, refused, now)
            case _:
                assert_never(frame.trailer)

    def _heard(
        self, answer: DigestReply | Page, peer: Peer, news: int, refused: int, now: float
    ) -> list[Effect]:
        if isinstance(answer, DigestReply):
            peer.is_wide = answer.full is not None
        heard = self._anti_entropy.heard(peer.address, answer, now, news, refused)
        peer.mended += news
        if heard.round_trip is not None:
            peer.round_trip = heard.round_trip
        return [*heard.sends] if heard.end is None else self._ended(heard.end, peer, now)

    def deadline(self) -> float | None:
        """When `tick` has something to do; None if nothing is pending."""
        return earliest(
            self._sync_until,
            self._first_questions.first(),
            self._anti_entropy.deadline(),
            self._liveness.deadline(),
            self._round_at if len(self._peers) else None,
        )

    def tick(self, now: float) -> list[Effect]:
        """Do what is due by `now`. Safe to call too often."""
        due = self.deadline()
        if due is not None and now - due > LATE:
            self._liveness.stopped(now)
        effects = self._liveness.tick(now)
        if self._sync_until is not None and now >= self._sync_until:
            why = "no full list from any peer in time; serving what is known here"
            effects += self._synced(why)
        while (address := self._first_questions.pop_due(now)) is not None:
            effects += self._ask_bare_again(address, now)
        sends, given_up = self._anti_entropy.tick(now)
        effects += sends
        if given_up and not self._anti_entropy.is_talking:
            effects += self._synced("the peers fell silent; serving what they have sent so far")
        for address in given_up:
            effects += self._gave_up(address, now)
        if self._round_at is not None and now >= self._round_at:
            if self._anti_entropy.is_hearing(now):
                self._round_at = now + ROUND_PAUSE_NEWS
            else:
                self._round_at = now + ROUND_PAUSE
                if (chosen := self._peers.next(now)) is not None:
                    effects += self._begin(chosen, now)
        return effects

    def _gave_up(self, address: Address, now: float) -> list[Effect]:
        """A peer has not answered. One that is ours may be back at any moment."""
        peer = self._peers.get(address)
        if peer is None:
            return []
        peer.agrees = None
        if peer.kind is not Kind.OURS:
            return []
        return [*self._anti_entropy.begin(address, now, is_silent=True)]

    def _begin(self, peer: Peer, now: float) -> list[Effect]:
        """Compare notes with a peer, unless what it knows finds no room here anyway."""
        if peer.full_at is not None and now < peer.full_at + ROUND_PAUSE_FULL:
            return []
        peer.full_at = None
        return [*self._anti_entropy.begin(peer.address, now)]

    def _ended(self, end: End, peer: Peer, now: float) -> list[Effect]:
        """A comparison is over."""
        peer.agrees = end.agrees
        peer.full_at = now if end.refused else None
        rest = min(end.took * (REST if end.pages >= MANY_PAGES else 1.0), ROUND_PAUSE)
        self._rests_until = now + rest
        peer.rests_until = now + 2 * rest
        pause = max(ROUND_PAUSE_NEWS, rest) if end.news or end.is_put_off else ROUND_PAUSE
        due = inf if self._round_at is None else max(self._round_at, now + rest)
        self._round_at = min(now + pause, due)  # or who is always seen to differ puts off all turns
        why = f"full list received from peer {describe_address(peer.address)}"
        return self._synced(why) if end.is_complete else []

    def _answer_to_bare(self, peer: Peer) -> ServiceList:
        """The first instances; one of ours is shown that it may ask for the rest."""
        directory = self._versioned.directory
        instances, _ = directory.instances(b"", LIST_INSTANCES_MAX, wide=False)
        shows = self._volunteers or peer.kind is Kind.OURS
        trailer = Hello(binder=self._versioned.identity) if shows else None
        return ServiceList(tuple(instances), trailer=trailer)

    def _begin_on_hint(self, peer: Peer, now: float) -> list[Effect]:
        """A peer was seen to differ: it may know what we do not."""
        if self._round_at is None:  # it still reads from the disk: much of that is no news
            return []
        rests_until = max(self._rests_until, peer.rests_until, peer.hinted_at + HINT_PAUSE)
        if now < rests_until or self._anti_entropy.is_hearing(now):
            return []
        peer.hinted_at = now
        return self._begin(peer, now)

    def _answered_bare(self, peer: Peer, now: float) -> list[Effect]:
        if self._anti_entropy.is_talking_to(peer.address):  # it was asked with a trailer
            self._anti_entropy.forget(peer.address)
            peer.kind, peer.identity, peer.answered_bare_at = Kind.LAB, None, None
        elif peer.kind is Kind.UNKNOWN:
            peer.answered_bare_at = now
        return self._synced(f"list received from peer {describe_address(peer.address)}")

    def _ask_bare_again(self, address: Address, now: float) -> list[Effect]:
        pause = min(2 * self._pauses[address], PAUSE_MAX)
        effects: list[Effect] = []
        if pause > SYNC_WAIT >= self._pauses[address]:
            why = f"no list from it; it is asked again every {PAUSE_MAX:g} s at the latest"
            effects.append(Report(Event.PEER_SILENT, describe_address(address), why))
        return [*effects, self._ask_bare(address, pause, now)]

    def _ask_bare(self, address: Address, pause: float, now: float) -> Send:
        self._pauses[address] = pause
        self._first_questions.set(address, now + pause)
        return Send(ListRequest(), address)

    def _answered(self, address: Address) -> None:
        self._first_questions.cancel(address)
        self._pauses.pop(address, None)

    def _synced(self, why: str) -> list[Effect]:
        if self._sync_until is None:
            return []
        self._sync_until = None
        return [Report(Event.SYNCED, "", why)]
