"""A binder of ours beside binders and servers of 2016: what it tells them, and believes of them."""

from random import Random

import pytest

from prr.core.binder import Binder
from prr.core.effects import Outcome
from prr.core.replication.peers import Kind
from prr.core.returning import RETURNING_MAX, Returning
from prr.wire.frames import (
    Added,
    Alive,
    Complaint,
    Found,
    Lookup,
    Removed,
    ServiceList,
    Subscribe,
    Subscribed,
)
from prr.wire.instance import Instance, address_of
from prr.wire.messages import Search, Started
from prr.wire.version import Version
from tests.cores import at, effects_of, probes, run, say, sent

pytestmark = pytest.mark.elsewhere

OURS, LAB, LAB_2 = PEERS = (("10.0.0.2", 2222), ("10.0.0.3", 2222), ("10.0.0.4", 2222))
CLIENT = ("10.0.2.1", 5000)
ONE, TWO = at(7, "10.0.1.1", 4000), at(7, "10.0.1.2", 4000)
OTHER = 77
"""The identity of the peer of ours."""


def beside() -> Binder:
    """A binder that knows a peer of ours and two of 2016."""
    binder = Binder(frozenset(), PEERS, 1, Random(1))
    binder.start(0.0)
    for peer, kind in zip(PEERS, (Kind.OURS, Kind.LAB, Kind.LAB), strict=True):
        binder.handle(ServiceList(()), peer, 0.0)
        binder.peers.get(peer).kind = kind
        binder.peers.get(peer).answered_bare_at = None
    binder.peers.get(OURS).identity = OTHER
    return binder


def told(effects, word) -> list:
    """Whom of the peers that word went to."""
    return [to for frame, to in sent(effects) if isinstance(frame, word) and to in PEERS]


def given_out(binder) -> set:
    """What clients get."""
    replies = [sent(binder.handle(Lookup(7), CLIENT, 9.0)) for _ in range(6)]
    return {frame.address for ((frame, _),) in replies if isinstance(frame, Found)}


def left(binder, start=99) -> None:
    """ONE, a server of ours, was there and took its leave, a while ago."""
    binder.handle(Subscribe(7, trailer=Started(start=start)), address_of(ONE), 0.0)
    (probe,) = probes(binder.handle(Removed(ONE), address_of(ONE), 1.0))
    answer(binder, ONE, Outcome.REFUSED, 1.0, probe)
    assert ONE not in binder.directory


def evicted(binder) -> None:
    """ONE, a server of 2016, was there and refused two questions."""
    binder.handle(Subscribe(7), address_of(ONE), 0.0)
    (probe,) = probes(binder.handle(Complaint(ONE), CLIENT, 1.0))
    answer(binder, ONE, Outcome.REFUSED, 1.0, probe)
    assert ONE not in binder.directory


def answer(binder, instance: Instance, outcome: Outcome, now: float, probe) -> list:
    """What comes of a question: all that were put get the same answer."""
    effects = []
    for moment in (now + 0.01, now + 0.1):
        if binder.inspect().verifications.get(instance) is False:
            effects += binder.probed(probe, outcome, moment)
    return effects


# What it tells them


def test_one_of_2016_is_told_once_that_a_server_is_there_and_ours_of_each_version():
    """It would append a second word, and its removal would leave one of the two."""
    binder = beside()
    assert told(binder.handle(Subscribe(7), address_of(ONE), 0.0), Added) == list(PEERS)
    renewals = [
        Alive(trailer=Search(types=b"\7", start=99)),
        Subscribe(7, trailer=Started(start=99)),
        Subscribe(7, trailer=Started(start=98)),  # another process
        Subscribe(7),  # a late copy
    ]
    words = [told(binder.handle(frame, address_of(ONE), 1.0), Added) for frame in renewals]
    assert words == [[OURS], [], [OURS], [OURS]]
    assert told(binder.handle(Removed(ONE), address_of(ONE), 2.0), Removed) == list(PEERS)


