"""Doubt: leases, refutations, opinions, the brake, a late clock, orphans, and who comes back."""

from math import ceil
from random import Random

import pytest

from prr.config import Limits
from prr.core.binder import Binder
from prr.core.effects import Event, Outcome, Probe
from prr.core.liveness.doubts import Doubts
from prr.core.liveness.eviction_limiter import FLOOR, SHARE
from prr.core.liveness.just_learned import JUST_LEARNED
from prr.core.liveness.lease_owners import RANK_PAUSE
from prr.core.replication.peers import Peers
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.wire.frames import Added, Complaint, Lookup, Removed, Subscribe, Subscribed, Verify
from prr.wire.instance import address_of, service_of
from prr.wire.messages import OpinionRequest, Plain, Started
from prr.wire.version import NO_START, Version, is_newer
from tests.cores import Net, at, events, has_answered, probes, say, sent

pytestmark = pytest.mark.elsewhere

A, B, C = ADDRESSES = tuple((f"10.0.0.{number}", 2222) for number in (1, 2, 3))
CLIENT = ("10.0.2.1", 5000)
ONE, TWO, THREE, *REST = CROWD = [at(7, f"10.0.1.{number}", 4000) for number in range(1, 41)]
LEASE = 15.0
LATER = 1 << 40
"""A counter that no binder of these tests reaches by itself."""


def cluster(count, seed=0, **options):
    """So many binders that know each other, at 3 s."""
    here = ADDRESSES[:count]
    net = Net(
        {
            own: Binder(
                frozenset(), tuple(p for p in here if p != own), number, Random(seed), **options
            )
            for number, own in enumerate(here, 1)
        },
        Random(seed),
    )
    net.start()
    net.run(3.0)
    return net


def subscribe(net, binder, *instances, start=None):
    """Instances that live subscribe with a binder, where they have answered once, and all the
    others hear of it."""
    net.alive |= set(instances)
    for one in instances:
        trailer = Started(start=start) if start else None
        net.say(binder, Subscribe(service_of(one), trailer=trailer), address_of(one))
        has_answered(net.binders[binder], one, net.now)
    net.run(net.now + 0.1)


def complain(net, binder, instance=ONE):
    """A client could not reach an instance."""
    return net.say(binder, Complaint(instance), CLIENT)


def knowing(net, instance):
    """The binders that hold an instance."""
    return {own for own, core in net.binders.items() if instance in core.directory}


def asked(net, instance, since=0.0):
    """When, and by whom, an instance was asked."""
    return [
        (when, own)
        for when, own, effect in net.done
        if isinstance(effect, Probe) and effect.instance == instance and when >= since
    ]


# Leases


def test_an_instance_that_is_not_heard_for_a_lease_is_asked_by_its_home_and_stays_if_it_answers():
    net = cluster(2)
    subscribe(net, A, ONE)
    began = net.now
    net.run(began + 4 * LEASE)
    times = [when for when, _ in asked(net, ONE)]
    assert {own for _, own in asked(net, ONE)} == {A}
    pauses = [after - before for before, after in zip([3.0, *times], times, strict=False)]
    assert pauses == pytest.approx([LEASE] * len(times), abs=0.01)
    assert len(times) >= 3
    assert knowing(net, ONE) == {A, B}
    assert net.reports(Event.EVICTED) == []


def test_a_renewal_puts_the_question_off():
    net = cluster(1)
    subscribe(net, A, ONE, start=9)
    for _ in range(10):
        net.run(net.now + LEASE / 3)
        ((frame, _),) = sent(net.say(A, Subscribe(7, trailer=Started(start=9)), address_of(ONE)))
        assert frame == Subscribed(trailer=Plain())
    assert asked(net, ONE) == []


def test_a_lease_that_runs_out_evicts_nobody_before_it_was_asked_three_times():
    net = cluster(1)
    subscribe(net, A, ONE, TWO)
    net.alive.discard(ONE)
    net.run(3.0 + LEASE)
    assert knowing(net, ONE) == {A}
    net.run(net.now + 2.0)
    assert len(asked(net, ONE)) == 3
    assert (knowing(net, ONE), knowing(net, TWO)) == (set(), {A})


