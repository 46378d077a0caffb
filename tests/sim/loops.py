"""Runs the loops of `prr.shell.etcd` as they are, in virtual time.

These loops are greenlets that wait for etcd and for time to pass. Here what they wait for is the
simulated world, which lets them run when it is over. Nothing else of that shell is replaced but the
connection to a server of etcd: see `tests.sim.etcd`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from math import inf
from random import Random
from typing import Any
from unittest.mock import patch

import greenlet

from prr.core import shared_store
from prr.core.commits import commits
from prr.shell.etcd import (
    endpoints,
    messages,
    pauses,
    reachability,
    registration,
    store,
    watcher,
    writer,
)
from prr.shell.etcd.failures import (
    Compacted,
    Denied,
    LeaseGone,
    LoggedOut,
    NoRoom,
    Rejected,
    Unavailable,
)
from tests.sim.process import Process
from tests.sim.world import Violation, World

EXPECTED = (Compacted, Denied, LeaseGone, LoggedOut, NoRoom, Rejected, Unavailable)
"""What a loop may go on after; whatever else it has caught is a mistake."""

TIMED_OUT = object()


class Event:
    """As of gevent; for the loops of one process."""

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: list[tuple[Loop, Callable[..., None]]] = []

    def set(self) -> None:
        """End all waits."""
        self._is_set = True
        waiting, self._waiting = self._waiting, []
        for loop, wake in waiting:
            loop.wake_at(0.0, wake, None)

    def clear(self) -> None:
        """Have those who come wait."""
        self._is_set = False

    def wait(self, timeout: float) -> None:
        """Wait until it is set, or for so many seconds."""
        if not self._is_set:
            loop = greenlet.getcurrent()
            wake = loop.expect()
            self._waiting.append((loop, wake))
            if timeout < inf:
                loop.wake_at(loop.process.world.now + timeout, wake, TIMED_OUT)
            loop.parent.switch()


class Loop(greenlet.greenlet):
    """One greenlet of one process: it ends, at the latest, with its process."""

    def __init__(self, loops: Loops, process: Process, run: Callable[[], object]) -> None:
        super().__init__(partial(self._run, run), loops.hub)
        self.process = process
        self._loops = loops
        self._waits = 0
        self._result: object = None
        self._ended = Event()

    def _run(self, run: Callable[[], object]) -> None:
        self._result = run()
        self._ended.set()

    def get(self) -> object:
        """What it has returned, once it has."""
        self._ended.wait(inf)
        return self._result

    def start(self) -> None:
        """Run, when whoever calls this has ended what it does."""
        self.process.at(self._loops.world.now, self.switch_to)

    def expect(self) -> Callable[..., None]:
        """What ends the next wait, if that still goes on when it is called."""
        self._waits += 1
        return partial(self._wake, self._waits)

    def wake_at(self, moment: float, wake: Callable[..., None], value: object) -> None:
        """Have the wait end at `moment`: later, if the process is stopped."""
        self.process.at(max(moment, self._loops.world.now), partial(wake, value))

    def _wake(self, number: int, value: object = None) -> None:
        if number == self._waits:
            self._waits += 1
            self.switch_to(value)

    def switch_to(self, value: object = None) -> None:
        """Let it run until it waits, and hear what it has found."""
        if not self.dead:
            self.switch(value) if self else self.switch()
            self._loops.check()


class Loops:
    """Stands where that shell has gevent, the clock and the source of randomness."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.hub = greenlet.getcurrent()
        self.process: Process | None = None
        """Whose the loops are that are made now."""
        self.violation: Violation | None = None
        """What a loop has found, and may have taken for a failure of etcd."""
        self._all: list[Loop] = []
        self.uniform = Random(f"{seed}/loops").uniform

    def check(self) -> None:
        """Raise what a loop has found."""
        if self.violation is not None:
            raise self.violation

    def monotonic(self) -> float:
        """The time: these loops share the world's, since they compare no two clocks."""
        return self.world.now

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self.see_to(sys.exc_info()[1])
        loop = greenlet.getcurrent()
        loop.wake_at(self.world.now + seconds, loop.expect(), TIMED_OUT)
        self.hub.switch()

    def see_to(self, caught: BaseException | None) -> None:
        """A loop goes on after something was raised."""
        if caught is None or isinstance(caught, EXPECTED) or self.violation is not None:
            return
        if isinstance(caught, Violation):
            self.violation = caught
        else:
            process = greenlet.getcurrent().process
            self.violation = Violation(f"{process.name}: {caught!r} is taken for etcd's failure")
            self.violation.__cause__ = caught

    def Greenlet(self, run: Callable[[], object]) -> Loop:
        """One more loop."""
        process = getattr(greenlet.getcurrent(), "process", self.process)
        assert process is not None
        loop = Loop(self, process, run)
        self._all.append(loop)
        return loop

    def spawn(self, run: Callable[..., object], *arguments: Any) -> Loop:
        """The same, which runs."""
        loop = self.Greenlet(partial(run, *arguments))
        loop.start()
        return loop

    def end(self) -> None:
        """End all of them, wherever they wait."""
        for loop in self._all:
            if not loop.dead:
                loop.throw(greenlet.GreenletExit)
        self._all.clear()

    def killall(self, loops: Iterable[Loop]) -> None:
        """As of gevent; not called by a loop."""
        for loop in loops:
            if not loop.dead:
                loop.throw(greenlet.GreenletExit)

    @contextmanager
    def installed(self, channel: Callable[..., object], is_small: bool) -> Iterator[None]:
        """While this lasts that shell runs here, and reaches its servers through `channel`. If it
        `is_small`, few updates fill a page, a batch or a call, and seconds are a long time."""
        few = 3 if is_small else 1000
        failed = reachability.Reachability.failed

        def look_and_fail(self_: reachability.Reachability, why: str) -> bool:
            self.see_to(sys.exc_info()[1])
            return failed(self_, why)

        with (
            patch.object(endpoints, "Channel", channel),
            patch.object(reachability.Reachability, "failed", look_and_fail),
            patch.object(watcher.Watcher.run, "__defaults__", (self.sleep,)),
            patch.object(writer, "Event", Event),
            patch.object(pauses, "random", self),
            patch.object(reachability._log, "disabled", True),
            patch.object(messages, "PAGE", few),
            patch.object(watcher, "EVENTS_AT_ONCE", min(few, watcher.EVENTS_AT_ONCE)),
            patch.object(watcher, "MARK_AFTER", 5.0 if is_small else watcher.MARK_AFTER),
            patch.object(commits, "BATCH_MAX", min(few, commits.BATCH_MAX)),
            patch.object(store, "HEARD_AT_ONCE", min(few, store.HEARD_AT_ONCE)),
            patch.object(shared_store, "REPORTED_MAX", min(few - 2, shared_store.REPORTED_MAX)),
            patch.multiple(watcher, gevent=self, time=self),
            patch.multiple(writer, gevent=self, time=self),
            patch.multiple(registration, gevent=self, time=self),
            patch.multiple(store, gevent=self, time=self),
            patch.multiple(reachability, time=self),
            patch.multiple(endpoints, time=self),
        ):
            try:
                yield
            finally:
                self.end()
