"""What the rows of the lifecycle table have done. Which of it, the table has decided."""

from collections.abc import Callable
from random import Random  # noqa: TID251 the type only: the RNG comes in as an argument
from typing import TypeAlias

from prr.core.answers import ANY_START
from prr.core.effects import Effect, Event, Report, Send
from prr.core.liveness.doubts import Doubts
from prr.core.liveness.evictions import Evictions
from prr.core.liveness.peer_actions import PeerActions
from prr.core.liveness.states import Case, Trigger
from prr.core.pacing import lease_for
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.wire.frames import Subscribed
from prr.wire.instance import Instance, address_of
from prr.wire.version import LEFT, NO_START, Version

SECOND_CHANCE = 30.0
"""Seconds between two looks for a silent legacy server that was evicted: it does not subscribe
again by itself, and may only have been cut off."""

RECHECK = 2.0
"""Seconds before an instance that could be neither cleared nor evicted is asked again."""


AccuseOthers: TypeAlias = Callable[[Instance, int, float], list[Effect]]
"""Accuses what runs at the address of an instance that has subscribed, with its start number, at a
moment in seconds."""


class Actions(PeerActions):
    """The actions of one binder: a method for each `Action`."""

    def __init__(
        self,
        versioned: VersionedDirectory,
        doubts: Doubts,
        evictions: Evictions,
        lease: float,
        accuse_others: AccuseOthers,
        rng: Random,
    ) -> None:
        """`lease` is in seconds."""
        super().__init__(versioned, doubts, lease, rng)
        self._directory = versioned.directory
        self._evictions = evictions
        self._accuse_others = accuse_others

    # What it says itself.

    def hold(self, case: Case) -> list[Effect]:
        is_news = case.instance not in self._directory
        self._versioned.add(case.instance, case.start, particulars=case.particulars)
        return self._versioned.tell_added(case.instance, is_news)

    def hold_unproven(self, case: Case) -> list[Effect]:
        """Until it answers it serves only if its type has no other."""
        self._versioned.add(case.instance, LEFT)
        return []

    def refuse(self, case: Case) -> list[Effect]:
        why = f"{len(self._directory)} instances are held, which is the limit"
        return [Report(Event.REFUSED, case.instance, why)]

    def accuse_others(self, case: Case) -> list[Effect]:
        return self._accuse_others(case.instance, case.start, case.now)

    def hear(self, case: Case) -> list[Effect]:
        """A newcomer has to answer all the same, but need not answer for who was there before."""
        self._doubts.verifications.void_refusals(case.instance)
        self._doubts.clear(case.instance)
        return self.renew_lease(case)

    def confirm(self, case: Case) -> list[Effect]:
        assert case.reply is not None
        return [case.reply]

    def confirm_bare(self, case: Case) -> list[Effect]:
        """Not once it is on disk: the question must not overtake this."""
        return [Send(Subscribed(), address_of(case.instance))]

    def withdraw(self, case: Case) -> list[Effect]:
        told = self._versioned.remove(case.instance, self._version(case).start or LEFT, case.now)
        return [*told, Report(Event.WITHDRAWN, case.instance, case.why)]

    # Asking it.

    def void_answers(self, case: Case) -> list[Effect]:
        self._doubts.verifications.cancel_older(case.instance, case.now)
        return []

    def end_recheck(self, case: Case) -> list[Effect]:
        self._doubts.rechecks.cancel(case.instance)
        self._doubts.urgent.pop(case.instance, None)
        return []

    def ask_no_more(self, case: Case) -> list[Effect]:
        self._doubts.verifications.cancel(case.instance)
        self._doubts.opinions.forget(case.instance)
        return self.end_recheck(case)

    def ask_any_start(self, case: Case) -> list[Effect]:
        return self._doubts.verify(
            case.instance, case.now, start=ANY_START, particulars=case.particulars
        )

    def ask_bare(self, case: Case) -> list[Effect]:
        return self._doubts.verify_bare(case.instance, case.now)

    def ask(self, case: Case) -> list[Effect]:
        return self._doubts.verify(
            case.instance, case.now, accuser=case.by, particulars=case.particulars
        )

    def ask_once(self, case: Case) -> list[Effect]:
        return self._doubts.verify(case.instance, case.now, questions=1)

    def ask_on(self, case: Case) -> list[Effect]:
        assert case.probe is not None
        self._doubts.newcomers.count(case.instance, 1)
        return [Report(Event.ASKED, case.instance, "another question"), case.probe]

    def ask_when_room(self, case: Case) -> list[Effect]:
        if case.instance not in self._doubts.rechecks:
            self._doubts.rechecks.set(case.instance, case.now)
        return []

    def note_question(self, case: Case) -> list[Effect]:
        self._doubts.just_asked.add(case.instance, case.now)
        return []

    def ask_after_moment(self, case: Case) -> list[Effect]:
        """From now on it counts as asked then: who complains at that very moment comes too late to
        have it out of turn."""
        if case.instance not in self._doubts.rechecks:
            until = self._doubts.just_asked.until(case.instance)
            self._doubts.rechecks.set(case.instance, until)
            self._doubts.just_asked.add(case.instance, until)
        return []

    def ask_soon(self, case: Case) -> list[Effect]:
        self._doubts.rechecks.keep(case.instance, case.now + RECHECK)
        return []

    def ask_later(self, case: Case) -> list[Effect]:
        self._doubts.verify_later(case.instance, case.now + SECOND_CHANCE)
        return []

    def ask_newcomer(self, case: Case) -> list[Effect]:
        self._doubts.newcomers.ask_again(case.instance, case.now)
        return []

    def ask_newcomer_late(self, case: Case) -> list[Effect]:
        self._doubts.newcomers.ask_late(case.instance, case.now)
        return []

    def forget_newcomer(self, case: Case) -> list[Effect]:
        self._doubts.newcomers.forget(case.instance)
        return []

    # What is thought of it here.

    def suspect(self, case: Case) -> list[Effect]:
        self._directory.suspect(case.instance)
        return []

    def trust(self, case: Case) -> list[Effect]:
        self._directory.trust(case.instance)
        return []

    def clear(self, case: Case) -> list[Effect]:
        """Reported if it was out of turn, else nothing has changed."""
        was_suspect = self._directory.is_suspect(case.instance)
        self._doubts.clear(case.instance)
        return [Report(Event.VERIFIED, case.instance, case.why)] if was_suspect else []

    def prove(self, case: Case) -> list[Effect]:
        self._doubts.newcomers.answered(case.instance, case.now)
        self._doubts.note_heard([case.instance], case.now)
        self._evictions.release(case.instance)
        return []

    def put_off_lease(self, case: Case) -> list[Effect]:
        self._doubts.leases.put_off(case.instance, case.now + self._lease)
        return []

    def renew_lease(self, case: Case) -> list[Effect]:
        lease = lease_for(self._lease, case.renewal)
        self._doubts.hear([case.instance], case.now, lease)
        return []

    def end_lease(self, case: Case) -> list[Effect]:
        self._doubts.leases.cancel(case.instance)
        return []

    # What the others are told.

    def tell(self, case: Case) -> list[Effect]:
        """Of a question that could not be sent there is nothing to be told."""
        if case.trigger is Trigger.UNSENT:
            self._doubts.opinions.forget(case.instance)
            return []
        return self._doubts.opinions.answer(case.instance, case.trigger is Trigger.ANSWERED)

    def tell_suspicion(self, case: Case) -> list[Effect]:
        version = self._version(case)
        if not self._doubts.suspicions.tell(case.instance, version, case.now):
            return []
        return self._versioned.tell_suspicion(case.instance, version)

    def take_back(self, case: Case) -> list[Effect]:
        if not self._doubts.suspicions.take_back(case.instance, self._version(case)):
            return []
        return self._versioned.tell_added(case.instance, is_news=False)

    def own(self, case: Case) -> list[Effect]:
        """What was there unproven is news to who reads no versions."""
        is_news = self._versioned.is_back_unproven(case.instance)
        self._versioned.add(case.instance, NO_START if is_news else self._version(case).start)
        return self._versioned.tell_in_pages(case.instance, case.now, is_news)

    def put_back(self, case: Case) -> list[Effect]:
        """Whoever had left may be a new process now, whose number is not known yet."""
        start = NO_START if case.start == ANY_START else case.start
        self._versioned.add(case.instance, start, particulars=case.particulars)
        self.renew_lease(case)
        why = f"it was said to be gone, but {case.why}"
        report = Report(Event.VERIFIED, case.instance, why)
        return [*self._versioned.tell_added(case.instance), report]

    def refute(self, case: Case) -> list[Effect]:
        self._versioned.add(case.instance, self._version(case).start)
        self._doubts.clear(case.instance)
        self.renew_lease(case)
        why = f"a peer said it was gone, but {case.why}"
        report = Report(Event.VERIFIED, case.instance, why)
        return [*self._versioned.tell_in_pages(case.instance, case.now), report]

    def concede(self, case: Case) -> list[Effect]:
        self._doubts.rechecks.cancel(case.instance)
        self._directory.concede(case.instance, case.now)
        return [Report(Event.REMOVED, case.instance, f"a peer said so, and {case.why}")]

    def deny(self, case: Case) -> list[Effect]:
        return self._versioned.deny(case.instance)

    def evict(self, case: Case) -> list[Effect]:
        self._doubts.leases.cancel(case.instance)
        self._doubts.rechecks.cancel(case.instance)
        self._evictions.evicted(case.instance, str(case.trigger))
        is_silent = case.trigger is not Trigger.REFUSED
        start = self._version(case).start
        told = self._versioned.remove(case.instance, start, case.now, is_silent)
        return [*told, Report(Event.EVICTED, case.instance, case.why)]

    # The eviction limiter.

    def count(self, case: Case) -> list[Effect]:
        self._evictions.count(case.instance, case.now)
        return []

    def hold_back(self, case: Case) -> list[Effect]:
        is_confirmed = case.trigger is Trigger.SILENT
        waits = self._doubts.rechecks.wait
        return self._evictions.hold_back(case.instance, is_confirmed, case.now, waits)

    # What is reported.

    def say_subscribed(self, case: Case) -> list[Effect]:
        return [Report(Event.SUBSCRIBED, case.instance, "self-reported")]

    def say_complaint(self, case: Case) -> list[Effect]:
        return [Report(Event.COMPLAINT, case.instance, case.why)]

    def say_unverified(self, case: Case) -> list[Effect]:
        why = f"{case.why}; too many verifications under way, this one waits"
        return [Report(Event.UNVERIFIED, case.instance, why)]

    def say_put_off(self, case: Case) -> list[Effect]:
        """Not as an event of the instance: without end, they would push out all others."""
        return [Report(Event.PUT_OFF, "a complaint", case.why)]

    def say_kept(self, case: Case) -> list[Effect]:
        return [Report(Event.KEPT, case.instance, case.why)]

    def say_adopted(self, case: Case) -> list[Effect]:
        why = "the binder it had subscribed with is silent"
        return [Report(Event.ADOPTED, case.instance, why)]

    def _version(self, case: Case) -> Version:
        version = self._directory.version(case.instance)
        assert version is not None
        return version
