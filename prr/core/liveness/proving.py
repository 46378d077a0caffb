"""When a newcomer's time has come: it is asked, or given up."""

import math

from prr.core.deadlines import earliest
from prr.core.effects import Effect
from prr.core.liveness.doubts import Doubts
from prr.core.liveness.first_questions import FirstQuestions
from prr.core.liveness.lifecycle import Lifecycle
from prr.core.liveness.probes import TICK_MAX
from prr.core.liveness.states import Case, Trigger

TOGETHER = 64
"""Newcomers that are asked together at most, some 12 us each, with one system call: as long as two
bursts of lookups take, which have their turn before the next."""

APART = 0.004
"""Seconds between two such rows while newcomers come, or up to 10 ms as timers go: who has asked to
be confirmed waits for it, and who is confirmed for nothing. So a herd's questions take a tenth of
the processor until all of it has come."""

WAIT_MAX = 0.25
"""Seconds for which one that is due waits because others come. How many newcomers a host may have,
and all together, is more than come at once in that time and the half second before."""

NEVER_ANSWERED = "it never answered a question"


class Proving:
    """Sees to the newcomers of one binder as they come due."""

    def __init__(
        self, doubts: Doubts, lifecycle: Lifecycle, first_questions: FirstQuestions
    ) -> None:
        self._doubts = doubts
        self._lifecycle = lifecycle
        self._first_questions = first_questions
        self._asks_again_at = -math.inf

    def deadline(self) -> float | None:
        """When `tick` has something to do; None while there is nobody to ask, or no room."""
        return earliest(self._asks_at(), self._first_questions.deadline())

    def _asks_at(self) -> float | None:
        """When the next newcomers are asked; None as above."""
        due = self._doubts.newcomers.deadline() if self._doubts.may_prove else None
        return None if due is None else max(due, min(self._asks_again_at, due + WAIT_MAX))

    def tick(self, now: float) -> list[Effect]:
        """See to those that are due by `now`, or some of them, as far as there is room."""
        effects = self._first_questions.tick(now)
        newcomers = self._doubts.newcomers
        asks_at = self._asks_at()
        due = [] if asks_at is None or asks_at > now else newcomers.pop_due(now, TOGETHER)
        if len(due) == TOGETHER and now < newcomers.came_at + APART:
            self._asks_again_at = now + APART
        others, asked = self._first_questions.ask(due, now)
        effects += asked
        for number, newcomer in enumerate(others):
            if number < TICK_MAX and self._doubts.may_prove:
                case = Case(Trigger.NEWCOMER_DUE, newcomer, now, NEVER_ANSWERED)
                effects += self._lifecycle.on(case)
            else:
                newcomers.put_off(newcomer, now)
        return effects
