"""Subscriptions under a seal, in runs: decided as one by one, only faster.

They are read one by one for as long as they look alike, so that few are opened in vain. Whether
they are alike is for the lifecycle table to say, as of those without a seal (see `liveness.runs`).
What a seal needs is what it needs in `subscriptions`: a credential of the service, and a ticket;
who has none is told to say it again with one. The tests compare the two.
"""

from collections.abc import Sequence
from enum import Enum, auto
from functools import partial
from operator import attrgetter, ne

from prr.core.effects import AskAgain, ConfirmSealed, Effect
from prr.core.gate import Gate
from prr.core.liveness.detector import Detector
from prr.core.liveness.runs import Subscribers
from prr.core.pacing import RENEWAL
from prr.core.replication.peers import Peers
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.core.step import persisted
from prr.core.trust import provides
from prr.wire.instance import Instance, is_wide
from prr.wire.sealed_subscriptions import SealedSubscription
from prr.wire.version import OWNER, encode_version_end

_NUMBER_OF, _HOLDER_OF = attrgetter("number"), attrgetter("holder")


class _Looks(Enum):
    """What those have in common that are decided together."""

    NEW = auto()
    RENEWED = auto()
    WITHOUT_TICKET = auto()


class SealedRuns:
    """The rules of one binder for those that come from the instance's own address."""

    def __init__(
        self, versioned: VersionedDirectory, detector: Detector, gate: Gate, peers: Peers
    ) -> None:
        self._versioned = versioned
        self._directory = versioned.directory
        self._detector = detector
        self._gate = gate
        self._peers = peers
        self._tickets = gate.tickets

    def subscribe(self, said: Sequence[SealedSubscription], now: float) -> tuple[int, list[Effect]]:
        """What `handle` would do about the first of these, as many as are certainly alike. How
        many, and what follows; 0: the first is for `handle`."""
        if ones := self._awaited(said, now):
            looks: _Looks | None = _Looks.RENEWED
        else:
            ones, states, looks = self._alike(said, now)
        if looks is None:
            return 0, []
        if looks is _Looks.WITHOUT_TICKET:
            again = AskAgain(ones, self._issue(ones, states, now))
            return len(ones), persisted(self, [again])
        count, effects = self._subscribe(ones, now)
        return count, persisted(self, effects)

    def _awaited(
        self, said: Sequence[SealedSubscription], now: float
    ) -> Sequence[SealedSubscription]:
        """The first of them, all different, as many as are in turn, renew with the tickets with
        which they were confirmed last, and are held with the same words as then. That they look
        alike is certain with the least of work: of the rest of `_looks` the credential was looked
        at then, and `liveness.runs` looks at all else. Who is in turn it sees as well, but only
        when all has been laid out for it; and those behind one in doubt come here once for each."""
        if self._tickets is None:
            return []
        instances = [one.instance for one in said]
        said = said[: self._directory.in_turn(instances[: _different(instances)])]
        instances = instances[: len(said)]
        numbers, holders = map(_NUMBER_OF, said), map(_HOLDER_OF, said)
        words = self._tickets.awaited.words(numbers, instances, holders, now)
        if not words:
            return []
        are_others = [*map(ne, self._directory.words(instances[: len(words)]), words)]
        return said[: are_others.index(True) if True in are_others else len(words)]

    def _alike(
        self, said: Sequence[SealedSubscription], now: float
    ) -> tuple[list[SealedSubscription], list[bytes], _Looks | None]:
        """The first of them, as many as look alike, each of another instance; and how these stand,
        which their tickets depend on."""
        ones: dict[bytes, SealedSubscription] = {}
        states, looks = [], None
        for one in said:
            its, state = self._looks(one, now)
            if its is None or (looks or its) is not its or one.instance in ones:
                break
            ones[one.instance], looks = one, its
            states.append(state)
        return [*ones.values()], states, looks

    def _looks(self, one: SealedSubscription, now: float) -> tuple[_Looks | None, bytes]:
        """None: it has to be looked at by itself. And how its instance stands."""
        instance, holder, directory = one.instance, one.holder, self._directory
        if not provides(holder.credential, instance) or self._peers.are_at(one.where):
            return None, b""
        word, state = directory.standing(instance)
        if self._tickets is None or not self._tickets.holds(
            one.number, one.where, instance, state, now
        ):
            return _Looks.WITHOUT_TICKET, state
        if not state:
            return None if is_wide(instance) or not self._has_room(one) else _Looks.NEW, state
        ending = encode_version_end(self._versioned.identity, one.start) + holder.particulars
        if word[OWNER.start :] != ending:
            return None, state
        is_in_doubt = directory.is_suspect(instance) or directory.is_unheard(instance)
        return None if is_in_doubt else _Looks.RENEWED, state

    def _has_room(self, one: SealedSubscription) -> bool:
        """It may come. (The table asks so, too; here only so that no others are opened.)"""
        credential = one.holder.credential.id.encode()
        is_over = self._detector.admission.over(one.instance, credential) is not None
        return not is_over and self._versioned.can_hold(one.instance)

    def _subscribe(
        self, ones: Sequence[SealedSubscription], now: float
    ) -> tuple[int, list[Effect]]:
        assert self._tickets is not None
        instances, starts, renewals, holders, numbers, _ = map(list, zip(*ones, strict=True))
        particulars = [holder.particulars for holder in holders]
        run = Subscribers(instances, starts, renewals, particulars, now)
        row, count = self._detector.runs.alike(run)
        if not count:
            return 0, []
        self._tickets.use_all(numbers[:count], instances[:count], now)
        confirm = partial(self._confirmation, ones[:count], now)
        return count, self._detector.runs.run(row, run.first(count), confirm)

    def _confirmation(self, ones: Sequence[SealedSubscription], now: float) -> ConfirmSealed:
        assert self._tickets is not None
        renewal = self._detector.renewal
        instances, _, _, holders, _, wheres = zip(*ones, strict=True)
        words = self._directory.words(instances)
        tickets = self._tickets.issue_next(wheres, instances, holders, words, now)
        return ConfirmSealed(ones, tickets, None if renewal == RENEWAL else renewal)

    def _issue(
        self, ones: Sequence[SealedSubscription], states: list[bytes], now: float
    ) -> list[int]:
        assert self._tickets is not None
        issue, pairs = self._tickets.issue, zip(ones, states, strict=True)
        return [issue(one.where, one.instance, state, now) for one, state in pairs]


def _different(instances: Sequence[Instance]) -> int:
    """How many of the first are all different."""
    if len({*instances}) == len(instances):
        return len(instances)
    seen = set[Instance]()
    for one in instances:
        if one in seen:
            break
        seen.add(one)
    return len(seen)
