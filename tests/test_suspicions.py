"""Suspicions: who is told to suspect what, for how long, and what a lying peer can do with it."""

from random import Random

import pytest

from prr.core.binder import Binder
from prr.core.effects import Event, Outcome, Probe
from prr.core.liveness import suspicions
from prr.core.liveness.just_learned import JUST_LEARNED
from prr.core.liveness.suspicions import PAUSE, SUSPICION
from prr.core.liveness.verification import REFUSAL_PAUSE
from prr.wire.frames import Added, Complaint, Lookup, Removed, ServiceList, Subscribe
from prr.wire.instance import address_of
from prr.wire.messages import Hello, Started, Suspicion
from prr.wire.version import Version, encode_version
from tests.cores import Net, at, events, has_answered, probes, say, sent

pytestmark = pytest.mark.elsewhere

A, B, C = ADDRESSES = tuple((f"10.0.0.{number}", 2222) for number in (1, 2, 3))
CLIENT, STRANGER = ("10.0.2.1", 5000), ("10.0.9.9", 9)
ONE, TWO = at(7, "10.0.1.1", 4000), at(7, "10.0.1.2", 4000)
START = 5


@pytest.fixture
def net():
    """Three binders that know each other and two servers, long enough to ask these themselves."""
    binders = {
        own: Binder(frozenset(), tuple(p for p in ADDRESSES if p != own), number, Random(number))
        for number, own in enumerate(ADDRESSES, 1)
    }
    net = Net(binders)
    net.start()
    net.run(3.0)
    net.alive |= {ONE, TWO}
    for one in (ONE, TWO):
        net.say(A, Subscribe(7, trailer=Started(start=START)), address_of(one))
        has_answered(net.binders[A], one, net.now)
    net.run(net.now + JUST_LEARNED + 1.0)
    for one in (ONE, TWO):
        net.say(A, Subscribe(7, trailer=Started(start=START)), address_of(one))
    net.done.clear()
    return net


def suspecting(net, instance=ONE):
    """The binders at which an instance is out of turn."""
    return {own for own, core in net.binders.items() if core.directory.is_suspect(instance)}


def told(net, since=0.0):
    """Who was told to suspect something, and by whom."""
    return [
        (own, effect.target)
        for own, effect in net.sent(since)
        if isinstance(effect.frame, Added) and isinstance(effect.frame.trailer, Suspicion)
    ]


def additions(net, since):
    """Who was told that something is there, and by whom."""
    sendings = net.sent(since)
    return [(own, one.target) for own, one in sendings if isinstance(one.frame, Added)]


def asked_times(net):
    """How many questions were asked."""
    return sum(isinstance(effect, Probe) for _, _, effect in net.done)


def asking(net):
    """The binders that have asked something."""
    return {own for _, own, effect in net.done if isinstance(effect, Probe)}


def suspicion(net, instance=ONE, version=None):
    """What a peer says of an instance at B: that it is in doubt."""
    version = version or net.binders[B].directory.version(instance)
    said = Suspicion(binder=1, versions=encode_version(version), doubt=1)
    return Added(instance, trailer=said)


@pytest.mark.parametrize("at_whom", [A, B])
def test_one_refusal_takes_it_out_of_turn_everywhere(net, at_whom):
    net.refusing.add(ONE)
    net.alive.discard(ONE)
    net.say(at_whom, Complaint(ONE), CLIENT)
    net.run(net.now + 0.003)  # the question, its refusal, and what is told
    assert suspecting(net) == {A, B, C}
    others = [peer for peer in ADDRESSES if peer != at_whom]
    assert told(net) == [(at_whom, peer) for peer in others]
    assert asking(net) == {at_whom, A}  # A is its lease owner
    assert {own for _, own in net.reports(Event.SUSPECTED)} == set(others)
    net.run(net.now + REFUSAL_PAUSE + 0.01)
    assert not any(ONE in core.directory for own, core in net.binders.items() if own != A)


