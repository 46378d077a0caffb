"""Follows what is written to etcd: reads all of it once, then watches what changes.

One stream has all changes. It is dead after 3 s of silence, whatever the reason: then a read that
the whole cluster has to agree to shows whether this server is well, and the stream is opened again
behind the last change, there or at the next server. So nothing depends on notices of progress,
which say nothing of the other servers, and an idle stream costs two requests each 3 s.

All is read anew at the start, when what is to be watched has been compacted, and when etcd may have
lost something: its revisions or its leaders' terms went back, it is another cluster, the key that
was heard of last is not what it was then (it was set back, and has grown again since), or no server
answered for a while, who may all have been set up from an older state.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import gevent
from gevent.util import wrap_errors

from prr.core.commits.stored import Stored
from prr.shell.etcd.endpoints import Endpoints
from prr.shell.etcd.failures import Compacted, Denied, Failure, NoRoom, Unavailable
from prr.shell.etcd.latest import Latest
from prr.shell.etcd.messages import (
    Found,
    Header,
    Keys,
    as_of,
    header_of,
    is_still,
    last_put,
    newest_of,
)
from prr.shell.etcd.pauses import Pauses
from prr.shell.etcd.schema import PUT, RANGE, WATCH, KeyValue, PutRequest, WatchResponse
from prr.shell.event_loop import TURN
from prr.wire.instance import Instance

MARK_AFTER = 60.0
"""Seconds without an event after which a binder writes a key that all who watch hear of, if others
go on writing to the same etcd: what is followed stays younger than what etcd compacts, which are
minutes at least."""

EVENTS_AT_ONCE = 16
"""Events that are read and heard before others have their turn, 1 ms of work. Those that come with
a leader are hundreds, and what peers say of the dead would wait as long as they all take."""


class Follower(Protocol):
    """What the watcher tells: the store of one binder."""

    def reading(self, is_another: bool) -> None:
        """All is read anew from now on; see `Commits.reading`."""

    def found(self, instances: dict[Instance, Stored], malformed: int) -> None:
        """This is there, or was written just now; and so many keys or values were not read."""

    def has_read(self, revision: int) -> None:
        """All was read, as of `revision`."""

    def answered(self) -> None:
        """etcd is there."""

    def failed(self, why: str) -> None:
        """It is not."""


class Watcher:
    """The reading and watching of one binder."""

    def __init__(
        self,
        endpoints: Endpoints,
        keys: Keys,
        follower: Follower,
        written: dict[bytes, int],
        latest: Latest,
    ) -> None:
        """`written` here, which key at which revision: it is not read again. `latest` is kept by
        the writer, too."""
        self._written = written
        self._latest = latest
        self._endpoints = endpoints
        self._keys = keys
        self._follower = follower
        self._revision: int | None = None  # up to which all is known; None: to be read
        self._moved_at = 0.0  # when that changed last
        self._heard_last: KeyValue | None = None  # which key was written last

    def run(self, sleep: Callable[[float], object] = gevent.sleep) -> None:
        """Never ends."""
        pauses = Pauses()
        while True:
            try:
                self._follow()
                pauses.reset()
            except Compacted:
                self._revision = None
                sleep(pauses.next())
            except Failure as error:
                self._follower.failed(str(error))
                sleep(pauses.next())

    def _follow(self) -> None:
        """See that etcd is there, read all if need be, and watch until the stream is silent."""
        header = self._ask()
        if self._endpoints.have_all_failed:
            self._revision = None  # whatever becomes of this reading
        if self._revision is None:
            self._read_all(self._latest.is_set_back)
        elif header.revision > self._revision and time.monotonic() > self._moved_at + MARK_AFTER:
            self._moved_at = time.monotonic()  # it will have, or else it is tried as late again
            with suppress(Denied, NoRoom):  # some day all is read anew
                self._endpoints.call(PUT, PutRequest(key=self._keys.mark))
        self._watch()

    def _ask(self) -> Header:
        """The latest state, which most of the servers have to agree to."""
        known, last = self._latest.header, self._heard_last
        try:
            answer = self._endpoints.call(RANGE, self._keys.any() if last is None else as_of(last))
            self._latest.is_set_back |= last is not None and not is_still(last, answer)
        except Compacted:  # or to come, in an older state
            answer = self._endpoints.call(RANGE, self._keys.any())
        header = header_of(answer)
        self._latest.see(header, known)
        if self._latest.is_set_back:
            self._revision = None
        return header

    def _read_all(self, is_another: bool) -> None:
        self._follower.reading(is_another)
        self._endpoints.have_all_failed = False
        self._written.clear()
        self._heard_last = None
        found = self._page(None, 0)
        self._latest.begin(found.header)
        revision, newest = found.header.revision, [found.newest]
        while found.next_key is not None:
            # etcd looks for the next page while this one is heard.
            ask = wrap_errors((Failure,), self._page)  # what one greenlet raises ends the process
            coming = gevent.spawn(ask, found.next_key, revision)
            self._follower.found(found.instances, found.malformed)
            answer = coming.get()
            if isinstance(answer, Failure):
                raise answer
            found = answer
            newest.append(found.newest)
        self._heard_last = newest_of(filter(None, newest))
        self._follower.found(found.instances, found.malformed)
        self._has_followed(revision)
        self._follower.has_read(revision)

    def _has_followed(self, revision: int) -> None:
        self._revision, self._moved_at = revision, time.monotonic()

    def _page(self, begin: bytes | None, revision: int) -> Found:
        return self._keys.found(self._endpoints.call(RANGE, self._keys.page(begin, revision)))

    def _watch(self) -> None:
        assert self._revision is not None
        for said in self._endpoints.stream(WATCH, self._keys.watch(self._revision + 1)):
            self._follower.answered()
            if said.canceled:
                self._canceled(said)
            self._hear(said)

    def _canceled(self, said: WatchResponse) -> None:
        why = said.cancel_reason or "the watch was ended"
        if said.compact_revision:
            raise Compacted(why)
        raise Unavailable(why)

    def _hear(self, said: WatchResponse) -> None:
        self._latest.see(header_of(said), None)
        events, last = said.events, 0
        for at in range(0, len(events), EVENTS_AT_ONCE):
            some = events[at : at + EVENTS_AT_ONCE]
            instances, malformed, last = self._keys.events(some, self._written)
            self._heard_last = last_put(some) or self._heard_last
            self._follower.found(instances, malformed)
            gevent.sleep(TURN)
        if last and not said.fragment:  # else more of that revision may follow
            self._has_followed(last)
