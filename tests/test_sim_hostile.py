"""The simulator's clusters under what must leave nothing behind: a hostile peer of ours, which is
gone after a while, and binders that are restarted without end."""

import re
from dataclasses import replace
from random import Random

import pytest

from prr.core.liveness.actions import Actions
from prr.core.liveness.doubts import Leases
from prr.core.replication import versioned_directory as versioned
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.wire import version as versions
from tests.sim import disk, world
from tests.sim.cluster import Cluster
from tests.sim.faults import CALM, options_for
from tests.sim.hostile import BUDGET
from tests.sim.mutants import is_noticed, serves_a_healthy_lookup
from tests.sim.run import come_to_rest, run_options
from tests.sim.trace import Trace

pytestmark = pytest.mark.elsewhere


def hostile_options(seed):
    """What a seed stands for, with a hostile peer beside.

    Without servers of 2016: it may say of one that it is of ours, and such a one never subscribes
    again. With room for verifications: two binders that can ask one at a time wait for each other's
    opinion in vain, which takes longer the more there is to be asked. And a binder that is stopped
    at each of so many questions hardly runs at all.
    """
    rng = Random(f"{seed}/with a hostile peer")
    return replace(
        options_for(seed),
        require=None,
        attacked=0.0,
        hostile=rng.choice((3.0, 10.0, 40.0)),
        lab_servers=0.0,
        tight=0,
        preempted=0.0,
        disk=seed % 2 == 0,
    )


def judge(seed):
    """What is wrong with such a run; None if all were equal and right in time."""
    return run_options(hostile_options(seed), budget=BUDGET).reason


@pytest.mark.smoke
@pytest.mark.ahead(judge, (1,))
def test_a_hostile_peer_that_is_gone_leaves_nothing_behind(ahead):
    assert ahead == [None]


@pytest.mark.smoke
@pytest.mark.ahead(judge, (0, 2, 3))
def test_nor_do_other_hostile_peers(ahead):
    assert ahead == [None] * 3


@pytest.mark.slow
@pytest.mark.ahead(judge, range(4, 100))
def test_many_hostile_peers_that_are_gone_leave_nothing_behind(ahead):
    assert {4 + at: reason for at, reason in enumerate(ahead) if reason} == {}


# Rules switched off, which the same runs have to notice.


def counters_are_plain_numbers(patch):
    """The greater one wins; one that is far beyond the greatest seen here is refused."""
    for module in (versions, versioned):
        patch.setattr(module, "is_later", lambda counter, other: counter > other)
    is_news = VersionedDirectory.is_news

    def bounded(self, instance, version, is_there):
        is_near = version.counter <= self._counter + (1 << 32)
        return is_near and is_news(self, instance, version, is_there)

    patch.setattr(VersionedDirectory, "is_news", bounded)


def nobody_asks_what_is_said_to_be_at_home_here(patch):
    patch.setattr(Actions, "entrust", lambda self, case: [])


def what_another_is_said_to_own_is_not_vouched_for(patch):
    patch.setattr(Leases, "hand_over", Leases.cancel)


OFF = [
    counters_are_plain_numbers,
    nobody_asks_what_is_said_to_be_at_home_here,
    what_another_is_said_to_own_is_not_vouched_for,
]


@pytest.mark.parametrize("switch_off", OFF)
def test_a_rule_switched_off_leaves_a_binder_that_serves(switch_off, monkeypatch):
    switch_off(monkeypatch)
    assert serves_a_healthy_lookup()


@pytest.mark.slow
@pytest.mark.parametrize("switch_off", OFF)
def test_a_rule_switched_off_is_noticed(switch_off, monkeypatch):
    switch_off(monkeypatch)
    assert any(is_noticed(judge(seed)) for seed in range(12))


# Restarts without end.


def restarted(times, pause=0.06):
    """A cluster of three binders with disks, of which the first was killed and started again so
    often, at any moment; and then it heard of servers that nobody else did."""
    calm = replace(
        options_for(1),
        require=None,
        attacked=0.0,
        binders=3,
        servers=6,
        seconds=0.0,
        conditions=CALM,
        disk=True,
        lab_servers=0.0,
        lab2016=False,
        tight=0,
        preempted=0.0,
    )
    cluster, rng = Cluster(calm, Trace()), Random(2)
    for index in range(3):
        cluster.start_binder(index)
    for index in range(2):
        cluster.start_server(index, calm.types[0])
    cluster.world.run(3.0)
    for _ in range(times):
        cluster.world.run(cluster.world.now + rng.uniform(0.0, pause))
        cluster.crash(cluster.binders[0], whole_host=False)
        cluster.start_binder(0)
    for index in range(2, 6):
        cluster.start_server(index, calm.types[0])
    cluster.heal()
    return cluster


def settles(times, monkeypatch):
    """What is wrong after so many restarts; and what a peer knows then that starts with nothing."""
    monkeypatch.setattr(world, "STEPS_MAX", 10_000_000)
    cluster = restarted(times)
    reason = come_to_rest(cluster, 30.0)
    if reason is None:
        cluster.crash(cluster.binders[1], whole_host=False)
        cluster._disks.pop(1)
        cluster.start_binder(1)
        reason = come_to_rest(cluster, 10.0)
    return reason


@pytest.mark.smoke
def test_no_number_of_restarts_parts_binders(monkeypatch):
    assert settles(300, monkeypatch) is None


@pytest.mark.slow
def test_thousands_of_restarts_part_no_binders(monkeypatch):
    assert settles(5000, monkeypatch) is None


@pytest.mark.slow
def test_leaps_at_each_start_are_noticed(monkeypatch):
    counters_are_plain_numbers(monkeypatch)
    monkeypatch.setattr(disk, "next_run", lambda counter: counter + (1 << 24))
    assert re.search("misses|digests differ", settles(300, monkeypatch))
