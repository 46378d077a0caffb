"""Many instances to which the same happens, as in a burst: a row of the lifecycle table for all.

Intuition: a herd of servers that renew their leases, or all come at once, is one case, many times.
The table decides about the first; those behind it that are certainly like it are done with it,
action by action. Whoever might be a different case, by whatever guard, ends the run, and is decided
about by itself: to be asked too little is no error here, and to be taken for alike is one.
"""

from collections.abc import Callable, Sequence
from itertools import compress, groupby
from operator import add, itemgetter, methodcaller

from prr.core.effects import Effect, Event, ReportAll
from prr.core.liveness.admission import Admission
from prr.core.liveness.doubts import Doubts
from prr.core.liveness.lifecycle import Lifecycle, rows_of
from prr.core.liveness.states import Action, Case, Guard, Row, State, Trigger
from prr.core.pacing import lease_for
from prr.core.replication.peers import Peers
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.record import record
from prr.wire.instance import Instance
from prr.wire.version import NO_START, encode_version_ends


@record
class Subscribers:
    """Instances that subscribe at a moment, each with the start number it says; or none of them
    says one."""

    instances: Sequence[Instance]
    starts: Sequence[int]
    renewals: Sequence[int]  # seconds within which each says that it renews; 0: it does not say
    particulars: Sequence[bytes]  # as they will be held; nothing in them that changes turns
    now: float  # seconds

    def first(self, count: int) -> "Subscribers":
        """So many of them."""
        return self if count == len(self.instances) else self.only([True] * count)

    def only(self, chosen: Sequence[bool]) -> "Subscribers":
        """Those of the first that are chosen."""
        return Subscribers(
            [*compress(self.instances, chosen)],
            [*compress(self.starts, chosen)],
            [*compress(self.renewals, chosen)],
            [*compress(self.particulars, chosen)],
            self.now,
        )

    def case(self, number: int) -> Case:
        """One of them, as the table knows it."""
        start, renewal = self.starts[number], self.renewals[number]
        return Case(
            *(Trigger.SUBSCRIBED, self.instances[number], self.now),
            start=start,
            renewal=renewal,
            particulars=self.particulars[number],
        )


def _row_for_subscribed(state: State, guard: Guard | None) -> Row:
    return next(row for row in rows_of(state, Trigger.SUBSCRIBED) if row.guard is guard)


COMES = _row_for_subscribed(State.ABSENT, None)
RENEWS = _row_for_subscribed(State.UP, Guard.SAYS_SAME)
CHANGES = _row_for_subscribed(State.UP, None)

TOLD_MAX = 128
"""Frames that a run of new ones brings those peers that read no pages: one for each of it and each
of them, 7 us. All that is done in one step is to take a millisecond or so."""

_has_no_port = methodcaller("endswith", bytes(2))
"""Nobody can be reached there: the long way refuses it."""


