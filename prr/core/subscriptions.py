"""What servers say of themselves: subscriptions, renewals and leaves, and what is answered."""

from dataclasses import replace
from functools import partial

from prr.config import Require
from prr.core.effects import Confirm, ConfirmAll, Effect, Event, Report, Send, stray
from prr.core.gate import Gate, not_believed
from prr.core.liveness.detector import Detector
from prr.core.liveness.runs import COMES, Subscribers
from prr.core.liveness.states import Case, Row, Trigger
from prr.core.pacing import RENEWAL
from prr.core.printable import in_one_line
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.core.trust import credential_of, is_valid, speaks_for
from prr.wire.drain import own_particulars
from prr.wire.frames import Alive, Frame, Removed, Subscribe, Subscribed, Verify
from prr.wire.instance import (
    Address,
    Instance,
    address_of,
    encode_address,
    is_on_host,
    make_instance,
)
from prr.wire.messages import AgentAnnouncement, Announcement, Plain, Reason, Renew, Search, Started
from prr.wire.particulars import as_held, asked_at
from prr.wire.proofs import Again, Confirmed
from prr.wire.seal import Seal
from prr.wire.subscription_runs import SubscriptionRun
from prr.wire.version import NO_START

EXCLUDED = (
    "a loopback address means nothing to other hosts, which may ask this binder; "
    "have the server listen on this host's address, and give it this binder's by --binder"
)
"""Why a server on loopback is refused, and what to do about it."""


