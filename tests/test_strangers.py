"""What strangers may cost a binder, and each other: work, places for verifications, datagrams."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from prr.config import WireForm
from prr.core.binder import Binder
from prr.core.effects import Event, Outcome, Probe, ProbeAll, Send
from prr.core.liveness.admission import TYPES_MAX
from prr.core.liveness.detector import DOUBTED_MAX
from prr.core.liveness.just_learned import JUST_LEARNED, JUST_LEARNED_MAX, JustLearned
from prr.core.liveness.newcomers import CREDIT, REPAYMENT
from prr.core.server import Server
from prr.wire.forms import TABLE
from prr.wire.frames import Complaint, Role, Subscribe, Subscribed, Verify
from prr.wire.instance import address_of, service_of
from prr.wire.messages import Challenge, Started
from tests.cores import (
    CODEC_2016,
    CODECS,
    Net,
    at,
    encode,
    events,
    probes,
    questions,
    random_frame,
    sent,
)

pytestmark = pytest.mark.elsewhere

PORTS = range(4000, 4040)
STRANGER = "10.0.9.1"
CLIENT = ("10.0.2.1", 5000)
SERVER = ("10.0.1.1", 4000)


def alone() -> Binder:
    """A binder without peers, started."""
    binder = Binder(frozenset(), (), 1, Random(1))
    binder.start(0.0)
    return binder


class Answering:
    """A binder whose questions to the living are answered at once, and refused by the refusing."""

    def __init__(self, alive=(), refusing=()):
        self.core = alone()
        self.alive, self.refusing = set(alive), set(refusing)
        self.now = 0.0
        self.asked = []

    def say(self, frame, source):
        """A frame at this moment; what the binder does."""
        return self.act(self.core.handle(frame, source, self.now))

    def act(self, effects):
        """Answer what is asked; what was done in all."""
        done = list(effects)
        for probe in probes(effects):
            self.asked.append((self.now, probe.instance))
            outcome = Outcome.ALIVE if probe.instance in self.alive else None
            if probe.instance in self.refusing:
                outcome = Outcome.REFUSED
            if outcome:
                done += self.act(self.core.probed(probe, outcome, self.now))
        for together in (effect for effect in effects if isinstance(effect, ProbeAll)):
            self.asked += [(self.now, one) for one in together.instances]
            answered = [one for one in together.instances if one in self.alive]
            done += self.act(self.core.answered_all(together, answered, self.now))
        return done

    def run(self, until):
        """Let time pass."""
        while (when := self.core.deadline()) is not None and when <= until:
            self.now = max(self.now, when)
            self.act(self.core.tick(self.now))
        self.now = until


# Subscriptions


def test_ports_that_name_all_types_in_turn_cost_the_same_for_each_datagram_and_get_no_further():
    binder, most = alone(), 0
    for number in range(256 * len(PORTS)):
        source = (STRANGER, PORTS[number % len(PORTS)])
        effects = binder.handle(Subscribe(number // len(PORTS)), source, number / 2634)
        most = max(most, len(effects))
        assert len(probes(effects)) <= DOUBTED_MAX
    assert most <= 2 + 2 * DOUBTED_MAX  # a report and a question each, a report, a confirmation
    assert len(binder.directory) <= TYPES_MAX * len(PORTS)


def test_another_type_at_an_address_puts_those_before_it_in_doubt():
    binder = Answering(alive=[at(8, *SERVER)])
    binder.say(Subscribe(7), SERVER)
    binder.run(5.0)
    effects = binder.say(Subscribe(8), SERVER)
    assert [one.instance for one in probes(effects)] == [at(7, *SERVER)]
    binder.run(7.0)
    assert binder.core.directory.instances(b"", 9)[0] == [at(8, *SERVER)]


def test_an_address_gives_so_many_types_and_those_it_gives_it_renews():
    binder = alone()
    for type_ in range(TYPES_MAX):
        assert sent(binder.handle(Subscribe(type_), SERVER, 0.0)) == [(Subscribed(), SERVER)]
    effects = binder.handle(Subscribe(99), SERVER, 0.0)
    assert (sent(effects), events(effects)) == ([], [Event.OVER_QUOTA])
    assert sent(binder.handle(Subscribe(3), SERVER, 0.0)) == [(Subscribed(), SERVER)]


# Complaints

FAKES = [at(9, STRANGER, port) for port in range(1, 1201)]
DEAD, TWIN = at(7, *SERVER), at(7, "10.0.1.2", 4000)


def flooded(complainers, dead=DEAD):
    """A binder to which one of `complainers` after the other complains 1,400 times a second, for
    two seconds, about silent instances of their own; and of which a client asks for DEAD's type."""
    binder = Answering(alive=[TWIN, dead])
    for one in (*FAKES, TWIN, dead):
        binder.say(Subscribe(service_of(one)), address_of(one))
    binder.run(0.9)
    for number in range(2800):
        binder.run(0.9 + number / 1400)
        binder.say(Complaint(FAKES[number % len(FAKES)]), complainers[number % len(complainers)])
    return binder


