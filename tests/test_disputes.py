"""Many are said to be gone that were heard here, as after a partition: they are asked together."""

from random import Random

import pytest

from prr.core.binder import Binder
from prr.core.effects import Event, ProbeAll
from prr.core.liveness.doubts import TOGETHER
from prr.core.liveness.phases import WAITS
from prr.core.liveness.together import FEW
from prr.core.replication.versioned_directory import GATHER
from prr.wire.frames import Removed, ServiceList, Subscribe
from prr.wire.instance import address_of, make_instance, service_of
from prr.wire.messages import Page, Started, UnaskedPage
from prr.wire.version import Version, encode_removals
from tests.cores import Net, at, has_answered, probes, questions, say

A, B = ("10.0.0.1", 2222), ("10.0.0.2", 2222)
ONES = [at(7, f"10.0.1.{number}", 4000) for number in range(1, 41)]
LATER = 1 << 40
"""A counter that no binder of these tests reaches by itself."""

START = 9


def two(ones=ONES, start=START):
    """Two binders; these live, and are at home with the first, where they have answered."""
    rows = enumerate(((A, B), (B, A)), 1)
    net = Net({own: Binder(frozenset(), (peer,), n, Random(n)) for n, (own, peer) in rows})
    net.start()
    net.run(3.0)
    net.alive = set(ones)
    for one in ones:
        trailer = Started(start=start) if start else None
        net.say(A, Subscribe(service_of(one), trailer=trailer), address_of(one))
        has_answered(net.binders[A], one, net.now)
    net.run(net.now + 0.2)
    assert net.agree()
    return net


def deny(net, ones=ONES, start=START, later=0):
    """The second binder says in a page that these are gone: what the first does next."""
    gone = [(one, Version(LATER + later, 2, start)) for one in ones]
    page = Page(binder=2, group=0, nonce=1, removals=encode_removals(gone))
    before = len(net.done)
    net.say(A, ServiceList((), trailer=page), B)
    for _ in range(len(ones)):
        net.act(A, net.binders[A].tick(net.now))
    return [effect for _, _, effect in net.done[before:]]


def together(effects):
    """The questions that go to many."""
    return [effect for effect in effects if isinstance(effect, ProbeAll)]


def held(net):
    return set(net.binders[A].directory)


def is_out_of_turn(net, one):
    return net.binders[A].directory.is_disputed(one)


def test_many_are_asked_together_with_their_start_numbers_and_refuted_in_full_pages():
    net = two()
    began = net.now
    effects = deny(net)
    assert sorted(questions(effects)) == sorted(ONES)
    assert not probes(effects)
    assert [len(one.instances) for one in together(effects)] == [TOGETHER, 8]
    assert {start for one in together(effects) for start in one.starts} == {START}
    assert all(is_out_of_turn(net, one) for one in ONES)
    net.run(began + 0.01 + GATHER)
    assert held(net) == set(ONES)
    assert not any(is_out_of_turn(net, one) for one in ONES)
    assert not net.binders[A].inspect().verifications
    pages = [e for _, e in net.sent(began) if isinstance(e.frame.trailer, UnaskedPage)]
    assert [len(page.frame.instances) for page in pages] == [len(ONES) - 1]  # one is told at once
    assert net.agree()


def test_who_is_silent_is_asked_on_by_itself_and_gone_as_soon_as_one_that_is_asked_alone():
    net = two()
    dead = ONES[:3]
    net.alive -= set(dead)
    began = net.now
    deny(net)
    net.run(began + sum(WAITS) - 0.01)
    assert held(net) == set(ONES)
    alone = [(at, e.instance) for at, _, e in net.done if at >= began and e in probes([e])]
    assert {one for _, one in alone} == set(dead)
    times = [at - began for at, one in alone if one == dead[0]]
    assert times == pytest.approx([WAITS[0], WAITS[0] + WAITS[1]], abs=0.001)
    net.run(began + sum(WAITS) + 0.01)
    assert held(net) == set(ONES[3:])
    assert len(net.reports(Event.REMOVED)) == len(dead)


def test_who_refuses_is_gone_with_the_first_question_of_its_own():
    net = two()
    net.alive, net.refusing = set(), set(ONES)
    began = net.now
    deny(net)
    net.run(began + WAITS[0] - 0.01)
    assert held(net) == set(ONES)
    net.run(began + WAITS[0] + 0.05)
    assert not held(net)


def test_few_are_asked_one_by_one():
    net = two()
    effects = deny(net, ONES[: FEW - 1])
    assert [one.instance for one in probes(effects)] == ONES[: FEW - 1]
    assert not together(effects)


def test_one_that_is_told_by_itself_is_asked_at_once_and_alone():
    net = two()
    effects = net.say(A, say(Removed, ONES[0], Version(LATER, 2, START), binder=2), B)
    assert [one.instance for one in probes(effects)] == ONES[:1]


@pytest.mark.parametrize("start", [0, 1])
def test_those_without_a_start_number_are_asked_one_by_one(start):
    """A legacy server answers bare, and whoever has come back need not be the one that is held."""
    net = two(start=None)
    effects = deny(net, start=start)
    assert len(probes(effects)) == len(ONES)


def test_two_at_one_address_are_not_asked_from_one_socket():
    """The address tells who has answered."""
    others = [make_instance(8, address_of(one)) for one in ONES[:20]]
    both = [one for pair in zip(ONES, others, strict=False) for one in pair]
    net = two(both)
    effects = deny(net, both)
    assert sorted(questions(effects)) == sorted(both)
    assert together(effects)
    for asked in together(effects):
        places = [address_of(one) for one in asked.instances]
        assert len(set(places)) == len(places)


def test_an_answer_counts_only_for_the_verification_that_has_asked():
    net = two()
    net.alive = set()
    (first, *_) = asked = together(deny(net, start=0))
    one, other = first.instances[:2]
    trailer = Started(start=START + 1)  # another process, by whose word all doubt is over
    net.say(A, Subscribe(service_of(one), trailer=trailer), address_of(one))
    version = net.binders[A].directory.version(one)
    net.act(A, net.binders[A].answered_all(first, [one], net.now))
    assert net.binders[A].directory.version(one) == version
    net.run(net.now + sum(WAITS) + 0.1)
    assert held(net) == {one}
    for late in asked:
        assert net.binders[A].answered_all(late, late.instances, net.now) == []
    assert other not in net.binders[A].directory


def test_what_a_peer_denies_again_and_again_is_asked_once_at_a_time():
    net = two()
    net.alive = set()
    first = questions(deny(net))
    assert not questions([*deny(net, later=1), *deny(net, later=2)])
    assert sorted(first) == sorted(ONES)
    assert max(TOGETHER, FEW) == TOGETHER
