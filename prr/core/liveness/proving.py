"""When a newcomer's time has come: it is asked, or given up."""

from prr.core.effects import Effect
from prr.core.liveness.doubts import Doubts
from prr.core.liveness.first_questions import FirstQuestions
from prr.core.liveness.lifecycle import Lifecycle
from prr.core.liveness.probes import TICK_MAX
from prr.core.liveness.states import Case, Trigger

TOGETHER = 32
"""Newcomers that are asked together at most, 8 us each: as long as a burst of lookups takes, which
have their turn before the next."""

NEVER_ANSWERED = "it never answered a question"


class Proving:
    """Sees to the newcomers of one binder as they come due."""

    def __init__(
        self, doubts: Doubts, lifecycle: Lifecycle, first_questions: FirstQuestions
    ) -> None:
        self._doubts = doubts
        self._lifecycle = lifecycle
        self._first_questions = first_questions

    def deadline(self) -> float | None:
        """When `tick` has something to do; None while there is nobody to ask, or no room."""
        newcomers = self._doubts.newcomers.deadline() if self._doubts.may_prove else None
        pending = [newcomers, self._first_questions.deadline()]
        return min((when for when in pending if when is not None), default=None)

    def tick(self, now: float) -> list[Effect]:
        """See to those that are due by `now`, or some of them, as far as there is room."""
        effects = self._first_questions.tick(now)
        newcomers = self._doubts.newcomers
        due = newcomers.pop_due(now, TOGETHER) if self._doubts.may_prove else []
        others, asked = self._first_questions.ask(due, now)
        effects += asked
        for number, newcomer in enumerate(others):
            if number < TICK_MAX and self._doubts.may_prove:
                case = Case(Trigger.NEWCOMER_DUE, newcomer, now, NEVER_ANSWERED)
                effects += self._lifecycle.on(case)
            else:
                newcomers.put_off(newcomer, now)
        return effects