@pytest.mark.smoke
def test_a_refusal_is_found_at_once_whoever_complains_about_his_own_silent_fakes():
    many_ports = [(STRANGER, port) for port in range(2000, 2400)]
    for complainers in ([(STRANGER, 2000)], many_ports):
        binder = flooded(complainers)
        binder.alive.discard(DEAD)
        binder.refusing = {DEAD}
        began = binder.now
        binder.say(Complaint(DEAD), CLIENT)
        binder.run(began + 0.06)
        assert DEAD not in binder.core.directory


def test_the_programs_of_one_host_are_kept_apart_too():
    dead = at(7, STRANGER, 60000)
    binder = flooded([(STRANGER, 2000)], dead)
    binder.alive.discard(dead)
    binder.refusing = {dead}
    began = binder.now
    binder.say(Complaint(dead), (STRANGER, 60001))
    binder.run(began + 0.06)
    assert dead not in binder.core.directory


def test_an_accusation_that_finds_no_room_is_not_forgotten():
    crowd = [at(7, "10.0.1.9", port) for port in range(1, 1001)]
    binder = Answering(alive=crowd)
    for one in crowd:
        binder.say(Subscribe(7), address_of(one))
    binder.run(4.0)
    binder.alive.clear()
    for one in crowd:
        binder.say(Complaint(one), CLIENT)
    assert Event.UNVERIFIED in events(binder.say(Complaint(crowd[-1]), CLIENT))
    binder.refusing = set(crowd)
    binder.run(6.0)
    assert {one for _, one in binder.asked} >= set(crowd)


# Forged sources

VICTIM = "10.0.8.8"
PER_SUBSCRIPTION = 5


def told(binder, ips=(VICTIM,)):
    """What a binder sent, answers and questions, to the addresses of some hosts."""
    answers = [to for _, to in sent(binder.done)]
    asked = [address_of(instance) for instance in questions(binder.done)]
    return [to for to in answers + asked if to[0] in ips]


class Recording(Answering):
    """Remembers all it did."""

    def __init__(self, **known):
        super().__init__(**known)
        self.done = []

    def act(self, effects):
        self.done += effects
        return super().act(effects)


def test_a_forged_subscription_brings_its_source_five_small_datagrams_and_then_nothing():
    binder = Recording()
    forged = [(VICTIM, port) for port in range(1, 201)]
    for source in forged:
        binder.say(Subscribe(7), source)
    binder.run(70.0)
    assert len(told(binder)) == PER_SUBSCRIPTION * len(forged)
    assert all(told(binder).count(source) == PER_SUBSCRIPTION for source in forged)
    assert len(binder.core.directory) == 0
    binder.done.clear()
    binder.run(4000.0)
    assert told(binder) == []


def test_so_it_does_whoever_complains_renews_and_leaves_in_its_name_meanwhile():
    binder, source = Recording(), (VICTIM, 1)
    forged = at(7, *source)
    binder.say(Subscribe(7), source)
    for tenth in range(1, 300):
        binder.run(tenth / 10)
        binder.say(Complaint(forged), CLIENT)
    assert len(told(binder)) <= PER_SUBSCRIPTION
    renewals = 0
    for tenth in range(300, 350):
        binder.run(tenth / 10)
        binder.say(Subscribe(7, trailer=Started(start=9)), source)
        renewals += 1
    assert len(told(binder)) <= PER_SUBSCRIPTION * 2 + renewals


BINDERS = tuple((f"10.0.0.{number}", 2222) for number in (1, 2, 3))


