"""What puts an instance in doubt, and when it is asked.

An instance is in doubt when somebody complains, its lease runs out at its home, its home falls
silent, or a peer says that it is gone although it was heard here lately. Doubt always ends by
asking the instance: the truth about a service is the service.
"""

from collections.abc import Sequence
from math import inf
from random import Random  # noqa: TID251 the type only: the RNG comes in as an argument
from typing import Any

from prr.config import Limits
from prr.core.deadlines import Deadlines, earliest
from prr.core.effects import Effect, Event, Outcome, Probe, ProbeAll, Report
from prr.core.liveness.actions import Actions
from prr.core.liveness.admission import Admission
from prr.core.liveness.doubts import Doubts
from prr.core.liveness.due import Due
from prr.core.liveness.evictions import Evictions
from prr.core.liveness.first_questions import FirstQuestions
from prr.core.liveness.guards import Guards
from prr.core.liveness.lease_owners import LeaseOwners
from prr.core.liveness.lifecycle import Lifecycle
from prr.core.liveness.phases import LAGGED
from prr.core.liveness.probes import TICK_MAX
from prr.core.liveness.proving import Proving
from prr.core.liveness.recheck_queue import RecheckQueue
from prr.core.liveness.rechecks import Rechecks
from prr.core.liveness.rows import HELD, news_of
from prr.core.liveness.runs import Runs
from prr.core.liveness.states import Case, Trigger, Verdict
from prr.core.liveness.verdicts import Verdicts
from prr.core.liveness.verification import REFUSALS
from prr.core.pacing import renewal_for
from prr.core.replication.news import News
from prr.core.replication.peers import Peers
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.core.trust import NO_KEYS, Trust
from prr.wire.instance import Address, Instance, address_of, describe_service, service_of

DOUBTED_MAX = 2
"""Others at an address that one subscription puts in doubt; the leases and the clients find the
rest: without this bound each new type would cost as much as there are others."""