def test_while_it_is_asked_for_its_lease_it_stays_in_turn_until_a_question_is_silent():
    net = cluster(1)
    subscribe(net, A, ONE, TWO)
    directory = net.binders[A].directory
    net.alive.discard(ONE)
    net.run(3.0 + LEASE + 0.1)
    assert (len(asked(net, ONE)), directory.is_suspect(ONE)) == (1, False)
    net.run(net.now + 0.3)
    assert (len(asked(net, ONE)), directory.is_suspect(ONE)) == (2, True)
    assert directory.count(7) == (1, 1)


def test_those_to_be_asked_later_are_bounded_though_their_removals_are_forgotten():
    """Legacy servers that fall silent one after the other are asked again after half a minute."""
    peers, limits = Peers(()), Limits(instances=2, removals=2, verifications=1)
    versioned = VersionedDirectory(1, limits, peers)
    doubts = Doubts(versioned, peers, limits, Random(1))
    for one in CROWD:
        versioned.add(one, NO_START)
        versioned.remove(one, NO_START, 0.0)
        doubts.verify_later(one, 30.0)
    assert len(doubts.rechecks) == 7
    size, limit = doubts.sizes()["rechecks"]
    assert size < limit
    versioned.add(ONE, NO_START)
    doubts.rechecks.cancel(ONE)
    doubts.verify_later(ONE, 30.0)  # what is there always has room
    assert ONE in doubts.rechecks


# Opinions


def test_silence_that_another_binder_confirms_evicts_everywhere():
    net = cluster(3)
    subscribe(net, A, ONE)
    net.run(net.now + JUST_LEARNED)  # until then a complaint is for its owner
    net.alive.clear()
    complain(net, B)
    net.run(net.now + 3.5)
    assert knowing(net, ONE) == set()
    assert [own for _, own in net.reports(Event.EVICTED)] == [B]
    assert {own for _, own in asked(net, ONE)} == {A, B, C}


@pytest.mark.parametrize("seed", range(5))
def test_an_instance_that_answers_another_binder_is_kept(seed):
    net = cluster(2, seed)
    subscribe(net, A, ONE, TWO)
    net.alive.discard(ONE)
    complain(net, A)
    (probe,) = [effect for _, _, effect in net.done if isinstance(effect, Probe)]
    net.run(net.now + 0.6)  # B has been asked for its opinion, and asks in its turn
    (theirs,) = [e for _, own, e in net.done if isinstance(e, Probe) and own == B][:1]
    net.act(B, net.binders[B].probed(theirs, Outcome.ALIVE, net.now))
    net.run(net.now + 0.1)
    assert knowing(net, ONE) == {A, B}
    assert [own for _, own in net.reports(Event.VERIFIED)] == [B, A]  # who had been told to doubt
    assert not net.binders[A].directory.is_suspect(ONE)
    for outcome in Outcome:  # late copies
        assert net.binders[A].probed(probe, outcome, net.now) == []


def test_two_refusals_evict_without_any_opinion():
    net = cluster(2)
    subscribe(net, A, ONE)
    net.alive.clear()
    net.refusing = {ONE}
    began = net.now
    complain(net, A)
    net.run(began + 0.1)
    assert knowing(net, ONE) == set()
    assert not any(isinstance(e.frame, Complaint) for _, e in net.sent(began))


def test_when_the_others_say_nothing_it_is_kept_as_a_suspect_and_asked_again():
    net = cluster(3)
    subscribe(net, A, ONE, TWO)
    net.alive.discard(ONE)
    net.cut = {B, C}
    complain(net, A)
    net.run(net.now + 12.0)
    assert ONE in net.binders[A].directory
    assert net.binders[A].directory.count(7) == (1, 1)
    assert len([own for _, own in net.reports(Event.KEPT) if own == A]) >= 2
    net.cut = set()
    net.run(net.now + 9.0)
    assert knowing(net, ONE) == set()


