"""Versions: the highest wins, whoever says it, however often, in whatever order."""

from itertools import permutations
from random import Random

import pytest

from prr.config import Limits
from prr.core.binder import Binder
from prr.core.effects import Event
from prr.core.members import LEAP_MAX, Members, News
from prr.core.peers import Kind, Peers
from prr.core.registry import Added as Adding
from prr.wire.frames import Added, Removed, Subscribe
from prr.wire.versions import COUNTER_MAX, Version, decode_versions
from tests.cores import at, events, random_version, say, sent

ONE, TWO, *POOL = [at(7, "10.0.1.1", port) for port in range(1, 41)]
OWN = 5
MAD = ("10.0.0.2", 2222)


def made(limits=None, peers=()):
    """Members of the binder OWN."""
    return Members(OWN, limits or Limits(), Peers(peers))


def content(members):
    """All that is there, with its version."""
    table = members.registry.table
    return {one: table.version(one) for one in (ONE, TWO, *POOL) if one in table}


def test_what_is_decided_here_is_newer_than_anything_heard():
    members = made()
    members.take_over(ONE, Version(100, 9, 0), True, 0.0)
    assert members.add(TWO, 3) is Adding.NEW
    assert members.registry.table.version(TWO) == Version(101, OWN, 3)
    members.take_over(POOL[0], Version(200, 9, 0), False, 0.0)  # a removal counts too
    members.remove(ONE, 4, 0.0)
    assert members.registry.table.removal(ONE) == Version(201, OWN, 4)


@pytest.mark.parametrize(
    ("version", "is_there", "news"),
    [
        (Version(11, 0, 0), True, News.CHANGED),
        (Version(10, 10, 0), True, News.CHANGED),  # the higher home breaks the tie
        (Version(10, 9, 1), True, News.CHANGED),
        (Version(10, 9, 0), True, News.OLD),
        (Version(10, 8, 9), True, News.OLD),
        (Version(9, 99, 9), True, News.OLD),
        (Version(11, 0, 0), False, News.REMOVED),
        (Version(10, 9, 0), False, News.OLD),  # the same word cannot say both
        (Version(9, 99, 9), False, News.OLD),
    ],
)
def test_a_word_about_what_is_there(version, is_there, news):
    members = made()
    members.take_over(ONE, Version(10, 9, 0), True, 0.0)
    for expected in (news, News.OLD):
        assert members.take_over(ONE, version, is_there, 0.0) is expected
    latest = max(version, Version(10, 9, 0))
    assert members.registry.latest(ONE) == latest
    assert (ONE in members.registry) is (is_there or news is News.OLD)


@pytest.mark.parametrize(
    ("version", "is_there", "news"),
    [
        (Version(11, 0, 0), True, News.ADDED),
        (Version(10, 9, 0), True, News.OLD),
        (Version(9, 99, 9), True, News.OLD),
        (Version(11, 0, 0), False, News.OLD),  # nothing new, but remembered
    ],
)
def test_a_word_about_what_is_gone(version, is_there, news):
    members = made()
    members.take_over(ONE, Version(10, 9, 0), False, 0.0)
    for expected in (news, News.OLD):
        assert members.take_over(ONE, version, is_there, 0.0) is expected
    assert members.registry.latest(ONE) == max(version, Version(10, 9, 0))


@pytest.mark.parametrize("seed", range(10))
def test_any_order_and_any_copies_of_the_same_words_lead_to_the_same(seed):
    rng = Random(seed)
    words = [(rng.choice((ONE, TWO)), random_version(rng), rng.random() < 0.6) for _ in range(5)]
    words = [
        (one, version._replace(counter=version.counter % 7), there) for one, version, there in words
    ]
    if len({(one, version) for one, version, _ in words}) < 5:
        words = list(
            {(one, version): (one, version, there) for one, version, there in words}.values()
        )
    ends = []
    for order in permutations(words):
        members = made()
        for word in [*order, *rng.sample(order, len(order))]:
            members.take_over(*word, 0.0)
        ends.append(content(members))
    assert all(end == ends[0] for end in ends)
    for one, version in ends[0].items():
        assert (version, True) == max((v, there) for o, v, there in words if o == one)


