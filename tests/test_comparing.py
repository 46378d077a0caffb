"""When binders compare notes, and how often they ask again."""

from itertools import pairwise

import pytest

from prr.core.replication.peer_updates import PeerUpdates
from prr.core.replication.sync import REST, ROUND_PAUSE
from prr.wire.frames import ListRequest, ServiceList
from prr.wire.messages import DigestReply, DigestRequest, GroupRequest, Hello, Page
from prr.wire.trailer import GROUPS
from prr.wire.version import Version, encode_removals, encode_versions
from tests.cores import Net
from tests.test_anti_entropy import MANY, A, B, C, cluster, give, held, made

H = ("10.0.0.9", 2222)
"""A peer that is not in the net: what it says is up to the test."""

NAMES = {B: 2, C: 3, H: 9}


def rounds(net, since, by=A):
    """When a binder has begun to compare, and with whom; asked again counts once more."""
    return [
        (when, effect.target)
        for when, own, effect in net.done
        if own == by and when >= since and isinstance(getattr(effect, "frame", None), ListRequest)
        if isinstance(effect.frame.trailer, DigestRequest)
    ]


def hint(net, peer):
    """A peer shows that it differs."""
    net.say(
        A, ListRequest(trailer=DigestRequest(binder=NAMES[peer], nonce=1, digest=b"\1" * 8)), peer
    )


def test_after_a_comparison_of_everything_the_next_waits_and_that_with_the_same_peer_longer():
    net = cluster(A, B, C)
    net.start()
    net.run(4.5)
    net.delays = (0.01, 0.01)
    give(net.binders[B], MANY[:1000])
    began = net.now
    hint(net, B)
    while len(held(net.binders[A])) < 1000:
        net.run(net.now + 0.001)
    net.run(net.now + 0.02)  # the last pages, of what is known already
    ended, started = net.now, max(when for when, peer in rounds(net, began) if peer == B)
    took = ended - started - 0.04  # from the first answer on
    assert 0.02 < took < ROUND_PAUSE / REST
    give(net.binders[B], MANY[1000:1001])  # they differ again, and see it
    give(net.binders[C], MANY[1001:1002])
    for _ in range(200):
        net.run(net.now + 0.01)
        hint(net, B)
        hint(net, C)
    after = rounds(net, ended)
    assert after[0][0] - ended > 0.8 * REST * took
    assert min(when for when, peer in after if peer == B) - ended > 0.8 * 2 * REST * took
    assert min(when for when, peer in after if peer == C) - ended < 1.3 * REST * took
    assert len(held(net.binders[A])) == 1002


def test_a_peer_that_is_always_seen_to_differ_keeps_no_other_from_its_turn():
    net = Net({A: made(A, (H, C)), C: made(C, (A,))})
    net.start()
    net.run(2.0)
    net.say(A, ServiceList((), trailer=Hello(binder=9)), H)
    seen = len(net.done)
    for _ in range(600):
        net.run(net.now + 0.01)
        hint(net, H)
        for _, own, effect in net.done[seen:]:
            if own == A and getattr(effect, "target", None) == H:
                asked = effect.frame.trailer
                if isinstance(asked, DigestRequest):
                    same = DigestReply(
                        binder=9, nonce=asked.nonce, digest=asked.digest, full=asked.full
                    )
                    seen = len(net.done)
                    net.say(A, ServiceList((), trailer=same), H)
        seen = len(net.done)
    turns = [when for when, peer in rounds(net, 3.0) if peer == C]
    pauses = [late - early for early, late in pairwise([3.0, *turns, net.now])]
    assert max(pauses) <= 2 * ROUND_PAUSE + 0.1  # of two peers each has every second one


@pytest.mark.parametrize("loss", [0.05, 0.2])
def test_what_is_lost_makes_no_comparison_slow(loss):
    net = cluster(A, B, seed=1)
    net.start()
    net.run(3.0)
    give(net.binders[A], MANY[:3000])
    net.loss, net.delays, began = loss, (0.003, 0.006), net.now
    while len(held(net.binders[B])) < 3000 and net.now < began + 10.0:
        net.run(net.now + 0.05)
    assert net.now - began < 30 * loss


def test_where_answers_take_long_hardly_anything_is_asked_again_and_again():
    net = cluster(A, B)
    net.start()
    net.run(4.5)
    give(net.binders[B], MANY[:1000])
    net.delays, began = (0.3, 0.3), net.now
    net.run(began + 8.0)
    assert len(held(net.binders[A])) == 1000
    asked = [
        effect.frame.trailer.group
        for own, effect in net.sent(began)
        if own == A and isinstance(effect.frame, ListRequest)
        if isinstance(effect.frame.trailer, GroupRequest)
    ]
    assert len(set(asked)) > GROUPS / 3
    assert len(asked) < 3.5 * len(set(asked))


def test_the_words_of_a_page_that_are_known_are_not_looked_into(monkeypatch):
    core = made(A, (B,))
    core.start(0.0)
    versions = encode_versions([Version(1, 9, 0)] * 20)
    removals = encode_removals([(one, Version(2, 9, 5)) for one in MANY[20:40]])
    said = Page(binder=2, group=0, nonce=1, versions=versions, removals=removals)
    page = ServiceList(tuple(MANY[:20]), trailer=said)
    seen = []
    real = PeerUpdates.take_over
    noted = lambda self, one, *rest: seen.append(one) or real(self, one, *rest)  # noqa: E731
    monkeypatch.setattr(PeerUpdates, "take_over", noted)
    for _ in range(3):
        core.handle(page, B, 0.0)
    assert seen == [*MANY[:40]]
    assert held(core) == set(MANY[:20])
