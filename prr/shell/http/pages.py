"""Long answers: one is made at a time, and is given to all who asked for it before it was read.

Whether one that is kept still holds the binder is asked, each time: that costs it a glance.
"""

import json
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import gevent
from gevent.lock import Semaphore

from prr.shell.http.binder import Standing
from prr.shell.http.problems import busy

FRESH = 1.0
"""Seconds for which a page may be given again, while nothing of what is listed has changed: for so
long the rest of a lease in it is that of before."""

KEPT_FOR = 10.0
"""Seconds for which what the binder has said may be shown anew, while none that is listed was heard
either: it says until when leases are."""

KEPT_MAX = 32
"""Pages kept, 300 kB each at most, and twice that of what they are made of: 30 MB."""

WAITING_MAX = 64
"""Requests that wait for a page to be made. Those beyond are to ask again."""

ROWS_JOINED = 48
"""Rows that are made one part of a page, some 15 kB and half a millisecond of work, before whoever
else is answered has a turn."""

Render: TypeAlias = Callable[[], list[bytes]]
"""Shows what was read, as it is now, in parts."""


class Page:
    """A page of rows, while it is made: a JSON object that has them under `key`."""

    def __init__(self, key: str) -> None:
        self._parts: list[bytes] = []
        self._texts = [f'{{"{key}": [']
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, row: dict[str, object]) -> None:
        """One more row."""
        text = json.dumps(row)
        self._texts.append(f", {text}" if self._count else text)
        self._count += 1
        if len(self._texts) >= ROWS_JOINED:
            self._join()

    def end(self, following: str | None) -> list[bytes]:
        """Its parts; `following` is where the next page begins."""
        self._texts.append(f'], "next": {json.dumps(following)}}}\n')
        self._join()
        return self._parts

    def _join(self) -> None:
        self._parts.append("".join(self._texts).encode())
        self._texts.clear()
        gevent.sleep(0)


class _Kept(NamedTuple):
    """What a page was made of, and how it was shown last: as the binder was at `as_of` or later."""

    as_of: float
    standing: Standing
    read_at: float
    render: Render
    parts: list[bytes]
    shown_at: float


class Pages:
    """The pages of one binder."""

    def __init__(self, standing: Callable[[], Standing], kept_for: float) -> None:
        """`standing`: how the binder stands now. After `kept_for` seconds a page is read anew even
        if nothing has been noted since."""
        self._standing = standing
        self._kept_for = kept_for
        self._making = Semaphore(1)
        self._waiting = 0
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def get(self, key: str, read: Callable[[], Render]) -> list[bytes]:
        """The parts of the page `key`, as they are kept, or shown anew, or as what `read` reads is
        shown. Raises Problem if too many wait."""
        came, standing = time.monotonic(), self._standing()
        if (parts := self._usable(key, came, standing)) is not None:
            return parts
        if self._waiting >= WAITING_MAX:
            raise busy("too many lists are asked for at once; ask again in a second")
        self._waiting += 1
        try:
            with self._making:
                if (parts := self._usable(key, came, standing)) is not None:
                    return parts
                return self._make(key, came, standing, read)
        finally:
            self._waiting -= 1

    def _make(
        self, key: str, came: float, standing: Standing, read: Callable[[], Render]
    ) -> list[bytes]:
        """For one who `came` before he was told `standing`."""
        as_of = read_at = now = time.monotonic()
        kept = self._kept.get(key)
        if kept and kept.standing == standing and now - kept.read_at < self._kept_for:
            as_of, read_at, render = came, kept.read_at, kept.render
        else:
            render = read()
        parts = render()
        self._kept[key] = _Kept(as_of, standing, read_at, render, parts, now)
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)
        return parts

    def _usable(self, key: str, came: float, standing: Standing) -> list[bytes] | None:
        """What was read since this one came, or holds still. Without the former each of those who
        wait would have a page of his own made wherever something changes all the time."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        is_fresh = time.monotonic() - kept.shown_at < FRESH
        holds = kept.standing.changed == standing.changed and is_fresh
        return kept.parts if kept.as_of >= came or holds else None
