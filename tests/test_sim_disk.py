"""The simulator's binders with disks: what a crash leaves is what was committed, and no more.

At every step what was written has to be all that the core knows, and after the faults the cluster
has to come to rest as it does without disks.
"""

from dataclasses import replace

import pytest

from prr.core.directory.table import Table
from prr.core.effects import Event
from prr.core.liveness.detector import Detector
from prr.core.replication.sync import Sync
from tests.samples import sample
from tests.sim.cluster import Cluster
from tests.sim.faults import options_for
from tests.sim.mutants import is_noticed, serves_a_healthy_lookup
from tests.sim.run import BUDGET, come_to_rest, run_options, under_faults
from tests.sim.trace import Trace
from tests.sim.world import Violation

pytestmark = pytest.mark.elsewhere

CRASHING = [seed for seed in range(400) if options_for(seed).binder_crashes]

RETURNS = 56
"""Here an instance is back before its leave, which the disk refused at first, is acknowledged."""


def judge(seed):
    """What is wrong with the run of a seed whose binders have disks; None if it is well."""
    return run_options(replace(options_for(seed), disk=True)).reason


@pytest.mark.parametrize("seed", sample(2, [RETURNS, *CRASHING[:12]]))
def test_binders_that_come_back_from_their_disks_come_to_rest(seed):
    assert judge(seed) is None


@pytest.mark.slow
@pytest.mark.parametrize("seed", [*range(100), *CRASHING[12:]])
def test_many_binders_that_come_back_from_their_disks_come_to_rest(seed):
    assert judge(seed) is None


def test_a_change_that_is_not_written_is_found(monkeypatch):
    """The check is checked."""
    remove = Table.remove

    def silently(table, *arguments):
        remove(table, *arguments)
        table.note_changes()

    monkeypatch.setattr(Table, "remove", silently)
    assert serves_a_healthy_lookup()
    assert any(is_noticed(judge(seed), "what it wrote about") for seed in CRASHING[:12])


def judge_old_copies(seed):
    """The same where old copies are put back, and the places for verifications suffice."""
    faults = {"disk": True, "old_copies": 0.7, "binder_crashes": 0.4, "tight": 0}
    return run_options(replace(options_for(seed), **faults)).reason


@pytest.mark.smoke
@pytest.mark.parametrize("seed", CRASHING[:12])
def test_binders_that_come_back_from_old_copies_come_to_rest(seed):
    assert judge_old_copies(seed) is None


@pytest.mark.smoke
def test_what_an_old_copy_holds_that_nobody_asks_is_found(monkeypatch):
    """What was removed since is there again."""
    monkeypatch.setattr(Detector, "restored", lambda *_: None)
    assert serves_a_healthy_lookup()
    assert any(is_noticed(judge_old_copies(seed), "which is dead") for seed in CRASHING[:12])


SAID = 6.0
"""Seconds after which two binders that hear each other have said that they are twins."""


def judge_copied(seed):
    """What is wrong where two binders run on one disk and its copy until an operator parts them.
    Nobody speaks in others' names: two that take themselves for one owner ask twice as much."""
    nobody = {"require": None, "attacked": 0.0, "strangers": 0.0, "flood": 0.0, "forged": 0.0}
    options = replace(options_for(seed), disk=True, copied=True, binders=3, **nobody)
    cluster = Cluster(options, Trace())
    try:
        under_faults(cluster)
        cluster.world.run(cluster.world.now + SAID)
        return cluster.part_twins() or come_to_rest(cluster, BUDGET)
    except Violation as violation:
        return str(violation)


@pytest.mark.smoke
@pytest.mark.parametrize("seed", range(12))
def test_a_copied_disk_is_noticed_and_once_it_is_gone_all_agree(seed):
    assert judge_copied(seed) is None


@pytest.mark.smoke
def test_twins_that_do_not_say_so_are_found(monkeypatch):
    heard = Sync.heard

    def silently(sync, *arguments):
        effects = heard(sync, *arguments)
        return [one for one in effects if getattr(one, "event", None) is not Event.TWIN]

    monkeypatch.setattr(Sync, "heard", silently)
    assert serves_a_healthy_lookup()
    assert is_noticed(judge_copied(0), "neither says so")
