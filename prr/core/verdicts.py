"""What follows when a verification ends: an instance is cleared, kept, evicted, adopted or back."""

from prr.core.brake import SHARE, SHARE_CONFIRMED, Brake
from prr.core.doubts import Doubts
from prr.core.effects import Effect, Event, Report
from prr.core.findings import Finding, Verdict
from prr.core.homes import Homes
from prr.core.members import Members
from prr.core.registry import Added as Adding
from prr.wire.versions import LEFT

SECOND_CHANCE = 30.0
"""Seconds between two looks for a silent server of 2016 that was evicted: it does not subscribe
again by itself, and may only have been cut off."""

RECHECK = 2.0
"""Seconds before an instance that could be neither cleared nor evicted is asked again."""


class Verdicts:
    """Acts on the verdicts of one binder."""

    def __init__(self, members: Members, doubts: Doubts, homes: Homes, lease: float) -> None:
        """`lease` is in seconds."""
        self._members = members
        self._table = members.registry.table
        self._turns = members.registry.turns
        self._doubts = doubts
        self._homes = homes
        self._lease = lease
        self._brake = Brake()

    def judge(self, verdict: Verdict, now: float) -> list[Effect]:
        instance = verdict.instance
        was_asked = self._doubts.witness.is_asked(instance)
        effects: list[Effect] = []
        if verdict.finding is Finding.UNSENT:
            self._doubts.witness.forget(instance)
        else:
            effects += self._doubts.witness.answer(instance, verdict.finding is Finding.ALIVE)
        if instance not in self._table:
            return effects + self._judge_gone(verdict, now)
        match verdict.finding:
            case Finding.ALIVE:
                return effects + self._cleared(verdict, now)
            case Finding.UNSENT | Finding.MUTE:
                return effects + self._keep(verdict, now)
            case Finding.SILENT_ALONE if was_asked:
                # The one who asked decides; should it not, we ask again on our own account.
                self._doubts.rechecks.set(instance, now + RECHECK)
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
        self._doubts.clear(instance)
        effects: list[Effect] = []
        if was_suspect:  # else nothing has changed
            effects.append(Report(Event.VERIFIED, instance, verdict.why))
        version = self._table.version(instance)
        assert version is not None
        is_orphan = self._homes.is_orphaning(version.home, now)
        if version.home != self._members.identity and not is_orphan:
            return effects
        self._doubts.leases.set(instance, now + self._lease)
        is_back = self._members.is_back_unproven(instance)
        if is_orphan or is_back:
            self._members.add(instance, 0 if is_back else version.start)
            effects += self._members.tell_added(instance, is_news=is_back)
        if is_orphan:
            why = "the binder it had subscribed with is silent"
            effects.append(Report(Event.ADOPTED, instance, why))
        return effects

    def _judge_gone(self, verdict: Verdict, now: float) -> list[Effect]:
        """The verdict about an instance that is not there: it may have to come back."""
        instance = verdict.instance
        if verdict.finding is not Finding.ALIVE:
            self._doubts.leases.cancel(instance)
            removal = self._table.removal(instance)
            if verdict.finding is Finding.REFUSED or removal is None or removal.start:
                return self._members.deny(instance)
            self._doubts.verify_later(instance, now + SECOND_CHANCE)
            return []
        # Whoever had left may be a new process now, whose number is not known yet.
        start = 0 if verdict.start == LEFT else verdict.start
        if self._members.add(instance, start) in (Adding.FULL, Adding.EXCLUDED):
            return []
        self._doubts.leases.set(instance, now + self._lease)
        why = f"it was said to be gone, but {verdict.why}"
        report = Report(Event.VERIFIED, instance, why)
        return [*self._members.tell_added(instance), report]

    def _keep(self, verdict: Verdict, now: float) -> list[Effect]:
        self._doubts.rechecks.set(verdict.instance, now + RECHECK)
        if verdict.finding is Finding.UNSENT:
            self._turns.trust(verdict.instance)  # that says nothing about the instance
        return [Report(Event.KEPT, verdict.instance, verdict.why)]

    def _evict(self, verdict: Verdict, now: float) -> list[Effect]:
        instance = verdict.instance
        version = self._table.version(instance)
        assert version is not None
        self._doubts.leases.cancel(instance)
        self._doubts.rechecks.cancel(instance)
        effects = self._members.remove(instance, version.start, now)
        if verdict.finding is not Finding.REFUSED:
            self._doubts.verify_later(instance, now + SECOND_CHANCE)
        return [*effects, Report(Event.EVICTED, instance, verdict.why)]
