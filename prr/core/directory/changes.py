"""The change feed: what has become of which instance, and why, numbered in the order it happened.

Intuition: what an instance is to a binder stands in several containers, and a step may touch them
more than once. So nothing is told while a step runs: it is noted what each instance was before the
step touched it, and at the step's end that is compared with what it is then. One that is where it
was before was not changed, whatever happened in between.

The reason is what the step reports about the instance; where it reports nothing, what the row of
the lifecycle table says.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeAlias

from prr.core.effects import Effect, Event, Report, ReportAll
from prr.record import record
from prr.wire.instance import Instance
from prr.wire.trailer import Listed

HISTORY_MAX = 8192
"""Changes that are remembered, some 3 MB: an hour of a cluster in which two a second change, and
long enough to reconnect after a thousand servers at once were started anew."""

Standing: TypeAlias = tuple[Listed | None, bytes]
"""What an instance is to a binder, None if it is not held, and its particulars, encoded."""


@record
class Change:
    """Something else is so of an instance than before: `state` is None if it is gone, and may be
    what it was, if only its particulars have changed. `event` and `why` say what has done it."""

    number: int
    instance: Instance
    state: Listed | None
    event: str
    why: str


class ChangeFeed:
    """The changes of one binder, the last ones remembered by number."""

    def __init__(self, standing: Callable[[Instance], Standing]) -> None:
        """`standing`: what an instance is now."""
        self._standing = standing
        self._before: dict[Instance, Standing] = {}  # as much as one step touches
        self._reasons: dict[Instance, tuple[str, str]] = {}  # likewise
        self._changes: deque[Change] = deque(maxlen=HISTORY_MAX)
        self.last = 0
        """The number of the last change; 0: there was none."""
        self.noted = 0
        """How often something was about to become of an instance; who owns it, for one."""

    def note(self, instance: Instance) -> None:
        """Something is about to become of it."""
        self.noted += 1
        if instance not in self._before:
            self._before[instance] = self._standing(instance)

    def because(self, instance: Instance, event: str, why: str) -> None:
        """This happens to it, should it change and no more be said about it."""
        self._reasons[instance] = event, why

    def settle(self, effects: Iterable[Effect]) -> None:
        """A step is over, with these effects: see what has changed."""
        reasons, self._reasons = self._reasons, {}
        if not self._before:
            return
        before, self._before = self._before, {}
        for effect in effects:
            if isinstance(effect, Report | ReportAll) and effect.event is not Event.ASKED:
                reason = str(effect.event), effect.why
                reasons |= dict.fromkeys(before.keys() & effect.instances, reason)
        for instance, was in before.items():
            standing = self._standing(instance)
            if standing != was:
                event, why = reasons.get(instance, (Event.LEARNED, ""))
                self.last += 1
                self._changes.append(Change(self.last, instance, standing[0], event, why))

    def forget(self) -> None:
        """More has changed than can be told: whoever follows has to look at everything anew."""
        self.noted += 1
        self._before.clear()
        self._changes.clear()
        self.last += 1

    def since(self, number: int, most: int) -> list[Change] | None:
        """The changes after the one of that `number`, the first `most` of them; None if that is not
        known: some of them are forgotten, or there was no such number yet."""
        known = len(self._changes)
        at = known - (self.last - number)
        if not 0 <= at <= known:
            return None
        return [self._changes[place] for place in range(at, min(at + most, known))]
