"""An agent whose check comes and goes, before binders, over a network that loses and doubles."""

from heapq import heappop, heappush
from random import Random

import pytest

from prr.core.agent.agent import Agent
from prr.core.agent.effects import Check
from prr.core.agent.health import CheckPolicy, Health
from prr.core.binder import Binder
from prr.core.effects import Event, Outcome, Probe, Report, Send
from prr.core.server import Server
from prr.wire.frames import Role
from prr.wire.instance import make_instance
from tests.cores import decode, encode

pytestmark = [pytest.mark.elsewhere, pytest.mark.smoke]

BINDERS = [("10.0.0.1", 2222), ("10.0.0.2", 2222), ("10.0.0.3", 2222)]
AGENT, AT = ("10.0.1.1", 40000), ("10.0.1.1", 8080)
CHECK_TAKES = 0.02
FLAPS_END = 300.0
SETTLED = 100.0
"""Seconds in which all is as the check says: the longest pause of one that flapped, and some."""


class World:
    """Three binders, an agent, and whether its program works at each moment."""

    def __init__(self, service, seed, loss):
        self.now, self.rng, self.loss = 0.0, Random(seed), loss
        self.instance = make_instance(service, AT)
        self.works = True
        self.reports, self.ups = [], 0
        self._queue, self._count = [], 0
        self._asked = {}
        self._wakes = {}
        self.binders = {
            one: Binder(frozenset({one[0]}), tuple(b for b in BINDERS if b != one), i, Random(i))
            for i, one in enumerate(BINDERS, 1)
        }
        rng = Random(seed + 1)
        seen_at = dict.fromkeys(BINDERS, AT)
        self.agent = Agent(
            "agent",
            lambda: Server(service, seen_at, rng, start=99, is_agent=True),
            Health("agent", CheckPolicy()),
        )
        self.cores = {**self.binders, AGENT: self.agent}
        for address, core in self.cores.items():
            self.step(address, core.start)

    def later(self, seconds, act, *about):
        self._count += 1
        heappush(self._queue, (self.now + seconds, self._count, act, about))

    def step(self, address, decide, *about):
        for effect in decide(*about, self.now):
            self.do(address, effect)
        deadline = self.cores[address].deadline()
        if deadline is not None and self._wakes.get(address) != deadline:
            self._wakes[address] = deadline
            self.later(max(0.0, deadline - self.now), self.wake, address, deadline)

    def wake(self, address, deadline):
        if self._wakes.get(address) == deadline:
            self._wakes[address] = None
            self.step(address, self.cores[address].tick)

    def do(self, address, effect):
        match effect:
            case Send(frame=frame, target=target):
                self.send(encode(frame), address, target)
            case Probe(at=at, frame=frame, instance=instance):
                assert (instance, at) == (self.instance, AGENT)
                source = address[0], self.rng.randrange(30000, 60000)
                self._asked[source] = address, effect
                self.send(encode(frame), source, at)
            case Check():
                self.later(CHECK_TAKES, self.checked)
            case Report():
                self.reports.append((self.now, address, effect))

    def checked(self):
        self.step(AGENT, self.agent.checked, self.works, "words")

    def send(self, data, source, target):
        for _ in range(1 + (self.rng.random() < self.loss)):
            if self.rng.random() >= self.loss:
                self.later(self.rng.uniform(0.001, 0.02), self.arrive, data, source, target)

    def arrive(self, data, source, target):
        if target in self.cores:
            role = Role.SERVER if target == AGENT else Role.BINDER
            self.step(target, self.cores[target].handle, decode(data, role), source)
        elif target in self._asked:
            binder, probe = self._asked[target]
            if probe.is_answer(decode(data, Role.BINDER)):
                self.step(binder, self.binders[binder].probed, probe, Outcome.ALIVE)

    def until(self, when):
        while self._queue and self._queue[0][0] <= when:
            self.now, _, act, about = heappop(self._queue)
            act(*about)
        self.now = when

    def holding(self):
        """How many binders return it."""
        return sum(self.instance in one.directory for one in self.binders.values())


@pytest.mark.parametrize("service", [7, "web"])
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_however_its_check_flaps_in_the_end_binders_say_what_it_says(service, seed, loss):
    world = World(service, seed, loss)
    while world.now < FLAPS_END:
        world.works = world.rng.random() < 0.6
        world.until(world.now + world.rng.expovariate(1 / 3))
    flaps = [report for _, _, report in world.reports if report.event is Event.CHECK_FAILED]
    assert 3 <= len(flaps) <= 20  # it is damped: without that it were some thirty
    world.works = True
    world.until(world.now + SETTLED)
    assert world.holding() == len(BINDERS) and world.agent.is_ready
    world.works = False
    world.until(world.now + SETTLED)
    assert world.holding() == 0 and not world.agent.is_ready


@pytest.mark.parametrize("seed", range(6))
def test_without_loss_all_binders_know_within_a_check_and_a_datagram_s_time(seed):
    world = World("web", seed, 0.0)
    world.until(50.0 + world.rng.random())
    assert world.holding() == len(BINDERS)
    world.works = False
    world.until(world.now + 1.0 + CHECK_TAKES + 0.1)
    assert world.holding() == 0
    gone = [report.why for _, _, report in world.reports if report.event is Event.WITHDRAWN]
    assert "words" in gone
