"""Versions: the newest wins, whoever says it, however often, in whatever order."""

from functools import cmp_to_key
from itertools import permutations
from random import Random

import pytest

from prr.config import Limits
from prr.core.binder import Binder
from prr.core.directory.results import Added as Adding
from prr.core.effects import Event
from prr.core.replication.news import News
from prr.core.replication.peers import Kind, Peers
from prr.core.replication.versioned_directory import GATHER, VersionedDirectory
from prr.wire.codec import DATAGRAM_BYTES_MAX
from prr.wire.frames import Added, Removed, ServiceList, Subscribe
from prr.wire.particulars import Particulars, encode_particulars
from prr.wire.version import (
    COUNTER_MAX,
    RUN_BITS,
    Version,
    counter_after,
    counters_after,
    decode_versions,
    is_later,
    is_newer,
    next_run,
    run_of,
)
from tests.cores import at, encode, events, random_version, say, sent

pytestmark = pytest.mark.elsewhere

ONE, TWO, *POOL = [at(7, "10.0.1.1", port) for port in range(1, 41)]
OWN = 5
FIRST = 1 << RUN_BITS
"""The first counter of a binder that has seen none, and by how much each one rises."""
HALF = 1 << 63
MAD, LEGACY = ("10.0.0.2", 2222), ("10.0.0.3", 2222)


def made(limits=None, peers=()):
    """Members of the binder OWN."""
    return VersionedDirectory(OWN, limits or Limits(), Peers(peers))


def content(versioned):
    """All that is there, with its version."""
    directory = versioned.directory
    return {one: directory.version(one) for one in (ONE, TWO, *POOL) if one in directory}


def newest(*versions):
    """The newest of some versions."""
    return max(versions, key=cmp_to_key(lambda one, two: is_newer(one, two) - is_newer(two, one)))


def test_what_is_decided_here_is_newer_than_anything_heard():
    versioned = made()
    versioned.take_over(ONE, Version(100, 9, 0), True, 0.0)
    assert versioned.add(TWO, 3) is Adding.NEW
    assert versioned.directory.version(TWO) == Version(FIRST, OWN, 3)
    versioned.take_over(POOL[0], Version(7 * FIRST + 200, 9, 0), False, 0.0)  # a removal counts too
    versioned.remove(ONE, 4, 0.0)
    assert versioned.directory.removal(ONE) == Version(8 * FIRST, OWN, 4)


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
        (Version(10, 9, 0), False, News.REMOVED),  # the same word cannot say both
        (Version(9, 99, 9), False, News.OLD),
    ],
)
def test_a_word_about_what_is_there(version, is_there, news):
    versioned = made()
    versioned.take_over(ONE, Version(10, 9, 0), True, 0.0)
    for expected in (news, News.OLD):
        assert versioned.take_over(ONE, version, is_there, 0.0) is expected
    assert versioned.directory.latest(ONE) == newest(version, Version(10, 9, 0))
    assert (ONE in versioned.directory) is (is_there or news is News.OLD)


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
    versioned = made()
    versioned.take_over(ONE, Version(10, 9, 0), False, 0.0)
    for expected in (news, News.OLD):
        assert versioned.take_over(ONE, version, is_there, 0.0) is expected
    assert versioned.directory.latest(ONE) == newest(version, Version(10, 9, 0))


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
        versioned = made()
        for word in [*order, *rng.sample(order, len(order))]:
            versioned.take_over(*word, 0.0)
        ends.append(content(versioned))
    assert all(end == ends[0] for end in ends)
    for one, version in ends[0].items():
        said = {v: there for o, v, there in words if o == one}
        assert version == newest(*said)
        assert said[version]