def test_silence_after_a_complaint_is_told_with_the_first_question_unanswered(net):
    net.alive.discard(ONE)
    net.say(B, Complaint(ONE), CLIENT)
    net.run(net.now + 0.19)
    assert suspecting(net) == {B}
    net.run(net.now + 0.02)
    assert suspecting(net) == {A, B, C}
    net.run(net.now + 9.0)
    assert len(told(net)) == 2  # once, however many questions follow


def test_silence_without_a_complaint_is_told_to_nobody(net):
    """This binder alone may have lost sight of many."""
    net.alive.clear()
    net.run(net.now + 15.5)  # their leases end
    assert asking(net)
    assert told(net) == []


def test_nothing_is_told_of_one_that_answers_its_first_question(net):
    net.say(B, Complaint(ONE), CLIENT)
    net.run(net.now + 1.0)
    assert asking(net) == {B}
    assert told(net) == []


def test_who_answers_after_all_is_back_in_turn_everywhere_at_once(net):
    net.refusing.add(ONE)
    net.alive.discard(ONE)
    net.say(B, Complaint(ONE), CLIENT)
    net.run(net.now + 0.003)
    assert suspecting(net) == {A, B, C}
    net.refusing.clear()
    net.alive.add(ONE)
    before = net.now
    net.run(net.now + REFUSAL_PAUSE + 0.01)
    assert suspecting(net) == set()
    assert additions(net, before) == [(B, A), (B, C)]
    net.say(B, Complaint(ONE), CLIENT)
    net.run(net.now + 0.1)
    assert len(additions(net, before)) == 2  # who was told nothing more need not be told


def test_a_renewal_is_an_answer_too(net):
    net.refusing.add(ONE)
    net.alive.discard(ONE)
    net.say(A, Complaint(ONE), CLIENT)
    net.run(net.now + 0.003)
    assert suspecting(net) == {A, B, C}
    net.say(A, Subscribe(7, trailer=Started(start=START)), address_of(ONE))
    net.run(net.now + 0.002)
    assert suspecting(net) == set()


def test_what_a_peer_suspects_is_not_asked_not_told_on_and_back_after_a_moment(net):
    assert events(net.say(B, suspicion(net), A)) == [Event.SUSPECTED]
    assert suspecting(net) == {B}
    named = [net.binders[B].directory.lookup(7) for _ in range(4)]
    assert named == [TWO] * 4
    net.run(net.now + SUSPICION - 0.01)
    assert suspecting(net) == {B}
    net.run(net.now + 0.02)
    assert suspecting(net) == set()
    assert asking(net) == set()
    assert told(net) == []


def test_the_lease_owner_asks_whom_a_peer_suspects_and_its_answer_clears_it_everywhere(net):
    for binder in (A, B):
        net.say(binder, suspicion(net), C)
    assert suspecting(net) == {A, B}
    net.run(net.now + 0.004)
    assert suspecting(net) == set()
    assert asking(net) == {A}
    assert additions(net, 0.0) == [(A, B), (A, C)]
    net.say(A, suspicion(net), C)  # too soon after the first
    assert asked_times(net) == 1


def test_the_last_of_its_service_is_handed_out_however_suspect(net):
    for one in (ONE, TWO):
        net.say(B, suspicion(net, one), A)
    (answer,) = sent(net.say(B, Lookup(7), CLIENT))
    assert answer[0].address in {address_of(ONE), address_of(TWO)}


def test_who_suspects_without_end_has_it_out_of_turn_for_a_fifth_of_the_time(net):
    """A peer that lies, every tenth of a second, for a minute."""
    out = 0
    for _ in range(600):
        net.say(B, suspicion(net), A)
        net.run(net.now + 0.1)
        out += B in suspecting(net)
    assert 0 < out * 0.1 <= 60 / PAUSE * SUSPICION + 0.1


