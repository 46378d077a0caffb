"""Many servers die at one stroke in the simulator's cluster, and harm nobody who lives."""

from dataclasses import replace

import pytest

from tests.sim import adapter
from tests.sim.cluster import Cluster
from tests.sim.faults import CALM, options_for
from tests.sim.trace import Trace

pytestmark = [pytest.mark.elsewhere, pytest.mark.smoke]

DEAD, ALIVE = 30, 6
CALL_PAUSE = 0.01  # seconds between two calls

WITHIN = {False: 0.5, True: 1.7}
"""Seconds within which no binder has any of the dead in turn, where they refuse or are silent."""


@pytest.mark.parametrize("are_silent", [False, True])
def test_none_of_the_dead_stays_in_turn_and_nobody_else_leaves_it(are_silent):
    options = replace(
        options_for(1),
        binders=3,
        servers=DEAD + ALIVE,
        types=(1,),
        conditions=CALM,
        drift=0.0,
        lab2016=False,
        lab_servers=0.0,
        tight=0,
        preempted=0.0,
        icmp_limited=False,
    )
    cluster = Cluster(options, Trace())
    for index in range(options.binders):
        cluster.start_binder(index)
    for index in range(options.servers):
        cluster.start_server(index, 1)
    cluster.world.run(12.0)  # all have answered, and are news to nobody any more
    dead, alive = cluster.servers[:DEAD], [one.instance for one in cluster.servers[DEAD:]]
    for server in dead:
        cluster.crash(server, whole_host=are_silent)
    died_at = last_in_turn = cluster.world.now
    while cluster.world.now < died_at + 2 * WITHIN[are_silent]:
        cluster.start_client(1, b"hello", cluster.binder_addresses)
        cluster.world.run(cluster.world.now + CALL_PAUSE)
        for binder in cluster.binders:
            assert not any(adapter.is_out_of_turn(binder.core, one) for one in alive)
            assert all(adapter.holds(binder.core, one) for one in alive)
            if any(
                adapter.holds(binder.core, one.instance)
                and not adapter.is_out_of_turn(binder.core, one.instance)
                for one in dead
            ):
                last_in_turn = cluster.world.now
    assert last_in_turn - died_at < WITHIN[are_silent]
