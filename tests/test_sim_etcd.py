"""The simulator's binders share an etcd, which is away, forgets, and tells late.

The shell's own loops run there in virtual time, so whatever they do is judged, too.
"""

from dataclasses import fields, replace

import pytest

pytest.importorskip("h2")
pytest.importorskip("google.protobuf")

from prr.core.commits import commits
from prr.core.commits.commits import Commits
from prr.core.commits.stored import word_of
from prr.core.liveness import lease_owners
from prr.core.shared_store import SharedStore
from prr.shell.etcd import messages, registration
from prr.shell.etcd.messages import Header, Keys
from prr.shell.etcd.registration import Registration
from prr.shell.etcd.store import EtcdStore
from tests.samples import sample
from tests.sim.adoption import adopt
from tests.sim.etcd_options import EtcdOptions, etcd_options_for
from tests.sim.faults import Options, options_for
from tests.sim.run import Result, run_options
from tests.sim.trace import Trace

pytestmark = pytest.mark.elsewhere

SEEDS = range(1)
MORE_SEEDS = range(1, 120)
MANY_SEEDS = range(1000, 4000)

SET_BACK = 0.3
"""Times a second."""

FEW = 400
"""Seeds within which what is switched off has to be noticed."""


def options(seed: int) -> Options:
    """Of a seed whose binders share an etcd; some keep what they know on disks besides. Attackers
    have runs of their own."""
    usual = options_for(seed)
    return replace(usual, etcd=etcd_options_for(seed), disk=seed % 4 == 0, attacked=0.0)


def judge(seed: int, trace: Trace | None = None) -> Result:
    """The run of a seed."""
    return run_options(options(seed), trace)


def judged(results: list[Result]) -> list[str]:
    """The failures."""
    return [f"seed {one.seed}: {one.reason}" for one in results if one.reason]


@pytest.mark.ahead(judge, SEEDS)
def test_binders_that_share_an_etcd_keep_the_rules_and_come_to_rest(ahead):
    assert not judged(ahead)


@pytest.mark.smoke
@pytest.mark.ahead(judge, MORE_SEEDS)
def test_more_seeds(ahead):
    assert not judged(ahead)


@pytest.mark.slow
@pytest.mark.ahead(judge, MANY_SEEDS)
def test_many_seeds(ahead):
    assert not judged(ahead)


def test_a_seed_gives_the_same_trace_again():
    digests = set()
    for _ in range(2):
        trace = Trace(on=True)
        judge(3, trace)
        digests.add(trace.digest)
    assert len(digests) == 1


def test_seeds_have_every_fault_and_none():
    chosen = [etcd_options_for(seed) for seed in range(300)]
    for field in fields(EtcdOptions):
        values = [getattr(one, field.name) for one in chosen]
        assert any(values), field.name
        assert len(set(values)) > 1, field.name
    assert any(one.is_calm for one in chosen)


# A binder dies, and another one follows it.


@pytest.mark.parametrize("seed", sample(1, range(4)))
def test_what_a_binder_had_is_adopted_by_one(seed):
    assert adopt(seed)[0] is None


@pytest.mark.slow
def test_what_many_binders_had_is_adopted_by_one():
    outcomes = {seed: adopt(seed) for seed in range(4, 200)}
    assert {seed: reason for seed, (reason, _) in outcomes.items() if reason} == {}
    assert sum(count for _, count in outcomes.values()) > 100


def every_claim_holds(patch):
    patch.setattr(Registration, "_claim", lambda self, owner: True)
    patch.setattr(lease_owners, "RANK_PAUSE", 0.0)  # else turns that nobody depends on hide it


def claims_end_at_once(patch):
    patch.setattr(registration, "CLAIM_KEPT", 0.5)  # no longer than from one look to the next
    patch.setattr(lease_owners, "RANK_PAUSE", 0.0)


def no_claim_proves_itself(patch):
    patch.setattr(registration, "any", lambda _: False, raising=False)


