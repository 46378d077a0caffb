"""Ours beside the programs of 2016: the simulator's models of them, and long mixed runs."""

from collections import Counter
from dataclasses import replace

import pytest

from prr.core.answers import ANY_START
from prr.core.client import Answered, NoService
from prr.core.liveness.doubts import Doubts
from prr.core.liveness.lifecycle import Lifecycle
from prr.core.liveness.states import Action
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.core.returning import Returning
from prr.wire.frames import Added, Complaint, Removed, Subscribe, Verify
from prr.wire.instance import Address, Instance, make_instance
from tests.cores import encode
from tests.sim import adapter
from tests.sim.cluster import SERVER_PORT, Cluster
from tests.sim.mixed import mixed_options, run_mixed
from tests.sim.mutants import is_noticed, serves_a_healthy_lookup
from tests.sim.trace import Trace

TYPE = 7
BINDER = "10.0.0.1", 2222


def stage(ours: int = 0, lab: int = 1, servers: int = 2, lab_servers: float = 1.0) -> Cluster:
    """Binders of ours and of 2016, all started and at rest; the servers are not started."""
    there = {"binders": ours, "lab_binders": lab, "servers": servers, "lab_servers": lab_servers}
    options = replace(mixed_options(0), drift=0.0, **there)
    cluster = Cluster(options, Trace())
    for index in range(ours):
        cluster.start_binder(index)
    for index in range(lab):
        cluster.start_lab_binder(index)
    cluster.world.run(2.0)
    return cluster


def address(index: int) -> Address:
    """Where a server listens."""
    return f"10.0.1.{index + 1}", SERVER_PORT + index + 1


def instance(index: int) -> Instance:
    """A server as an instance."""
    return make_instance(TYPE, address(index))


def pass_time(cluster: Cluster, seconds: float) -> None:
    """Let time pass."""
    cluster.world.run(cluster.world.now + seconds)


def tell(cluster: Cluster, frame, source: Address = ("10.0.2.1", 1024)) -> None:
    """Somebody sends the first binder of 2016 a frame."""
    cluster.network.send(source, cluster.lab_binder_addresses[0], encode(frame))
    pass_time(cluster, 0.05)


# The models


def test_a_binder_of_2016_appends_without_looking_and_its_removal_skips_the_neighbour():
    cluster = stage(ours=1)
    (binder,) = cluster.lab_binders
    for index in (0, 0, 1, 1, 0):
        tell(cluster, Added(instance(index)), BINDER)
    assert binder.entries == [instance(index) for index in (0, 0, 1, 1, 0)]
    tell(cluster, Removed(instance(0)), BINDER)
    assert binder.entries == [instance(index) for index in (0, 1, 1)]
    tell(cluster, Subscribe(TYPE), address(1))
    assert binder.entries.count(instance(1)) == 3
    assert binder.own_doing == {instance(1)}


def test_what_one_of_2016_is_told_while_it_verifies_again_still_counts_as_unread():
    cluster = stage(ours=1)
    (binder,) = cluster.lab_binders
    dead, told = instance(1), instance(0)
    tell(cluster, Added(told), BINDER)
    for complaint in (Complaint(told), Complaint(dead)):  # it serves nobody for 2 s for each
        tell(cluster, complaint)
    tell(cluster, Added(told), BINDER)
    pass_time(cluster, 2.1)
    assert binder.entries == []
    tell(cluster, Added(told), BINDER)  # who said it hears of the removal
    pass_time(cluster, 2.0)
    assert binder.entries == [told, told]
    assert binder.own_doing == {told}


def test_a_binder_of_2016_files_ports_from_32768_up_where_nobody_is():
    cluster = stage()
    tell(cluster, Added(make_instance(TYPE, ("10.0.1.1", 32768))))
    assert cluster.lab_binders[0].entries == [make_instance(TYPE, ("10.0.1.1", 0))]


def test_a_server_of_2016_answers_only_once_it_is_confirmed():
    cluster = stage(ours=1, lab=0)
    cluster.binders[0].pause()
    cluster.start_server(0, TYPE)
    server = cluster.servers[0]
    assert server.core.handle(Verify(), ("10.0.0.1", 2222), 0.0) == []
    cluster.binders[0].resume()
    pass_time(cluster, 0.5)
    assert server.core.handle(Verify(), ("10.0.0.1", 2222), 0.0)