@pytest.mark.parametrize("seed", range(5))
def test_of_two_versions_exactly_one_is_newer_and_there_is_always_one_that_is_newer_still(seed):
    rng = Random(seed)
    for _ in range(2000):
        base = rng.getrandbits(64)
        step = rng.choice((0, 1, rng.getrandbits(62), HALF - 1, HALF, HALF + 1, COUNTER_MAX))
        one = Version(base, rng.choice((1, 2)), 0)
        two = Version((base + step) % 2**64, rng.choice((1, 2)), 0)
        assert is_newer(one, two) + is_newer(two, one) == (one != two)
        run = rng.getrandbits(RUN_BITS)
        after = counter_after(base, run)
        assert is_later(after, base)
        assert run_of(after) == run


@pytest.mark.parametrize("counter", [0, 5, COUNTER_MAX - (3 << RUN_BITS), COUNTER_MAX])
def test_counters_of_many_are_those_of_one_after_the_other(counter):
    """Over the end of the circle, too."""
    many, last = counters_after(counter, 7, 10), counter
    for one in many:
        last = counter_after(last, 7)
        assert one == last
    assert counters_after(counter, 7, 1) == many[:1]


def test_versions_have_no_other_order():
    for compare in ("__lt__", "__le__", "__gt__", "__ge__"):
        with pytest.raises(TypeError):
            getattr(Version(1, 2, 3), compare)(Version(2, 1, 1))


@pytest.mark.parametrize("seed", range(5))
def test_whatever_was_said_of_it_a_decision_made_here_prevails_over_it(seed):
    versioned, rng = made(), Random(seed)
    known = Version(0, 0, 0)
    for step in range(1000):
        hostile = rng.choice((HALF - 1, HALF, HALF + 1, COUNTER_MAX, rng.getrandbits(64)))
        counter = (known.counter + hostile) % 2**64
        versioned.take_over(rng.choice((ONE, TWO)), Version(counter, 9, 0), rng.random() < 0.5, 0.0)
        known = versioned.directory.latest(ONE) or known
        if step % 3:
            assert versioned.add(ONE, step) is not Adding.FULL
        else:
            versioned.remove(ONE, step, 0.0)
        decided = versioned.directory.latest(ONE)
        assert decided[1:] == (OWN, step)
        assert is_newer(decided, known)
        known = decided


def test_the_runs_of_one_identity_never_use_the_same_counter():
    """Killed after any number of decisions, of which any number was on disk, beside peers that
    count as they like."""
    rng, on_disk, used = Random(1), 0, set()
    for _ in range(3000):
        versioned = made()
        versioned.resume(on_disk := next_run(on_disk))
        for _ in range(rng.choice((0, 1, 5))):
            if rng.random() < 0.3:
                near = (versioned.counter + rng.choice((1, FIRST - 1, FIRST, 1 << 40))) % 2**64
                versioned.take_over(TWO, Version(near, 9, 0), True, 0.0)
            versioned.add(ONE, 0)
            version = versioned.directory.latest(ONE)
            assert version not in used
            used.add(version)
            if rng.random() < 0.3:
                on_disk = versioned.counter
    assert on_disk < 1 << 63


def test_who_holds_what_one_and_the_same_word_denies_lets_it_go():
    """Of two binders that were told both, each ends without it, and asks it if it was heard."""
    for first, then in ((True, False), (False, True)):
        versioned = made()
        versioned.take_over(ONE, Version(10, 9, 0), first, 0.0)
        versioned.take_over(ONE, Version(10, 9, 0), then, 0.0)
        assert ONE not in versioned.directory
        assert versioned.directory.latest(ONE) == Version(10, 9, 0)


def test_versions_go_to_peers_of_ours_only_and_everybody_is_told():
    peers = tuple((f"10.0.0.{number}", 2222) for number in (1, 2, 3))
    known = Peers(peers)
    versioned = VersionedDirectory(OWN, Limits(), known)
    for address, kind in zip(peers, (Kind.OURS, Kind.LAB, Kind.UNKNOWN), strict=True):
        known.get(address).kind = kind
    versioned.add(ONE, 7)
    for told, word, version in (
        (sent(versioned.tell_added(ONE)), Added, Version(FIRST, OWN, 7)),
        (sent(versioned.remove(ONE, 7, 0.0)), Removed, Version(2 * FIRST, OWN, 7)),
    ):
        assert [to for _, to in told] == list(peers)
        (ours, *bare) = [frame for frame, _ in told]
        assert bare == [word(ONE)] * 2
        assert ours.trailer.binder == OWN
        assert decode_versions(ours.trailer.versions) == [version]