def test_one_of_2016_is_not_told_of_an_adoption():
    binder = beside()
    binder.handle(say(Added, ONE, Version(5, OTHER, 99), OTHER), OURS, 0.0)
    done = []
    while (when := binder.deadline()) <= 60.0:
        effects = binder.tick(when)
        done += effects
        for probe in probes(effects):
            done += binder.probed(probe, Outcome.ALIVE, when)
    assert binder.directory.version(ONE).owner == binder.identity
    assert told(done, Added) == [OURS]


def test_what_one_of_2016_said_itself_it_is_not_told():
    binder = beside()
    assert told(binder.handle(Added(ONE), LAB, 0.0), Added) == []
    assert told(binder.handle(ServiceList((TWO,)), LAB, 0.0), Added) == []
    assert told(binder.handle(Subscribe(7), address_of(ONE), 1.0), Added) == []
    evicted(binder)
    (probe,) = probes(binder.handle(Added(ONE), LAB, 5.0))
    assert told(binder.probed(probe, Outcome.ALIVE, 5.1), Added) == [OURS]


# Who comes back


@pytest.mark.parametrize("gone", [left, evicted])
@pytest.mark.parametrize("word", [Added(ONE), ServiceList((ONE,))])
def test_what_is_gone_and_one_of_2016_says_is_there_is_asked_first(gone, word):
    binder = beside()
    gone(binder)
    (probe,) = probes(binder.handle(word, LAB, 5.0))
    assert ONE not in binder.directory
    assert given_out(binder) == set()
    assert probe.is_answer(Alive())  # it may be a server of 2016 now
    binder.probed(probe, Outcome.ALIVE, 5.1)
    assert given_out(binder) == {address_of(ONE)}


@pytest.mark.parametrize("gone", [left, evicted])
def test_if_it_refuses_it_stays_gone_and_those_of_2016_are_told(gone):
    binder = beside()
    gone(binder)
    (probe,) = probes(binder.handle(ServiceList((ONE,)), LAB, 5.0))
    effects = answer(binder, ONE, Outcome.REFUSED, 5.0, probe)
    assert told(effects, Removed) == [LAB, LAB_2]
    assert given_out(binder) == set()
    assert ONE not in binder.inspect().returning


def test_a_server_of_2016_takes_over_the_address_and_type_of_one_of_ours_that_left():
    """It answers questions only once it is confirmed."""
    binder = beside()
    binder.handle(Subscribe(7), address_of(TWO), 0.0)
    left(binder)
    effects = binder.handle(Subscribe(7), address_of(ONE), 5.0)
    assert sent(effects) == [(Subscribed(), address_of(ONE))]
    (probe,) = probes(effects)
    assert effects.index(probe) > 0  # else it is asked before it is confirmed
    assert probe.is_answer(Alive())
    assert given_out(binder) == {address_of(TWO)}  # not before it has answered
    effects = binder.probed(probe, Outcome.ALIVE, 5.01)
    assert told(effects, Added) == list(PEERS)
    assert given_out(binder) == {address_of(ONE), address_of(TWO)}


def test_so_it_does_while_the_binder_still_asks_whether_the_one_before_has_left():
    binder = beside()
    binder.handle(Subscribe(7, trailer=Started(start=99)), address_of(ONE), 0.0)
    assert probes(binder.handle(Removed(ONE), address_of(ONE), 1.0))
    assert Subscribed() in dict(sent(binder.handle(Subscribe(7), address_of(ONE), 1.1)))
    asked = []
    while not asked and binder.deadline() < 3.0:
        when = binder.deadline()
        asked = [p for p in probes(binder.tick(when)) if p.instance == ONE and p.is_answer(Alive())]
    assert told(binder.probed(asked[0], Outcome.ALIVE, when), Added) == list(PEERS)


