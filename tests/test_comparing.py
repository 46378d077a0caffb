"""When binders compare notes, and how often they ask again."""

from prr.core.replication.peer_updates import PeerUpdates
from prr.core.replication.sync import REST, ROUND_PAUSE
from prr.wire.frames import ListRequest, ServiceList
from prr.wire.messages import DigestRequest, GroupRequest, Page
from prr.wire.trailer import GROUPS
from prr.wire.version import Version, encode_removals, encode_versions
from tests.test_anti_entropy import MANY, A, B, C, cluster, give, held, made

NAMES = {B: 2, C: 3}


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
