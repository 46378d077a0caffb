"""Long answers: one is made at a time, and is given to all who ask for it meanwhile.

Whether one that is kept still holds the binder is asked, each time: that costs it a glance.
"""

import json
import time
from collections import OrderedDict
from collections.abc import Callable

from gevent.lock import Semaphore

from prr.shell.http.problems import busy

FRESH = 1.0
"""Seconds for which a page may be given again, while nothing of what is listed has changed: for so
long the rest of a lease in it is that of before."""

KEPT_MAX = 32
"""Pages kept, 300 kB each at most: 10 MB."""

WAITING_MAX = 64
"""Requests that wait for a page to be made. Those beyond are to ask again."""

ROWS_JOINED = 48
"""Rows that are made one part of a page, some 15 kB."""


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


class Pages:
    """The pages of one binder."""

    def __init__(self, stamp: Callable[[], int]) -> None:
        """`stamp`: a number that is another one whenever something has changed."""
        self._stamp = stamp
        self._making = Semaphore(1)
        self._waiting = 0
        self._kept: OrderedDict[str, tuple[int, float, list[bytes]]] = OrderedDict()

    def get(self, key: str, make: Callable[[], list[bytes]]) -> list[bytes]:
        """The parts of the page `key`, as they are kept, or else as `make` makes them. Raises
        Problem if too many wait."""
        if (kept := self._fresh(key, self._stamp())) is not None:
            return kept
        if self._waiting >= WAITING_MAX:
            raise busy("too many lists are asked for at once; ask again in a second")
        self._waiting += 1
        try:
            with self._making:
                stamp, now = self._stamp(), time.monotonic()
                if (kept := self._fresh(key, stamp)) is not None:
                    return kept
                page = make()
        finally:
            self._waiting -= 1
        self._kept[key] = stamp, now, page
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)
        return page

    def _fresh(self, key: str, now: int) -> list[bytes] | None:
        stamp, when, page = self._kept.get(key, (-1, 0.0, []))
        return page if stamp == now and time.monotonic() - when < FRESH else None
