"""The lifecycle table: every row, walked by a binder's core that is brought to where it holds."""

from random import Random

import pytest

from prr.config import Limits
from prr.core.effects import Probe, Send
from prr.core.liveness.actions import Actions
from prr.core.liveness.admission import Admission
from prr.core.liveness.doubts import Doubts
from prr.core.liveness.evictions import Evictions
from prr.core.liveness.guards import Guards
from prr.core.liveness.just_asked import JUST_ASKED
from prr.core.liveness.lease_owners import LeaseOwners
from prr.core.liveness.lifecycle import TABLE, Lifecycle, rows_of
from prr.core.liveness.newcomers import LATE_QUESTIONS, QUESTIONS
from prr.core.liveness.states import Action, Case, Guard, State, Trigger
from prr.core.pacing import LEASE
from prr.core.replication.peers import Kind, Peers
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.wire.frames import Subscribed, Verify
from prr.wire.version import LEFT, Version
from tests.cores import at

pytestmark = pytest.mark.elsewhere

ONE, OTHER = at(7, "10.0.1.1", 4000), at(7, "10.0.1.2", 4000)
CLIENT, PEER = ("10.0.2.1", 5000), ("10.0.0.2", 2222)
SELF, ANOTHER = 1, 99  # binders, by identity
NOW = 100.0
START = 5

VERDICTS = {
    Trigger.ANSWERED,
    Trigger.REFUSED,
    Trigger.SILENT,
    Trigger.SILENT_ALONE,
    Trigger.MUTE,
    Trigger.UNSENT,
}


SAYING_START = {Guard.SAYS_START, Guard.UNPROVEN_SAYS_START}
UNPROVEN = {Guard.SAID_UNPROVEN, Guard.SAID_OURS_UNPROVEN}
OURS = {Guard.SAID_OURS, Guard.SAID_OURS_UNPROVEN}
OWNED_ELSEWHERE = {Guard.ORPHANED, Guard.OWNED_ELSEWHERE, Guard.SAME_START, Guard.OWNER_HEARD}
FULL = {Guard.NO_ROOM, Guard.NO_ROOM_TO_LEARN}


class Recording:
    """Does what it is told, and remembers it."""

    def __init__(self, actions):
        self.actions, self.done = actions, []

    def __getattr__(self, name):
        return lambda case: (
            self.done.append(Action[name.upper()]) or getattr(self.actions, name)(case)
        )


