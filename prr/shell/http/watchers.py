"""Who watches: each change, as it happens, to everybody who wants to know, as server-sent events.

A watcher is a socket and a place in the history, no greenlet. One greenlet for all reads the change
feed, writes each change down once, and sends it to one after the other without ever waiting for any
of them: what a socket does not take is kept for it up to a limit, beyond which it is cut off. The
more watchers there are the longer it rests between two rounds, so that they take a bounded share of
the processor from lookups, and not that of each other.
"""

import json
import logging
import secrets
import socket
import time
from collections import deque
from collections.abc import Callable

import gevent
import gevent.event

from prr.core.directory.changes import HISTORY_MAX, Change, ChangeFeed
from prr.shell.http.asked import number_in
from prr.shell.http.problems import busy
from prr.shell.http.turns import Turns
from prr.shell.http.watcher import Watcher
from prr.wire.instance import Service, service_of

WATCHERS_MAX = 1024
"""Watchers at once: 128 MB if none of them reads, and a round of 10 ms, in slices."""

PAUSE = 0.02
"""Seconds between two looks at the change feed: nobody notices, and a look costs a microsecond."""

REST = 0.0002
"""Seconds that it rests for each that was sent something, twenty times what that takes: so watchers
take a twentieth of the processor at most, and a thousand are told within a fifth of a second."""

AFTER_BUG = 1.0
"""Seconds to rest after a round that has failed, so that a bug fills no log."""

HEARTBEAT = 15.0
"""Seconds within which each watcher is sent something: who hears nothing for three times as long
has lost its connection, and so finds out the binder when one is gone."""

BEATING = HEARTBEAT / 2
"""Seconds over which the signs of life to all are spread."""

CATCHING_UP = 64
"""Changes that one who comes back is told in one round, some 16 kB: the others have their turns."""

_log = logging.getLogger("prr")


class Watchers:
    """The watchers of one binder."""

    def __init__(
        self,
        feed: ChangeFeed,
        row: Callable[[Change, float], dict[str, object]],
        most: int,
        dropped: Callable[[str], None],
        turns: Turns,
    ) -> None:
        """`row`: a change as it is shown, that was seen at a moment in seconds since 1970. `most`
        watchers at once. `dropped` is called with why one is cut off."""
        self._feed = feed
        self._row = row
        self._most = min(most, WATCHERS_MAX)
        self._dropped = dropped
        self._turns = turns
        self._run = secrets.token_hex(4)  # so that numbers of another process are told from ours
        self._seen = self._told = feed.last
        self._history: deque[tuple[int, Service, bytes]] = deque(maxlen=HISTORY_MAX)
        self._watchers: dict[Watcher, None] = {}
        self._next_beat = time.monotonic()
        self._beating: deque[Watcher] = deque()
        self._beats = 0  # how many were in it at the begin
        self._greenlet = gevent.spawn(self._keep_telling)

    def __len__(self) -> int:
        return len(self._watchers)

    def join(self, take: Callable[[], socket.socket], service: Service | None, last: str) -> None:
        """One more, who wants to hear of `service`, None: of all, and has heard
        of all up to the event `last`, "": of none. `take` gives its socket. Raises Problem if there
        are too many."""
        if len(self._watchers) >= self._most:
            why = f"{len(self._watchers)} watch already, which is the limit; ask another binder"
            raise busy(why)
        at, front = self._place(last)
        watcher = Watcher(take(), service, at, self._forget)
        self._told = min(self._told, at)
        self._watchers[watcher] = None
        watcher.send(front)

    def close(self) -> None:
        """Let go of all of them."""
        self._greenlet.kill(block=False)
        for watcher in [*self._watchers]:
            watcher.close()

    def _place(self, last: str) -> tuple[int, bytes]:
        """Behind which change one goes on whose last one was `last`, and what it is told first."""
        if not last:
            return self._seen, self._marker("hello", "changes from now on follow")
        run, _, text = last.rpartition("-")
        number = number_in(text) if run == self._run else None
        oldest = self._seen - len(self._history)
        if number is not None and oldest <= number <= self._seen:
            return number, b": going on\n\n"
        return self._seen, self._resync()

    def _resync(self) -> bytes:
        return self._marker("resync", "more has happened than is remembered; look at the lists")

    def _marker(self, event: str, why: str) -> bytes:
        said = json.dumps({"why": why})
        return f"id: {self._run}-{self._seen}\nevent: {event}\ndata: {said}\n\n".encode()

    def _keep_telling(self) -> None:
        rest = PAUSE
        while True:
            gevent.sleep(rest)
            try:
                rest = self._go_round()
            except Exception:  # that must not end the binder
                _log.exception("bug in the HTTP server: whoever watches has to come again")
                for watcher in [*self._watchers]:
                    watcher.close()
                self._history.clear()
                self._seen = self._told = self._feed.last
                rest = AFTER_BUG

    def _go_round(self) -> float:
        """Tell what there is to be told; how long to rest then, in seconds."""
        self._read_feed()
        told = self._tell() if self._told < self._seen else 0
        self._beat(time.monotonic())
        return max(PAUSE, told * REST)

    def _read_feed(self) -> None:
        """Write down what has changed since the last time."""
        changes = self._feed.since(self._seen, HISTORY_MAX)
        if changes is None:
            self._history.clear()
            self._seen = self._feed.last
            return
        now = time.time()
        for change in self._turns.in_slices(changes):
            said = json.dumps(self._row(change, now))
            text = f"id: {self._run}-{change.number}\nevent: change\ndata: {said}\n\n"
            self._history.append((change.number, service_of(change.instance), text.encode()))
            self._seen = change.number

    def _tell(self) -> int:
        """Tell each what it has not been told, or some of it; how many were."""
        behind = [one for one in self._watchers if one.at < self._seen and not one.is_full]
        news: dict[tuple[int, Service | None], tuple[int, bytes]] = {}
        for watcher in self._turns.in_slices(behind):
            key = watcher.at, watcher.service
            if key not in news:
                news[key] = self._news(*key)
            watcher.at, data = news[key]
            if data:
                watcher.send(data)
        self._told = min((one.at for one in self._watchers), default=self._seen)
        return len(behind)

    def _news(self, at: int, service: Service | None) -> tuple[int, bytes]:
        """What follows behind the change of number `at`, or some of it, and up to which number."""
        known = len(self._history)
        first = known - (self._seen - at)
        if first < 0:
            return self._seen, self._resync()
        rows = [self._history[place] for place in range(first, min(first + CATCHING_UP, known))]
        told = b"".join(text for _, its, text in rows if service in (None, its))
        return at + len(rows), told

    def _beat(self, now: float) -> None:
        """Send those a sign of life whose turn it is by now, however long the last round was; and
        end those that have not read for long."""
        if not self._beating:
            if now < self._next_beat:
                return
            self._next_beat = now + HEARTBEAT
            self._beating.extend(self._watchers)
            self._beats = len(self._beating)
        time_left = max(self._next_beat - BEATING - now, 0.0)
        due = len(self._beating) - int(self._beats * time_left / BEATING)
        for _ in self._turns.in_slices(range(due)):
            watcher = self._beating.popleft()
            if watcher in self._watchers:
                watcher.beat()

    def _forget(self, watcher: Watcher, is_cut_off: bool) -> None:
        self._watchers.pop(watcher, None)
        if is_cut_off:
            self._dropped("did not read")
