"""Is it really gone? The questions to instances in doubt, as rows with a deadline.

A row asks up to three times. An answer ends it at once. Two refusals, from two source ports, are
proof enough (one alone can be a service that is just restarting, or a forged ICMP). Silence is
weak evidence: the row then waits for the opinion of other binders, who are asked along with the
third question. Bookkeeping only: what follows from a verdict is the binder's.
"""

from collections.abc import Iterator
from random import Random  # noqa: TID251 the type only: the RNG comes in as an argument

from prr.core.deadlines import Deadlines
from prr.core.effects import Outcome, Probe
from prr.core.liveness.due import Due
from prr.core.liveness.phases import (
    CONFIRMED_END,
    OWN_END,
    UNCONFIRMED_END,
    WAIT,
    WAITS,
    Phase,
)
from prr.core.liveness.second_opinion import SecondOpinions
from prr.core.liveness.shares import Shares
from prr.core.liveness.states import Trigger, Verdict
from prr.core.liveness.verification import REFUSAL_PAUSE, REFUSALS, Verification
from prr.core.trust import NO_KEYS, Trust
from prr.wire.frames import Verify
from prr.wire.instance import Address, Instance, service_of
from prr.wire.messages import Challenge
from prr.wire.particulars import asked_at

LATE = 0.1
"""Seconds by which a binder's event loop may lag before its verdicts are worth nothing: half
of the shortest wait, ten times what a busy machine makes of it. The question may have left late,
and its answer lie unread in a socket: it is waited for once more, and read first. Nothing is asked
again for that, or a binder with too much to do would make itself more."""

TICK_MAX = 4
"""Rows that one tick works through, some 40 us each: of five hundred that come due together each
tick takes so many, and a burst of lookups has its turn before the next."""

LAGGING = LATE / 4
"""Seconds of lateness from which a tick works through four times as many: before it is LATE."""


