"""Which instances are in doubt, and what is done about it: leases, verifications and verdicts.

An instance is in doubt when somebody complains, when its lease runs out at the binder that is its
home, when its home itself has fallen silent, or when a peer says that it is gone although it was
heard here lately. Doubt always ends by asking the instance: the truth about a service is the
service.
"""

from random import Random  # noqa: TID251 the type only: the dice come in as an argument

from prr.config import Limits
from prr.core.backlog import Backlog
from prr.core.brake import SHARE, SHARE_CONFIRMED, Brake
from prr.core.deadlines import Deadlines
from prr.core.effects import Effect, Event, Outcome, Probe, Report
from prr.core.homes import Homes
from prr.core.members import Members
from prr.core.peers import Peers
from prr.core.registry import Added as Adding
from prr.core.verification import TICK_MAX, WAITS, Due, Finding, Verdict, Verifications
from prr.core.witness import Witness
from prr.wire.address import Address, Instance
from prr.wire.versions import LEFT

SECOND_CHANCE = 30.0
"""Seconds between two looks for a silent server of 2016 that was evicted: it does not subscribe
again by itself, and may only have been cut off."""

RECHECK = 2.0
"""Seconds before an instance that could be neither cleared nor evicted is asked again."""


class Watch:
    """Leases and doubts of one binder."""

    def __init__(
        self, members: Members, peers: Peers, limits: Limits, lease: float, rng: Random
    ) -> None:
        self._members = members
        self._table = members.registry.table
        self._turns = members.registry.turns
        self._peers = peers
        self._lease = lease
        self._rng = rng
        self._verifications = Verifications(limits.verifications, rng)
        self._brake = Brake()
        self._leases: Deadlines[Instance] = Deadlines()
        self._rechecks: Deadlines[Instance] = Deadlines()
        self._witness = Witness(members.identity, peers, rng)
        self._homes = Homes(members, peers, lease)
        self._backlog = Backlog(lease)

    def under_way(self) -> list[Instance]:
        """The instances that are being verified."""
        return self._verifications.under_way()

    def spoke(self, instance: Instance, now: float) -> None:
        """An instance that is there has just spoken for itself, here."""
        self.clear(instance)
        self._leases.set(instance, now + self._lease)

    def restored(self, instances: list[Instance], now: float) -> None:
        """These, which are at home here, were read from the disk: ask them as time permits."""
        self._backlog.put(instances, now)

    def clear(self, instance: Instance) -> None:
        """No reason is left to doubt an instance that is there."""
        self._verifications.cancel(instance)
        self._witness.forget(instance)
        self._rechecks.cancel(instance)
        self._turns.trust(instance)

    def release(self, instance: Instance) -> None:
        """Another binder is its home now."""
        self._leases.cancel(instance)

    def accuse(self, instance: Instance, why: str, now: float) -> list[Effect]:
        """Somebody says that an instance that is there does not answer."""
        if instance in self._verifications:
            return []
        if self._verifications.full:
            why += "; too many verifications under way, this one has to be asked for again"
            return [Report(Event.UNVERIFIED, instance, why)]
        self._turns.suspect(instance)
        return [Report(Event.COMPLAINT, instance, why), *self._verify(instance, now)]

    def ask_for_peer(
        self, instance: Instance, peer: Address, nonce: int, now: float
    ) -> list[Effect]:
        """A peer wants this binder's opinion about an instance that is there."""
        if instance not in self._verifications and self._verifications.full:
            return []
        self._witness.remember(instance, peer, nonce)
        return self._verify(instance, now)

    def said_to_be_gone(self, instance: Instance, now: float) -> list[Effect]:
        """An instance was taken out on another's word: if it was heard here lately, ask it."""
        self._rechecks.cancel(instance)
        if instance not in self._leases:
            self._verifications.cancel(instance)
            self._witness.forget(instance)
            return []
        return self._verify(instance, now)

    def recheck(self, instance: Instance, now: float) -> list[Effect]:
        """A word that is out of date says that an instance is gone: ask it all the same."""
        return self._verify(instance, now)

    def left(self, instance: Instance, now: float) -> list[Effect]:
        """An instance said itself that it is gone. Unless that was a late copy, it will not answer;
        an answer to an older question proves nothing."""
        self._verifications.cancel_older(instance, now)
        return self.said_to_be_gone(instance, now)

    def readmit(self, instance: Instance, now: float) -> list[Effect]:
        """One that had left subscribes again: if that is no late copy, it will ask again."""
        return self._verify(instance, now, start=LEFT)

    def probed(self, probe: Probe, outcome: Outcome, now: float) -> list[Effect]:
        """Hear what became of a Probe."""
        verdict = self._verifications.probed(probe, outcome, now)
        return self._judge(verdict, now) if verdict else []

    def opinion(self, peer: Address, nonce: int, is_alive: bool, now: float) -> list[Effect]:
        """Hear a peer's opinion on the instance that it was asked about with `nonce`."""
        verdict = self._verifications.opinion(peer, nonce, is_alive)
        return self._judge(verdict, now) if verdict else []

    def deadline(self) -> float | None:
        """When `tick` has something to do."""
        parts = (self._verifications, self._homes, self._backlog)
        pending = [part.deadline() for part in parts]
        if not self._verifications.full:  # else they wait until there is room
            pending += [self._leases.first(), self._rechecks.first()]
        return min((when for when in pending if when is not None), default=None)

    def tick(self, now: float) -> list[Effect]:
        """Do what is due by `now`, or some of it: `deadline` tells. Safe to call too often."""
        effects = self._act_on(self._verifications.tick(now), now)
        for restored in self._backlog.due(now):
            if restored not in self._leases:  # else it has spoken since
                self._leases.set(restored, now + self._rng.random())
        for _ in range(TICK_MAX):
            if self._verifications.full or (instance := self._leases.pop_due(now)) is None:
                break
            if instance in self._table:
                self._leases.set(instance, now + self._lease)
                effects += self._verify(instance, now)
        for _ in range(TICK_MAX):
            if self._verifications.full or (instance := self._rechecks.pop_due(now)) is None:
                break
            if self._may_live(instance):
                effects += self._verify(instance, now)
        return effects + self._scan(now)

    def _verify(self, instance: Instance, now: float, start: int | None = None) -> list[Effect]:
        """Ask an instance, there or gone, whether it lives; later, if there is no room now."""
        if instance in self._verifications:
            if self._verifications.is_over(instance):
                self._verify_later(instance, now + WAITS[-1])
            return []
        if self._verifications.full:
            self._verify_later(instance, now)  # as soon as there is room
            return []
        if start is None:
            latest = self._members.registry.latest(instance)
            start = latest.start if latest else 0
        with_nonce = bool(start) or self._is_ours_at(instance)
        probe = self._verifications.begin(instance, start, with_nonce, now)
        return [Report(Event.ASKED, instance, "the first question"), probe]

    def _verify_later(self, instance: Instance, when: float) -> None:
        """Only what is known here: a stranger must not fill the memory with what is not."""
        if self._may_live(instance):
            self._rechecks.set(instance, when)

    def _may_live(self, instance: Instance) -> bool:
        """It is there, or was heard here lately, or is a server of 2016 that fell silent."""
        removal = self._table.removal(instance)
        was_silent = removal is not None and not removal.start
        return instance in self._table or instance in self._leases or was_silent

    def _is_ours_at(self, instance: Instance) -> bool:
        """At the same address runs, or ran, a server of ours: it can be asked for its types."""
        versions = map(self._table.version, self._table.at_address(instance))
        return any(version is not None and version.start for version in versions)

    def _act_on(self, due: Due, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for probe in due.probes:  # one question was not answered: out of turn until one is
            if probe.instance in self._table:
                self._turns.suspect(probe.instance)
            effects += [Report(Event.ASKED, probe.instance, "another question"), probe]
        for instance in due.wants_opinions:
            asked = [] if self._witness.is_asked(instance) else self._witness.choose(now)
            if asked and instance in self._table:
                nonce = self._verifications.await_opinions(instance, asked)
                effects += self._witness.ask(instance, asked, nonce)
        for instance, binders, nonce in due.reminders:
            effects += self._witness.ask(instance, binders, nonce)
        for instance in due.unanswered:
            effects += self._witness.answer(instance, is_alive=False)
        if due.was_late:
            why = "its own clockwork was late; it asks again instead of believing the silence"
            effects.append(Report(Event.LATE, "this binder", why))
        for verdict in due.verdicts:
            effects += self._judge(verdict, now)
        return effects

    def _judge(self, verdict: Verdict, now: float) -> list[Effect]:
        instance = verdict.instance
        was_asked = self._witness.is_asked(instance)
        effects: list[Effect] = []
        if verdict.finding is Finding.UNSENT:
            self._witness.forget(instance)
        else:
            effects += self._witness.answer(instance, verdict.finding is Finding.ALIVE)
        if instance not in self._table:
            return effects + self._judge_gone(verdict, now)
        match verdict.finding:
            case Finding.ALIVE:
                return effects + self._cleared(verdict, now)
            case Finding.UNSENT | Finding.MUTE:
                return effects + self._keep(verdict, now)
            case Finding.SILENT_ALONE if was_asked:
                # The one who asked decides; should it not, we ask again on our own account.
                self._rechecks.set(instance, now + RECHECK)
                return effects
            case Finding.SILENT | Finding.SILENT_ALONE if not self._brake_allows(verdict, now):
                braked = Report(Event.BRAKE, "this binder", "too many fell silent: is it me?")
                return [*effects, braked, *self._keep(verdict, now)]
            case Finding.REFUSED | Finding.SILENT | Finding.SILENT_ALONE:
                return effects + self._evict(verdict, now)

    def _brake_allows(self, verdict: Verdict, now: float) -> bool:
        share = SHARE_CONFIRMED if verdict.finding is Finding.SILENT else SHARE
        return self._brake.allows(len(self._table), now, share)

    def _cleared(self, verdict: Verdict, now: float) -> list[Effect]:
        instance = verdict.instance
        was_suspect = self._turns.is_suspect(instance)
        self.clear(instance)
        effects: list[Effect] = []
        if was_suspect:  # else nothing has changed
            effects.append(Report(Event.VERIFIED, instance, verdict.why))
        version = self._table.version(instance)
        assert version is not None
        if version.home == self._members.identity:
            self._leases.set(instance, now + self._lease)
        elif self._homes.is_orphaning(version.home, now):
            self._members.add(instance, version.start)
            self._leases.set(instance, now + self._lease)
            effects += self._members.tell_added(instance)
            why = "the binder it had subscribed with is silent"
            effects.append(Report(Event.ADOPTED, instance, why))
        return effects

    def _judge_gone(self, verdict: Verdict, now: float) -> list[Effect]:
        """The verdict about an instance that is not there: it may have to come back."""
        instance = verdict.instance
        if verdict.finding is not Finding.ALIVE:
            self._leases.cancel(instance)
            if verdict.finding is not Finding.REFUSED:
                self._verify_later(instance, now + SECOND_CHANCE)
            return []
        # Whoever had left may be a new process now, whose number is not known yet.
        start = 0 if verdict.start == LEFT else verdict.start
        if self._members.add(instance, start) is Adding.FULL:
            return []
        self._leases.set(instance, now + self._lease)
        why = f"it was said to be gone, but {verdict.why}"
        report = Report(Event.VERIFIED, instance, why)
        return [*self._members.tell_added(instance), report]

    def _keep(self, verdict: Verdict, now: float) -> list[Effect]:
        self._rechecks.set(verdict.instance, now + RECHECK)
        if verdict.finding is Finding.UNSENT:
            self._turns.trust(verdict.instance)  # that says nothing about the instance
        return [Report(Event.KEPT, verdict.instance, verdict.why)]

    def _evict(self, verdict: Verdict, now: float) -> list[Effect]:
        instance = verdict.instance
        version = self._table.version(instance)
        assert version is not None
        self._leases.cancel(instance)
        self._rechecks.cancel(instance)
        effects = self._members.remove(instance, version.start, now)
        if verdict.finding is not Finding.REFUSED:
            self._verify_later(instance, now + SECOND_CHANCE)
        return [*effects, Report(Event.EVICTED, instance, verdict.why)]

    def _scan(self, now: float) -> list[Effect]:
        """Verify the instances whose home has been silent for a lease, a number at a time."""
        effects: list[Effect] = []
        for instance in self._homes.scan(now):
            if instance not in self._verifications and instance not in self._rechecks:
                effects += self._verify(instance, now)
        return effects
