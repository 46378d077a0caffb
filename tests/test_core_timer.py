"""When a core is asked again."""

import math
import time

import gevent
import pytest

from prr.shell.core_timer import GRAIN, CoreTimer
from prr.shell.worker_pool import WorkerPool
from tests.nodes import seldom_late
from tests.turns import go_on, until

AFTER = 0.05
ALMOST = 0.045
"""Seconds: it is to go off after so many; if it is off by so many it has not waited."""


class Core:
    """Has one deadline, and counts how often it is asked for it."""

    def __init__(self):
        self.when = None
        self.asked = 0

    def deadline(self):
        self.asked += 1
        return self.when


@pytest.fixture
def core():
    return Core()


@pytest.fixture
def rung(core):
    """When the alarm went off; what is due then is done."""
    times = []

    def ask():
        times.append(time.monotonic())
        core.when = None

    gevent.sleep(0)  # a turn of the loop, whoever ran it last: it begins now
    alarm = CoreTimer(core.deadline, WorkerPool(), ask)
    yield times, alarm
    alarm.close()


@pytest.mark.smoke
def test_it_goes_off_at_the_deadline_and_once(core, rung):
    times, alarm = rung

    def off_by():
        times.clear()
        gevent.sleep(0)
        core.when = due = time.monotonic() + AFTER
        alarm.set()
        until(lambda: times)
        go_on(2 * AFTER)
        assert len(times) == 1
        return abs(times[0] - due)

    seldom_late(off_by, ALMOST)


@pytest.mark.smoke
def test_an_earlier_deadline_is_heeded_and_a_later_one_asks_too_early_at_worst(core, rung):
    times, alarm = rung

    def off_by():
        times.clear()
        gevent.sleep(0)
        now = time.monotonic()
        for after in (60.0, AFTER, 30.0):
            core.when = now + after
            alarm.set()
            gevent.sleep(2 * GRAIN)  # it has seen that
        until(lambda: times)
        go_on(2 * AFTER)
        assert len(times) == 1
        return abs(times[0] - now - AFTER)

    seldom_late(off_by, ALMOST)


def test_without_a_deadline_it_never_goes_off(rung):
    times, alarm = rung
    alarm.set()
    go_on(0.05)
    assert times == []


def test_what_is_due_already_has_to_wait_for_what_is_ready(core, rung):
    times, alarm = rung
    core.when = 0.0
    alarm.set()
    assert times == []
    until(lambda: times)
    go_on(0.05)
    assert len(times) == 1


def test_so_has_what_is_to_be_done_at_once_and_the_next_is_seen_after_it(core, rung):
    """The disputed are due since ever, as soon as there is room for them."""
    times, alarm = rung
    for count in (1, 2):
        core.when = -math.inf
        alarm.set()
        until(lambda count=count: len(times) == count)


def test_the_core_is_not_asked_while_the_alarm_is_about_to_go_off(core, rung):
    times, alarm = rung
    core.when = 0.0
    for _ in range(10):
        alarm.set()
    assert core.asked == 1
    until(lambda: times)
    core.when = 0.0
    alarm.set()  # it is asked again afterwards
    until(lambda: len(times) == 2)
    assert core.asked == 2


def test_in_a_storm_of_steps_the_core_is_asked_once_in_a_grain(core, rung):
    times, alarm = rung
    began = time.monotonic()
    while (took := time.monotonic() - began) < 10 * GRAIN:
        alarm.set()
        gevent.sleep(0)
    assert core.asked <= 2 * took / GRAIN + 2
    core.when = time.monotonic()
    alarm.set()  # that is seen all the same, and soon
    until(lambda: times, 1.0)
    assert len(times) == 1


def test_what_a_tick_leaves_to_be_done_at_once_is_seen_at_once(core):
    """Else what is done a part in each tick would take a GRAIN for each part."""
    left = []

    def tick():
        core.when = time.monotonic() if left.pop() else None
        alarm.set()

    alarm = CoreTimer(core.deadline, WorkerPool(), tick)

    def took():
        left.extend(range(20))
        core.when = began = time.monotonic()
        alarm.set()
        until(lambda: not left)
        return time.monotonic() - began

    seldom_late(took, 15 * GRAIN)
    alarm.close()


def test_a_closed_one_is_silent(core, rung):
    times, alarm = rung
    for core.when in (0.0, time.monotonic() + 0.02):
        alarm.set()
    alarm.close()
    gevent.sleep(0.1)
    assert times == []


def test_nor_is_one_heard_that_is_set_when_it_is_closed(core, rung):
    times, alarm = rung
    alarm.close()
    core.when = time.monotonic() + 0.02
    alarm.set()
    gevent.sleep(0.1)
    assert times == []


def test_one_that_is_closed_as_it_goes_off_is_silent_too(core, rung):
    times, alarm = rung
    core.when = time.monotonic()
    alarm._go_off()
    alarm.close()
    gevent.sleep(0.01)
    alarm.set()
    gevent.sleep(2 * GRAIN)
    assert times == []