def test_when_it_answers_again_a_suspect_is_back_in_turn():
    net = cluster(2)
    subscribe(net, A, ONE, TWO)
    net.alive.discard(ONE)
    net.cut = {B}
    complain(net, A)
    net.run(net.now + 3.0)
    assert net.binders[A].directory.is_suspect(ONE)
    net.alive.add(ONE)
    net.run(net.now + 3.0)
    assert net.binders[A].directory.count(7) == (2, 0)


def test_two_binders_that_doubt_one_instance_at_the_same_moment_evict_it():
    net = cluster(2)
    subscribe(net, A, ONE, TWO)
    net.alive.discard(ONE)
    for own in (A, B):
        complain(net, own)
    net.run(net.now + 6.0)
    assert knowing(net, ONE) == set()


# Refutation


@pytest.mark.parametrize("lives", [True, False])
@pytest.mark.parametrize("refuses", [True, False])
def test_a_removal_of_what_was_heard_here_is_disputed_until_it_has_been_asked(lives, refuses):
    net = cluster(2)
    subscribe(net, A, ONE)
    if not lives:
        net.alive.clear()
        net.refusing = {ONE} if refuses else set()
    removal = say(Removed, ONE, Version(LATER, 2, 0), binder=2)
    began = net.now
    effects = net.say(A, removal, B)
    net.say(B, removal, A)  # whoever says so has it removed
    assert knowing(net, ONE) == {A}
    assert net.binders[A].directory.count(7) == (
        0,
        1,
    )  # out of turn, unless it is the last
    assert [probe.instance for probe in probes(effects)] == [ONE]
    assert net.say(A, removal, B) == []
    net.run(net.now + (0.01 if lives or refuses else 1.01))  # no opinions, no second refusal
    assert knowing(net, ONE) == ({A, B} if lives else set())
    assert not any(isinstance(e.frame, Complaint) for _, e in net.sent(began))
    if lives:
        assert is_newer(net.binders[B].directory.version(ONE), Version(LATER, 2, 0))
        assert net.binders[A].directory.count(7) == (1, 0)
    else:
        assert net.binders[A].directory.latest(ONE) == Version(LATER, 2, 0)  # no word of its own
    net.run(net.now + 2 * LEASE)
    assert knowing(net, ONE) == ({A, B} if lives else set())


def test_a_removal_that_comes_in_a_page_is_disputed_too_and_makes_no_difference_that_runs_hot():
    net = cluster(2)
    subscribe(net, A, *CROWD)
    net.alive.clear()
    for number, one in enumerate(CROWD):
        net.binders[B].directory.remove(one, Version(LATER + number, 2, 0), net.now)
    began = net.now
    net.run(began + 0.9)
    assert knowing(net, ONE) == {A}
    assert len(net.sent(began)) < 60  # a round each, and pages
    net.run(net.now + 1.5)
    assert (knowing(net, ONE), net.agree()) == (set(), True)


@pytest.mark.parametrize("is_back", [False, True])
def test_what_a_peer_says_another_owns_is_vouched_for_until_its_lease_ends(is_back):
    net = cluster(2)
    subscribe(net, A, ONE)
    began = net.now
    net.say(A, say(Added, ONE, Version(LATER, 9, 0), binder=2), B)
    if is_back:  # and by the next word this one owns it all the same
        own = net.binders[A].identity
        net.say(A, say(Added, ONE, Version(LATER + 1, own, 0), binder=2), B)
    net.alive = set()
    effects = net.say(A, say(Removed, ONE, Version(LATER + 2, 9, 0), binder=2), B)
    assert [probe.instance for probe in probes(effects)] == [ONE]
    assert ONE in net.binders[A].directory
    net.alive = {ONE}
    net.run(net.now + 0.5)
    assert knowing(net, ONE) == {A, B}
    assert net.now < began + LEASE


def test_one_that_renews_while_it_is_disputed_is_vouched_for_as_before():
    net = cluster(2)
    subscribe(net, A, ONE, start=7)
    net.alive = set()
    for later in (0, 2):
        net.say(A, say(Added, ONE, Version(LATER + later, 9, 7), binder=2), B)
        net.say(A, say(Removed, ONE, Version(LATER + later + 1, 9, 7), binder=2), B)
        assert ONE in net.binders[A].directory
        net.say(A, Subscribe(service_of(ONE), trailer=Started(start=7)), address_of(ONE))


