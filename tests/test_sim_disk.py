"""The simulator's binders with disks: what a crash leaves is what was committed, and no more.

At every step what was written has to be all that the core knows, and after the faults the cluster
has to come to rest as it does without disks.
"""

from dataclasses import replace

import pytest

from prr.core.directory.table import Table
from prr.core.liveness.detector import Detector
from tests.samples import sample
from tests.sim.faults import options_for
from tests.sim.mutants import is_noticed, serves_a_healthy_lookup
from tests.sim.run import run_options

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