def test_a_version_from_the_future_is_refused_and_moves_nothing():
    members = made()
    members.take_over(ONE, Version(10, 9, 0), True, 0.0)
    for counter in (10 + LEAP_MAX + 1, 2**63, COUNTER_MAX):
        for is_there in (True, False):
            for one in (ONE, TWO):
                assert members.take_over(one, Version(counter, 9, 0), is_there, 0.0) is News.REFUSED
    assert content(members) == {ONE: Version(10, 9, 0)}
    assert members.next_version(0).counter == 11
    assert members.take_over(TWO, Version(11 + LEAP_MAX, 9, 0), True, 0.0) is News.ADDED


def test_the_counter_cannot_be_pushed_beyond_use():
    members = made()
    members._counter = COUNTER_MAX - LEAP_MAX - 1
    assert members.take_over(ONE, Version(COUNTER_MAX - LEAP_MAX, 9, 0), True, 0.0) is News.ADDED
    assert (
        members.take_over(ONE, Version(COUNTER_MAX - LEAP_MAX + 1, 9, 0), True, 0.0) is News.REFUSED
    )
    for start in range(1000):  # and there are 2**32 left for what is decided here
        members.add(ONE, start)
    assert members.registry.table.version(ONE) == Version(COUNTER_MAX - LEAP_MAX + 1000, OWN, 999)


def test_versions_go_to_peers_of_ours_only_and_everybody_is_told():
    peers = tuple((f"10.0.0.{number}", 2222) for number in (1, 2, 3))
    members = made(peers=peers)
    for address, kind in zip(peers, (Kind.OURS, Kind.LAB, Kind.UNKNOWN), strict=True):
        members._peers.get(address).kind = kind
    members.add(ONE, 7)
    for told, word, version in (
        (sent(members.tell_added(ONE)), Added, Version(1, OWN, 7)),
        (sent(members.remove(ONE, 7, 0.0)), Removed, Version(2, OWN, 7)),
    ):
        assert [to for _, to in told] == list(peers)
        (ours, *bare) = [frame for frame, _ in told]
        assert bare == [word(ONE)] * 2
        assert ours.trailer.binder == OWN
        assert decode_versions(ours.trailer.versions) == [version]


# A peer gone mad

LIMITS = Limits(instances=20, learned_share=0.5, removals=10)


def under_attack():
    """A binder with a peer of ours."""
    binder = Binder(frozenset(), (MAD,), OWN, Random(1), limits=LIMITS)
    binder.start(0.0)
    return binder


@pytest.mark.parametrize(
    "word",
    [
        lambda one, number: say(Added, one, Version(number, 9, 0)),
        lambda one, _: Added(one),
    ],
    ids=["with versions", "bare"],
)
def test_a_peer_fills_its_share_and_who_subscribes_here_still_finds_room(word):
    binder = under_attack()
    for number, one in enumerate(POOL, 1):
        binder.handle(word(one, number), MAD, 0.0)
    assert len(binder.registry) == 10
    for port in range(10):
        service = ("10.0.9.1", 4000 + port)
        assert Event.SUBSCRIBED in events(binder.handle(Subscribe(7), service, 0.0))
    assert events(binder.handle(Subscribe(7), ("10.0.9.2", 1), 0.0)) == [Event.REFUSED]


def test_removals_by_the_thousand_are_bounded_and_forget_no_instance():
    binder = under_attack()
    binder.handle(Subscribe(7), ("10.0.9.1", 4000), 0.0)
    for number in range(1000):
        word = say(Removed, at(9, "10.3.0.1", number), Version(100 + number, 9, 0))
        assert sent(binder.handle(word, MAD, 0.0)) == []
    assert sum(map(len, binder.registry.table._removed)) <= 10
    assert len(binder.registry) == 1


def test_versions_from_the_future_are_refused_and_said():
    binder = under_attack()
    for word in (Added, Removed):
        effects = binder.handle(say(word, ONE, Version(COUNTER_MAX, 9, 0)), MAD, 0.0)
        assert (sent(effects), events(effects)) == ([], [Event.REFUSED])
    assert binder.registry.latest(ONE) is None
