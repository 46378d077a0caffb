"""What a binder knows, kept in SQLite: who waits for what, and what happens when the disk fails.

The changes of a moment are committed together by a thread; those that come meanwhile are the next
group. Whoever waits for one does so in a table, perhaps in vain: the server asks again.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum, auto
from itertools import islice
from pathlib import Path
from typing import Any

import gevent.event

from prr.core.directory.directory import Directory
from prr.core.effects import Persist, Update
from prr.core.metrics import Metric
from prr.shell.storage.disk_thread import DiskThread, gather
from prr.shell.storage.losses import Losses
from prr.shell.storage.progress import Progress
from prr.shell.storage.rows import read_rows
from prr.shell.storage.state_directory import StateDirectory
from prr.shell.storage.state_meta import Damaged, Failing
from prr.shell.storage.store import Act, Learn
from prr.shell.storage.telling import tell
from prr.wire.instance import Instance
from prr.wire.trailer import GROUPS
from prr.wire.version import next_run

GROUP_MAX = 1000
"""Changes committed at once: a few ms of work for the thread, which shares Python with lookups."""

WAITING_MAX = 1 << 16
"""Confirmations that wait for the disk, 10 MB: a herd's. The servers beyond ask again."""

PENDING_MAX = 1 << 17
"""Changes kept while the disk fails, some 40 MB. Beyond it all is written anew when it is back."""

RETRY_PAUSE = 1.0
"""Seconds between two attempts to write to a disk that fails."""

CLOSE_WAIT = 3.0
"""Seconds a binder that is to stop waits for its disk; systemd gives it five."""

_log = logging.getLogger("prr")


class _File(Enum):
    """What the file holds, together with the changes that are pending."""

    WHOLE = auto()  # all that is known
    DOUBTED = auto()  # that too, but not where it will be looked for: the next commit shows
    OVERFLOWED = auto()  # not what had to be forgotten: to be emptied, and filled again
    REFILLING = auto()  # not yet all that is known
    DAMAGED = auto()  # nothing that can be believed: to be set aside, and another one begun