class Verifications:
    """The verifications under way, one for each instance at most."""

    def __init__(
        self,
        rows_max: int,
        opinions: SecondOpinions,
        rng: Random,
        trust: Trust = NO_KEYS,
    ) -> None:
        """`opinions`: what other binders say about the instances being verified. `trust`: which
        answers need a proof."""
        self._trust = trust
        self._rows_max = rows_max
        self._opinions = opinions
        self._rng = rng
        self._rows: dict[Instance, Verification] = {}
        self._shares = Shares(rows_max)
        self._deadlines: Deadlines[Instance] = Deadlines()
        self._serial = 0

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, instance: Instance) -> bool:
        return instance in self._rows

    def __iter__(self) -> Iterator[Instance]:
        return iter(self._rows)

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Entries and limit of each container."""
        rows = len(self._rows), self._rows_max
        return {"verifications": rows, "verifications due": self._deadlines.size}

    def under_way(self) -> list[Instance]:
        """The instances whose verification is not settled."""
        return [instance for instance, row in self._rows.items() if not row.is_over]

    def asks_for(self, instance: Instance, start: int) -> bool:
        """It is being verified, and this start number is what answers have to say."""
        row = self._rows.get(instance)
        return row is not None and not row.is_over and row.start == start

    def is_over(self, instance: Instance) -> bool:
        """It was cancelled, and only its question is still open."""
        return self._rows[instance].is_over

    def is_accused_silent(self, instance: Instance) -> bool:
        """It was accused, and has left its first question unanswered, no other yet."""
        row = self._rows.get(instance)
        return row is not None and row.accuser is not None and row.phase is Phase.SECOND_QUESTION

    @property
    def full(self) -> bool:
        """No room for one more."""
        return len(self._rows) >= self._rows_max

    @property
    def busy(self) -> bool:
        """No room but what is kept for accusations."""
        return self.full or not self._shares.are_open

    @property
    def has_room_for_disputed(self) -> bool:
        """There is room for one that is disputed: after a partition many are, and they live."""
        return not self.full and self._shares.are_open_to_disputes

    def has_room(self, instance: Instance, accuser: Address | None) -> bool:
        """There is room for this one, which `accuser` has put in doubt; None: a deadline has."""
        if accuser is None:
            return not self.busy
        return not self.full and self._shares.has_room(instance, accuser)

    def begin(
        self,
        instance: Instance,
        start: int,
        with_nonce: bool,
        now: float,
        accuser: Address | None = None,
        questions: int = OWN_END,
        is_urgent: bool = False,
        particulars: bytes = b"",
    ) -> Probe:
        """Start to verify an instance that is not being verified; there must be room.

        `start` and `is_urgent` are what Probe says; `with_nonce`: ask as one of ours is asked;
        `accuser` is who has put it in doubt, None if a deadline has; `particulars` are what it has.
        With less than three `questions` silence is all the same, and one more follows a refusal.
        """
        assert instance not in self._rows
        assert not self.full
        self._serial += 1
        nonce = self._rng.getrandbits(64)
        row = Verification(
            self._serial, nonce, start, with_nonce, is_urgent, now, accuser, questions, particulars
        )
        self._rows[instance] = row
        self._shares.take(instance, accuser)
        return self._ask(instance, row.phase.next, now)

    def cancel(self, instance: Instance) -> None:
        """A verification is settled by other means. No error if there is none.

        Its place stays taken until its question has timed out, so that places bound sockets.
        """
        if (row := self._rows.get(instance)) is not None:
            row.is_over = True

    def cancel_older(self, instance: Instance, now: float) -> None:
        """Likewise, but one that has begun at this very moment goes on."""
        if (row := self._rows.get(instance)) is not None and row.began_at < now:
            row.is_over = True

    def void_refusals(self, instance: Instance) -> None:
        """It may be another process now: refusals of the questions so far, heard or on their way,
        are its predecessor's. No question is added: who is dead goes as if it were silent."""
        if (row := self._rows.get(instance)) is not None:
            self._serial += 1
            row.void_refusals(self._serial)

    def probed(
        self, probe: Probe, outcome: Outcome, now: float, refusals: int = REFUSALS
    ) -> Verdict | None:
        """Hear what became of a question: the verdict, if that settles it, as so many `refusals`
        do, or REFUSED_ONCE. An update about a verification that is over changes nothing."""
        instance = probe.instance
        row = self._rows.get(instance)
        if outcome is Outcome.ALIVE:
            return self.answered(instance, probe.serial)
        if row is None or row.serial != probe.serial or row.is_over:
            return None
        match outcome:
            case Outcome.UNSENT:
                row.unsent += 1
                if row.unsent == len(WAITS):
                    return self._end(instance, Trigger.UNSENT, "no question could be sent")
                row.phase = row.phase.without_last  # another one is tried
                return None
            case Outcome.REFUSED:
                if row.refused_at is not None and now - row.refused_at < REFUSAL_PAUSE / 2:
                    return None  # of a question that was under way at the same time
                row.refused_at = now
                row.refused += 1
                why = "it refused a question"
                if row.refused < refusals:
                    self._deadlines.set(instance, now + REFUSAL_PAUSE)
                    return Verdict(instance, Trigger.REFUSED_ONCE, row.start, why)
                if row.refused > 1:
                    why = f"refused {row.refused} questions from two source ports"
                return self._end(instance, Trigger.REFUSED, why)

    def answered(self, instance: Instance, serial: int | None) -> Verdict | None:
        """It answered a question of the verification with this serial, or another binder's (None):
        the verdict, unless that verification is over."""
        row = self._rows.get(instance)
        if row is None or row.is_over or not row.has_asked(serial):
            return None
        by = "another binder" if serial is None else f"question {row.phase}"
        return self._end(instance, Trigger.ANSWERED, f"it answered {by}")

    def tick(self, now: float) -> Due:
        """What is due by `now`, or some of it."""
        due = Due()
        first = self._deadlines.first(now)
        is_lagging = first is not None and now - first > LAGGING
        due.was_late = self._put_off_late(now)
        for _ in range(4 * TICK_MAX if is_lagging else TICK_MAX):
            instance = self._deadlines.pop_due(now)
            if instance is None:
                break
            row = self._rows[instance]
            if row.is_over:
                self._drop(instance)
            elif (phase := self._after(instance, row)) is None:
                due.verdicts.append(self._silent(instance))
            else:
                self._go_on(instance, phase, now, due)
        return due

    def _put_off_late(self, now: float) -> bool:
        """Wait again for all that is due for too long, see LATE; whether there was any."""
        was_late = False
        while (instance := self._deadlines.pop_due(now - LATE)) is not None:
            row = self._rows[instance]
            self._deadlines.set(instance, now if row.is_over else now + row.wait)
            was_late |= not row.is_over
        return was_late

    def deadline(self) -> float | None:
        """When `tick` has something to do; None if nothing is pending."""
        return self._deadlines.first()

    def _after(self, instance: Instance, row: Verification) -> Phase | None:
        """The phase after one that ended in silence; None if that is enough."""
        if row.phase < min(OWN_END, row.questions + row.refused):
            return row.phase.next
        others = self._opinions.consulted(instance)
        if others is None:
            return None
        end = UNCONFIRMED_END if others.awaited else CONFIRMED_END
        return row.phase.next if row.phase < end else None

    def _go_on(self, instance: Instance, phase: Phase, now: float, due: Due) -> None:
        """Ask the question of a phase, and whoever is asked along with it."""
        row = self._rows[instance]
        if phase is OWN_END:
            due.wants_opinions.append((instance, row.nonce))
        elif phase > OWN_END:
            if row.phase is OWN_END:
                due.unanswered.append(instance)
            due.reminders.append(instance)
        due.probes.append(self._ask(instance, phase, now))

    def _ask(self, instance: Instance, phase: Phase, now: float) -> Probe:
        row = self._rows[instance]
        row.phase = phase
        row.wait = WAIT[phase] if row.questions > 1 else WAITS[-1]
        self._deadlines.set(instance, now + row.wait)
        at = asked_at(instance, row.particulars)
        wants_proof = self._trust.demands_proof(instance)
        asked = Verify()
        if wants_proof:
            asked = Verify(trailer=Challenge.for_proof(instance, row.nonce))
        elif row.with_nonce:
            asked = Verify(trailer=Challenge.about(service_of(instance), row.nonce))
        return Probe(
            instance, row.serial, row.wait, asked, row.start, at, row.is_urgent, wants_proof
        )

    def _silent(self, instance: Instance) -> Verdict:
        row = self._rows[instance]
        why = f"{row.phase} questions, {row.refused} refused, none answered"
        others = self._opinions.consulted(instance)
        if others is None:
            return self._end(instance, Trigger.SILENT_ALONE, why)
        if others.silent:
            why += f"; nor did it answer {others.silent} of {others.binders} other binders"
            return self._end(instance, Trigger.SILENT, why)
        why += f"; nor did {others.binders} other binders answer when asked for theirs"
        return self._end(instance, Trigger.MUTE, why)

    def _end(self, instance: Instance, finding: Trigger, why: str) -> Verdict:
        row = self._drop(instance)
        self._deadlines.cancel(instance)
        return Verdict(instance, finding, row.start, why, row.particulars, row.began_at)

    def _drop(self, instance: Instance) -> Verification:
        row = self._rows.pop(instance)
        self._opinions.settle(instance)
        self._shares.give_back(instance, row.accuser)
        return row