def test_what_another_binder_owns_is_asked_by_that_one_and_believed_gone_once_its_lease_ends():
    net = cluster(2)
    subscribe(net, A, ONE)
    net.say(A, say(Added, ONE, Version(LATER, 2, 0), binder=2), B)
    net.run(net.now + LEASE + 1.0)
    assert {own for _, own in asked(net, ONE)} == {B}
    net.say(A, say(Removed, ONE, Version(LATER + 1, 2, 0), binder=2), B)
    assert ONE not in net.binders[A].directory


def disputed(start=0, **options):
    """Two binders, and an instance at home with the first that the other says is gone."""
    net = cluster(2, **options)
    subscribe(net, A, ONE, start=start)
    net.alive.clear()
    net.say(A, say(Removed, ONE, Version(LATER, 2, start), binder=2), B)
    return net, net.binders[A].directory


def test_the_newest_of_several_removals_is_the_one_that_is_refuted():
    net, directory = disputed()
    assert net.say(A, say(Removed, ONE, Version(LATER + 20, 2, 0), binder=2), B) != []
    assert net.say(A, say(Removed, ONE, Version(LATER + 10, 3, 0), binder=3), B) == []
    assert len(asked(net, ONE)) == 1
    net.alive = {ONE}
    net.run(net.now + 0.5)
    assert is_newer(directory.version(ONE), Version(LATER + 20, 2, 0))


@pytest.mark.parametrize("counter", [LATER - 1, LATER + 1])
def test_of_a_word_that_it_is_there_and_a_disputed_removal_the_newer_one_wins(counter):
    net, directory = disputed()
    there = say(Added, ONE, Version(counter, 2, 0), binder=2)
    net.say(A, there, B)
    assert directory.is_disputed(ONE) is (counter < LATER)
    assert directory.is_suspect(ONE) is (counter < LATER)
    net.run(net.now + 1.1)
    assert (ONE in directory) is (counter > LATER)


def test_one_that_leaves_by_itself_while_its_removal_is_disputed_is_gone():
    net, directory = disputed(start=9)
    assert Removed(ONE) in [f for f, _ in sent(net.say(A, Removed(ONE), address_of(ONE)))]
    assert ONE not in directory
    assert is_newer(directory.latest(ONE), Version(LATER, 2, 9))
    net.run(net.now + 2.0)
    assert knowing(net, ONE) == set()


@pytest.mark.parametrize("start", [9, 0])
def test_one_of_ours_that_renews_meanwhile_has_to_answer_first_and_one_of_2016_is_there(start):
    net, directory = disputed(start=start)
    frame = Subscribe(7, trailer=Started(start=start) if start else None)
    effects = net.say(A, frame, address_of(ONE))
    assert directory.is_disputed(ONE) is bool(start)
    assert any(isinstance(f, Subscribed) for f, _ in sent(effects)) is not bool(start)
    net.run(net.now + 1.1)
    assert (ONE in directory) is not bool(start)


def test_with_no_room_for_questions_a_disputed_one_waits_out_of_turn_and_is_asked():
    net = cluster(2, limits=Limits(verifications=1))
    subscribe(net, A, ONE, TWO)
    net.alive.discard(ONE)
    complain(net, A)
    assert probes(net.say(A, say(Removed, TWO, Version(LATER, 2, 0), binder=2), B)) == []
    assert net.binders[A].directory.count(7) == (0, 2)
    net.run(net.now + 6.0)
    assert knowing(net, TWO) == {A, B}
    assert net.binders[A].directory.is_suspect(TWO) is False