def nobody_adopts(patch):
    patch.setattr(Registration, "_claim", lambda self, owner: False)


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("switch_off", "seed", "complaint"),
    [
        (every_claim_holds, 29, "has adopted"),
        (claims_end_at_once, 55, "has adopted"),
        (no_claim_proves_itself, 27, "knows of no binder that lives and owns"),
        (nobody_adopts, 10, "knows of no binder that lives and owns"),
    ],
)
def test_that_none_or_two_adopt_is_noticed(switch_off, seed, complaint, monkeypatch):
    """From this seed on, since it takes a watch that is silent just then."""
    switch_off(monkeypatch)
    reasons = (reason for reason, _ in map(adopt, range(seed, seed + 30)) if reason)
    assert any(complaint in reason for reason in reasons)


# What is switched off. Each entry: how, and what the simulator must then say.


def revisions_are_not_compared(patch):
    transaction = Keys.transaction
    patch.setattr(Keys, "transaction", lambda *arguments: transaction(*arguments) | {"compare": []})


def whatever_differs_prevails(patch):
    patch.setattr(commits, "prevails", lambda update, word: word_of(update) != word)


def what_is_there_is_written_again(patch):
    patch.setattr(commits, "prevails", lambda update, word: True)


def servers_are_confirmed_at_once(patch):
    patch.setattr(EtcdStore, "confirm_all", lambda self, instances, act: act(instances))


def whatever_is_known_is_taken_for_committed(patch):
    patch.setattr(Commits, "is_committed", lambda self, instance: True)


def nothing_is_compared(patch):
    patch.setattr(Commits, "compare", lambda self: None)


def all_is_known_before_it_is_read(patch):
    load = EtcdStore.load

    def begin(self, *arguments):
        load(self, *arguments)
        self._all_is_read()

    patch.setattr(EtcdStore, "load", begin)


def what_cannot_be_read_raises(patch):
    def strict(value):
        raise KeyError(value)

    patch.setattr(messages, "update_in", strict)


def nobody_steps_in(patch):
    patch.setattr(commits, "STEP_IN", 1e9)


def the_watch_is_ignored(patch):
    events = Keys.events

    def none(self, some, known):
        return {}, 0, events(self, some, known)[2]

    patch.setattr(Keys, "events", none)


def an_older_state_is_not_seen(patch):
    patch.setattr(Header, "is_before", lambda self, other: False)


def what_the_store_says_is_not_heard(patch):
    patch.setattr(SharedStore, "heard", lambda self, updates, now: [])


OFF = [
    (revisions_are_not_compared, "which is newer"),
    (whatever_differs_prevails, "which is newer"),
    (what_is_there_is_written_again, "transactions within"),
    (servers_are_confirmed_at_once, "was never committed"),
    (whatever_is_known_is_taken_for_committed, "was never committed"),
    (nothing_is_compared, "and etcd"),
    (all_is_known_before_it_is_read, "before it has read its store"),
    (what_cannot_be_read_raises, "is taken for etcd's failure"),
    (what_the_store_says_is_not_heard, ""),
    (nobody_steps_in, "and etcd"),
    (the_watch_is_ignored, "binder"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("switch_off", "complaint"), OFF, ids=[off.__name__ for off, _ in OFF])
def test_what_is_switched_off_is_noticed(switch_off, complaint, monkeypatch):
    switch_off(monkeypatch)
    for seed in range(FEW):
        reason = judge(seed).reason
        if reason is not None and complaint in reason:
            return
    raise AssertionError(f"nobody noticed in {FEW} seeds")


def often_set_back(seed):
    """The binders of a seed, who hear one another through an etcd that is set back again and again,
    and of which some server always answers."""
    usual = options(seed)
    etcd = replace(usual.etcd, apart=True, found=True, outsider=False, servers=3, restores=SET_BACK)
    return run_options(replace(usual, etcd=etcd))


@pytest.mark.smoke
@pytest.mark.ahead(often_set_back, range(20))
def test_an_etcd_that_is_set_back_again_and_again(ahead):
    assert not judged(ahead)


@pytest.mark.smoke
def test_an_older_state_that_is_not_seen_is_noticed(monkeypatch):
    an_older_state_is_not_seen(monkeypatch)
    assert any(often_set_back(seed).reason for seed in range(20))