@pytest.mark.parametrize("callers", [1, 2])
def test_calling_again_at_once_outlasts_a_binder_of_2016_that_verifies(callers):
    """It serves nobody for 2 s for each complaint."""
    cluster = stage()
    for index in range(2):
        cluster.start_server(index, TYPE)
    pass_time(cluster, 0.5)
    cluster.crash(cluster.servers[1], whole_host=True)
    outcomes = []

    def ended(client):
        outcomes.append(type(client.core.outcome))
        if outcomes[-1] is NoService:
            again = TYPE, b"again", cluster.lab_binder_addresses
            cluster.world.after(0.00001, cluster.start_client, *again)

    cluster.client_ended = ended
    for _ in range(2 * callers):
        cluster.start_client(TYPE, b"hello", cluster.lab_binder_addresses)
    pass_time(cluster, 10.0)
    assert Counter(outcomes) == {NoService: callers, Answered: 2 * callers}


# Ours beside them


def test_a_server_of_ours_that_one_of_2016_confirmed_is_with_ours_once_that_comes_back():
    cluster = stage(ours=1, lab_servers=0.0)
    cluster.crash(cluster.binders[0], whole_host=False)
    cluster.start_server(0, TYPE)
    pass_time(cluster, 60.0)
    (lab,) = cluster.lab_binders
    assert lab.entries == [instance(0)]
    cluster.crash(lab, whole_host=False)  # all are lost, and ours comes back
    cluster.start_binder(0)
    pass_time(cluster, 8.0)
    assert adapter.holds(cluster.binders[0].core, instance(0))
    cluster.start_lab_binder(0)
    pass_time(cluster, 30.0)
    assert cluster.lab_binders[0].entries == [instance(0)]


SEEDS = (1,)
MORE_SEEDS = (0, *range(2, 12))
MANY_SEEDS = range(100, 400)
"""Long mixed runs: half a second each."""


def failure(seed) -> str | None:
    """What went wrong in one."""
    result = run_mixed(mixed_options(seed))
    return result.reason and f"seed {seed}: {result.reason}"


@pytest.mark.ahead(failure, SEEDS)
def test_after_long_mixed_runs_those_of_2016_hold_what_lives_once_and_nothing_else(ahead):
    assert list(filter(None, ahead)) == []


@pytest.mark.smoke
@pytest.mark.ahead(failure, MORE_SEEDS)
def test_after_more_long_mixed_runs_too(ahead):
    assert list(filter(None, ahead)) == []


@pytest.mark.slow
@pytest.mark.ahead(failure, MANY_SEEDS)
def test_after_many_long_mixed_runs_too(ahead):
    assert list(filter(None, ahead)) == []


def renewals_are_told(patch):
    tell = VersionedDirectory.tell_added
    patch.setattr(
        VersionedDirectory, "tell_added", lambda self, instance, is_news=True: tell(self, instance)
    )


def claims_are_forgotten(patch):
    patch.setattr(Returning, "settle", lambda self, instance: False)


def ghosts_are_kept(patch):
    run = Lifecycle.run

    def keep(self, row, case):
        return [] if Action.EVICT in row.actions else run(self, row, case)

    patch.setattr(Lifecycle, "run", keep)


def successors_are_asked_as_ours_are(patch):
    """A server of 2016 on an address and type that one of ours had cannot answer that."""
    patch.setattr(
        Doubts, "verify_bare", lambda self, one, now: self.verify(one, now, start=ANY_START)
    )


OFF = [
    (renewals_are_told, "times"),
    (claims_are_forgotten, "times"),
    (ghosts_are_kept, "dead"),
    (successors_are_asked_as_ours_are, ""),
]


@pytest.mark.parametrize("switch_off", [off for off, _ in OFF])
def test_a_rule_switched_off_leaves_a_binder_that_serves(switch_off, monkeypatch):
    switch_off(monkeypatch)
    assert serves_a_healthy_lookup()


@pytest.mark.slow
@pytest.mark.parametrize(("switch_off", "complaint"), OFF, ids=[off.__name__ for off, _ in OFF])
def test_a_rule_switched_off_is_noticed_in_mixed_runs(switch_off, complaint, monkeypatch):
    switch_off(monkeypatch)
    for seed in range(100):
        if is_noticed(run_mixed(mixed_options(seed), budget=40.0).reason, complaint):
            return
    raise AssertionError("nobody noticed")
