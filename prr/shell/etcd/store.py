"""A binder's updates in etcd, where all of its cluster commit theirs, and on its own disk besides.

What is decided here is written there before anybody is told that he can rely on it; what others
have decided is heard from there. Lookups never wait for it: they are answered from memory, with or
without etcd.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import gevent

from prr.config import LIMITS
from prr.core.commits.commits import UNDER_WAY_MAX, Commits
from prr.core.commits.stored import Stored
from prr.core.directory.directory import Directory
from prr.core.effects import Persist, Update
from prr.core.metrics import Metric
from prr.shell.etcd.endpoints import Endpoints
from prr.shell.etcd.latest import Latest
from prr.shell.etcd.messages import Keys
from prr.shell.etcd.reachability import Reachability
from prr.shell.etcd.registration import Registration
from prr.shell.etcd.watcher import Watcher
from prr.shell.etcd.writer import Writer
from prr.shell.event_loop import TURN
from prr.shell.storage.store import Act, Learn, Store
from prr.wire.instance import Instance

WAITING_MAX = 1 << 16
"""Confirmations that wait for etcd, 10 MB: a herd's. The servers beyond ask again."""

HEARD_AT_ONCE = 100
"""Updates that the core hears before lookups have their turn: 1 ms of work where nothing was known
of them, 5 ms at most."""

LEAVE_WAIT = 1.0
"""Seconds a binder that is to stop waits for etcd to take the rest, and once more to hear that it
leaves."""