@pytest.mark.parametrize("clears", [True, False])
def test_a_suspicion_ends_when_its_peer_says_so_about_the_same_version(net, clears):
    net.say(B, suspicion(net), A)
    version = net.binders[B].directory.version(ONE)
    older = Version(version.counter - 1, version.owner, version.start)
    net.say(B, say(Added, ONE, version if clears else older), A)
    assert suspecting(net) == (set() if clears else {B})


def test_a_suspicion_of_another_version_is_none(net):
    """An older one may be about the process before it."""
    version = net.binders[B].directory.version(ONE)
    older = Version(version.counter - 1, version.owner, version.start)
    assert events(net.say(B, suspicion(net, ONE, older), A)) == []
    gone = at(7, "10.0.1.3", 4000)
    net.say(B, say(Removed, gone, version), A)
    assert events(net.say(B, suspicion(net, gone, version), A)) == []
    assert suspecting(net) == set()


def test_a_suspicion_that_tells_of_the_instance_as_well_is_both(net):
    version = net.binders[B].directory.version(ONE)
    newer = Version(version.counter + (1 << 20), version.owner, version.start)
    net.say(B, suspicion(net, ONE, newer), A)
    assert net.binders[B].directory.version(ONE) == newer
    assert suspecting(net) == {B}


def test_what_is_being_asked_here_stays_out_of_turn_when_the_suspicion_ends(net):
    net.alive.discard(ONE)
    net.say(B, suspicion(net), A)
    net.run(net.now + SUSPICION - 0.3)
    net.say(B, Complaint(ONE), CLIENT)
    net.run(net.now + 0.4)
    assert B in suspecting(net)
    net.alive.add(ONE)
    net.run(net.now + 0.5)
    assert B not in suspecting(net)


def test_a_verdict_here_outweighs_a_suspicion(net):
    """It answers here: a suspicion that was to end later ends."""
    net.say(B, suspicion(net), A)
    net.say(B, Complaint(ONE), CLIENT)
    net.run(net.now + 0.01)
    assert suspecting(net) == set()
    assert net.binders[B].inspect().sizes["suspicions"][0] == 0


def test_a_stranger_has_nothing_suspected(net):
    assert events(net.say(B, suspicion(net), STRANGER)) == [Event.OUT_OF_PLACE]
    assert suspecting(net) == set()


def test_who_does_not_know_the_doubt_reads_what_it_knows(net):
    """A binder of ours that is older reads the key as if it were not there."""
    before = net.binders[B].directory.digest()
    known = say(Added, ONE, net.binders[B].directory.version(ONE))
    assert net.say(B, known, A) == []
    assert net.binders[B].directory.digest() == before


def test_legacy_binders_are_not_told():
    """They would take it for one more server."""
    binder = Binder(frozenset(), ADDRESSES, 9, Random(1))
    binder.start(0.0)
    binder.handle(ServiceList(()), B, 0.1)  # bare, as a legacy binder answers
    binder.handle(ServiceList((), trailer=Hello(binder=3)), C, 0.1)  # A has said nothing yet
    binder.handle(Subscribe(7), address_of(ONE), 0.1)
    has_answered(binder, ONE, 0.1)
    (probe,) = probes(binder.handle(Complaint(ONE), CLIENT, 0.2))
    effects = binder.probed(probe, Outcome.REFUSED, 0.2)
    assert [(frame.instance, target) for frame, target in sent(effects)] == [(ONE, C)]


def test_of_too_many_none_is_told_and_none_taken_up(net, monkeypatch):
    monkeypatch.setattr(suspicions, "SUSPICIONS_MAX", 1)
    net.say(B, suspicion(net, TWO), A)
    assert events(net.say(B, suspicion(net), A)) == []
    assert suspecting(net) == set()
    net.run(net.now + PAUSE)
    net.say(B, suspicion(net), A)
    assert suspecting(net) == {B}
