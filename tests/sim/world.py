"""Virtual time: one heap of what is to come, and the clocks that the nodes read."""

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

from tests.sim.trace import Trace

STEPS_MAX = 100_000
"""Steps of one run. A usual one has a few thousand: a core that wakes itself without end stops
here."""


class Violation(Exception):
    """A rule was broken. The text says which, by whom and over what, in one line."""


@dataclass(frozen=True, slots=True)
class Clock:
    """One process's monotonic clock: it starts anywhere, and goes a little fast or slow."""

    offset: float = 0.0
    rate: float = 1.0

    def read(self, moment: float) -> float:
        """What the clock shows at a moment of the world."""
        return self.offset + self.rate * moment

    def moment(self, reading: float) -> float:
        """When the clock shows `reading`."""
        return (reading - self.offset) / self.rate


class World:
    """What is to come, in order. Two things at one moment keep the order they were planned in."""

    def __init__(self, trace: Trace) -> None:
        self.now = 0.0
        self.steps = 0
        self.trace = trace
        self._order = 0
        self._to_come: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []

    def at(self, moment: float, action: Callable[..., object], *arguments: Any) -> None:
        """Have `action(*arguments)` done at `moment`, which is not over yet."""
        assert moment >= self.now
        self._order += 1
        heappush(self._to_come, (moment, self._order, action, arguments))

    def after(self, delay: float, action: Callable[..., object], *arguments: Any) -> None:
        """Have `action(*arguments)` done in `delay` seconds."""
        self.at(self.now + delay, action, *arguments)

    def run(self, until: float) -> None:
        """Let time pass until `until`."""
        to_come = self._to_come
        while to_come and to_come[0][0] <= until:
            self.now, _, action, arguments = heappop(to_come)
            self.steps += 1
            action(*arguments)
            if self.steps > STEPS_MAX:
                raise Violation(f"the cluster is never quiet: {STEPS_MAX} steps and no end")
        self.now = until

    def note(self, who: str, what: str) -> None:
        """A line of the trace. Who would format much for it looks at `trace.on` first."""
        if self.trace.on:
            self.trace.line(self.now, who, what)
