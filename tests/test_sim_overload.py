"""The simulator's clusters with a binder that has too much to do: its event loop lags for a part of
a second or for several, again and again. That must not make it ask more, or its load feeds itself.
"""

from dataclasses import replace
from random import Random

import pytest

from prr.core.liveness.probes import LATE, Verifications
from tests.sim.faults import options_for
from tests.sim.mutants import is_noticed, serves_a_healthy_lookup
from tests.sim.run import run_options

pytestmark = [pytest.mark.elsewhere, pytest.mark.smoke]

SEEDS = range(12)


def judge(seed):
    """What is wrong with the run of a seed whose first binder lags; None if it is well."""
    lagging = Random(f"{seed}/lagging").choice((0.3, 1.0, 3.0))
    return run_options(replace(options_for(seed), lagging=lagging)).reason


@pytest.mark.ahead(judge, SEEDS[:6])
def test_a_binder_whose_event_loop_lags_again_and_again_keeps_the_rules(ahead):
    assert {seed: reason for seed, reason in zip(SEEDS[:6], ahead, strict=True) if reason} == {}


@pytest.mark.smoke
@pytest.mark.ahead(judge, SEEDS[6:])
def test_so_do_other_binders_whose_event_loops_lag(ahead):
    assert {seed: reason for seed, reason in zip(SEEDS[6:], ahead, strict=True) if reason} == {}


@pytest.mark.slow
@pytest.mark.ahead(judge, range(100, 400))
def test_many_binders_whose_event_loops_lag_keep_the_rules(ahead):
    assert {100 + at: reason for at, reason in enumerate(ahead) if reason} == {}


def test_asking_again_what_comes_due_late_is_noticed(monkeypatch):
    def ask_again(self, now):
        while (instance := self._deadlines.pop_due(now - LATE)) is not None:
            row = self._rows[instance]
            row.phase = row.phase.without_last
            self._deadlines.set(instance, now)

    monkeypatch.setattr(Verifications, "_put_off_late", ask_again)
    assert serves_a_healthy_lookup()
    assert any(is_noticed(judge(seed), "in one verification") for seed in SEEDS)
