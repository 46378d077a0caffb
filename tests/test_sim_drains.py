"""Operators drain servers in the simulator, under every fault, with disks and without.

Whoever knows of a drain hands out others while there are any, and knows of it until its end; who
can be told knows of it within a second; at rest all agree, and every drain is over. With a rule
switched off the simulator has to find that out.
"""

from dataclasses import replace

import pytest

from prr.core.directory import directory
from prr.core.replication.draining import Draining
from prr.core.replication.drains import Drains
from tests.sim.faults import options_for
from tests.sim.mutants import is_noticed, serves_a_healthy_lookup
from tests.sim.run import run_options

pytestmark = [pytest.mark.elsewhere, pytest.mark.smoke]

BUSY = 2.0
"""What operators say in a second, in a run that is about drains."""

FEW = (0, 1, 3, 31, *range(100, 160))
"""Seeds within which a missing rule has to be noticed; the first ones did so."""


def judge(seed, disk):
    """What is wrong with the run of a seed in which operators say much; None if it is well."""
    return run_options(replace(options_for(seed), drains=BUSY, disk=disk)).reason


@pytest.mark.parametrize("disk", [False, True])
@pytest.mark.parametrize("seed", range(1000, 1004))
def test_drains_hold_everywhere_and_end(seed, disk):
    assert judge(seed, disk) is None


@pytest.mark.slow
@pytest.mark.parametrize("disk", [False, True])
@pytest.mark.parametrize("seed", range(1004, 1200))
def test_drains_hold_everywhere_and_end_in_many_runs(seed, disk):
    assert judge(seed, disk) is None


# Rules switched off. Each entry: how, whether the binders have disks, and what must be said then.


def nobody_is_told(patch):
    def keep_quiet(self, instance, word, now):
        say(self, instance, word, now)
        return []

    say = Draining._say
    patch.setattr(Draining, "_say", keep_quiet)


def drained_ones_stay_in_turn(patch):
    patch.setattr(directory, "is_drained", lambda particulars: False)


def drains_never_end(patch):
    patch.setattr(Drains, "deadline", lambda self: None)
    patch.setattr(Drains, "pop_over", lambda self, now: None)


def a_newer_version_ends_a_drain(patch):
    patch.setattr(Drains, "beside", lambda self, instance, said: said or b"")


def one_that_is_put_back_is_forgotten(patch):
    def note(self, instance, word, now, left=None):
        note_any(self, instance, word, now, left)
        if instance in self._ended:
            self._forget(instance)

    note_any = Drains.note
    patch.setattr(Drains, "note", note)


def time_begins_anew_with_a_restart(patch):
    patch.setattr(Draining, "resume", lambda self, kept, now: [])


OFF = [
    (nobody_is_told, False, "has not heard"),
    (drained_ones_stay_in_turn, False, "names"),
    (drains_never_end, False, "drained for"),
    (a_newer_version_ends_a_drain, False, "forgets that"),
    (one_that_is_put_back_is_forgotten, False, "forgets that"),
    (time_begins_anew_with_a_restart, True, "drained"),
]


@pytest.mark.parametrize(
    ("switch_off", "disk", "complaint"), OFF, ids=[off.__name__ for off, *_ in OFF]
)
def test_a_rule_switched_off_is_noticed(switch_off, disk, complaint, monkeypatch):
    switch_off(monkeypatch)
    assert serves_a_healthy_lookup()
    assert any(is_noticed(judge(seed, disk), complaint) for seed in FEW)