def cluster():
    """Three binders that know each other, at 3 s."""
    cores = {
        own: Binder(frozenset(), tuple(p for p in BINDERS if p != own), number, Random(number))
        for number, own in enumerate(BINDERS, 1)
    }
    net = Net(cores, Random(1))
    net.start()
    net.run(3.0)
    return net


def asked(net, instance):
    """The binders that asked an instance, a name for each question."""
    questions = [(own, effect) for _, own, effect in net.done if isinstance(effect, Probe)]
    return [own for own, probe in questions if probe.instance == instance]


def test_a_complaint_at_any_other_binder_brings_the_source_of_a_forged_subscription_no_more():
    net, owner = cluster(), BINDERS[0]
    forged = at(7, VICTIM, 1)
    net.say(owner, Subscribe(7), (VICTIM, 1))
    for tenth in range(400):
        net.run(3.0 + tenth / 10)
        for binder in BINDERS:
            net.say(binder, Complaint(forged), CLIENT)
    assert asked(net, forged) == [owner] * (PER_SUBSCRIPTION - 1)
    answers = [e for _, _, e in net.done if isinstance(e, Send) and e.target == (VICTIM, 1)]
    assert [answer.frame for answer in answers] == [Subscribed()]


def test_who_was_told_of_a_forged_subscription_first_does_not_vouch_for_it():
    net, forged = cluster(), at(7, VICTIM, 1)
    for binder in BINDERS[:2]:
        net.say(binder, Subscribe(7), (VICTIM, 1))
        net.run(net.now + 4.0)
    net.run(60.0)
    assert Counter(asked(net, forged)) == {BINDERS[0]: 2, BINDERS[1]: PER_SUBSCRIPTION - 1}


def told_of_one(since=0.0):
    """A cluster in which a living instance subscribed with the first binder so long ago."""
    net = cluster()
    net.alive = {DEAD}
    net.say(BINDERS[0], Subscribe(7), SERVER)
    net.run(3.0 + since)
    net.done.clear()
    return net


def test_a_complaint_about_one_that_was_learned_just_now_is_passed_on_bare_to_its_owner():
    owner, other, _ = BINDERS
    net = told_of_one(JUST_LEARNED - 0.1)
    effects = net.say(other, Complaint(DEAD), CLIENT)
    assert sent(effects) == [(Complaint(DEAD), owner)]
    assert events(effects) == [Event.PASSED_ON]
    net.run(net.now + 0.1)
    assert asked(net, DEAD) == [owner]


def test_one_that_was_learned_a_while_ago_is_asked_by_whoever_hears_a_complaint():
    net = told_of_one(JUST_LEARNED + 0.1)
    net.say(BINDERS[1], Complaint(DEAD), CLIENT)
    assert asked(net, DEAD) == [BINDERS[1]]


def test_one_whose_owner_is_not_heard_is_asked_by_whoever_hears_a_complaint():
    net = told_of_one()
    net.run(4.0)
    net.cut = {BINDERS[0]}
    net.run(12.0)  # two peers are silent after 6 s
    net.done.clear()
    assert net.say(BINDERS[1], Complaint(DEAD), CLIENT)
    assert asked(net, DEAD) == [BINDERS[1]]


def test_a_complaint_that_a_peer_passed_on_goes_no_further():
    net = told_of_one(1.0)
    effects = net.binders[BINDERS[1]].handle(Complaint(DEAD), BINDERS[2], net.now)
    assert sent(effects) == []
    assert [probe.instance for probe in probes(effects)] == [DEAD]


def test_what_was_learned_just_now_is_forgotten_oldest_first_beyond_a_number():
    learned = JustLearned()
    crowd = [at(7, "10.0.1.9", port) for port in range(JUST_LEARNED_MAX + 1)]
    for one in crowd[:-1]:
        learned.add(one, 0.0)
    learned.add(crowd[0], 1.0)
    learned.add(crowd[-1], 1.0)
    assert len(learned) == JUST_LEARNED_MAX
    assert [one for one in crowd if not learned.has(one, 1.0)] == [crowd[1]]
    assert [one for one in crowd if learned.has(one, JUST_LEARNED)] == [crowd[0], crowd[-1]]