class SQLiteStore:
    """Keeps what one binder knows in one directory; see `Store` for what each method promises."""

    keeps = True

    def __init__(self, path: Path, identity: int) -> None:
        """Open the state in `path`; `identity` is for a binder that has none there yet.

        Raises BadInput if the directory cannot be used.
        """
        self._directory = StateDirectory(path)
        self._known: Directory | None = None
        self.identity = identity
        self.counter = self._restorable = 0
        self._losses: list[str] = []
        self._open_failed: str | None = None
        self.failing: str | None = None
        self._lately_lost = Losses()
        self.counts: Counter[Metric] = Counter()
        self._pending: dict[Instance, Update | None] = {}
        self._under_way: dict[Instance, Update | None] = {}
        self._waiting: dict[Instance, Act] = {}
        self._file = _File.WHOLE
        self._damage = ""  # of a DAMAGED one: what is wrong with it
        self._refill: Iterator[dict[Instance, Update | None]] = iter(())  # of one that is REFILLING
        self._closing = False
        self._wake = gevent.event.Event()
        self._disk = DiskThread()
        self._greenlet: gevent.Greenlet[[], None] | None = None
        self._open(identity)
        self._counter = self.counter

    @property
    def unsaved(self) -> int:
        """Changes that are not on disk yet."""
        return len(self._pending) + len(self._under_way)

    @property
    def is_whole(self) -> bool:
        """All that the binder knows is on disk, or a change that is `unsaved`."""
        return self._file is _File.WHOLE

    def status(self) -> dict[str, Any]:
        damaged = self._lately_lost.lately()
        return {"unsaved": self.unsaved, "failing": self.failing, "damaged": damaged}

    def load(self, directory: Directory, learn: Learn) -> None:
        self._known = directory
        for loss in self._losses:
            self._lost(loss)
        if self._open_failed:
            self._fails(self._open_failed)
        if damage := self._read_all(learn):
            self._begin_anew(damage)
        self._greenlet = gevent.spawn(self._keep_committing)

    def persist(self, changes: Persist) -> None:
        self._counter = changes.counter
        for instance in changes.updates:
            self._pending.pop(instance, None)
        self._pending.update(changes.updates)
        if len(self._pending) > PENDING_MAX:
            self._pending.clear()
            if self._file is not _File.DAMAGED:
                self._file = _File.OVERFLOWED
        self._wake.set()

    def confirm(self, instance: Instance, act: Callable[[], None]) -> None:
        self.confirm_all([instance], lambda _: act())

    def confirm_all(self, instances: Sequence[Instance], act: Act) -> None:
        saved = [instance for instance in instances if not self._is_unsaved(instance)]
        if saved and not self._directory.is_in_place():
            self._file, saved = _File.DOUBTED, []
            self._wake.set()
        for instance in set(instances).difference(saved):
            if len(self._waiting) < WAITING_MAX or instance in self._waiting:
                self._waiting[instance] = act
            else:
                self.counts[Metric.CONFIRMATIONS_SLOW] += 1
        if saved:
            act(saved)

    def close(self) -> None:
        self._closing = True
        self._wake.set()
        with gevent.Timeout(CLOSE_WAIT, False):  # type: ignore[arg-type]  # False: end quietly
            if self._greenlet is not None:
                self._greenlet.join()
            self._disk.do(self._directory.leave)

    # Reading.

    def _open(self, identity: int) -> None:
        try:
            meta, self._losses = self._directory.open(identity)
            self._restorable = meta.entries
            self.counter = next_run(meta.counter)
            # On disk before it is used: no two processes with one identity may have the same run,
            # and so one whose disk does not take it has an identity of its own.
            self._directory.commit({}, self.counter, whole=True)
            self.identity = meta.identity
        except (Failing, Damaged) as error:
            self._open_failed = str(error)

    def _read_all(self, learn: Learn) -> str | None:
        """Read the file to its end; what is wrong with it, None if it is sound."""
        progress = Progress(self._restorable)
        began_at = time.monotonic()
        sound = damaged = 0
        why = None
        try:
            while not self._closing and (rows := self._disk.do(self._directory.read)):
                present, gone, bad = read_rows(rows)
                learn(present, gone)
                sound, damaged = sound + len(rows) - bad, damaged + bad
                progress.show(sound + damaged)
        except (Damaged, Failing) as error:
            why = str(error)
        progress.end()
        took = f"{time.monotonic() - began_at:.3f} s"
        restored = f"{sound} of {self._restorable} entries restored in {took}"
        if sound or self._lately_lost.lately() is None:
            self._say(restored)
        else:
            self._say(f"{restored}: started empty", logging.WARNING)
        return f"{damaged} entries are damaged" if damaged else why

    # Writing.

    def _keep_committing(self) -> None:
        while not (self._closing and (self.failing or not self.unsaved)):
            self._wake.wait()
            if self.is_whole and not self._closing and len(self._pending) < GROUP_MAX:
                gather()
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
        if self._file is _File.DAMAGED:
            raise Damaged(self._damage)
        if self._file is _File.OVERFLOWED:
            self._disk.do(self._directory.commit, {}, self._counter, False, True)
            self._begin_refill()
        began_as = self._file
        whole = began_as is not _File.REFILLING or self._refill_some()
        self._under_way = dict(islice(self._pending.items(), GROUP_MAX))
        if not self._under_way and began_as is _File.WHOLE:
            self._wake.clear()
            return
        for instance in self._under_way:
            del self._pending[instance]
        try:
            self._disk.do(self._directory.commit, self._under_way, self._counter, whole, False)
        except (Damaged, Failing):
            self._pending = {**self._under_way, **self._pending}
            raise
        finally:
            committed, self._under_way = self._under_way, {}
        self.counts[Metric.COMMITS] += 1
        if self._file is began_as:  # else more has happened to it meanwhile
            self._file = _File.WHOLE if whole else _File.REFILLING
        if self.failing:
            self._say("can be written to again")
        self.failing = None
        self._let_go(committed if began_as is _File.WHOLE else [*self._waiting])

    def _let_go(self, instances: Iterable[Instance]) -> None:
        """Confirm those that have waited for a commit of these, unless they wait for the next."""
        acts: dict[Act, list[Instance]] = {}
        for instance in instances:
            if instance in self._waiting and not self._is_unsaved(instance):
                acts.setdefault(self._waiting.pop(instance), []).append(instance)
        if acts:  # the network may make them wait
            gevent.spawn(tell, acts)

    def _is_unsaved(self, instance: Instance) -> bool:
        return instance in self._pending or instance in self._under_way or not self.is_whole

    def _begin_anew(self, why: str) -> None:
        """The file cannot be believed: write all that the binder knows into another one."""
        if not self.failing:
            self._lost(f"{why}; the file is set aside, and all that is known is written anew")
        self._file, self._damage = _File.DAMAGED, why
        try:
            self._disk.do(self._directory.begin_anew, self.identity, self._counter, False)
        except Failing as error:
            self._fails(str(error))
        else:
            self._begin_refill()
            self._wake.set()

    def _begin_refill(self) -> None:
        self._file, self._refill = _File.REFILLING, self._everything()

    def _everything(self) -> Iterator[dict[Instance, Update | None]]:
        """All that the binder knows, group by group. What changes meanwhile is told anyway."""
        assert self._known is not None  # `load` comes first
        for group in range(GROUPS):
            cursor: bytes | None = b""
            while cursor is not None:
                page, cursor = self._known.page(group, (1 << GROUPS) - 1, cursor, GROUP_MAX)
                yield dict[Instance, Update | None](page)

    def _refill_some(self) -> bool:
        """Have the next group written; True at the end."""
        while len(self._pending) < GROUP_MAX:
            some = next(self._refill, None)
            if some is None:
                return True
            self._pending.update(some)
        return False

    def _fails(self, why: str) -> None:
        """Who asks again is confirmed when the disk is back."""
        if not self.failing:
            what = f"cannot be written to ({why}); new subscriptions are not confirmed"
            self._say(what, logging.ERROR)
        self.failing = why
        self.counts[Metric.COMMITS_FAILED] += 1
        self.counts[Metric.CONFIRMATIONS_FAILING] += len(self._waiting)
        self._waiting.clear()

    def _lost(self, what: str) -> None:
        """Some of what was kept is not there any more."""
        self._lately_lost.note(what)
        self._say(what, logging.WARNING)

    def _say(self, what: str, level: int = logging.INFO) -> None:
        _log.log(level, "state in %s: %s", self._directory.path, what)