def test_silent_ones_that_fill_the_places_leave_some_for_what_is_disputed():
    net = cluster(2)
    silent = [at(7, "10.0.3.1", port) for port in range(1, 501)]
    living = [at(7, "10.0.2.1", port) for port in range(1, 41)]
    accused = at(7, "10.0.4.1", 1)
    subscribe(net, A, *silent, *living, accused)
    net.alive = set()
    began = net.now
    for one in silent:
        complain(net, A, one)
    assert sum(len(asked(net, one, began)) for one in silent) == 448
    for number, one in enumerate(living):
        net.say(A, say(Removed, one, Version(LATER + number, 2, 0), binder=2), B)
    assert sum(len(asked(net, one, began)) for one in living) == 32
    net.say(A, Complaint(accused), ("10.0.0.77", 7))
    assert len(asked(net, accused, began)) == 1


def test_one_that_was_silent_here_too_is_not_vouched_for():
    net = cluster(3)
    subscribe(net, A, ONE)
    net.alive.clear()
    complain(net, B)
    net.run(net.now + 2.1)
    assert knowing(net, ONE) == set()  # its home was asked for an opinion, and gave it


def test_a_bare_removal_is_disputed_once():
    net, directory = disputed()
    version = directory.latest(ONE)
    assert net.say(A, Removed(ONE), B) == []
    assert directory.latest(ONE) == version


def test_what_a_peer_says_is_at_home_here_is_asked_here():
    """Nobody else would: this binder is there, so no other one takes its place."""
    net = cluster(2)
    net.refusing = {ONE}
    net.say(B, say(Added, ONE, Version(LATER, 1, 0), binder=9), A)
    net.run(net.now + LEASE + 3.0)
    assert knowing(net, ONE) == set()


def test_a_removal_of_what_was_never_heard_here_is_believed():
    net = cluster(2)
    subscribe(net, A, ONE)
    effects = net.say(B, say(Removed, ONE, Version(LATER, 1, 0), binder=1), A)
    assert (probes(effects), knowing(net, ONE)) == ([], {A})


def test_a_removal_that_is_out_of_date_removes_nothing_but_has_it_asked():
    net = cluster(2)
    subscribe(net, A, ONE)
    effects = net.say(A, say(Removed, ONE, Version(0, 2, 0), binder=2), B)
    assert [probe.instance for probe in probes(effects)] == [ONE]
    assert knowing(net, ONE) == {A, B}


def test_a_removal_is_refuted_too_when_the_instance_has_just_been_cleared():
    net = cluster(2)
    subscribe(net, A, ONE)
    net.alive.clear()
    complain(net, A)
    subscribe(net, A, ONE)  # it speaks up: the verification is settled, its question still open
    net.say(A, say(Removed, ONE, Version(LATER, 2, 0), binder=2), B)
    net.run(net.now + 2 * LEASE)
    assert knowing(net, ONE) == {A, B}


# Alone, late, or cut off


def test_alone_silence_evicts_but_the_brake_holds_when_too_many_fall_silent():
    net = cluster(1)
    subscribe(net, A, *CROWD)
    net.alive = set()
    net.run(3.0 + LEASE + 2.0)
    gone = max(FLOOR, ceil(SHARE * len(CROWD)))
    assert len(net.reports(Event.EVICTED)) == gone
    assert len(net.reports(Event.BRAKE)) >= 1
    assert net.binders[A].directory.count(7) == (0, len(CROWD) - gone)
    assert sent(net.say(A, Lookup(7), CLIENT)) != []  # it goes on serving what it has
    net.alive = set(CROWD)
    net.run(net.now + 5.0)
    assert net.binders[A].directory.count(7) == (len(CROWD) - gone, 0)


def test_a_binder_whose_event_loop_lagged_waits_again_and_says_so():
    net = cluster(1)
    subscribe(net, A, ONE)
    net.alive.clear()
    core, began = net.binders[A], net.now
    complain(net, A)
    for late in (10.0, 20.0, 30.0):
        effects = core.tick(began + late)
        assert Event.LATE in events(effects)
        assert probes(effects) == []
        assert Event.EVICTED not in events(effects)
    net.now = began + 30.0
    net.act(A, effects)
    net.run(net.now + 3.0)
    assert knowing(net, ONE) == set()


