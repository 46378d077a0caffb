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
PAUSE_MIN = 0.1
PAUSE_GROWTH = 1.5
PAUSE_MAX = 0.4
"""Seconds without an answer before a peer is asked again what it has not answered. From FIRST they
grow while it is silent. Once it has answered, they are ROUND_TRIPS of the last question, between
MIN and MAX: to tell GROUPS_AT_ONCE takes 20 ms, and as long again for each other that asks."""

ROUND_TRIPS = 3
"""A question waits behind others, in the queues of both, and the longer the more they have to do.
Whoever asks again too soon makes that more."""

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
"""Times that a peer is asked in vain before it is given up, two seconds or more: with a fifth lost
either way that happens to one question in a billion."""


class AntiEntropy:
    """The rounds under way, one with each peer at most."""

    def __init__(self, identity: int, directory: Directory) -> None:
        self._identity = identity
        self._directory = directory
        self._nonce = 0  # tells a late answer from the one that is waited for
        self._rounds: dict[Address, Round] = {}
        self.deadlines: Deadlines[Address] = Deadlines()

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
        talk = self._rounds[peer] = Round(now, PAUSE_FIRST)
        if is_silent:
            talk.pause = self._pause_max(talk)
        self.deadlines.set(peer, now + talk.pause)
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
        talk.tries = 0
        round_trip = None
        if not question.is_repeated:  # else the answer may be to either (Karn's algorithm)
            round_trip = now - question.at
            talk.pause = min(max(PAUSE_MIN, ROUND_TRIPS * round_trip), PAUSE_MAX)
        self.deadlines.set(peer, now + talk.pause)  # it answers: what is open is in its queue
        match question.asked, answer:
            case GroupRequest() | PageRequest() as asked, Page() as page:
                return self._heard_page(peer, asked, page, now)
            case DigestRequest() as asked, DigestReply() as reply:
                return replace(self._begun(peer, talk, asked, reply, now), round_trip=round_trip)
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
        talk.began_at = now
        if answer.digests is not None:
            bits = differing(self._directory.digests(None, talk.is_wide), answer.digests)
            talk.groups_to_ask = [group for group in range(GROUPS) if bits >> group & 1]
        if talk.groups_to_ask and self.is_hearing(now):
            self.forget(peer)
            return Heard(end=self._end(talk, now, is_put_off=True))
        talk.is_told = True
        return self._go_on(peer, now)

    def tick(self, now: float) -> tuple[list[Send], list[Address]]:
        """Ask again what was not answered by `now`; and the peers that were given up."""
        sends: list[Send] = []
        given_up: list[Address] = []
        while (peer := self.deadlines.pop_due(now)) is not None:
            talk = self._rounds[peer]
            talk.tries += 1
            if talk.tries == TRIES_MAX:
                self.forget(peer)
                given_up.append(peer)
            else:
                talk.pause = min(talk.pause * PAUSE_GROWTH, self._pause_max(talk))
                self.deadlines.set(peer, now + talk.pause)
                sends += [self._repeat(peer, question) for question in talk.open.values()]
        return sends, given_up

    def deadline(self) -> float | None:
        """When `tick` has something to do; None if nothing is pending."""
        return self.deadlines.first()

    def forget(self, peer: Address) -> None:
        """Give a round up."""
        if self._rounds.pop(peer, None) is not None:
            self.deadlines.cancel(peer)

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
        self.forget(peer)
        return Heard(sends, self._end(talk, now, is_complete=not talk.refused))

    def _end(
        self, talk: Round, now: float, is_complete: bool = False, is_put_off: bool = False
    ) -> End:
        agrees = talk.is_same or talk.digest == self._directory.digest(talk.is_wide)
        took = now - talk.began_at
        return End(agrees, is_complete, talk.news, talk.refused, took, talk.pages, is_put_off)

    def _pause_max(self, talk: Round) -> float:
        if talk.digest is not None:
            return PAUSE_MAX
        return max(CONTACT_PAUSE, CONTACT_PAUSE_EACH * len(self._rounds))

    def _next_nonce(self) -> int:
        self._nonce += 1
        return self._nonce

    def _ask(self, peer: Address, asked: Asked, now: float) -> Send:
        question = Question(asked, now)
        self._rounds[peer].open[question.group] = question
        return Send(ListRequest(trailer=asked), peer)

    def _repeat(self, peer: Address, question: Question) -> Send:
        question.is_repeated = True
        if isinstance(question.asked, DigestRequest):  # what we know may be more by now
            question.asked = self._first_question(question.asked.nonce)
        return Send(ListRequest(trailer=question.asked), peer)

    def _close(self, peer: Address, group: int | None) -> None:
        del self._rounds[peer].open[group]
