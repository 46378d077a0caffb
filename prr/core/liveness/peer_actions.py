"""What the rows of the lifecycle table have done about what peers say."""

from random import Random  # noqa: TID251 the type only: the RNG comes in as an argument

from prr.core.effects import Effect, Event, Report
from prr.core.liveness.doubts import Doubts
from prr.core.liveness.states import Case, Trigger
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.wire.version import NO_START


class PeerActions:
    """Some of the actions of one binder: a method for each `Action` about what peers say."""

    def __init__(
        self, versioned: VersionedDirectory, doubts: Doubts, lease: float, rng: Random
    ) -> None:
        """`lease` is in seconds."""
        self._versioned = versioned
        self._doubts = doubts
        self._lease = lease
        self._rng = rng

    def take_over(self, case: Case) -> list[Effect]:
        assert case.version is not None
        is_there = case.trigger is Trigger.PEER_SAYS_UP
        self._versioned.accept(case.instance, case.version, is_there, case.now, case.particulars)
        return []

    def dispute(self, case: Case) -> list[Effect]:
        assert case.version is not None
        self._versioned.dispute(case.instance, case.version)
        self._doubts.urgent[case.instance] = None
        why = "a peer says that it is gone: asking it"
        return [Report(Event.DISPUTED, case.instance, why)]

    def hold_learned(self, case: Case) -> list[Effect]:
        self._versioned.add(case.instance, NO_START, learned=True)
        return []

    def end_doubt(self, case: Case) -> list[Effect]:
        self._doubts.clear(case.instance)
        return []

    def release(self, case: Case) -> list[Effect]:
        self._doubts.release(case.instance)
        return []

    def entrust(self, case: Case) -> list[Effect]:
        """At any moment within the lease: many may be said to be owned here at once."""
        when = case.now + self._lease * self._rng.random()
        self._doubts.leases.entrust(case.instance, when)
        return []

    def watch(self, case: Case) -> list[Effect]:
        self._doubts.leases.entrust(case.instance, case.now + self._lease)
        return []

    def claim(self, case: Case) -> list[Effect]:
        self._versioned.returning.add(case.instance)
        return []

    def note_suspicion(self, case: Case) -> list[Effect]:
        self._doubts.suspicions.hear(case.instance, case.now)
        return [Report(Event.SUSPECTED, case.instance, case.why)]

    def end_suspicion(self, case: Case) -> list[Effect]:
        self._doubts.suspicions.end(case.instance)
        return []

    def tell_ours(self, case: Case) -> list[Effect]:
        return self._versioned.tell_added(case.instance, is_news=False)
