"""A binder's disk: what was committed outlives the process; what was not is lost with it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TypeAlias

from prr.core.binder import Binder
from prr.core.directory.digests import Entry, entry_of
from prr.core.effects import DrainRow, Persist, Update
from prr.wire.instance import Instance, describe
from prr.wire.version import encode_version, next_run
from tests.sim import adapter
from tests.sim.world import Violation

COMMIT_TAKES = (0.0005, 0.05)  # seconds


COPIED = 0.2
"""Share of commits after which a copy is made, which replaces the one before."""

LOOK_EVERY = 10
"""Steps between two comparisons of all that is known with all that was written."""


Words: TypeAlias = dict[Instance, tuple[bytes, float]]
Copy: TypeAlias = tuple[dict[Instance, Update], int, list[DrainRow], Words]
"""What was committed, the counter, the drains, and what the checker knows of these."""


class Disk:
    """What a store does for one binder, with commits that take a while or fail."""

    def __init__(self, identity: int, rng: Random, old_copies: float = 0.0) -> None:
        """`old_copies`: how often an old copy is put back before it is opened."""
        self.identity = identity
        self.rng = rng
        self.old_copies = old_copies
        self._copy: Copy | None = None
        self._committed: dict[Instance, Update] = {}
        self.counter = 0
        self._pending: dict[Instance, Update | None] = {}
        self._seen = 0
        self._writes = self._steps = 0
        self.drains: list[DrainRow] = []  # with the simulated world's time of their ends
        self.words_heard: Words = {}  # of drains, for the checker
        self._looks: tuple[bytes, int] | None = None
        self._waiting: dict[Instance, Callable[[], None]] = {}

    def open(self) -> None:
        """A new process: what was not committed is gone, and so is who waited for it."""
        self._pending, self._waiting = {}, {}
        if self._copy is not None and self.rng.random() < self.old_copies:
            committed, self.counter, drains, words_heard = self._copy
            self._committed, self.drains = dict(committed), list(drains)
            self.words_heard = dict(words_heard)
        self.counter = self._seen = next_run(self.counter)
        self._looks = None

    def load(self, learn: Callable[[list[Entry], list[Entry]], None]) -> None:
        """Give back what was committed."""
        present, gone = list[Entry](), list[Entry]()
        for instance, (version, is_present, particulars) in self._committed.items():
            entry = entry_of(instance, encode_version(version) + particulars)
            (present if is_present else gone).append(entry)
        learn(present, gone)

    def persist(self, changes: Persist) -> None:
        """Keep these with the next commit."""
        self._pending |= changes.updates
        self._writes += 1
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
        self.counter, self._pending = self._seen, {}
        self._writes += 1
        if self.old_copies and self.rng.random() < COPIED:
            kept = dict(self._committed), self.counter, list(self.drains)
            self._copy = *kept, dict(self.words_heard)
        ready, self._waiting = list(self._waiting.values()), {}
        return ready

    def confirm(self, instance: Instance, act: Callable[[], None]) -> None:
        """Do `act` once all that was said about `instance` is on disk, or never."""
        if instance in self._pending:
            self._waiting[instance] = act
        else:
            act()

    def check(self, core: Binder, name: str) -> None:
        """What was written is all that the core knows. Looked at when that is seen to change, and
        now and then, since a removal alone does not show."""
        self._steps += 1
        looks = adapter.digest(core), self._writes
        if looks == self._looks and self._steps % LOOK_EVERY:
            return
        self._looks = looks
        every = (self._committed | self._pending).items()
        written = {instance: word for instance, word in every if word is not None}
        known = adapter.updates(core)
        if written != known:
            differ = (i for i in written.keys() | known.keys() if written.get(i) != known.get(i))
            raise Violation(f"{name}: what it wrote about {describe(min(differ))} is not so")