# A peer faulty

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
    assert len(binder.directory) == 10
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
    updates = binder.inspect().directory.updates
    assert sum(not is_there for _, is_there, _ in updates.values()) <= 10
    assert len(binder.directory) == 1


# Many refutations.


def told(effects):
    """To whom what is said, of Added and of pages: (target, instances, versions)."""
    return [
        (
            effect.target,
            frame.instances if isinstance(frame, ServiceList) else (frame.instance,),
            decode_versions(frame.trailer.versions) if frame.trailer else [],
        )
        for effect in effects
        for frame in [effect.frame]
    ]


def with_a_peer_of_ours(*others):
    """Members of the binder OWN, which has MAD and `others` for peers; the first is one of ours."""
    peers = Peers((MAD, *others))
    mad = peers.get(MAD)
    assert mad is not None
    mad.kind = Kind.OURS
    return VersionedDirectory(OWN, Limits(), peers)


def test_one_refutation_is_told_at_once_and_those_that_follow_together_if_they_are_there_still():
    versioned = with_a_peer_of_ours(LEGACY)
    for one in (ONE, TWO, *POOL):
        versioned.add(one, 0)
    version = versioned.directory.version
    assert told(versioned.tell_in_pages(ONE, 1.0)) == [
        (MAD, (ONE,), [version(ONE)]),
        (LEGACY, (ONE,), []),
    ]
    assert versioned.deadline() is None
    assert versioned.tell_in_pages(TWO, 1.001) == []
    for one in POOL[:3]:
        assert versioned.tell_in_pages(one, 1.002, is_news=one is POOL[0]) == []
    versioned.remove(POOL[1], 0, 1.003)
    assert versioned.tick(1.0 + 0.9 * GATHER) == []
    assert versioned.deadline() == pytest.approx(1.0 + GATHER)
    words = (TWO, POOL[0], POOL[2])
    assert told(versioned.tick(1.0 + GATHER)) == [
        (MAD, words, [version(one) for one in words]),
        (LEGACY, (TWO,), []),
        (LEGACY, (POOL[0],), []),
    ]
    assert versioned.tick(2.0) == []


def test_a_page_has_as_many_as_a_datagram_has_room_for_and_one_alone_goes_as_before():
    many = [at(7, "10.0.2.1", port) for port in range(1, 101)]
    versioned = with_a_peer_of_ours()
    for one in many:
        versioned.add(one, 0)
        versioned.tell_in_pages(one, 1.0)
    pages = [effect.frame for effect in versioned.tick(1.1)]
    assert [len(page.instances) for page in pages] == [46, 46, 7]
    assert all(len(encode(page)) <= DATAGRAM_BYTES_MAX for page in pages)
    versioned.tell_in_pages(many[0], 1.101)
    assert [type(effect.frame) for effect in versioned.tick(1.2)] == [Added]


def test_of_two_words_with_one_version_the_one_with_more_prevails_in_any_order():
    words = [encode_particulars(Particulars(weight=weight)) for weight in (1, 2, 3)]
    best = max(words)
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0)):
        versioned = VersionedDirectory(7, Limits(), Peers(()))
        for number in order:
            versioned.take_over(ONE, Version(5, 9, 0), True, 0.0, words[number])
        assert versioned.directory.particulars(ONE) == best
        assert versioned.take_over(ONE, Version(5, 9, 0), True, 0.0, best) is News.OLD
        assert versioned.take_over(ONE, Version(5, 9, 0), False, 0.0) is News.REMOVED
        assert versioned.take_over(ONE, Version(5, 9, 0), True, 0.0, best) is News.OLD