class Subscriptions:
    """The rules of one binder for the servers that speak to it."""

    def __init__(
        self,
        versioned: VersionedDirectory,
        detector: Detector,
        gate: Gate,
        keeps: bool,
    ) -> None:
        """`keeps`: an answer goes out once what it says is on disk."""
        self._trust = gate.trust
        self._tickets = gate.tickets
        self._versioned = versioned
        self._directory = versioned.directory
        self._detector = detector
        self._keeps = keeps

    def subscribe(self, frame: Subscribe, source: Address, now: float) -> list[Effect]:
        """A server says that it is there."""
        said = frame.trailer if isinstance(frame.trailer, Started) else None
        instance = make_instance(frame.type, source)
        return self._subscribe(instance, said, frame.trailer is not None, source, now)

    def searched(self, said: Search, source: Address, now: float) -> list[Effect]:
        """A server asks whether this binder is ours: a legacy one drops the frame."""
        told = Started(start=said.start, particulars=said.particulars)
        return self.subscribe(Subscribe(said.types[0], trailer=told), source, now)

    def announced(self, said: Announcement, source: Address, now: float) -> list[Effect]:
        """A server says that it is there, whose service has a name. Nothing is ever longer that it
        is sent for this."""
        if not said.has_room:
            return [stray(Alive(trailer=said), source)]
        return self._subscribe(make_instance(said.name.decode(), source), said, True, source, now)

    def announced_by_agent(
        self, said: AgentAnnouncement, source: Address, now: float, seal: Seal | None = None
    ) -> list[Effect]:
        """An agent says that an instance is there, for which it answers. It is believed about its
        own host alone, unless its `seal` shows more."""
        instance = Instance(said.instance)
        if self._tickets is not None and is_valid(seal):
            return self._sealed(instance, said, source, seal, now)
        if not said.has_room or not is_on_host(instance, source):
            return [stray(Alive(trailer=said), source)]
        return self._subscribe(instance, said, True, source, now)

    def _sealed(
        self, instance: Instance, said: AgentAnnouncement, source: Address, seal: Seal, now: float
    ) -> list[Effect]:
        """The same under a server's seal. With a ticket it is no copy, and so the server has
        answered; nothing else has to show that it is there."""
        if not speaks_for(seal, instance, source):
            return [not_believed(Alive(seal=seal), source, instance)]
        if not self._has_ticket(instance, source, seal, now):
            return [self._again(instance, source, seal, now)]
        effects = self._subscribe(instance, said, True, source, now, seal)
        return [self._with_ticket(effect, instance, source, now) for effect in effects]

    def _has_ticket(self, instance: Instance, source: Address, seal: Seal, now: float) -> bool:
        """And it is used up."""
        assert self._tickets is not None
        where, state = encode_address(source), self._directory.standing(instance)[1]
        holds = self._tickets.holds(seal.number, where, instance, state, now)
        return holds and self._tickets.use(seal.number, instance, now)

    def _again(self, instance: Instance, source: Address, seal: Seal, now: float) -> Effect:
        return Send(Verify(trailer=Again(ticket=self._ticket(instance, source, now))), source)

    def _ticket(self, instance: Instance, source: Address, now: float) -> int:
        assert self._tickets is not None
        state = self._directory.standing(instance)[1]
        return self._tickets.issue(encode_address(source), instance, state, now)

    def _with_ticket(
        self, effect: Effect, instance: Instance, source: Address, now: float
    ) -> Effect:
        """A confirmation has the next ticket with it, which depends on how things stand by now."""
        if not isinstance(effect, Send | Confirm) or not isinstance(effect.frame, Subscribed):
            return effect
        renewal = self._detector.renewal
        said = Confirmed(
            ticket=self._ticket(instance, source, now),
            renewal=None if renewal == RENEWAL else renewal,
        )
        return replace(effect, frame=Subscribed(trailer=said))

    def _subscribe(
        self,
        instance: Instance,
        said: Started | Announcement | AgentAnnouncement | None,
        is_ours: bool,
        source: Address,
        now: float,
        seal: Seal | None = None,
    ) -> list[Effect]:
        """`seal` is that of a server that has proved to be there."""
        is_proved = seal is not None
        if self._versioned.reach.excludes(instance):
            return [Report(Event.REFUSED, instance, EXCLUDED)]
        agent = None if source == address_of(instance) else source
        holder = credential_of(seal)
        credential = holder.id if holder is not None else ""
        is_elsewhere = is_proved and source[0] != address_of(instance)[0]
        own = own_particulars(said.particulars or b"") if said else b""
        # Where it is asked is where it speaks from, whatever it says: nobody else is asked.
        particulars = as_held(own, agent, is_elsewhere, credential) if said else b""
        refusal = self._detector.admission.refusal(instance, particulars, now, is_proved)
        if refusal is not None:
            return [refusal]
        trailer = self._confirmation() if is_ours else None
        case = Case(
            Trigger.SUBSCRIBED,
            instance,
            now,
            start=said.start if said else NO_START,
            reply=self._promise(Subscribed(trailer=trailer), instance, source),
            renewal=said.renewal or 0 if said else 0,
            particulars=particulars,
        )
        return self._detector.said(case)

    def _confirmation(self) -> Renew | Plain:
        """What those of ours are told: a stranger may get no more than 8 bytes. An empty trailer
        shows what this binder is, and that they renew as usual."""
        renewal = self._detector.renewal
        return Plain() if renewal == RENEWAL else Renew(renewal=renewal)

    def subscribe_run(self, said: SubscriptionRun, now: float) -> tuple[int, list[Effect]]:
        """The same for all of a run, or for as many of the first as are certainly alike: how many,
        and what is to be done about them. 0: the first is for `subscribe`."""
        run = Subscribers(said.instances, said.starts, said.renewals, [b""] * len(said), now)
        reply = Subscribed(trailer=None if said.is_bare else self._confirmation())
        count, effects = 0, list[Effect]()
        for row, part in self._detector.runs.parts(run):
            count += len(part.instances)
            effects += self._subscribe_alike(row, part, reply)
        return count, effects

    def _subscribe_alike(self, row: Row, run: Subscribers, reply: Subscribed) -> list[Effect]:
        """Do what a row says for those that it holds for, but for those that a quota keeps out."""
        refusals = self._detector.admission.refusals(run.instances, row is COMES, run.now)
        refused = [refusal for refusal in refusals if refusal is not None]
        if refused:
            run = run.only([refusal is None for refusal in refusals])
        if not run.instances:
            return [*refused]
        confirm = partial(ConfirmAll, run.instances, reply)
        return [*refused, *self._detector.runs.run(row, run, confirm)]

    def withdrawn(self, frame: Removed, source: Address, now: float) -> list[Effect]:
        """A server says that it is gone, or an agent says so of what it speaks for.

        If it is not held here, nothing is remembered and nobody is told: whoever never was would
        push the real removals out of memory. Who holds it asks it when its lease runs out.

        Under a valid seal it needs a ticket; without one, where others have to prove who they
        are, it is no more than a complaint.
        """
        instance = frame.instance
        particulars = self._directory.particulars(instance)
        # The answer goes out in any case: the first one may have been lost.
        promise = self._promise(Removed(instance), instance, source)
        seal = frame.seal
        if self._tickets is not None and is_valid(seal):
            if not speaks_for(seal, instance, source):
                return [not_believed(frame, source, instance)]
            if instance in self._directory and not self._has_ticket(instance, source, seal, now):
                return [self._again(instance, source, seal, now)]
        elif self._trust.require is Require.ON:
            return self._detector.accuse(instance, "self-reported", now, source)
        if source != asked_at(instance, particulars):
            is_held = instance in self._directory
            return [stray(frame, source)] if is_held else [promise]
        said = frame.trailer
        why = in_one_line(said.error) if isinstance(said, Reason) else "self-reported"
        case = Case(Trigger.WITHDREW, instance, now, why, particulars=particulars)
        return [*self._detector.said(case), promise]

    def widened(self, now: float) -> list[Effect]:
        """Other hosts may be told from now on: what is on loopback has to go."""
        effects: list[Effect] = []
        for instance in list(filter(self._versioned.reach.excludes, self._directory)):
            version = self._directory.version(instance)
            assert version is not None
            self._detector.clear(instance)
            self._detector.release(instance)
            effects += self._versioned.remove(instance, version.start, now)
            effects.append(Report(Event.REMOVED, instance, EXCLUDED))
        return effects

    def _promise(self, frame: Frame, instance: Instance, source: Address) -> Effect:
        """An answer on which `instance` relies: what it says must be on disk, if that is kept."""
        return Confirm(instance, frame, source) if self._keeps else Send(frame, source)