def test_a_late_copy_of_the_subscription_of_one_that_left_brings_it_back_for_nobody():
    binder = beside()
    binder.handle(Subscribe(7), address_of(TWO), 0.0)
    left(binder)
    for now in (5.0, 6.0):
        effects = binder.handle(Subscribe(7), address_of(ONE), now)
        assert told(effects, Added) == []
        (probe,) = probes(effects)
        assert given_out(binder) == {address_of(TWO)}
        effects = answer(binder, ONE, Outcome.REFUSED, now, probe)
        assert told(effects, Removed) == [OURS]  # which may have had it from a comparison
        assert ONE not in binder.directory
        assert binder.directory.removal(ONE).start  # and so the next copy is asked too
    assert [p for p in probes(effects_of(run(binder, 100.0))) if p.instance == ONE] == []


def test_a_late_copy_of_a_renewal_proves_nothing():
    binder = beside()
    left(binder)
    (probe,) = probes(binder.handle(Subscribe(7), address_of(ONE), 5.0))
    late = Subscribe(7, trailer=Started(start=99))
    assert sent(binder.handle(late, address_of(ONE), 5.0)) == []
    assert binder.directory.is_suspect(ONE)
    answer(binder, ONE, Outcome.REFUSED, 5.0, probe)
    assert ONE not in binder.directory


def test_a_peer_of_ours_hands_out_no_sooner_what_has_not_answered_its_home():
    binder = beside()
    binder.handle(Subscribe(7), address_of(TWO), 0.0)
    binder.handle(say(Added, ONE, Version(5, OTHER, 1), OTHER), OURS, 0.0)
    assert given_out(binder) == {address_of(TWO)}
    binder.handle(say(Added, ONE, Version(6, OTHER, 0), OTHER), OURS, 0.1)
    assert given_out(binder) == {address_of(ONE), address_of(TWO)}


# A removal of theirs


def test_what_is_at_home_with_another_of_ours_is_asked_when_one_of_2016_says_it_is_gone():
    """Its home hears the same; if both refuted, the one of 2016 would hold it twice."""
    binder = beside()
    binder.handle(say(Added, ONE, Version(5, OTHER, 99), OTHER), OURS, 1.0)
    (probe,) = probes(binder.handle(Removed(ONE), LAB, 2.0))
    assert ONE in binder.directory
    effects = binder.probed(probe, Outcome.ALIVE, 2.1)
    assert told(effects, Added) == []
    assert binder.directory.version(ONE).owner == OTHER


def test_one_that_is_back_is_asked_on_when_one_of_2016_says_that_its_forerunner_is_gone():
    binder = beside()
    left(binder)
    (probe,) = probes(binder.handle(Subscribe(7), address_of(ONE), 5.0))
    binder.handle(Removed(ONE), LAB, 5.01)
    assert told(binder.probed(probe, Outcome.ALIVE, 5.2), Added) == list(PEERS)
    assert given_out(binder) == {address_of(ONE)}


def test_claims_are_bounded():
    returning = Returning()
    many = [at(7, f"10.1.{number // 250}.{number % 250}", 1) for number in range(RETURNING_MAX + 9)]
    for one in many:
        returning.add(one)
        returning.add(one)
    assert sum(one in returning for one in many) == RETURNING_MAX
    assert returning.settle(many[-1])
    assert not returning.settle(many[-1])


def test_one_that_subscribes_with_one_of_2016_may_be_the_successor_of_one_of_ours_that_crashed():
    binder = beside()
    binder.handle(Subscribe(7, trailer=Started(start=99)), address_of(ONE), 0.0)
    effects = binder.handle(Added(ONE), LAB, 5.0)
    assert told(effects, Added) == [OURS]
    (probe,) = probes(effects)
    assert probe.is_answer(Alive())
    assert given_out(binder) == {address_of(ONE)}
    assert binder.directory.version(ONE).start == 0
    assert probes(binder.handle(ServiceList((ONE,)), LAB, 6.0)) == []
