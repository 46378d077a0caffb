"""The simulator's binders share an etcd, which is away, forgets, and tells late.

The shell's own loops run there in virtual time, so whatever they do is judged, too.
"""

from dataclasses import replace

import pytest

pytest.importorskip("geventhttpclient")

from prr.core.commits import commits
from prr.core.commits.commits import Commits
from prr.core.commits.stored import word_of
from prr.core.shared_store import SharedStore
from prr.shell.etcd import messages, registration
from prr.shell.etcd.messages import Header, Keys
from prr.shell.etcd.registration import Registration
from prr.shell.etcd.store import EtcdStore
from prr.shell.etcd.watcher import Watcher
from tests.sim.etcd_options import EtcdOptions, etcd_options_for
from tests.sim.faults import Options, options_for
from tests.sim.run import Result, run_options
from tests.sim.trace import Trace

pytestmark = pytest.mark.elsewhere


def options(seed: int) -> Options:
    """Of a seed whose binders share an etcd; some keep what they know on disks besides. Attackers
    have runs of their own."""
    usual = options_for(seed)
    return replace(usual, etcd=etcd_options_for(seed), disk=seed % 4 == 0, attacked=0.0)


def judge(seed: int, trace: Trace | None = None) -> Result:
    """The run of a seed."""
    return run_options(options(seed), trace)


# What is switched off. Each entry: how, and what the simulator must then say.


def revisions_are_not_compared(patch):
    transaction = Keys.transaction
    patch.setattr(
        Keys, "transaction", lambda *arguments: transaction(*arguments) | {"compare": []}
    )


def whatever_differs_prevails(patch):
    patch.setattr(commits, "prevails", lambda update, word: word_of(update) != word)


def what_is_there_is_written_again(patch):
    patch.setattr(commits, "prevails", lambda update, word: True)


def servers_are_confirmed_at_once(patch):
    patch.setattr(EtcdStore, "confirm_all", lambda self, instances, act: act(instances))


def whatever_is_known_is_taken_for_committed(patch):
    patch.setattr(Commits, "is_committed", lambda self, instance: True)


def everybody_adopts(patch):
    patch.setattr(Registration, "_claim", lambda self, owner: True)


def nobody_adopts(patch):
    patch.setattr(Registration, "_claim", lambda self, owner: False)


def leases_that_are_lost_stay_lost(patch):
    class Never(Exception):
        pass

    patch.setattr(registration, "LeaseGone", Never)


def an_older_state_is_taken_for_the_same(patch):
    patch.setattr(Header, "is_before", lambda self, other: False)


def nothing_is_compared(patch):
    patch.setattr(Commits, "compare", lambda self: None)


def nobody_steps_in(patch):
    patch.setattr(commits, "STEP_IN", 1e9)


def what_the_watch_says_is_not_heard(patch):
    patch.setattr(Watcher, "_hear", lambda self, result: None)


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


def what_the_store_says_is_not_heard(patch):
    patch.setattr(SharedStore, "heard", lambda self, updates, now: [])


OFF = [
    (revisions_are_not_compared, "which is newer"),
    (whatever_differs_prevails, "which is newer"),
    (what_is_there_is_written_again, "transactions within"),
    (servers_are_confirmed_at_once, "was never committed"),
    (whatever_is_known_is_taken_for_committed, "was never committed"),
    (everybody_adopts, "has adopted"),
    (nobody_adopts, "which is gone"),
    (leases_that_are_lost_stay_lost, "registered and gone"),
    (an_older_state_is_taken_for_the_same, "and etcd"),
    (nothing_is_compared, "and etcd"),
    (nobody_steps_in, "and etcd"),
    (what_the_watch_says_is_not_heard, "and etcd"),
    (all_is_known_before_it_is_read, "before it has read its store"),
    (what_cannot_be_read_raises, "is taken for etcd's failure"),
    (what_the_store_says_is_not_heard, ""),
]
