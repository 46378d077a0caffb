"""Anti-entropy: comparing with one peer at a time until both know the same.

Intuition: two binders that know the same need eight bytes to see it, and two that differ in one
instance should not have to tell each other a million. So what a binder knows is hashed as a Merkle
tree of two levels, 64 groups of 64 buckets (as Dynamo's replicas do: DeCandia et al., 2007, 4.7).
The digests are sums (XOR), so that an update costs three of them and nothing is ever hashed anew.

A round begins with the digest of everything. A peer that knows the same says so, and that is all.
Otherwise it answers with the digests of its 64 groups; each group that differs is asked for with
the digests of its 64 buckets, and comes back in pages of what lies in the buckets that differ.
A round is pulled by the side that wants to know; the other side, seeing that it differs, begins
one of its own. What was lost is asked for again; the answering side (`answering`) has no state.

After a partition everybody differs from everybody, and several peers have the same to tell. The
first that differs is heard; the others are put off until it has told, and mostly differ no more.
"""

from dataclasses import replace

from prr.core.deadlines import Deadlines
from prr.core.directory.digests import differing
from prr.core.directory.directory import Directory
from prr.core.effects import Send
from prr.core.replication.answering import Asked
from prr.core.replication.pages import goes_on
from prr.core.replication.rounds import End, Heard, Question, Round
from prr.wire.frames import ListRequest
from prr.wire.instance import Address
from prr.wire.messages import DigestReply, DigestRequest, GroupRequest, Page, PageRequest
from prr.wire.trailer import GROUPS

GROUPS_AT_ONCE = 20
"""Groups asked for at once: enough to hide the way there and back, few enough that the answers
fit the smallest receive buffer."""

PAUSE_FIRST = 0.04
PAUSE_MIN = 0.02
PAUSE_GROWTH = 1.5
PAUSE_MAX = 0.4
"""Seconds before an unanswered question is asked again: at first three times the round-trip time,
once that is known."""

CONTACT_PAUSE = 0.1
CONTACT_PAUSE_EACH = 0.01
"""Seconds before a first question is asked again, at most: a peer that is back is heard that soon.
With many that are silent it is so many times the second: 100 questions of 20 us a second in all."""

HEARING = 3.0
"""Seconds after which others are heard although a round is still going on: its peer may be slow, or
go on for ever."""

PAGES_MAX = 1 << 17
"""Pages in one round: of 46 words each, or 11 about wide instances, more than the largest directory
holds. Whoever sends more, or pages that do not go forward, is not telling what it knows."""

TRIES_MAX = 20
"""Times a question is asked before its peer is given up, two seconds or more: with a fifth lost
either way that happens to one question in a billion."""