@pytest.mark.smoke
def test_what_one_address_gets_has_a_bound_for_each_second_however_much_is_forged():
    binder = Recording()
    for number in range(60_000):
        now = number / 1000
        if number % 10 == 0:
            binder.run(now)
        binder.say(Subscribe(number % 7), (VICTIM, 1 + number % 60_000))
    burst, lasting = told(binder), 60 * REPAYMENT
    assert len(burst) <= PER_SUBSCRIPTION * (CREDIT + lasting)
    binder.done.clear()
    binder.run(4000.0)
    assert len(told(binder)) <= PER_SUBSCRIPTION * CREDIT
    binder.done.clear()
    binder.run(8000.0)
    assert told(binder) == []


@pytest.mark.smoke
def test_a_host_that_starts_a_thousand_services_is_confirmed_all_of_them_and_keeps_them():
    crowd = [at(7, "10.0.1.9", port) for port in range(1, 1501)]
    binder = Recording(alive=crowd)
    for number, one in enumerate(crowd):
        binder.run(number / 1000)
        assert Subscribed() in [f for f, _ in sent(binder.say(Subscribe(7), address_of(one)))]
    binder.run(20.0)
    assert len(binder.core.directory) == len(crowd)
    more = [at(8, "10.0.1.9", port) for port in range(2000, 3500)]  # they have answered: again
    binder.alive |= set(more)
    for one in more:
        assert Subscribed() in [f for f, _ in sent(binder.say(Subscribe(8), address_of(one)))]


def test_a_server_of_2016_that_was_cut_off_when_it_started_is_found_by_a_late_question():
    binder = Answering()
    binder.say(Subscribe(7), SERVER)
    binder.run(10.0)
    assert len(binder.core.directory) == 0
    binder.alive = {at(7, *SERVER)}
    binder.run(40.0)
    assert len(binder.core.directory) == 1


@pytest.mark.smoke
def test_a_flood_of_forged_sources_leaves_room_for_leases_and_accusations():
    living = [at(7, "10.0.1.9", port) for port in range(1, 101)]
    binder = Answering(alive=living)
    for one in living:
        binder.say(Subscribe(7), address_of(one))
    binder.run(11.0)
    for number in range(6_000):
        if number % 100 == 0:
            binder.run(11.0 + number / 1000)
        source = (f"10.{number >> 8 & 255}.{number & 255}.77", 4000)
        binder.say(Subscribe(9), source)
    assert {one for when, one in binder.asked if when > 11.0} >= set(living)
    binder.refusing = {living[0]}
    binder.alive.discard(living[0])
    began = binder.now
    binder.say(Complaint(living[0]), CLIENT)
    binder.run(began + 0.06)
    assert living[0] not in binder.core.directory


# Answers: every sentence about strangers


def test_a_binder_answers_a_stranger_with_one_datagram_of_8_bytes_at_most():
    strangers = [CLIENT, SERVER, (VICTIM, 9)]
    frames = [random_frame(Random(seed), form) for form in TABLE for seed in range(4)]
    for wire, codec in ((WireForm.SPEC, CODECS[Role.BINDER]), (WireForm.LAB2016, CODEC_2016)):
        for source in strangers:
            for frame in frames:
                binder = Binder(frozenset(), (), 1, Random(1), wire)
                binder.start(0.0)
                binder.handle(Subscribe(1), SERVER, 0.0)
                for asked in (frame, replace(frame, trailer=None)):
                    answers = sent(binder.handle(asked, source, 0.0), codec)
                    back = [len(encode(answer)) for answer, _ in answers]
                    assert len(back) <= 1
                    assert sum(back) <= 8


def test_a_server_answers_as_much_as_it_is_asked_and_says_who_it_is_in_ten_bytes_more():
    frames = [random_frame(Random(seed), form) for form in TABLE for seed in range(4)]
    nonces = [Verify(trailer=Challenge(nonce=nonce)) for nonce in (0, 1, 2**32, 2**64 - 1)]
    for frame in [*frames, *nonces]:
        server = Server(7, {CLIENT: SERVER}, Random(1))
        server.start(0.0)
        server.handle(Subscribed(), CLIENT, 0.1)
        back = [len(encode(answer)) for answer, _ in sent(server.handle(frame, (VICTIM, 9), 0.2))]
        assert len(back) <= 1
        has_nonce = isinstance(frame.trailer, Challenge)
        assert sum(back) <= len(encode(frame)) + (10 if has_nonce else 0)
