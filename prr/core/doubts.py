"""What is in doubt, and asking it: leases, rechecks, and the verifications under way.

What gives rise to a doubt is in `watch`, what follows from its end in `verdicts`.
"""

from random import Random  # noqa: TID251 the type only: the dice come in as an argument

from prr.config import Limits
from prr.core.deadlines import Deadlines
from prr.core.effects import Effect, Event, Report
from prr.core.members import Members
from prr.core.newcomers import Newcomers
from prr.core.peers import Peers
from prr.core.verification import WAITS, Verifications
from prr.core.witness import Witness
from prr.wire.address import Address, Instance


class Doubts:
    """The instances of one binder that are to be asked, now or at a deadline.

    `leases` has a row for each instance that was heard here, due when it is to be asked again;
    `rechecks` one for each that could be neither cleared nor evicted. Both are as large as the
    table at most.
    """

    def __init__(self, members: Members, peers: Peers, limits: Limits, rng: Random) -> None:
        self.leases: Deadlines[Instance] = Deadlines()
        self.rechecks: Deadlines[Instance] = Deadlines()
        self.verifications = Verifications(limits.verifications, rng)
        self.newcomers = Newcomers(limits.newcomers, rng)
        self.witness = Witness(members.identity, peers, rng)
        self._places = limits.verifications
        self._members = members
        self._table = members.registry.table
        self._turns = members.registry.turns

    def clear(self, instance: Instance) -> None:
        """No reason is left to doubt an instance that is there."""
        if instance not in self.newcomers:  # who have to answer, whoever speaks for them
            self.verifications.cancel(instance)
        self.witness.forget(instance)
        self.rechecks.cancel(instance)
        self._turns.trust(instance)

    def verify(
        self,
        instance: Instance,
        now: float,
        start: int | None = None,
        accuser: Address | None = None,
        questions: int = len(WAITS),
    ) -> list[Effect]:
        """Ask an instance, there or gone, whether it lives; later, if there is no room now. One
        that has not answered yet is asked no more than it may be."""
        if instance in self.newcomers:
            questions = min(questions, self.newcomers.left(instance, instance in self._table))
        if instance in self.verifications:
            if self.verifications.is_over(instance):
                self.verify_later(instance, now + WAITS[-1])
            return []
        if questions <= 0:
            return []
        if not self.verifications.has_room(instance, accuser):
            self.verify_later(instance, now)  # as soon as there is room
            return []
        latest = self._members.registry.latest(instance)
        known = latest.start if latest else 0
        if start is None:
            start = 0 if self._may_be_new(instance) else known
        with_nonce = bool(known) or self._is_ours_at(instance)
        probe = self.verifications.begin(instance, start, with_nonce, now, accuser, questions)
        self.newcomers.count(instance, 1)
        return [Report(Event.ASKED, instance, "the first question"), probe]

    @property
    def may_prove(self) -> bool:
        """Newcomers leave half of the places to others."""
        return len(self.verifications) <= self._places // 2 and not self.verifications.busy

    def verify_later(self, instance: Instance, when: float) -> None:
        """Only what is known here: a stranger must not fill the memory with what is not."""
        if self.may_live(instance):
            self.rechecks.set(instance, when)

    def may_live(self, instance: Instance) -> bool:
        """It is there, or was heard here lately, or is a server of 2016 that fell silent."""
        removal = self._table.removal(instance)
        was_silent = removal is not None and not removal.start
        is_there = instance in self._table or instance in self._members.returning
        return is_there or instance in self.leases or was_silent

    def _may_be_new(self, instance: Instance) -> bool:
        """Whoever is there now need not be whose start is known: a bare answer will do."""
        return self._members.is_back_unproven(instance) or instance in self._members.returning

    def _is_ours_at(self, instance: Instance) -> bool:
        """At the same address runs, or ran, a server of ours: it can be asked for its types."""
        versions = map(self._table.version, self._table.at_address(instance))
        return any(version is not None and version.start for version in versions)