def test_a_binder_that_is_cut_off_evicts_nothing_and_the_others_keep_what_it_has():
    net = cluster(3)
    subscribe(net, A, *CROWD[:20])
    net.cut = {A}
    net.run(net.now + 2 * LEASE)
    assert all(len(core.directory) == 20 for core in net.binders.values())
    net.cut = set()
    net.run(net.now + 12.0)
    assert net.agree()
    assert len(net.binders[A].directory) == 20


# A home that falls silent


def test_the_instances_of_a_silent_home_are_verified_and_adopted_by_one_survivor():
    net = cluster(3)
    subscribe(net, C, ONE, TWO)
    net.alive.discard(TWO)
    net.cut = {C}
    net.run(net.now + LEASE + 6.0 + 4 * RANK_PAUSE + 6.0)
    survivors = {A, B}
    assert knowing(net, ONE) >= survivors
    assert knowing(net, TWO) & survivors == set()
    owners = {net.binders[own].directory.version(ONE).owner for own in survivors}
    assert len(owners) == 1
    assert owners <= {1, 2}
    adopted = net.reports(Event.ADOPTED)
    assert len(adopted) == 1
    began = net.now
    net.run(began + LEASE + 1.0)
    assert asked(net, ONE, began)  # its lease is watched again
    net.cut = set()
    net.run(net.now + 9.0)
    assert net.agree()


# Readmission


@pytest.mark.parametrize("lives", [True, False])
def test_who_has_left_is_back_only_when_it_answers(lives):
    net = cluster(2)
    subscribe(net, A, ONE, start=9)
    net.alive = set()
    net.say(A, Removed(ONE), address_of(ONE))
    net.run(net.now + 1.5)
    assert knowing(net, ONE) == set()
    if lives:
        net.alive = {ONE}
    else:
        net.refusing = {ONE}
    for own in (A, B):  # a late copy of its old subscription, or a new process
        effects = net.say(own, Subscribe(7), address_of(ONE))
        assert sent(effects) == [(Subscribed(), address_of(ONE))]  # else one of 2016 is silent
        ((probe),) = probes(effects)
        assert probe.frame != Verify()  # one of ours has to say what it is
        assert net.binders[own].directory.is_suspect(ONE)
        assert probes(net.say(own, Subscribe(7), address_of(ONE))) == []
        net.run(net.now + 1.5)
        assert knowing(net, ONE) == ({A, B} if lives else set())
        if lives:
            assert Subscribed() in [
                frame for frame, _ in sent(net.say(own, Subscribe(7), address_of(ONE)))
            ]
            break


def test_who_was_evicted_is_back_at_once():
    net = cluster(1)
    subscribe(net, A, ONE)
    net.alive, net.refusing = set(), {ONE}
    complain(net, A)
    net.run(net.now + 1.0)
    assert knowing(net, ONE) == set()
    assert Subscribed() in [f for f, _ in sent(net.say(A, Subscribe(7), address_of(ONE)))]


# Limits


def test_leases_beyond_the_verifications_that_fit_wait_for_room_and_none_is_forgotten():
    net = cluster(1, limits=Limits(verifications=4))
    subscribe(net, A, *CROWD)
    net.run(net.now + LEASE + 5.0)
    assert {one for one in CROWD if asked(net, one)} == set(CROWD)
    assert net.reports(Event.EVICTED) == []


def test_what_waits_for_room_is_bounded_by_what_is_known():
    net = cluster(1, limits=Limits(instances=10, removals=10, verifications=1))
    subscribe(net, A, ONE)
    net.alive.clear()
    complain(net, A)  # the one place is taken
    for port in range(1, 1000):
        service = ("10.0.3.1", port)
        for frame in (Removed(at(7, *service)), Subscribe(7)):
            net.say(A, frame, service)
    assert net.binders[A].inspect().sizes["rechecks"][0] <= 30


def test_an_opinion_is_given_only_about_what_is_held():
    net = cluster(2)
    question = Complaint(ONE, trailer=OpinionRequest(binder=1, nonce=5))
    assert net.say(B, question, A) == []
    net.say(A, say(Added, ONE, Version(LATER, 2, 0), binder=2), B)
    assert knowing(net, ONE) == {A}
