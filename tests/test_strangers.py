"""What strangers may cost a binder, and each other: work, places for verifications, datagrams."""

from random import Random

from prr.core.binder import Binder
from prr.core.effects import Event, Outcome
from prr.core.subscriptions import DOUBTED_MAX, TYPES_MAX
from prr.wire.address import address_of
from prr.wire.frames import Complaint, Subscribe, Subscribed
from tests.cores import at, events, probes, sent

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
    assert len(binder.registry) <= TYPES_MAX * len(PORTS)


def test_another_type_at_an_address_puts_those_before_it_in_doubt():
    binder = Answering(alive=[at(8, *SERVER)])
    binder.say(Subscribe(7), SERVER)
    binder.run(5.0)
    effects = binder.say(Subscribe(8), SERVER)
    assert [one.instance for one in probes(effects)] == [at(7, *SERVER)]
    binder.run(7.0)
    assert binder.core.registry.table.instances(b"", 9)[0] == [at(8, *SERVER)]


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
    binder = Answering(alive=[TWIN, DEAD])
    for one in (*FAKES, TWIN, dead):
        binder.say(Subscribe(one[0]), address_of(one))
    binder.run(0.9)
    for number in range(2800):
        binder.run(0.9 + number / 1400)
        binder.say(Complaint(FAKES[number % len(FAKES)]), complainers[number % len(complainers)])
    return binder


def test_a_refusal_is_found_at_once_whoever_complains_about_his_own_silent_fakes():
    many_ports = [(STRANGER, port) for port in range(2000, 2400)]
    for complainers in ([(STRANGER, 2000)], many_ports):
        binder = flooded(complainers)
        binder.alive.discard(DEAD)
        binder.refusing = {DEAD}
        began = binder.now
        binder.say(Complaint(DEAD), CLIENT)
        binder.run(began + 0.06)
        assert DEAD not in binder.core.registry


def test_the_programs_of_one_host_are_kept_apart_too():
    dead = at(7, STRANGER, 60000)
    binder = flooded([(STRANGER, 2000)], dead)
    binder.refusing = {dead}
    began = binder.now
    binder.say(Complaint(dead), (STRANGER, 60001))
    binder.run(began + 0.06)
    assert dead not in binder.core.registry


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