class EtcdStore:
    """Keeps what one binder knows in etcd, and in the `local` store; see `Store` for what each
    method promises, and `Follower` for what the watcher tells."""

    keeps = True

    def __init__(self, local: Store, endpoints: Endpoints, keys: Keys) -> None:
        self._local = local
        self._endpoints = endpoints
        self._keys = keys
        self.identity, self.counter = local.identity, local.counter
        self.reachability = Reachability(endpoints)
        self._counts: Counter[Metric] = Counter()
        self._commits: Commits | None = None
        self._writer: Writer | None = None
        self._hear: Callable[[list[tuple[Instance, Update]]], None] = lambda _: None
        self._all_is_read: Callable[[], None] = lambda: None
        self._registration: Registration | None = None
        self._waiting: dict[Instance, Act] = {}
        self._is_closed = False
        self._greenlets: list[gevent.Greenlet[[], None]] = []

    def share(
        self,
        hear: Callable[[list[tuple[Instance, Update]]], None],
        all_is_read: Callable[[], None],
        registration: Registration,
    ) -> None:
        """Have the core `hear` what others have committed, and know when it has heard it all once;
        and have the binder registered meanwhile. To be called before `load`."""
        self._hear, self._all_is_read = hear, all_is_read
        self._registration = registration

    @property
    def counts(self) -> Counter[Metric]:
        """What has happened to it, how often."""
        return self._local.counts + self._counts

    def load(self, directory: Directory, learn: Learn) -> None:
        self._commits = commits = Commits(self.identity, directory, LIMITS.instances)
        commits.reading(is_another=False)  # nothing is written before what is there is known
        self._local.load(directory, learn)
        if self._is_closed:
            return
        shared = self._endpoints, self._keys
        latest, told = Latest(), (self._ended, self.failed)
        self._writer = Writer(*shared, commits, self.reachability, latest, self._counts, *told)
        watcher = Watcher(*shared, self, self._writer.written, latest)
        runs: list[Callable[[], None]] = [
            watcher.run,
            *[partial(self._writer.run, self._heard)] * UNDER_WAY_MAX,
        ]
        if self._registration is not None:
            runs.append(self._registration.run)
        self._greenlets = [gevent.Greenlet(run) for run in runs]
        for greenlet in self._greenlets:
            greenlet.start()

    def persist(self, changes: Persist) -> None:
        self._local.persist(changes)
        for instance, update in changes.updates.items():
            if update is None or not update.is_present:  # nobody is there to be confirmed
                self._waiting.pop(instance, None)
        if self._commits is not None and self._writer is not None:
            self._commits.changed(changes.updates, time.monotonic())
            self._writer.wake()

    def confirm(self, instance: Instance, act: Callable[[], None]) -> None:
        self.confirm_all([instance], lambda _: act())

    def confirm_all(self, instances: Sequence[Instance], act: Act) -> None:
        commits = self._commits
        if commits is None:
            return  # the server asks again
        committed = [instance for instance in instances if commits.is_committed(instance)]
        uncommitted = set(instances).difference(committed)
        if uncommitted and self._writer is not None:
            commits.wanted(uncommitted)
            self._writer.wake()
        for instance in uncommitted:
            if len(self._waiting) < WAITING_MAX or instance in self._waiting:
                self._waiting[instance] = act
            else:
                self._counts[Metric.CONFIRMATIONS_SLOW] += 1
        if committed:
            act(committed)

    def status(self) -> dict[str, Any]:
        local = self._local.status() or {"unsaved": 0, "failing": None, "damaged": None}
        commits = self._commits
        uncommitted = 0 if commits is None else commits.uncommitted
        return local | {"etcd": self.reachability.status() | {"uncommitted": uncommitted}}

    def close(self) -> None:
        self._is_closed = True
        if not self.reachability.is_away:
            self._write_the_rest()
        gevent.killall(self._greenlets)
        if self._registration is not None and not self.reachability.is_away:
            with gevent.Timeout(LEAVE_WAIT, False):  # type: ignore[arg-type]  # False: end quietly
                self._registration.leave()
        self._endpoints.close()
        self._local.close()

    def _write_the_rest(self) -> None:
        """Wait a moment for what is under way: nobody else may know what was decided last."""
        ends_at = time.monotonic() + LEAVE_WAIT
        while self._commits is not None and self._commits.uncommitted:
            if time.monotonic() >= ends_at:
                return
            gevent.sleep(0.01)

    # What the watcher tells.

    def reading(self, is_another: bool) -> None:
        assert self._commits is not None
        self._commits.reading(is_another)

    def found(self, instances: dict[Instance, Stored], malformed: int) -> None:
        assert self._commits is not None
        self._counts[Metric.ETCD_MALFORMED] += malformed
        self._heard(self._commits.seen(instances, time.monotonic()))
        self._ended(instances)

    def has_read(self, revision: int) -> None:
        assert self._commits is not None and self._writer is not None
        self._commits.has_read()
        self._counts[Metric.ETCD_READINGS] += 1
        self._all_is_read()
        self._ended([*self._waiting])
        self._writer.wake()

    def answered(self) -> None:
        self.reachability.answered()

    def failed(self, why: str) -> None:
        if self.reachability.failed(why):
            self._counts[Metric.CONFIRMATIONS_FAILING] += len(self._waiting)
            self._waiting.clear()

    def _heard(self, updates: list[tuple[Instance, Update]]) -> None:
        """Have the core hear these, while lookups go on."""
        for at in range(0, len(updates), HEARD_AT_ONCE):
            if at:
                gevent.sleep(TURN)
            self._hear(updates[at : at + HEARD_AT_ONCE])

    def _ended(self, instances: Iterable[Instance]) -> None:
        """More may be known to be there of these: whoever waits for that alone is let go."""
        assert self._commits is not None and self._writer is not None
        acts: dict[Act, list[Instance]] = {}
        for instance in [one for one in instances if one in self._waiting]:
            if self._commits.is_committed(instance):
                acts.setdefault(self._waiting.pop(instance), []).append(instance)
        if acts:
            gevent.spawn(_do_all, acts)  # the network may make them wait
        self._writer.wake()


def _do_all(acts: dict[Act, list[Instance]]) -> None:
    for act, instances in acts.items():
        act(instances)