class Runs:
    """The runs of one binder."""

    def __init__(
        self,
        versioned: VersionedDirectory,
        doubts: Doubts,
        admission: Admission,
        peers: Peers,
        lifecycle: Lifecycle,
        lease: float,
    ) -> None:
        """`lease` is in seconds."""
        self._versioned = versioned
        self._directory = versioned.directory
        self._doubts = doubts
        self._admission = admission
        self._peers = peers
        self.lifecycle = lifecycle
        self._lease = lease
        self._alike: dict[Row, Callable[[Subscribers], int]] = {
            COMES: self._coming,
            RENEWS: self._renewing,
            CHANGES: self._changing,
        }
        self._actions: dict[Action, Callable[[Subscribers], list[Effect]]] = {
            Action.HOLD: self._hold,
            Action.SAY_SUBSCRIBED: self._say_subscribed,
            Action.ACCUSE_OTHERS: lambda _: [],  # each is alone at its address
            Action.HEAR: self._hear,
            Action.TAKE_BACK: lambda _: [],  # none of them is in doubt
        }

    def parts(self, run: Subscribers) -> list[tuple[Row, Subscribers]]:
        """The rows that hold for all of a run, where those that are held renew, and the others are
        alike: a herd in which some say it again. Else the row for as many of the first as are
        certainly alike; none: the first is none for a run."""
        row, count = self.alike(run)
        if count < len(run.instances) and (parts := self._apart(run)):
            return parts
        return [(row, run.first(count))] if count else []

    def _apart(self, run: Subscribers) -> list[tuple[Row, Subscribers]]:
        """Those that only renew, and the others; none if there are no such two parts. Nothing that
        the others depend on changes when one renews, so which come first is all the same."""
        are_held = [one in self._directory for one in run.instances]
        if not any(are_held) or all(are_held):
            return []
        parts: list[tuple[Row, Subscribers]] = []
        for part in (run.only(are_held), run.only([not is_held for is_held in are_held])):
            row, count = self.alike(part)
            if count < len(part.instances) or (not parts and row is not RENEWS):
                return []
            parts.append((row, part))
        return parts

    def alike(self, run: Subscribers) -> tuple[Row, int]:
        """The row that holds for the first, and how many it certainly holds for; 0: the first is
        none for a run."""
        is_plain = not any(map(_has_no_port, run.instances))
        is_plain = is_plain and self._peers.has_none_at(run.instances)
        if is_plain and self._all_renew(run):
            return RENEWS, len(run.instances)
        row = self.lifecycle.row_for(run.case(0))
        how_many = self._alike.get(row)
        if how_many is None or not is_plain:
            return row, 0
        count = how_many(run)
        while count and not self._doubts.are_undoubted(run.instances[:count]):
            count //= 2
        return row, count

    def run(self, row: Row, run: Subscribers, confirm: Callable[[], Effect]) -> list[Effect]:
        """Do what a row says, for all of them; `confirm` makes what confirms them, when all else is
        done."""
        effects: list[Effect] = []
        for action in row.actions:
            effects += [confirm()] if action is Action.CONFIRM else self._actions[action](run)
        return effects

    def _all_renew(self, run: Subscribers) -> bool:
        """What comes most often by far is seen at once, and the table need not be asked."""
        is_all = self._renewing(run) == len(run.instances)
        return is_all and self._doubts.are_undoubted(run.instances)

    # How many of the first are certainly like it.

    def _coming(self, run: Subscribers) -> int:
        bare = len(self._peers) - len(self._peers.ours())
        most = max(1, TOLD_MAX // bare) if bare else len(run.instances)
        count = self._directory.unknown_and_alone(run.instances[:most])
        ones = run.instances[:count]
        has_room = not ones or self._directory.has_room(ones[0], count=count)
        has_room = has_room and self._admission.have_room(ones, run.particulars[:count])
        versioned = self._versioned
        is_open = (
            *(versioned.returning.has_none_of(ones), versioned.drains.has_none_of(ones)),
            *(self._doubts.leases.has_none_of(ones), not versioned.reach.excludes_any(ones)),
        )
        return count if has_room and all(is_open) else 0

    def _renewing(self, run: Subscribers) -> int:
        return self._held_at(run, run.starts)

    def _changing(self, run: Subscribers) -> int:
        """They say their start numbers for the first time."""
        count = self._held_at(run, [NO_START] * len(run.instances))
        return self._directory.alone(run.instances[:count])

    def _held_at(self, run: Subscribers, starts: Sequence[int]) -> int:
        """How many of the first are in turn, at home here, and known with these start numbers and
        what else they say."""
        endings = encode_version_ends(self._versioned.identity, starts)
        endings = [*map(add, endings, run.particulars)]
        return self._directory.in_turn_at(run.instances, endings)

    # What is done.

    def _hold(self, run: Subscribers) -> list[Effect]:
        are_new = run.instances[0] not in self._directory  # all of them, or none
        return self._versioned.add_all(run.instances, run.starts, run.particulars, are_new)

    def _say_subscribed(self, run: Subscribers) -> list[Effect]:
        return [ReportAll(Event.SUBSCRIBED, run.instances, "self-reported")]

    def _hear(self, run: Subscribers) -> list[Effect]:
        """There is no doubt to be ended."""
        if len(renewals := {*run.renewals}) == 1:  # all say what all are told
            self._doubts.hear(run.instances, run.now, lease_for(self._lease, *renewals))
            return []
        for renewal, row in groupby(zip(run.renewals, run.instances, strict=True), itemgetter(0)):
            lease = lease_for(self._lease, renewal)
            self._doubts.hear([one for _, one in row], run.now, lease)
        return []
