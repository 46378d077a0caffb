"""Writes to etcd what a binder wants to have there, many updates in one transaction."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable

import gevent
from gevent.event import Event

from prr.core.commits.commits import Commits
from prr.core.commits.stored import Write
from prr.core.effects import Update
from prr.core.metrics import Metric
from prr.shell.etcd.endpoints import Endpoints
from prr.shell.etcd.failures import Denied, Failure, LeaseGone, NoRoom, Rejected
from prr.shell.etcd.latest import Latest
from prr.shell.etcd.messages import Keys, header_of, lease_of
from prr.shell.etcd.pauses import Pauses
from prr.shell.etcd.reachability import Reachability
from prr.shell.etcd.schema import LEASE_GRANT, TXN, LeaseGrantRequest, TxnRequest
from prr.shell.event_loop import TURN
from prr.wire.instance import Instance, describe

COMPARE_PAUSE = 60.0
"""Seconds between two comparisons of all that is known with what is known to be committed, 7 us for
each instance, a few at a time."""

HEARD_PAUSE, HEARD_SHARE = 1.0, 10.0
"""The same while there are some that were read from a disk and have not been heard since: those
that are, meanwhile, and that etcd lacks, since it was set back, are written then. So many
times as long as the last comparison took, if that is more, as of many instances it takes seconds;
and never more than COMPARE_PAUSE."""

GATHER = 0.004
"""Seconds that a transaction waits for more updates if another one has just ended: as long as the
disks took for that. The first one after a rest does not wait."""

AT_ONCE = 16
"""Updates that are written, and what came of that is taken in, without a turn for others: 1 ms."""

WRITTEN_MAX = 1 << 14
"""Keys that are remembered as written here, 3 MB: what is under way in a second or two."""

TELL_PAUSE = 1.0
"""Seconds between two lines about instances that etcd does not take."""

REMOVALS_KEPT = 7200
"""Seconds after which etcd forgets what is gone, or half of it: binders do so after an hour."""

_log = logging.getLogger("prr")


class Removals:
    """The lease with which etcd forgets removals. One serves all of an hour, so that they cost etcd
    no lease each."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._lease = 0
        self._good_until = 0.0

    def lease(self, now: float) -> int:
        """Its id. Raises as `Endpoints.call` does."""
        if now >= self._good_until:
            answer = self._endpoints.call(LEASE_GRANT, LeaseGrantRequest(TTL=REMOVALS_KEPT))
            self._lease, self._good_until = lease_of(answer), now + REMOVALS_KEPT / 2
        return self._lease

    def forget(self) -> None:
        """The lease is gone; the next removal has another one."""
        self._good_until = 0.0


