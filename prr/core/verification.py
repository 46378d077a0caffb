"""Is it really gone? The questions to accused instances, as rows with a deadline.

A row asks up to three times. An answer ends it at once. Two refusals, from two source ports, are
proof enough (one alone can be a service that is just restarting, or a forged ICMP); so is silence
after the third question. Pure bookkeeping: who is asked and what follows is the binder's.
"""

from dataclasses import dataclass

from prr.core.deadlines import Deadlines
from prr.core.effects import Outcome, Probe
from prr.wire.address import Instance

VERIFICATIONS_MAX = 512
"""Verifications at once: each holds a socket, and a process has 1,024 unless told otherwise."""

WAITS = (0.2, 0.3, 0.5)
"""Seconds to wait for the answer to each question: a second in all."""

REFUSALS = 2
"""Refusals that evict."""

REFUSAL_PAUSE = 0.05
"""Seconds between a refusal and the next question."""

LATE = WAITS[0]
"""Seconds by which our own clockwork may be late before silence proves nothing."""


@dataclass(slots=True)
class _Row:
    serial: int
    asked: int = 0
    refused: int = 0
    unsent: int = 0
    is_over: bool = False  # settled by other means; kept while its question may still be open


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end of a verification."""

    instance: Instance
    alive: bool
    why: str


class Verifications:
    """The verifications under way, one for each instance at most."""

    def __init__(self, rows_max: int = VERIFICATIONS_MAX) -> None:
        self._rows_max = rows_max
        self._rows: dict[Instance, _Row] = {}
        self._deadlines: Deadlines[Instance] = Deadlines()
        self._serial = 0

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, instance: Instance) -> bool:
        return instance in self._rows

    @property
    def full(self) -> bool:
        """No room for one more."""
        return len(self._rows) >= self._rows_max

    def begin(self, instance: Instance, now: float) -> Probe:
        """Start to verify an instance that is not being verified; there must be room."""
        assert instance not in self._rows
        assert not self.full
        self._serial += 1
        self._rows[instance] = _Row(self._serial)
        return self._ask(instance, now)

    def cancel(self, instance: Instance) -> None:
        """A verification is settled by other means. No error if there is none.

        Its place stays taken until its question has timed out, so that places bound sockets.
        """
        if (row := self._rows.get(instance)) is not None:
            row.is_over = True

    def probed(self, probe: Probe, outcome: Outcome, now: float) -> Verdict | None:
        """Hear what became of a question; the verdict, if that settles it.

        A word about a verification that is over changes nothing.
        """
        instance = probe.instance
        row = self._rows.get(instance)
        if row is None or row.serial != probe.serial or row.is_over:
            return None
        match outcome:
            case Outcome.ALIVE:
                return self._end(instance, True, f"it answered question {row.asked}")
            case Outcome.UNSENT:
                row.unsent += 1
                if row.unsent == len(WAITS):
                    return self._end(instance, True, "no question could be sent from here")
                row.asked -= 1  # it does not count; at the deadline another one is tried
                return None
            case Outcome.REFUSED:
                row.refused += 1
                if row.refused == REFUSALS:
                    return self._end(
                        instance, False, f"refused {REFUSALS} questions from two source ports"
                    )
                self._deadlines.set(instance, now + REFUSAL_PAUSE)
                return None

    def tick(self, now: float) -> tuple[list[Probe], list[Verdict]]:
        """What is due by `now`: the next questions, and the verdicts of silence."""
        probes: list[Probe] = []
        verdicts: list[Verdict] = []
        while (when := self._deadlines.first()) is not None and when <= now:
            instance = self._deadlines.pop_due(now)
            assert instance is not None
            row = self._rows[instance]
            if row.is_over:
                del self._rows[instance]
            elif row.asked < len(WAITS) or now - when > LATE:
                # Were we late ourselves, the answer may have come and found nobody: ask again.
                row.asked = min(row.asked, len(WAITS) - 1)
                probes.append(self._ask(instance, now))
            else:
                why = f"{row.asked} questions, {row.refused} refused, none answered"
                verdicts.append(self._end(instance, False, why))
        return probes, verdicts

    def deadline(self) -> float | None:
        """When `tick` has something to do; None if nothing is pending."""
        return self._deadlines.first()

    def _ask(self, instance: Instance, now: float) -> Probe:
        row = self._rows[instance]
        wait = WAITS[row.asked]
        row.asked += 1
        self._deadlines.set(instance, now + wait)
        return Probe(instance, row.serial, wait)

    def _end(self, instance: Instance, alive: bool, why: str) -> Verdict:
        del self._rows[instance]
        self._deadlines.cancel(instance)
        return Verdict(instance, alive, why)
