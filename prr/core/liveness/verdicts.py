"""What follows when a verification ends: an instance is cleared, kept, evicted, adopted or back."""

from typing import Any

from prr.core.directory.directory import Added as Adding
from prr.core.effects import Effect, Event, Report
from prr.core.liveness.doubts import Doubts
from prr.core.liveness.eviction_limiter import SHARE, SHARE_CONFIRMED, EvictionLimiter
from prr.core.liveness.findings import Finding, Verdict
from prr.core.liveness.lease_owners import LeaseOwners
from prr.core.replication.peers import Peers
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.wire.instance import Instance
from prr.wire.version import LEFT

SECOND_CHANCE = 30.0
"""Seconds between two looks for a silent server of 2016 that was evicted: it does not subscribe
again by itself, and may only have been cut off."""

RECHECK = 2.0
"""Seconds before an instance that could be neither cleared nor evicted is asked again."""

_SILENCE = (Finding.SILENT, Finding.SILENT_ALONE, Finding.MUTE)


class Verdicts:
    """Acts on the verdicts of one binder."""

    def __init__(
        self,
        versioned: VersionedDirectory,
        peers: Peers,
        doubts: Doubts,
        owners: LeaseOwners,
        lease: float,
    ) -> None:
        """`lease` is in seconds."""
        self._peers = peers
        self._versioned = versioned
        self._directory = versioned.directory
        self._doubts = doubts
        self._lease_owners = owners
        self._lease = lease
        self._limiter = EvictionLimiter()

    def judge(self, verdict: Verdict, now: float) -> list[Effect]:
        """Do what follows from a verdict."""
        instance = verdict.instance
        was_asked = self._doubts.opinions.is_asked(instance)
        effects = self._tell_who_asked(verdict)
        if verdict.finding is Finding.ALIVE:
            self._doubts.newcomers.answered(instance, now)
            self._limiter.release(instance)
        if instance not in self._directory:
            return effects + self._judge_gone(verdict, now)
        if self._directory.is_disputed(instance):
            return effects + self._settle(verdict, now)
        match verdict.finding:
            case Finding.ALIVE:
                return effects + self._cleared(verdict, now)
            case _ if verdict.finding in _SILENCE and instance in self._doubts.newcomers:
                return effects + self._judge_newcomer(verdict, now)
            case Finding.UNSENT | Finding.MUTE:
                return effects + self._keep(verdict, now)
            case Finding.SILENT_ALONE if was_asked:
                # The one who asked decides; should it not, we ask again on our own account.
                self._doubts.leases.cancel(instance)
                self._doubts.rechecks.set(instance, now + RECHECK)
                return effects
            case Finding.SILENT | Finding.SILENT_ALONE if not self._brake_allows(verdict, now):
                return [*effects, *self._keep(verdict, now), *self.tick(now)]
            case Finding.REFUSED | Finding.SILENT | Finding.SILENT_ALONE:
                return effects + self._evict(verdict, now)

    def _tell_who_asked(self, verdict: Verdict) -> list[Effect]:
        """The peers that asked for an opinion have it, unless there is none."""
        if verdict.finding is Finding.UNSENT:
            self._doubts.opinions.forget(verdict.instance)
            return []
        is_alive = verdict.finding is Finding.ALIVE
        return self._doubts.opinions.answer(verdict.instance, is_alive)

    def _judge_newcomer(self, verdict: Verdict, now: float) -> list[Effect]:
        """One that has never answered did not answer again."""
        instance = verdict.instance
        if self._doubts.newcomers.left(instance, is_there=True) > 0:
            self._directory.suspect(instance)
            self._doubts.newcomers.ask_again(instance, now)
            return []
        return self.give_up(instance, verdict.why, now)

    def give_up(self, instance: Instance, why: str, now: float) -> list[Effect]:
        """A newcomer has been asked all that it is asked. It goes without anybody else's word, and
        the brake does not keep it: nothing shows that it was ever there. A binder that hears none
        of its peers waits until it does, and asks nothing meanwhile."""
        self._directory.suspect(instance)
        if self._peers.none_is_heard(now):
            self._doubts.newcomers.ask_again(instance, now)
            return []
        return self._evict(Verdict(instance, Finding.SILENT_ALONE, 0, why), now)

    def peer_evicted(self, now: float) -> None:
        """A peer has evicted an instance for its silence: that counts for all."""
        self._limiter.gone(now)

    def brake_status(self, now: float) -> dict[str, Any] | None:
        """How the brake holds, as plain data; None if it does not."""
        return self._limiter.status(len(self._directory), now)

    def deadline(self) -> float | None:
        """When `tick` has something to do; None if nothing is pending."""
        return self._limiter.deadline()

    def tick(self, now: float) -> list[Effect]:
        """Say what the brake does, once it does something else. Safe to call too often."""
        said = self._limiter.tick(len(self._directory), now)
        return [] if said is None else [Report(Event.BRAKE, "", said)]

    def _brake_allows(self, verdict: Verdict, now: float) -> bool:
        share = SHARE_CONFIRMED if verdict.finding is Finding.SILENT else SHARE
        binders = 1 + len(self._peers.heard_lately(now))
        return self._limiter.allows(verdict.instance, len(self._directory), now, share, binders)

    def _cleared(self, verdict: Verdict, now: float) -> list[Effect]:
        instance = verdict.instance
        was_suspect = self._directory.is_suspect(instance)
        self._doubts.clear(instance)
        effects: list[Effect] = []
        if was_suspect:  # else nothing has changed
            effects.append(Report(Event.VERIFIED, instance, verdict.why))
        version = self._directory.version(instance)
        assert version is not None
        is_orphan = self._lease_owners.is_orphaning(version.owner, now)
        if version.owner != self._versioned.identity and not is_orphan:
            return effects
        self._doubts.leases.set(instance, now + self._lease)
        is_back = self._versioned.is_back_unproven(instance)
        if is_orphan or is_back:
            self._versioned.add(instance, 0 if is_back else version.start)
            effects += self._versioned.tell_in_pages(instance, now, is_news=is_back)
        if is_orphan:
            why = "the binder it had subscribed with is silent"
            effects.append(Report(Event.ADOPTED, instance, why))
        return effects

    def _judge_gone(self, verdict: Verdict, now: float) -> list[Effect]:
        """The verdict about an instance that is not there: it may have to come back."""
        instance = verdict.instance
        if verdict.finding is not Finding.ALIVE:
            self._doubts.leases.cancel(instance)
            is_new = instance in self._doubts.newcomers
            self._doubts.newcomers.forget(instance)
            removal = self._directory.removal(instance)
            if verdict.finding is Finding.REFUSED or is_new or removal is None or removal.start:
                return self._versioned.deny(instance)
            self._doubts.verify_later(instance, now + SECOND_CHANCE)
            return []
        # Whoever had left may be a new process now, whose number is not known yet.
        start = 0 if verdict.start == LEFT else verdict.start
        if self._versioned.add(instance, start) in (Adding.FULL, Adding.EXCLUDED):
            return []
        self._doubts.leases.set(instance, now + self._lease)
        why = f"it was said to be gone, but {verdict.why}"
        report = Report(Event.VERIFIED, instance, why)
        return [*self._versioned.tell_added(instance), report]

    def _settle(self, verdict: Verdict, now: float) -> list[Effect]:
        """The verdict about an instance that a peer says is gone: that is refuted, or was right."""
        instance = verdict.instance
        if verdict.finding is not Finding.ALIVE:
            self._doubts.rechecks.cancel(instance)
            self._directory.concede(instance, now)
            report = Report(Event.REMOVED, instance, f"a peer said so, and {verdict.why}")
            return [report, *self._judge_gone(verdict, now)]
        version = self._directory.version(instance)
        assert version is not None
        self._versioned.add(instance, version.start)
        self._doubts.clear(instance)
        self._doubts.leases.set(instance, now + self._lease)
        report = Report(Event.VERIFIED, instance, f"a peer said it was gone, but {verdict.why}")
        return [*self._versioned.tell_in_pages(instance, now), report]

    def _keep(self, verdict: Verdict, now: float) -> list[Effect]:
        self._doubts.rechecks.set(verdict.instance, now + RECHECK)
        if verdict.finding is Finding.UNSENT:
            self._directory.trust(verdict.instance)  # that says nothing about the instance
        else:
            self._doubts.leases.cancel(verdict.instance)
        return [Report(Event.KEPT, verdict.instance, verdict.why)]

    def _evict(self, verdict: Verdict, now: float) -> list[Effect]:
        instance = verdict.instance
        version = self._directory.version(instance)
        assert version is not None
        self._doubts.leases.cancel(instance)
        self._doubts.rechecks.cancel(instance)
        self._limiter.release(instance)
        is_silent = verdict.finding is not Finding.REFUSED
        effects = self._versioned.remove(instance, version.start, now, is_silent)
        newcomers = self._doubts.newcomers
        if instance in newcomers:
            if version.start or not is_silent:
                newcomers.forget(instance)
            else:
                newcomers.ask_late(instance, now)
        elif is_silent:
            self._doubts.verify_later(instance, now + SECOND_CHANCE)
        return [*effects, Report(Event.EVICTED, instance, verdict.why)]
