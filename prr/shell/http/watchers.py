"""Who watches: each change, as it happens, to everybody who wants to know, as server-sent events.

A watcher is a socket and a place in the history, no greenlet. One greenlet for all takes what the
binder tells, writes each change down once, and sends it to one after the other without ever waiting
for any of them: what a socket does not take is kept for it up to a limit, beyond which it is cut
off. The more watchers there are the longer it rests between two rounds: they take a bounded share
of the processor.
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

from prr.core.directory.changes import HISTORY_MAX
from prr.shell.admin.calls import News
from prr.shell.http.asked import number_in
from prr.shell.http.problems import busy
from prr.shell.http.watcher import Watcher
from prr.wire.instance import Instance, Service, service_of
from prr.wire.trailer import Listed

WATCHERS_MAX = 1024
"""Watchers at once: 128 MB if none of them reads, and a round of 10 ms."""

PAUSE = 0.02
"""Seconds between two rounds: nobody notices."""

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
        last: int,
        row: Callable[[Instance, Listed | None, str, str, float], dict[str, object]],
        most: int,
        dropped: Callable[[str], None],
    ) -> None:
        """The changes behind the one of number `last` are told. `row`: a change as it is shown.
        `most` watchers at once. `dropped` is called with why one is cut off."""
        self._row = row
        self._most = min(most, WATCHERS_MAX)
        self._dropped = dropped
        self._run = secrets.token_hex(4)  # so that numbers of another process are told from ours
        self._heard: deque[News] = deque(maxlen=HISTORY_MAX)  # and not written down yet
        self._seen = self._told = last
        self._history: deque[tuple[int, Service, bytes]] = deque(maxlen=HISTORY_MAX)
        self._watchers: dict[Watcher, None] = {}
        self._next_beat = time.monotonic()
        self._beating: deque[Watcher] = deque()
        self._beats = 0  # how many were in it at the begin
        self._greenlet = gevent.spawn(self._keep_telling)

    def __len__(self) -> int:
        return len(self._watchers)

    def hear(self, news: list[News]) -> None:
        """The binder has told this."""
        self._heard.extend(news)

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
            except Exception:  # that must not end the others
                _log.exception("bug in the HTTP server: whoever watches has to come again")
                for watcher in [*self._watchers]:
                    watcher.close()
                self._history.clear()
                self._seen = self._told = self._heard[-1].number if self._heard else self._seen
                self._heard.clear()
                rest = AFTER_BUG

    def _go_round(self) -> float:
        """Tell what there is to be told; how long to rest then, in seconds."""
        self._write_down()
        told = self._tell() if self._told < self._seen else 0
        self._beat(time.monotonic())
        return max(PAUSE, told * REST)

    def _write_down(self) -> None:
        """Write down what has been heard since the last time."""
        while self._heard:
            number, instance, state, event, why, when = self._heard.popleft()
            if instance is None or number != self._seen + 1:  # some are missing
                self._history.clear()
            self._seen = number
            if instance is not None:
                said = json.dumps(self._row(instance, state, event, why, when))
                text = f"id: {self._run}-{number}\nevent: change\ndata: {said}\n\n"
                self._history.append((number, service_of(instance), text.encode()))

    def _tell(self) -> int:
        """Tell each what it has not been told, or some of it; how many were."""
        behind = [one for one in self._watchers if one.at < self._seen and not one.is_full]
        news: dict[tuple[int, Service | None], tuple[int, bytes]] = {}
        for watcher in behind:
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
        for _ in range(due):
            watcher = self._beating.popleft()
            if watcher in self._watchers:
                watcher.beat()

    def _forget(self, watcher: Watcher, is_cut_off: bool) -> None:
        self._watchers.pop(watcher, None)
        if is_cut_off:
            self._dropped("did not read")