class Writer:
    """The transactions of one binder."""

    def __init__(
        self,
        endpoints: Endpoints,
        keys: Keys,
        commits: Commits,
        reachability: Reachability,
        latest: Latest,
        counts: Counter[Metric],
        ended: Callable[[Iterable[Instance]], None],
        failed: Callable[[str], None],
    ) -> None:
        """`ended` is told which instances are no longer under way, `failed` why etcd cannot be
        asked."""
        self.written: dict[bytes, int] = {}
        """The keys written lately, each with its revision, until that has been seen."""
        self._endpoints = endpoints
        self._keys = keys
        self._commits = commits
        self._reachability = reachability
        self._latest = latest
        self._counts = counts
        self._ended, self._failed = ended, failed
        self._removals = Removals(endpoints)
        self._wake = Event()
        self._tell_at = 0.0
        self._compares = False
        self._compares_since = self._compared_at = -COMPARE_PAUSE

    def wake(self) -> None:
        """There may be something to write."""
        self._wake.set()

    def run(self, hear: Callable[[list[tuple[Instance, Update]]], None]) -> None:
        """Never ends. UNDER_WAY_MAX of these may run at once. `hear` is told what is there instead
        of what was to be written."""
        pauses = Pauses()
        while True:
            self._wake.clear()
            now = time.monotonic()
            self._compare(now)
            writes = self._commits.batch(now)
            if not writes:
                self._rest(now)
            elif self._write(writes, hear):
                pauses.reset()
                if not self._commits.has_full_batch:
                    gevent.sleep(GATHER)
            else:
                gevent.sleep(pauses.next())

    def _compare(self, now: float) -> None:
        """Begin a comparison if it is time, and see how long one takes, whoever has begun it."""
        if not self._commits.is_comparing and now >= self._compare_at:
            self._commits.compare()
            self._compares_since = self._compared_at = now
        if self._commits.is_comparing:
            if not self._compares:
                self._compares_since = now
            self._compared_at = now
        self._compares = self._commits.is_comparing

    @property
    def _compare_at(self) -> float:
        if not self._commits.has_unheard:
            return self._compared_at + COMPARE_PAUSE
        took = self._compared_at - self._compares_since
        return self._compared_at + min(max(HEARD_PAUSE, HEARD_SHARE * took), COMPARE_PAUSE)

    def _rest(self, now: float) -> None:
        """Until there may be something to write. Once others have written all that etcd would not
        take from this binder, nothing shows any more that it would not."""
        if not self._commits.uncommitted:
            self._reachability.refuses("")
        if self._commits.has_more:
            gevent.sleep(0.001)
            return
        due = self._commits.deadline()
        until = self._compare_at if due is None else min(due, self._compare_at)
        self._wake.wait(max(until - now, 0.001))

    def _write(
        self, writes: list[Write], hear: Callable[[list[tuple[Instance, Update]]], None]
    ) -> bool:
        """Carry out a batch; False if there is no sense in trying again at once."""
        try:
            heard = self._carry_out(writes)
        except Rejected as error:
            self._given_up(self._commits.rejected(writes), error)
            return True
        except LeaseGone:
            self._removals.forget()
            self._commits.failed(writes)
            return False
        except NoRoom as error:
            self._commits.failed(writes)
            self._reachability.refuses(f"{error}: make room there, then `etcdctl alarm disarm`")
            return False
        except Denied as error:
            self._commits.failed(writes)
            self._reachability.refuses(str(error))
            return False
        except Failure as error:
            self._commits.failed(writes)
            self._failed(str(error))
            return False
        self._reachability.answered()
        self._reachability.refuses("")
        hear(heard)
        self._ended([write.instance for write in writes])
        return True

    def _given_up(self, writes: list[Write], error: Rejected) -> None:
        """These are not in etcd until they change. One is named in a second at most."""
        now = time.monotonic()
        if writes and now >= self._tell_at:
            self._tell_at = now + TELL_PAUSE
            _log.error("etcd does not take %s: %s", describe(writes[0].instance), error)

    def _remember(self, transaction: TxnRequest, revision: int) -> None:
        if len(self.written) > WRITTEN_MAX:  # they were seen before they were remembered
            self.written.clear()
        self.written |= {one.key: revision for one in transaction.compare}

    def _carry_out(self, writes: list[Write]) -> list[tuple[Instance, Update]]:
        """What of what is there instead the binder is to hear."""
        are_gone = not all(write.update.is_present for write in writes)
        lease = self._removals.lease(time.monotonic()) if are_gone else 0
        transaction = self._keys.transaction(writes, lease)
        if len(writes) > AT_ONCE:  # a hundred are some milliseconds of work, here and there
            gevent.sleep(TURN)
        known = self._latest.header
        answer = self._endpoints.call(TXN, transaction)
        header = header_of(answer)
        self._latest.see(header, known)
        if answer.succeeded:
            self._commits.written(writes, header.revision)
            self._remember(transaction, header.revision)
            self._counts[Metric.ETCD_COMMITS] += 1
            self._counts[Metric.ETCD_WRITTEN] += len(writes)
            return []
        self._counts[Metric.ETCD_CONFLICTS] += 1
        reading = self._endpoints.call(TXN, self._keys.reading(writes))
        there = self._keys.there(writes, reading)
        return self._commits.refused(writes, there, time.monotonic())