class Detector:
    """Leases and doubts of one binder."""

    def __init__(
        self,
        versioned: VersionedDirectory,
        peers: Peers,
        limits: Limits,
        lease: float,
        rng: Random,
        trust: Trust = NO_KEYS,
    ) -> None:
        self._versioned = versioned
        self._directory = versioned.directory
        self._doubts = Doubts(versioned, peers, limits, rng, trust)
        self._leases, self._rechecks = self._doubts.leases, self._doubts.rechecks
        self._verifications, self._opinions = self._doubts.verifications, self._doubts.opinions
        self._newcomers = self._doubts.newcomers
        self._lease_owners = LeaseOwners(versioned, peers, lease)
        self._evictions = Evictions(self._directory, peers)
        self.admission = Admission(versioned, self._doubts, limits)
        """Of those that subscribe."""

        self._lifecycle = Lifecycle(
            self._directory,
            Guards(
                *(versioned, peers, self._doubts),
                *(self._lease_owners, self._evictions, self.admission),
            ),
            Actions(versioned, self._doubts, self._evictions, lease, self.doubt_others_at, rng),
        )
        self.runs = Runs(versioned, self._doubts, self.admission, peers, self._lifecycle, lease)
        """Of subscriptions that are alike."""

        self.first_questions = FirstQuestions(
            versioned, self._doubts, self._evictions, self._lifecycle, lease, rng
        )
        """To newcomers, many at once."""

        self._proving = Proving(self._doubts, self._lifecycle, self.first_questions)
        self._recheck_queue = RecheckQueue(versioned, peers)
        self.verdicts = Verdicts(self._evictions.reasons)

    @property
    def doubts(self) -> Doubts:
        """What is in doubt; to be read only."""
        return self._doubts

    def peer_evicted(self, now: float) -> None:
        """A peer has evicted an instance for its silence."""
        self._evictions.peer_evicted(now)

    def brake_status(self, now: float) -> dict[str, Any] | None:
        """The state of the eviction limiter, as plain data; None if it is off."""
        return self._evictions.status(now)

    def said(self, case: Case) -> list[Effect]:
        """An instance says that it is there, or that it is gone."""
        return self._lifecycle.on(case)

    @property
    def renewal(self) -> int:
        """Seconds within which servers of ours are to renew their subscriptions."""
        return renewal_for(len(self._leases))

    def restored(self, instances: list[Instance], now: float) -> None:
        """These were read from the disk, and may be long gone: ask them as soon as possible."""
        self._recheck_queue.put(instances, now)

    def clear(self, instance: Instance) -> None:
        """No reason is left to doubt an instance that is there."""
        self._doubts.clear(instance)

    def release(self, instance: Instance) -> None:
        """Another binder owns its lease now, or none."""
        self._doubts.release(instance)

    def accuse(self, instance: Instance, why: str, now: float, by: Address) -> list[Effect]:
        """`by` says that an instance that is there does not answer.

        Where there is no room it is asked as soon as there is, in turn until then.
        """
        return self._lifecycle.on(Case(Trigger.ACCUSED, instance, now, why, by=by))

    def doubt_others_at(self, instance: Instance, start: int, now: float) -> list[Effect]:
        """`instance` has subscribed, here or elsewhere: what is at home here at the same address
        may be what ran there before. What is at home elsewhere is its home's to ask, so that an
        address is not asked by all binders."""
        effects: list[Effect] = []
        doubted = 0
        for other in self._directory.at_address(instance):
            version = self._directory.version(other)
            assert version is not None
            is_same = other == instance or (version.has_start and version.start == start)
            if is_same or version.owner != self._versioned.identity or other in self._verifications:
                continue
            why = f"{describe_service(service_of(instance))} subscribed from its address"
            effects += self.accuse(other, why, now, address_of(instance))
            doubted += 1
            if doubted == DOUBTED_MAX:
                break
        return effects

    def ask_for_peer(
        self, instance: Instance, peer: Address, nonce: int, now: float
    ) -> list[Effect]:
        """A peer wants this binder's opinion about an instance that is there."""
        if instance not in self._verifications and not self._verifications.has_room(instance, peer):
            return []
        self._opinions.remember(instance, peer, nonce)
        return self._doubts.verify(instance, now, accuser=peer)

    def ask_disputed(self, now: float) -> list[Effect]:
        """Ask those at once, or some of them."""
        return self._doubts.verify_urgent(now)

    def peer_says(self, case: Case) -> tuple[News, list[Effect]]:
        """A peer says that an instance is there, or gone: what becomes of its word, and what
        follows. Whoever it has taken out is asked if it was heard here lately."""
        before = self._lifecycle.state_of(case.instance)
        row = self._lifecycle.row_in(before, case)
        effects = self._lifecycle.run(row, case)
        news = news_of(row, before in HELD, (row.after or before) in HELD)
        if news is News.REMOVED:
            effects += self.said_to_be_gone(case.instance, case.now)
        return news, effects

    def said_to_be_gone(self, instance: Instance, now: float) -> list[Effect]:
        """An instance was taken out on a peer's word: if it was heard here lately, ask it."""
        return self._lifecycle.on(Case(Trigger.PEER_REMOVED, instance, now))

    def contradicted(self, instance: Instance, now: float) -> list[Effect]:
        """A peer's update that is out of date says that an instance is gone that is there."""
        return self._lifecycle.on(Case(Trigger.OLDER_REMOVAL, instance, now))

    def subscribed_elsewhere(self, instance: Instance, now: float) -> list[Effect]:
        """An instance that is there has subscribed with a legacy binder."""
        return self._lifecycle.on(Case(Trigger.LEGACY_SUBSCRIBED, instance, now))

    def peer_suspects(self, instance: Instance, why: str, now: float) -> list[Effect]:
        """A peer has asked an instance in vain, which is there at the version that it says."""
        return self._lifecycle.on(Case(Trigger.PEER_SUSPECTS, instance, now, why))

    def peer_clears(self, instance: Instance, now: float) -> list[Effect]:
        """A peer says of one that is suspected, at the version it has here, that it is there."""
        return self._lifecycle.on(Case(Trigger.PEER_CLEARS, instance, now))

    def probed(self, probe: Probe, outcome: Outcome, now: float) -> list[Effect]:
        """Hear what became of a Probe."""
        if outcome is Outcome.UNSENT:
            self._newcomers.count(probe.instance, -1)
        # The peer that evicted a disputed one has seen the others. But a refusal can be
        # forged, where an answer has to be proved: the answer gets the time to come.
        is_settled = self._directory.is_disputed(probe.instance) and not probe.wants_proof
        refusals = 1 if is_settled else REFUSALS
        verdict = self._verifications.probed(probe, outcome, now, refusals)
        return self._judge(verdict, now) if verdict else []

    def answered_all(self, asked: ProbeAll, ones: Sequence[Instance], now: float) -> list[Effect]:
        """Hear which of those of a ProbeAll have answered."""
        if not asked.serials:
            return self.first_questions.answered(ones, now)
        serials = dict(zip(asked.instances, asked.serials, strict=True))
        effects: list[Effect] = []
        for one in ones:
            if (verdict := self._verifications.answered(one, serials[one])) is not None:
                effects += self._judge(verdict, now)
        return effects

    def opinion(self, peer: Address, nonce: int, is_alive: bool, now: float) -> list[Effect]:
        """Hear a peer's opinion on the instance that it was asked about with `nonce`."""
        living = self._opinions.hear(peer, nonce, is_alive)
        verdict = None if living is None else self._verifications.answered(living, None)
        return self._judge(verdict, now) if verdict else []

    def deadline(self) -> float | None:
        """When `tick` has something to do."""
        has_room = not self._verifications.busy
        return earliest(
            self._verifications.deadline(),
            self._recheck_queue.deadline(),
            self._evictions.deadline(),
            self._lease_owners.deadline(has_room),
            -inf if self._doubts.has_room_for_urgent else None,
            self._leases.first() if has_room else None,  # else they wait until there is
            self._rechecks.first() if has_room else None,
            self._proving.deadline(),
            self._doubts.suspicions.deadline(),
        )

    def tick(self, now: float) -> list[Effect]:
        """Do what is due by `now`, or some of it: `deadline` tells. Safe to call too often."""
        effects = self._act_on(self._verifications.tick(now), now) + self._evictions.tick(now)
        for restored in self._recheck_queue.due(len(self._verifications), now):
            effects += self._lifecycle.on(Case(Trigger.RESTORED, restored, now))
        effects += self._doubts.verify_urgent(now)
        effects += self._pop_due(self._leases, Trigger.LEASE_ENDED, now)
        effects += self._pop_due(self._rechecks, Trigger.RECHECK_DUE, now)
        effects += self._proving.tick(now) + self._end_suspicions(now)
        for instance in self._lease_owners.scan(now, not self._verifications.busy):
            effects += self._lifecycle.on(Case(Trigger.OWNER_SILENT, instance, now))
        return effects

    def _pop_due(
        self, deadlines: Deadlines[Instance] | Rechecks, trigger: Trigger, now: float
    ) -> list[Effect]:
        """See to some of those that are due by `now`, as far as there is room."""
        effects: list[Effect] = []
        for _ in range(TICK_MAX):
            if self._verifications.busy or (instance := deadlines.pop_due(now)) is None:
                break
            effects += self._lifecycle.on(Case(trigger, instance, now))
        return effects

    def _end_suspicions(self, now: float) -> list[Effect]:
        """Put back some of those that peers suspected, and nothing followed."""
        effects: list[Effect] = []
        for _ in range(TICK_MAX):
            if (instance := self._doubts.suspicions.pop_due(now)) is None:
                break
            effects += self._lifecycle.on(Case(Trigger.SUSPICION_ENDED, instance, now))
        return effects

    def _judge(self, verdict: Verdict, now: float) -> list[Effect]:
        """A verification has found something: what it ends with outweighs what peers suspect."""
        found, said = verdict.finding, verdict.particulars
        case = Case(found, verdict.instance, now, verdict.why, verdict.start, particulars=said)
        effects = self._lifecycle.on(case)
        if found is not Trigger.REFUSED_ONCE:
            self.verdicts.count(found, now - verdict.began_at)
            self._doubts.suspicions.end(verdict.instance)
        return effects

    def _act_on(self, due: Due, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for probe in due.probes:
            effects += self._lifecycle.on(
                Case(Trigger.UNANSWERED, probe.instance, now, probe=probe)
            )
        for instance, nonce in due.wants_opinions:
            if asked := self._doubts.whom_to_ask(instance, now):
                effects += self._opinions.ask(instance, asked, nonce)
        for instance in due.reminders:
            effects += self._opinions.remind(instance)
        for instance in due.unanswered:
            effects += self._opinions.answer(instance, is_alive=False)
        if due.was_late:
            effects.append(Report(Event.LATE, "", LAGGED))
        for verdict in due.verdicts:
            effects += self._judge(verdict, now)
        return effects
