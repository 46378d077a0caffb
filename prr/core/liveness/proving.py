"""When a newcomer's time has come: it is asked, or given up."""

from prr.core.effects import Effect
from prr.core.liveness.doubts import Doubts
from prr.core.liveness.lifecycle import Lifecycle
from prr.core.liveness.probes import TICK_MAX
from prr.core.liveness.states import Case, Trigger

NEVER_ANSWERED = "it never answered a question"


class Proving:
    """Sees to the newcomers of one binder as they come due."""

    def __init__(self, doubts: Doubts, lifecycle: Lifecycle) -> None:
        self._doubts = doubts
        self._lifecycle = lifecycle

    def deadline(self) -> float | None:
        """When `tick` has something to do; None while there is nobody to ask, or no room."""
        return self._doubts.newcomers.deadline() if self._doubts.may_prove else None

    def tick(self, now: float) -> list[Effect]:
        """See to those that are due by `now`, or some of them, as far as there is room."""
        effects: list[Effect] = []
        for _ in range(TICK_MAX):
            if not self._doubts.may_prove:
                break
            if (newcomer := self._doubts.newcomers.pop_due(now)) is None:
                break
            effects += self._lifecycle.on(Case(Trigger.NEWCOMER_DUE, newcomer, now, NEVER_ANSWERED))
        return effects