class AntiEntropy:
    """The rounds under way, one with each peer at most."""

    def __init__(self, identity: int, directory: Directory) -> None:
        self._identity = identity
        self._directory = directory
        self._nonce = 0  # tells a late answer from the one that is waited for
        self._rounds: dict[Address, Round] = {}
        self.deadlines: Deadlines[tuple[Address, int | None]] = Deadlines()

    @property
    def is_talking(self) -> bool:
        """A round is under way."""
        return bool(self._rounds)

    def is_talking_to(self, peer: Address) -> bool:
        """A round with this peer is under way."""
        return peer in self._rounds

    def is_hearing(self, now: float) -> bool:
        """A peer is telling what it knows, and began to lately."""
        return any(talk.is_told and now - talk.began_at < HEARING for talk in self._rounds.values())

    def rounds(self) -> dict[Address, int]:
        """How many questions are open, for each peer with which a round is under way."""
        return {peer: len(talk.open) for peer, talk in self._rounds.items()}

    def begin(self, peer: Address, now: float, is_silent: bool = False) -> list[Send]:
        """Begin a round with a peer, unless one is under way; without haste if it `is_silent`."""
        if peer in self._rounds:
            return []
        pause = self._pause_max(None) if is_silent else PAUSE_FIRST
        self._rounds[peer] = Round(now, pause)
        return [self._ask(peer, self._first_question(self._next_nonce()), now)]

    def _first_question(self, nonce: int | None) -> DigestRequest:
        digest, full = self._directory.digest(wide=False), self._directory.digest()
        return DigestRequest(binder=self._identity, nonce=nonce, digest=digest, full=full)

    def heard(
        self, peer: Address, answer: DigestReply | Page, now: float, news: int = 0, refused: int = 0
    ) -> Heard:
        """Hear an answer, whose updates have been taken over already: so many were `news`, and so
        many `refused` for want of room. One that nobody waits for has no effect."""
        talk = self._rounds.get(peer)
        group = answer.group if isinstance(answer, Page) else None
        question = talk.open.get(group) if talk else None
        if talk is None or question is None or question.asked.nonce != answer.nonce:
            return Heard()
        talk.news, talk.refused = talk.news + news, talk.refused + refused
        if question.tries:  # what was asked again may just have been slow, or else was lost
            talk.pause = max(talk.pause, question.pause)
        else:
            talk.pause = max(PAUSE_MIN, 0.5 * talk.pause)
        match question.asked, answer:
            case GroupRequest() | PageRequest() as asked, Page() as page:
                return self._heard_page(peer, asked, page, now)
            case DigestRequest() as asked, DigestReply() as reply:
                return self._begun(peer, talk, asked, reply, now)
        raise AssertionError(f"{answer} to {question.asked}")

    def _heard_page(
        self, peer: Address, asked: GroupRequest | PageRequest, page: Page, now: float
    ) -> Heard:
        talk = self._rounds[peer]
        talk.pages += 1
        if not page.cursor or page.buckets is None:
            self._close(peer, page.group)
            return self._go_on(peer, now)
        if talk.pages == PAGES_MAX or not goes_on(asked, page.cursor):
            self.forget(peer)
            return Heard(end=self._end(talk, now, is_complete=False))
        rest = PageRequest(
            binder=self._identity,
            nonce=self._next_nonce(),
            group=page.group,
            buckets=page.buckets,
            cursor=page.cursor,
            wide=asked.wide,
        )
        return Heard([self._ask(peer, rest, now)])

    def _begun(
        self, peer: Address, talk: Round, asked: DigestRequest, answer: DigestReply, now: float
    ) -> Heard:
        """The first question is answered."""
        self._close(peer, None)
        talk.is_wide = answer.full is not None
        talk.digest = answer.full or answer.digest
        talk.is_same = talk.digest == (asked.full if talk.is_wide else asked.digest)
        round_trip = None
        if not talk.was_resent:
            round_trip = now - talk.began_at
            talk.pause = min(max(PAUSE_MIN, 3 * round_trip), PAUSE_MAX)
        talk.began_at = now
        if answer.digests is not None:
            bits = differing(self._directory.digests(None, talk.is_wide), answer.digests)
            talk.groups_to_ask = [group for group in range(GROUPS) if bits >> group & 1]
        if talk.groups_to_ask and self.is_hearing(now):
            del self._rounds[peer]
            return Heard([], self._end(talk, now, is_put_off=True), round_trip)
        talk.is_told = True
        return replace(self._go_on(peer, now), round_trip=round_trip)

    def tick(self, now: float) -> tuple[list[Send], list[Address]]:
        """Ask again what was not answered by `now`; and the peers that were given up."""
        sends: list[Send] = []
        given_up: list[Address] = []
        while (key := self.deadlines.pop_due(now)) is not None:
            peer, group = key
            talk = self._rounds[peer]
            question = talk.open[group]
            talk.was_resent = True
            question.pause = min(question.pause * PAUSE_GROWTH, self._pause_max(group))
            if isinstance(question.asked, DigestRequest):  # what we know may be more by now
                question.asked = self._first_question(question.asked.nonce)
            question.tries += 1
            if question.tries == TRIES_MAX:
                self.forget(peer)
                given_up.append(peer)
            else:
                sends.append(self._put(peer, question, now))
        return sends, given_up

    def deadline(self) -> float | None:
        """When `tick` has something to do; None if nothing is pending."""
        return self.deadlines.first()

    def forget(self, peer: Address) -> None:
        """Give a round up."""
        talk = self._rounds.pop(peer, None)
        for group in talk.open if talk else ():
            self.deadlines.cancel((peer, group))

    def _go_on(self, peer: Address, now: float) -> Heard:
        talk = self._rounds[peer]
        sends = []
        while talk.groups_to_ask and len(talk.open) < GROUPS_AT_ONCE:
            group = talk.groups_to_ask.pop()
            asked = GroupRequest(
                binder=self._identity,
                nonce=self._next_nonce(),
                group=group,
                digests=self._directory.digests(group, talk.is_wide),
                wide=1 if talk.is_wide else None,
            )
            sends.append(self._ask(peer, asked, now))
        if talk.open:
            return Heard(sends)
        del self._rounds[peer]
        return Heard(sends, self._end(talk, now, is_complete=not talk.refused))

    def _end(
        self, talk: Round, now: float, is_complete: bool = False, is_put_off: bool = False
    ) -> End:
        agrees = talk.is_same or talk.digest == self._directory.digest(talk.is_wide)
        took = now - talk.began_at
        return End(agrees, is_complete, talk.news, talk.refused, took, talk.pages, is_put_off)

    def _pause_max(self, group: int | None) -> float:
        if group is not None:
            return PAUSE_MAX
        return max(CONTACT_PAUSE, CONTACT_PAUSE_EACH * len(self._rounds))

    def _next_nonce(self) -> int:
        self._nonce += 1
        return self._nonce

    def _ask(self, peer: Address, asked: Asked, now: float) -> Send:
        """Ask a new question."""
        return self._put(peer, Question(asked, self._rounds[peer].pause), now)

    def _put(self, peer: Address, question: Question, now: float) -> Send:
        """Put a question, for the first time or again."""
        self._rounds[peer].open[question.group] = question
        self.deadlines.set((peer, question.group), now + question.pause)
        return Send(ListRequest(trailer=question.asked), peer)

    def _close(self, peer: Address, group: int | None) -> None:
        del self._rounds[peer].open[group]
        self.deadlines.cancel((peer, group))
