"""The life of an instance at one binder: the table of what its failure detector does with it.

The state it is in and what happens to it (the trigger) have one row or more in TABLE. The first
whose guard holds says what is done and which state comes of it. Guards read and change nothing
(see `guards`); actions do, and decide nothing (see `actions`). The rows for what peers say are in
`rows_of_peers`.

The table decides what follows from what a server says itself, from complaints, leases that end,
owners that fall silent, state that was restored, questions and their answers, and from what peers
say. Three things are settled before: `replication.peer_updates` drops what is no news, says what a
legacy binder's removal, which has no version, counts as (nothing, a complaint, or a removal decided
here), and lets nothing on loopback in; what turns out to be there goes without the table, in
`core.subscriptions`.

1. The state is not kept anywhere: it is read from the directory.
2. Doubt ends by asking: whoever is accused, silent for a lease or left by its owner is asked.
3. An answer outweighs everything: whatever was thought of an instance, it is up.
4. Silence evicts only if nobody else is to be asked, and the eviction limiter lets it.
5. One that has never answered goes without anybody's word: nothing shows that it was ever there.
6. One that is gone with its start number known subscribes again by itself. Any other may be a
   legacy (2016) server, which does not: it is asked again after a while.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import TypeAlias

from prr.core.directory.directory import Directory
from prr.core.effects import Effect
from prr.core.liveness import rows_of_peers
from prr.core.liveness.actions import Actions
from prr.core.liveness.guards import Guards
from prr.core.liveness.rows import (
    GONE,
    HELD,
    LISTED,
    NO_ANSWER,
    SILENCE,
    A,
    G,
    S,
    T,
    row,
)
from prr.core.liveness.states import Action, Case, Guard, Row, State, Trigger
from prr.wire.instance import Instance

# fmt: off
TABLE: tuple[Row, ...] = (
    # It subscribes. How many its host may have was seen to before: that uses up credit.
    row([S.ABSENT, S.EVICTED], [T.SUBSCRIBED], G.NO_ROOM, None, "the directory is full",
        A.REFUSE),
    row([S.ABSENT, S.EVICTED], [T.SUBSCRIBED], None, S.UP, "it says so itself",
        A.HOLD, A.SAY_SUBSCRIBED, A.ACCUSE_OTHERS, A.HEAR, A.CONFIRM),
    row([S.LEFT], [T.SUBSCRIBED], G.SAYS_START, None,
        "if that is no late copy, it subscribes again", A.ASK_ANY_START),
    row([S.LEFT], [T.SUBSCRIBED], G.NO_ROOM, None, "the directory is full", A.REFUSE),
    row([S.LEFT], [T.SUBSCRIBED], None, S.SUSPECT,
        "it may be legacy, which answers only once it is confirmed, or a late copy",
        A.HOLD_UNPROVEN, A.CONFIRM_BARE, A.SUSPECT, A.ASK_BARE),
    row(LISTED, [T.SUBSCRIBED], G.UNPROVEN_SAYS_START, None,
        "if that is no late copy, it subscribes again", A.ASK_ANY_START),
    row(LISTED, [T.SUBSCRIBED], G.UNPROVEN, S.SUSPECT,
        "it may be legacy, which answers only once it is confirmed, or a late copy",
        A.CONFIRM_BARE, A.SUSPECT, A.ASK_BARE),
    row(LISTED, [T.SUBSCRIBED], G.SAYS_SAME, S.UP, "it renews its lease",
        A.TAKE_BACK, A.HEAR, A.CONFIRM),
    row([S.DISPUTED], [T.SUBSCRIBED], G.UNPROVEN, None,
        "if that is no late copy, it subscribes again", A.ASK_ANY_START),
    row([S.DISPUTED], [T.SUBSCRIBED], G.REMOVAL_HAS_START, None,
        "if that is no late copy, it subscribes again", A.ASK_ANY_START),
    row(HELD, [T.SUBSCRIBED], G.SAME_START, S.UP, "it subscribes here now",
        A.HOLD, A.HEAR, A.CONFIRM),
    row(HELD, [T.SUBSCRIBED], None, S.UP, "another process has taken its place",
        A.HOLD, A.ACCUSE_OTHERS, A.HEAR, A.CONFIRM),

    # It says that it is gone.
    row(HELD, [T.WITHDREW], G.HAS_LEASE, S.LEFT, "if that is no late copy, it does not answer",
        A.WITHDRAW, A.VOID_ANSWERS, A.END_RECHECK, A.ASK),
    row(HELD, [T.WITHDREW], None, S.LEFT, "it says so itself", A.WITHDRAW, A.ASK_NO_MORE),
    row([S.LEFT, S.EVICTED], [T.WITHDREW], G.HAS_LEASE, None,
        "if that is no late copy, it does not answer", A.VOID_ANSWERS, A.END_RECHECK, A.ASK),
    row([S.LEFT, S.EVICTED], [T.WITHDREW], None, None, "it says so itself", A.ASK_NO_MORE),
    row([S.ABSENT], [T.WITHDREW], None, None,
        "what never was would push real removals out of memory"),

    # What peers say.
    *rows_of_peers.ROWS,

    # Why it is asked.
    row(HELD, [T.ACCUSED], G.BEING_ASKED, None, "one verification at a time"),
    row(HELD, [T.ACCUSED], G.JUST_ASKED, None, "whoever complains, it is asked so often at most",
        A.ASK_AFTER_MOMENT, A.SAY_PUT_OFF),
    row(HELD, [T.ACCUSED], G.NO_PLACE, None, "a complaint is not forgotten",
        A.ASK_WHEN_ROOM, A.SAY_UNVERIFIED),
    row(LISTED, [T.ACCUSED], None, S.SUSPECT, "others are handed out meanwhile",
        A.SUSPECT, A.SAY_COMPLAINT, A.NOTE_QUESTION, A.ASK),
    row([S.DISPUTED], [T.ACCUSED], None, None, "it is out of turn already",
        A.SAY_COMPLAINT, A.NOTE_QUESTION, A.ASK),
    row(HELD, [T.LEASE_ENDED], G.HANDED_OVER, None, "its owner asks it", A.END_LEASE),
    row(HELD, [T.LEASE_ENDED], None, None, "it was silent for a lease", A.PUT_OFF_LEASE, A.ASK),
    row(GONE, [T.LEASE_ENDED], None, None, "nobody vouches any more for what is gone",
        A.END_LEASE),
    row(HELD, [T.OWNER_SILENT], G.WAITS, None, "it is asked anyway"),
    row(HELD, [T.OWNER_SILENT], None, None, "nobody watches its lease", A.ASK),
    row(HELD, [T.RESTORED], None, None, "it may be long gone", A.ASK),
    row([S.ABSENT, S.LEFT], [T.RECHECK_DUE], G.GONE_FOR_GOOD, None,
        "it subscribes again by itself"),
    row(State, [T.RECHECK_DUE], None, None, "nothing was settled", A.NOTE_QUESTION, A.ASK),

    # A question is not answered.
    row(LISTED, [T.UNANSWERED], G.NO_QUESTIONS_LEFT, S.SUSPECT,
        "an address that never answers is spared", A.SUSPECT),
    row(LISTED, [T.UNANSWERED], G.PEERS_KNOW, S.SUSPECT, "a peer has told the others",
        A.SUSPECT, A.ASK_ON),
    row(LISTED, [T.UNANSWERED], G.ACCUSED_SILENT, S.SUSPECT, "two have asked it in vain",
        A.SUSPECT, A.TELL_SUSPICION, A.ASK_ON),
    row(LISTED, [T.UNANSWERED], None, S.SUSPECT, "out of turn until it answers",
        A.SUSPECT, A.ASK_ON),
    row([S.DISPUTED, *GONE], [T.UNANSWERED], G.NO_QUESTIONS_LEFT, None,
        "an address that never answers is spared"),
    row([S.DISPUTED, *GONE], [T.UNANSWERED], None, None, "a datagram may be lost", A.ASK_ON),

    row(LISTED, [T.REFUSED_ONCE], G.PEERS_KNOW, S.SUSPECT, "a peer has told the others",
        A.SUSPECT),
    row(LISTED, [T.REFUSED_ONCE], None, S.SUSPECT, "it may be just restarting, or that is forged",
        A.SUSPECT, A.TELL_SUSPICION),
    row([S.DISPUTED, *GONE], [T.REFUSED_ONCE], None, None, "a second refusal settles it"),

    # It answers.
    row(LISTED, [T.ANSWERED], G.ORPHANED, S.UP, "whoever has its answer takes it over",
        A.TELL, A.PROVE, A.CLEAR, A.RENEW_LEASE, A.OWN, A.SAY_ADOPTED),
    row(LISTED, [T.ANSWERED], G.OWNED_ELSEWHERE, S.UP, "its owner watches its lease",
        A.TELL, A.PROVE, A.TAKE_BACK, A.CLEAR),
    row(LISTED, [T.ANSWERED], G.UNPROVEN, S.UP, "it is proved to be back",
        A.TELL, A.PROVE, A.CLEAR, A.RENEW_LEASE, A.OWN),
    row(LISTED, [T.ANSWERED], None, S.UP, "it is there",
        A.TELL, A.PROVE, A.TAKE_BACK, A.CLEAR, A.RENEW_LEASE),
    row([S.DISPUTED], [T.ANSWERED], None, S.UP, "the truth about a service is the service",
        A.TELL, A.PROVE, A.REFUTE),
    row(GONE, [T.ANSWERED], G.NO_ROOM, None, "the directory is full", A.TELL, A.PROVE),
    row(GONE, [T.ANSWERED], None, S.UP, "it is there after all, or again",
        A.TELL, A.PROVE, A.PUT_BACK),

    # It does not, and has never answered.
    row(LISTED, SILENCE, G.QUESTIONS_LEFT, S.SUSPECT, "its path may be cut for a moment",
        A.TELL, A.SUSPECT, A.ASK_NEWCOMER),
    row(LISTED, SILENCE, G.CUT_OFF, S.SUSPECT, "this binder may be cut off",
        A.TELL, A.SUSPECT, A.ASK_NEWCOMER),
    row(LISTED, SILENCE, G.NEWCOMER_WITH_START, S.LEFT, "nothing shows it was there",
        A.TELL, A.EVICT, A.FORGET_NEWCOMER),
    row(LISTED, SILENCE, G.NEWCOMER, S.EVICTED, "but it may be legacy, and was cut off",
        A.TELL, A.EVICT, A.ASK_NEWCOMER_LATE),
    row(State, [T.NEWCOMER_DUE], G.ASKABLE, None, "its time has come", A.ASK_ONCE),
    row(State, [T.NEWCOMER_DUE], G.BEING_ASKED, None, "its answer may come yet", A.ASK_NEWCOMER),
    row(LISTED, [T.NEWCOMER_DUE], G.CUT_OFF, S.SUSPECT, "this binder may be cut off",
        A.SUSPECT, A.ASK_NEWCOMER),
    row([S.DISPUTED], [T.NEWCOMER_DUE], G.CUT_OFF, None, "this binder may be cut off",
        A.ASK_NEWCOMER),
    row(HELD, [T.NEWCOMER_DUE], G.HAS_START, S.LEFT, "nothing shows it was there",
        A.EVICT, A.FORGET_NEWCOMER),
    row(HELD, [T.NEWCOMER_DUE], None, S.EVICTED, "but it may be legacy, and was cut off",
        A.EVICT, A.ASK_NEWCOMER_LATE),
    row(GONE, [T.NEWCOMER_DUE], None, None, "nothing shows it was there", A.FORGET_NEWCOMER),

    # It does not, and has answered before.
    row(LISTED, [T.SILENT_ALONE], G.PEER_DECIDES, S.SUSPECT,
        "who wants our opinion evicts; should it not, we ask again",
        A.TELL, A.SUSPECT, A.END_LEASE, A.ASK_SOON),
    row(LISTED, [T.SILENT, T.SILENT_ALONE], G.LIMITED, S.SUSPECT,
        "where many fall silent at once, this binder may be cut off",
        A.TELL, A.SUSPECT, A.END_LEASE, A.ASK_SOON, A.SAY_KEPT, A.HOLD_BACK),
    row(LISTED, [T.SILENT, T.SILENT_ALONE], G.HAS_START, S.LEFT,
        "nobody knows better; it subscribes again by itself", A.TELL, A.COUNT, A.EVICT),
    row(LISTED, [T.SILENT, T.SILENT_ALONE], None, S.EVICTED,
        "nobody knows better; it may be legacy, and cut off",
        A.TELL, A.COUNT, A.EVICT, A.ASK_LATER),
    row(LISTED, [T.MUTE], None, S.SUSPECT, "this binder may be cut off",
        A.TELL, A.SUSPECT, A.END_LEASE, A.ASK_SOON, A.SAY_KEPT),
    row(LISTED, [T.UNSENT], G.OWNER_HEARD, S.UP, "its owner asks it, who may have a way to it",
        A.TELL, A.TRUST, A.SAY_KEPT),
    row(LISTED, [T.UNSENT], None, S.UP, "that says nothing about the instance",
        A.TELL, A.TRUST, A.ASK_SOON, A.SAY_KEPT),
    row(LISTED, [T.REFUSED], G.HAS_START, S.LEFT, "its host says nobody listens",
        A.TELL, A.EVICT, A.FORGET_NEWCOMER),
    row(LISTED, [T.REFUSED], None, S.EVICTED, "its host says nobody listens",
        A.TELL, A.EVICT, A.FORGET_NEWCOMER),

    # It does not, and is said to be gone, or is gone.
    row([S.DISPUTED], NO_ANSWER, G.REMOVAL_HAS_START, S.LEFT, "the peer was right",
        A.TELL, A.CONCEDE, A.END_LEASE, A.FORGET_NEWCOMER, A.DENY),
    row([S.DISPUTED], [T.REFUSED], None, S.EVICTED, "the peer was right",
        A.TELL, A.CONCEDE, A.END_LEASE, A.FORGET_NEWCOMER, A.DENY),
    row([S.DISPUTED], [*SILENCE, T.UNSENT], G.NEWCOMER, S.EVICTED, "the peer was right",
        A.TELL, A.CONCEDE, A.END_LEASE, A.FORGET_NEWCOMER, A.DENY),
    row([S.DISPUTED], [*SILENCE, T.UNSENT], None, S.EVICTED,
        "the peer was right; it may be legacy, and cut off",
        A.TELL, A.CONCEDE, A.END_LEASE, A.ASK_LATER),
    row([S.EVICTED], [T.REFUSED], None, None, "it stays gone",
        A.TELL, A.END_LEASE, A.FORGET_NEWCOMER, A.DENY),
    row([S.EVICTED], [*SILENCE, T.UNSENT], G.NEWCOMER, None, "it stays gone",
        A.TELL, A.END_LEASE, A.FORGET_NEWCOMER, A.DENY),
    row([S.EVICTED], [*SILENCE, T.UNSENT], None, None, "it may be legacy, and cut off",
        A.TELL, A.END_LEASE, A.ASK_LATER),
    row([S.ABSENT, S.LEFT], NO_ANSWER, None, None, "it stays gone",
        A.TELL, A.END_LEASE, A.FORGET_NEWCOMER, A.DENY),
)
# fmt: on


_Holds: TypeAlias = Callable[[Case], bool]
_Does: TypeAlias = Callable[[Case], list[Effect]]

_ROWS: defaultdict[tuple[State, Trigger], list[Row]] = defaultdict(list)
for _one in TABLE:
    for _state in _one.states:
        for _trigger in _one.triggers:
            _ROWS[_state, _trigger].append(_one)


def rows_of(state: State, trigger: Trigger) -> list[Row]:
    """The rows for a trigger in a state, in the order in which their guards are asked."""
    return _ROWS.get((state, trigger), [])


class Lifecycle:
    """Reads the table, for the instances of one binder."""

    def __init__(self, directory: Directory, guards: Guards, actions: Actions) -> None:
        self._directory = directory
        holds: dict[Guard, _Holds] = {one: getattr(guards, one.name.lower()) for one in Guard}
        does: dict[Action, _Does] = {one: getattr(actions, one.name.lower()) for one in Action}
        # Bound once: a case comes with every datagram that says something of an instance.
        self._does: dict[Row, tuple[_Does, ...]] = {
            row: tuple(does[action] for action in row.actions) for row in TABLE
        }
        self._rows: dict[tuple[State, Trigger], list[tuple[Row, _Holds | None]]] = {
            key: [(row, holds[row.guard] if row.guard else None) for row in rows]
            for key, rows in _ROWS.items()
        }

    def state_of(self, instance: Instance) -> State:
        """What an instance is to this binder."""
        directory = self._directory
        if instance in directory:
            if directory.is_disputed(instance):
                return State.DISPUTED
            return State.SUSPECT if directory.is_suspect(instance) else State.UP
        removal = directory.removal(instance)
        if removal is None:
            return State.ABSENT
        return State.LEFT if removal.has_start else State.EVICTED

    def on(self, case: Case) -> list[Effect]:
        """Something has happened to an instance: do what its row says."""
        return self.run(self.row_for(case), case)

    def row_for(self, case: Case) -> Row:
        """The row that holds for a case. AssertionError where nobody may bring it about."""
        return self.row_in(self.state_of(case.instance), case)

    def row_in(self, state: State, case: Case) -> Row:
        """The same where the state that the instance is in is known."""
        for one, holds in self._rows.get((state, case.trigger), ()):
            if holds is None or holds(case):
                return one
        raise AssertionError(f"no row for {case.trigger!r} of one that is {state!r}")

    def run(self, row: Row, case: Case) -> list[Effect]:
        """Do what a row says."""
        if (feed := self._directory.feed) is not None:
            feed.because(case.instance, case.trigger, row.why)
        return [effect for do in self._does[row] for effect in do(case)]
