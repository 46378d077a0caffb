"""Tells the process that serves HTTP of every change: each is written down once, and sent once."""

import logging
import time
from collections.abc import Iterator

import gevent

from prr.core.directory.changes import Change, ChangeFeed
from prr.shell.admin.calls import NEWS, Kind, News, write
from prr.shell.admin.link import Link, Over
from prr.shell.admin.turns import Turns

PAUSE = 0.02
"""Seconds between two looks at the change feed: nobody notices, and a look costs a microsecond."""

CHANGES_IN_PART = 16
"""Changes that are sent together: 40 us of work."""

WHY_CHARACTERS_MAX = 512
"""Of a reason: no rule of the core gives a longer one; CHANGES_IN_PART of them are a message."""

_log = logging.getLogger("prr")


class Telling:
    """Tells on one link. What the other side does not take stays in the feed; if that forgets some
    of it, the other side hears that it has missed something."""

    def __init__(self, link: Link, feed: ChangeFeed, after: int, turns: Turns) -> None:
        """Of the changes behind the one of number `after`."""
        self._link = link
        self._feed = feed
        self._told = after
        self._turns = turns
        self._greenlet = gevent.spawn(self._keep_telling)

    def close(self) -> None:
        """Tell no more."""
        self._greenlet.kill()

    def _keep_telling(self) -> None:
        try:
            while True:
                gevent.sleep(PAUSE)
                for part in self._turns.in_slices(self._parts()):
                    self._link.send(write((NEWS, Kind.PART, part)))
        except Over:
            return  # which whoever reads the link notices, too
        except Exception:  # that must not end the binder
            _log.exception("bug where HTTP is told of changes: whoever watches hears no more")

    def _parts(self) -> Iterator[list[News]]:
        while self._told != self._feed.last:
            changes = self._feed.since(self._told, CHANGES_IN_PART)
            if changes:
                now = time.time()
                self._told = changes[-1].number
                yield [_news(one, now) for one in changes]
            else:
                self._told = self._feed.last
                yield [News(self._told, None, None, "", "", time.time())]


def _news(change: Change, now: float) -> News:
    number, instance, state = change.number, change.instance, change.state
    return News(number, instance, state, change.event, change.why[:WHY_CHARACTERS_MAX], now)
