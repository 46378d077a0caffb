"""What a binder knows, kept on disk: who waits for what, and what happens when the disk fails.

The changes of a moment are committed together by a thread, while the binder goes on; those that
come meanwhile are the next group. Whoever has to be told only then waits in a table, not in a
greenlet, and may be told never: the server asks again, or asks another binder.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import gevent
import gevent.event
import gevent.lock
from gevent.hub import get_hub

from prr.core.binder import Binder
from prr.core.effects import Effect, Persist, Word
from prr.shell.storage.losses import Losses
from prr.shell.storage.state_directory import StateDirectory
from prr.shell.storage.state_meta import Damaged, Failing
from prr.wire.instance import Instance
from prr.wire.trailer import GROUPS
from prr.wire.version import next_run

GROUP_MAX = 1000
"""Changes committed at once: a few ms of work for the thread, which shares Python with lookups."""

WAITING_MAX = 4096
"""Confirmations that wait for the disk; the servers beyond are not confirmed, and ask again."""

PENDING_MAX = 1 << 17
"""Changes kept while the disk fails, some 40 MB. If there are more they are forgotten, and all
that the binder knows is written anew when the disk is back."""

RETRY_PAUSE = 1.0
"""Seconds between two attempts to write to a disk that fails."""

CLOSE_WAIT = 3.0
"""Seconds a binder that is to stop waits for its disk; systemd gives it five."""

_log = logging.getLogger("prr")

_P = ParamSpec("_P")
_T = TypeVar("_T")


class State:
    """Keeps what one binder knows in one directory."""

    def __init__(self, path: Path, identity: int) -> None:
        """Open the state in `path`; `identity` is for a binder that has none there yet.

        Raises BadInput if the directory cannot be used.
        """
        self._directory = StateDirectory(path)
        self.identity = identity
        self._counter = self._restorable = 0
        self._losses: list[str] = []
        self._open_failed: str | None = None
        self.failing: str | None = None
        self._lately_lost = Losses()
        self.counts: Counter[str] = Counter()
        self._pending: dict[Instance, Word | None] = {}
        self._under_way: dict[Instance, Word | None] = {}
        self._waiting: dict[Instance, Callable[[], None]] = {}
        self._must_clear = False
        self._anew: str | None = None  # why the file must be written anew
        self._is_whole = True  # what is on disk, with what is pending, is all that is known
        self._closing = False
        self._refill: Iterator[dict[Instance, Word | None]] | None = None
        self._wake = gevent.event.Event()
        self._disk = gevent.lock.Semaphore()
        self._greenlet: gevent.Greenlet[[], None] | None = None
        self._open(identity)

    @property
    def unsaved(self) -> int:
        """Changes that are not on disk yet."""
        return len(self._pending) + len(self._under_way)

    def status(self) -> dict[str, Any]:
        """Changes that are not on disk yet; why the disk fails, if it does; and what was lost on
        it lately."""
        damaged = self._lately_lost.lately()
        return {"unsaved": self.unsaved, "failing": self.failing, "damaged": damaged}

    def attach(self, binder: Binder) -> None:
        """Keep this binder, whose identity is `identity`; before it hears its first frame."""
        self._binder = binder
        self._restoring = binder.restoring(self._counter)

    def restore(self, act: Callable[[list[Effect]], None]) -> None:
        """Give back to the binder what was kept, a chunk at a time, while it serves; then start
        it, and keep what it has to say from now on."""
        for loss in self._losses:
            self._lost(loss)
        if self._open_failed:
            self._fails(self._open_failed)
        damage = self._read_all()
        if damage:
            self._begin_anew(damage)
        self._greenlet = gevent.spawn(self._keep_committing)
        act(self._binder.start(time.monotonic()))

    def keep(self, changes: Persist) -> None:
        """Have what has changed put on disk, soon."""
        self._counter = changes.counter
        for instance in changes.words:
            self._pending.pop(instance, None)
        self._pending.update(changes.words)
        if len(self._pending) > PENDING_MAX:
            self._pending.clear()
            self._must_clear, self._refill = True, None
        self._wake.set()

    def once_kept(self, instance: Instance, act: Callable[[], None]) -> None:
        """Do `act` once all that was said about `instance` so far is on disk: at once if it is."""
        if not self._is_unsaved(instance):
            if self._directory.is_in_place():
                act()
                return
            self._is_whole = False  # what was committed is not where it will be looked for
            self._wake.set()
        if len(self._waiting) < WAITING_MAX or instance in self._waiting:
            self._waiting[instance] = act
        else:
            self.counts["confirmations dropped, the disk being slow"] += 1

    def close(self) -> None:
        """Put the rest on disk, if that is done soon, and leave the directory."""
        self._closing = True
        self._wake.set()
        with gevent.Timeout(CLOSE_WAIT, False):  # type: ignore[arg-type]  # False: end quietly
            if self._greenlet is not None:
                self._greenlet.join()
            self._on_disk(self._directory.leave)

    # Reading.

    def _open(self, identity: int) -> None:
        try:
            meta, self._losses = self._directory.open(identity)
            self._restorable = meta.entries
            self._counter = next_run(meta.counter)
            # On disk before it is used: no two processes with one identity may have the same run,
            # and so one whose disk does not take it has an identity of its own.
            self._directory.commit({}, self._counter, whole=True)
            self.identity = meta.identity
        except (Failing, Damaged) as error:
            self._open_failed = str(error)

    def _read_all(self) -> str | None:
        """Read the file to its end; what is wrong with it, None if it is sound."""
        began_at = time.monotonic()
        sound = damaged = 0
        why = None
        try:
            while not self._closing and (rows := self._on_disk(self._directory.read)):
                bad = self._restoring.take(rows, time.monotonic())
                sound, damaged = sound + len(rows) - bad, damaged + bad
        except (Damaged, Failing) as error:
            why = str(error)
        took = time.monotonic() - began_at
        restored = f"{sound} of {self._restorable} entries restored in {took:.3f} s"
        if sound or self._lately_lost.lately() is None:
            self._say(restored)
        else:
            self._say(f"{restored}: started empty", logging.WARNING)
        return f"{damaged} entries are damaged" if damaged else why

    # Writing.

    def _keep_committing(self) -> None:
        while not (self._closing and (self.failing or not self.unsaved)):
            self._wake.wait()
            try:
                self._commit_next()
            except Damaged as error:
                self._begin_anew(str(error))
            except Failing as error:
                self._fails(str(error))
            if self.failing:
                gevent.sleep(RETRY_PAUSE)

    def _commit_next(self) -> None:
        """Commit one group, and let go whoever waited for it alone."""
        if self._anew:
            raise Damaged(self._anew)
        if self._must_clear:
            self._on_disk(self._directory.commit, {}, self._counter, False, True)
            self._must_clear, self._refill = False, self._everything()
            self._is_whole = False
        if self._refill is not None:
            self._refill_some(self._refill)
        self._under_way = dict(islice(self._pending.items(), GROUP_MAX))
        if not self._under_way and self._is_whole:
            self._wake.clear()
            return
        for instance in self._under_way:
            del self._pending[instance]
        whole = self._refill is None
        try:
            self._on_disk(self._directory.commit, self._under_way, self._counter, whole, False)
        except (Damaged, Failing):
            self._pending = {**self._under_way, **self._pending}
            raise
        finally:
            self._under_way = {}
        self._is_whole = whole
        self._works()
        self._let_go()

    def _let_go(self) -> None:
        ready = [instance for instance in self._waiting if not self._is_unsaved(instance)]
        if ready:
            acts = [self._waiting.pop(instance) for instance in ready]
            gevent.spawn(_do_all, acts)  # the network may make them wait

    def _is_unsaved(self, instance: Instance) -> bool:
        if self._must_clear or not self._is_whole:
            return True
        return instance in self._pending or instance in self._under_way

    def _begin_anew(self, why: str) -> None:
        """The file cannot be believed: write all that the binder knows into another one."""
        if not self.failing:
            self._lost(f"{why}; the file is set aside, and all that is known is written anew")
        self._anew, self._is_whole = why, False
        try:
            self._on_disk(self._directory.begin_anew, self.identity, self._counter, False)
        except Failing as error:
            self._fails(str(error))
        else:
            self._anew, self._refill = None, self._everything()
            self._wake.set()

    def _everything(self) -> Iterator[dict[Instance, Word | None]]:
        """All that the binder knows, group by group. What changes meanwhile is told anyway."""
        directory = self._binder.directory
        for group in range(GROUPS):
            cursor: bytes | None = b""
            while cursor is not None:
                page, cursor = directory.page(group, (1 << GROUPS) - 1, cursor, GROUP_MAX)
                yield {instance: (version, present) for instance, version, present in page}

    def _refill_some(self, words: Iterator[dict[Instance, Word | None]]) -> None:
        while self._refill is not None and len(self._pending) < GROUP_MAX:
            some = next(words, None)
            if some is None:
                self._refill = None
            else:
                self._pending.update(some)

    def _fails(self, why: str) -> None:
        """Nobody is confirmed now: who asks again is confirmed when the disk is back."""
        if not self.failing:
            what = f"cannot be written to ({why}); new subscriptions are not confirmed"
            self._say(what, logging.ERROR)
        self.failing = why
        self.counts["confirmations dropped, the disk failing"] += len(self._waiting)
        self._waiting.clear()

    def _works(self) -> None:
        if self.failing:
            self._say("can be written to again")
        self.failing = None

    def _lost(self, what: str) -> None:
        """Some of what was kept is not there any more."""
        self._lately_lost.note(what)
        self._say(what, logging.WARNING)

    def _say(self, what: str, level: int = logging.INFO) -> None:
        _log.log(level, "state in %s: %s", self._directory.path, what)

    def _on_disk(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Have a thread make a call that waits for the disk, while the others run."""

        def attempt() -> tuple[_T | None, Exception | None]:
            try:
                return call(*args, **kwargs), None
            except (Damaged, Failing) as error:  # the pool would tell the hub before us
                return None, error

        with self._disk:
            result, error = get_hub().threadpool.apply(attempt)
        if error is not None:
            raise error
        return result  # type: ignore[return-value]


def _do_all(acts: list[Callable[[], None]]) -> None:
    for act in acts:
        act()
