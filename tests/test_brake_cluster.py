"""The brake counts for the whole cluster, whoever evicts, and says once that it holds."""

from dataclasses import replace

import pytest

from prr.config import LIMITS, Limits
from prr.core.effects import Event, Report
from prr.core.liveness.eviction_limiter import SHARE_CONFIRMED, WINDOW, EvictionLimiter
from prr.core.liveness.rechecks import AGAIN_SHARE
from prr.core.pacing import LEASE
from tests.cores import at
from tests.sim import adapter
from tests.sim.cluster import Cluster
from tests.sim.faults import CALM, options_for
from tests.sim.trace import Trace
from tests.test_detector import A, B, cluster, complain, knowing, subscribe

pytestmark = [pytest.mark.elsewhere, pytest.mark.smoke]

COUNT = 200


def freeze_all(net, count=COUNT):
    """So many servers, spread over all binders; they have subscribed, and then fall silent at
    one moment."""
    servers = [at(7, f"10.1.{n // 100}.{n % 100 + 1}", 9000 + n) for n in range(count)]
    binders = list(net.binders)
    for number, server in enumerate(servers):
        subscribe(net, binders[number % len(binders)], server, start=1000 + number)
    net.alive -= set(servers)
    return servers


def gone(net, servers):
    return sum(not knowing(net, server) for server in servers)


def said(net):
    """What the brake had to say."""
    reports = [one for _, _, one in net.done if isinstance(one, Report)]
    return [one.why for one in reports if one.event is Event.BRAKE]


@pytest.mark.parametrize("binders", [2, 3])
def test_of_what_falls_silent_at_once_half_may_go_whoever_evicts(binders):
    net = cluster(binders)
    servers = freeze_all(net)
    began_at = net.now
    limit = SHARE_CONFIRMED * COUNT
    while net.now < began_at + WINDOW:
        net.run(net.now + 1.0)
        assert gone(net, servers) <= limit + binders
    assert gone(net, servers) > limit / 2  # the dead do go
    # What is held back is out of turn, and goes in time.
    net.run(net.now + WINDOW)
    assert gone(net, servers) > limit


def test_the_brake_says_once_that_it_holds_and_once_that_it_lets_go():
    net = cluster(3)
    servers = freeze_all(net)
    net.run(net.now + 25.0)
    held = said(net)
    assert 1 <= len(held) <= 3  # a binder each
    assert all(f"of {COUNT} instances were evicted for silence" in why for why in held)
    status = net.binders[A].status(net.now)["brake"]
    assert status["held_back"] > 0
    assert status["of"] == COUNT
    assert status["evicted"] <= status["limit"] + 3
    net.alive |= set(servers)
    net.run(net.now + 30.0)
    assert net.binders[A].status(net.now)["brake"] is None
    assert len(said(net)) == 2 * len(held)
    assert all("off after" in why for why in said(net)[len(held) :])


def test_those_that_are_kept_leave_most_places_to_others_and_count_as_held_back_all_the_time():
    net = cluster(1)
    servers = freeze_all(net)
    binder = net.binders[A]
    net.run(net.now + LEASE + 4.0)
    places, held = [], []
    for _ in range(120):
        net.run(net.now + 0.1)
        places.append(len(binder.inspect().verifications))
        held.append(binder.status(net.now)["brake"]["held_back"])
    assert 0 < max(places) <= LIMITS.verifications / AGAIN_SHARE
    assert min(held) == max(held) == COUNT - gone(net, servers) > 100
    net.alive |= set(servers)
    net.run(net.now + 5.0)
    assert binder.directory.count(7) == (COUNT - gone(net, servers), 0)
    assert binder.status(net.now)["brake"] is None


def test_evicted_legacy_servers_that_are_asked_for_ever_leave_a_place_to_those_that_are_kept():
    """Each of those takes a place for a second in every half minute: here as many as there are."""
    net = cluster(1, limits=Limits(verifications=16))
    servers = [at(7, f"10.1.0.{n + 1}", 9000 + n) for n in range(100)]
    subscribe(net, A, *servers)
    net.alive -= set(servers[40:])
    net.run(net.now + 8 * WINDOW)
    assert gone(net, servers) == 60


def test_two_binders_full_of_what_is_silent_have_room_for_each_others_questions():
    """None of it may go that the other one has not asked as well."""
    net = cluster(2, limits=Limits(verifications=2))
    servers = freeze_all(net, count=20)
    for number, server in enumerate(servers):
        complain(net, (A, B)[number % 2], server)
    net.run(net.now + 60.0)
    assert gone(net, servers) >= SHARE_CONFIRMED * 20


def frozen_and_gone(seconds=25.0, count=60):
    """A simulated cluster of three binders whose servers are all stopped at one moment: how many
    of so many no binder holds any more after so many seconds."""
    seed = next(seed for seed in range(1000) if options_for(seed).binders == 3)
    calm = replace(options_for(seed), servers=count, conditions=CALM, drift=0.0, lab_servers=0.0)
    stage = Cluster(replace(calm, tight=0, lab2016=False, icmp_limited=False), Trace())
    for index in range(3):
        stage.start_binder(index)
    for index in range(count):
        stage.start_server(index, 7)
    stage.world.run(40.0)  # each has answered once: a newcomer goes without the brake
    servers = stage.live_servers()
    for server in servers:
        server.pause()
    stage.world.run(stage.world.now + LEASE + seconds)
    held = set().union(*(adapter.instances(binder.core) for binder in stage.live_binders()))
    return sum(server.instance not in held for server in servers)


def test_half_of_what_is_stopped_at_once_may_go_in_the_simulator_too():
    assert 60 * SHARE_CONFIRMED / 2 <= frozen_and_gone() <= 60 * SHARE_CONFIRMED + 3


def test_a_cluster_whose_binders_count_their_own_only_is_noticed(monkeypatch):
    monkeypatch.setattr(EvictionLimiter, "gone", lambda self, now: None)
    count = EvictionLimiter._count
    monkeypatch.setattr(
        EvictionLimiter, "_count", lambda self, counts, now: count(self, self._own, now)
    )
    assert frozen_and_gone() > 60 * SHARE_CONFIRMED + 3