class Stage:
    """What a binder's core has for its instances, one of which is to be in a state, and a guard to
    hold for it."""

    def __init__(self, state, guard):
        limits = Limits(instances=1) if guard in FULL else Limits(verifications=1)
        self.peers = Peers((PEER,))
        self.versioned = VersionedDirectory(SELF, limits, self.peers)
        self.directory = self.versioned.directory
        self.doubts = Doubts(self.versioned, self.peers, limits, Random(1))
        self.owners = LeaseOwners(self.versioned, self.peers, LEASE)
        self.evictions = Evictions(self.directory, self.peers)
        guards = Guards(
            *(self.versioned, self.peers, self.doubts, self.owners, self.evictions),
            Admission(self.versioned, self.doubts, limits),
        )
        self.recording = Recording(
            Actions(self.versioned, self.doubts, self.evictions, LEASE, lambda *_: [], Random(1))
        )
        self.lifecycle = Lifecycle(self.directory, guards, self.recording)
        self._be(state, guard)
        if guard is not None:
            getattr(self, f"_{guard.name.lower()}", lambda: None)()
        assert self.lifecycle.state_of(ONE) is state

    def _be(self, state, guard):
        directory = self.directory
        start = {
            Guard.UNPROVEN: LEFT,
            Guard.UNPROVEN_SAYS_START: LEFT,
            Guard.HAS_START: START,
            Guard.NEWCOMER_WITH_START: START,
        }
        if state is State.ABSENT:
            return
        owner = ANOTHER if guard in OWNED_ELSEWHERE else SELF
        directory.add(ONE, Version(1 << 20, owner, start.get(guard, 0)))
        if state is State.SUSPECT:
            directory.suspect(ONE)
        elif state is State.DISPUTED:
            gone = START if guard is Guard.REMOVAL_HAS_START else 0
            directory.dispute(ONE, Version(1 << 21, ANOTHER, gone))
        elif state is not State.UP:
            self.versioned.remove(ONE, START if state is State.LEFT else 0, NOW)

    # What makes a guard hold.

    def _has_lease(self):
        self.doubts.leases.set(ONE, NOW)

    def _being_asked(self):
        self.doubts.verify(ONE, NOW)

    def _just_asked(self):
        self.doubts.just_asked.add(ONE, NOW - JUST_ASKED / 2)

    def _waits(self):
        self.doubts.rechecks.set(ONE, NOW + 1)

    def _no_place(self):
        self.doubts.verify(OTHER, NOW)

    def _handed_over(self):
        self.doubts.leases.set(ONE, NOW)
        self.doubts.leases.hand_over(ONE)

    def _accused_silent(self):
        self.doubts.verify(ONE, NOW, accuser=CLIENT)
        self.doubts.verifications.tick(NOW + 0.2)

    def _suspected_lately(self):
        self.doubts.suspicions.hear(ONE, NOW)

    _peers_know = _suspected_lately

    def _no_room(self):
        self.directory.add(OTHER, Version(1, SELF, 0))

    _no_room_to_learn = _no_room

    def _vouched_for(self):
        self.doubts.leases.set(ONE, NOW)

    def _owner_heard(self):
        peer = self.peers.get(PEER)
        peer.kind, peer.heard_at, peer.identity = Kind.OURS, NOW, ANOTHER

    def _orphaned(self):
        self.owners.scan(NOW - 2 * LEASE, True)  # from then on nothing was heard of it

    def _questions_left(self):
        self.doubts.newcomers.admit(ONE, True, NOW)

    def _askable(self):
        self._questions_left()
        self.doubts.leases.set(ONE, NOW)

    def be_newcomer(self):
        self._questions_left()
        self.doubts.newcomers.count(ONE, QUESTIONS + LATE_QUESTIONS)

    _newcomer = _no_questions_left = _newcomer_with_start = be_newcomer

    def _cut_off(self):
        self.be_newcomer()
        peer = self.peers.get(PEER)
        peer.kind, peer.heard_at = Kind.OURS, NOW - 20

    def _peer_decides(self):
        self.doubts.opinions.remember(ONE, PEER, 1)

    def _limited(self):
        for _ in range(10):
            self.evictions.peer_evicted(NOW)


WALKS = [
    (number, state, trigger)
    for number, row in enumerate(TABLE)
    for state in State
    for trigger in Trigger
    if state in row.states and trigger in row.triggers
]


@pytest.mark.parametrize(("number", "state", "trigger"), WALKS)
def test_a_row_is_the_one_that_holds_and_comes_to_what_it_says(number, state, trigger):
    row = TABLE[number]
    stage = Stage(state, row.guard)
    if trigger is Trigger.NEWCOMER_DUE and row.guard is not Guard.ASKABLE:
        stage.be_newcomer()  # who else is due as one?
    if trigger is Trigger.RECHECK_DUE and row.guard is None:
        stage.doubts.leases.set(ONE, NOW)  # who is gone is asked if it was heard here
    probe = Probe(ONE, 1, 0.2, Verify(), 0, ("10.0.1.1", 4000))
    is_other = trigger is Trigger.SUBSCRIBED and row.guard is None and state is not State.LEFT
    start = START if is_other or row.guard in SAYING_START else 0
    start = LEFT if row.guard in UNPROVEN else start
    counter = 1 << 40
    version = Version(counter, SELF if row.guard in OURS else ANOTHER, start)
    reply = Send(Subscribed(), CLIENT)
    case = Case(trigger, ONE, NOW, "why", start, reply, CLIENT, probe, version)
    assert stage.lifecycle.row_for(case) is row
    stage.lifecycle.on(case)
    assert tuple(stage.recording.done) == row.actions
    assert stage.lifecycle.state_of(ONE) is (row.after or state)


def test_each_thing_that_happens_has_rows_of_which_the_last_one_always_holds():
    for state in State:
        for trigger in Trigger:
            guards = [row.guard for row in rows_of(state, trigger)]
            assert guards.count(None) == bool(guards)
            assert not guards or guards[-1] is None
            assert len(set(guards)) == len(guards)
            assert guards or trigger not in VERDICTS


def test_every_guard_and_every_action_is_of_use():
    assert {row.guard for row in TABLE} == {None, *Guard}
    assert {action for row in TABLE for action in row.actions} == set(Action)


def test_what_nobody_may_bring_about_has_no_row():
    stage = Stage(State.LEFT, None)
    with pytest.raises(AssertionError):
        stage.lifecycle.on(Case(Trigger.ACCUSED, ONE, NOW))
