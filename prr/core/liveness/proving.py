"""When a newcomer's time has come: it is asked, or given up."""

from prr.core.directory.directory import Directory
from prr.core.effects import Effect
from prr.core.liveness.doubts import Doubts
from prr.core.liveness.probes import TICK_MAX
from prr.core.liveness.verdicts import Verdicts
from prr.wire.instance import Instance


class Proving:
    """Sees to the newcomers of one binder as they come due."""

    def __init__(self, doubts: Doubts, verdicts: Verdicts, directory: Directory) -> None:
        self._doubts = doubts
        self._newcomers = doubts.newcomers
        self._verdicts = verdicts
        self._directory = directory

    def deadline(self) -> float | None:
        """When `tick` has something to do; None while there is nobody to ask, or no room."""
        return self._newcomers.deadline() if self._doubts.may_prove else None

    def tick(self, now: float) -> list[Effect]:
        """See to those that are due by `now`, or some of them, as far as there is room."""
        effects: list[Effect] = []
        for _ in range(TICK_MAX):
            if not self._doubts.may_prove or (new := self._newcomers.pop_due(now)) is None:
                break
            effects += self._see_to(new, now)
        return effects

    def _see_to(self, instance: Instance, now: float) -> list[Effect]:
        is_there = instance in self._directory
        may_be_asked = self._newcomers.left(instance, is_there) > 0
        if may_be_asked and (is_there or self._doubts.may_live(instance)):
            return self._doubts.verify(instance, now, questions=1)
        if instance in self._doubts.verifications:
            self._newcomers.ask_again(instance, now)  # should that come to nothing
            return []
        if is_there:
            return self._verdicts.give_up(instance, "it never answered a question", now)
        self._newcomers.forget(instance)
        return []
