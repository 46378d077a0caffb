"""A binder's disk: what was committed outlives the process; what was not is lost with it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from prr.core.binder import Binder
from prr.core.effects import Persist, Word
from prr.core.restoring import row_of
from prr.wire.instance import Instance, describe
from prr.wire.version import next_run
from tests.sim import adapter
from tests.sim.world import Violation

COMMIT_TAKES = (0.0005, 0.05)  # seconds


class Disk:
    """What prr.shell.storage.state does for one binder, with commits that take a while or fail."""

    def __init__(self, identity: int, rng: Random) -> None:
        self.identity = identity
        self.rng = rng
        self._committed: dict[Instance, Word] = {}
        self._counter = 0
        self._pending: dict[Instance, Word | None] = {}
        self._seen = 0
        self._waiting: dict[Instance, Callable[[], None]] = {}

    def restore(self, core: Binder, now: float) -> None:
        """A new process: what was not committed is gone, and so is who waited for it."""
        self._pending, self._waiting = {}, {}
        self._counter = self._seen = next_run(self._counter)
        restoring = core.restoring(self._counter)
        rows = [row_of(instance, word) for instance, word in self._committed.items()]
        assert restoring.take(rows, now) == 0

    def write(self, changes: Persist) -> None:
        """Keep these with the next commit."""
        self._pending |= changes.words
        self._seen = changes.counter

    def commit(self) -> list[Callable[[], None]]:
        """The group is on disk, unless the disk fails: what is to be done now."""
        if self.rng.random() < 0.1:
            self._waiting = {}
            return []
        for instance, word in self._pending.items():
            self._committed.pop(instance, None)
            if word is not None:
                self._committed[instance] = word
        self._counter, self._pending = self._seen, {}
        ready, self._waiting = list(self._waiting.values()), {}
        return ready

    def once_kept(self, instance: Instance, act: Callable[[], None]) -> None:
        """Do `act` once all that was said about `instance` is on disk, or never."""
        if instance in self._pending:
            self._waiting[instance] = act
        else:
            act()

    def check(self, core: Binder, name: str) -> None:
        """What was written is all that the core knows."""
        written = self._committed | self._pending
        known = adapter.words(core)
        for instance in written.keys() | known.keys():
            if written.get(instance) != known.get(instance):
                raise Violation(f"{name}: what it wrote about {describe(instance)} is not so")
