"""Tables that nobody looks into any more, dropped a few rows at a time.

To drop a hundred thousand rows at once takes milliseconds, in which no lookup is answered.
"""

from typing import Any

DROPPED_MAX = 128
"""Rows dropped at each call, in 50 us: two bursts of them, so that they go faster than others come.
What these grow into can then be the memory that was theirs; fresh memory takes twice as long."""


class Ended:
    """As large as what it is given and has not dropped yet."""

    def __init__(self) -> None:
        self._tables: list[dict[Any, Any]] = []  # the last goes first

    def __len__(self) -> int:
        return sum(map(len, self._tables))

    def add(self, table: dict[Any, Any]) -> None:
        """Have its rows dropped; nobody else uses it from now on."""
        self._tables.append(table)

    def drop_some(self) -> None:
        """Drop as many rows as one call may."""
        if self._tables:
            rows = self._tables[-1]
            for _ in range(min(DROPPED_MAX, len(rows))):
                rows.popitem()
            if not rows:
                self._tables.pop()
